"""Backend.AI's names for deployment keys, as its side files and requests have them, turned into ours.

`deployment-config.yaml` and `service-definition.toml` say `environment.image`, `resource_slots`, `resource_opts.shmem`;
in the latter these may lie in one table a runtime variant.
"""

from __future__ import annotations

from orchestrator.core.nodes import Entries, Scalar
from orchestrator.core.report import Report, join

VARIANTS = ("custom", "cmd", "vllm", "nim", "huggingface-tgi", "sglang", "modular-max", "llama-cpp")


def translated(node: Entries, path: str, report: Report) -> Entries:
    """`node` with Backend.AI's keys under our names; a name of ours that is given too is an error."""
    node = _variant(node, path, report)
    result = Entries(line=node.line, column=node.column)
    for key, value in node.values.items():
        match key.replace("-", "_"), value:
            case ("environment", Entries()):
                _environment(value, join(path, key), report, result)
            case ("resource_slots" | "resource_opts" as name, Entries()):
                _resources(value, join(path, key), report, result, node.keys[key], only_shm=name == "resource_opts")
            case ("resources", Entries()):
                _resources(value, join(path, key), report, result, node.keys[key])
            case _:
                _put(result, key, node, key, path, report)
    return result


def _variant(node: Entries, path: str, report: Report) -> Entries:
    """The table of the one runtime variant that is given; several: `custom`'s."""
    given = [key for key in node.values if key in VARIANTS and isinstance(node.values[key], Entries)]
    if not given or len(given) != len(node.values):
        return node
    chosen = "custom" if "custom" in given else given[0]
    if len(given) > 1:
        report.add("warning", node.keys[chosen], join(path, chosen), "only this runtime variant's table is read")
    table = node.values[chosen]
    assert isinstance(table, Entries)
    return table


def _environment(value: Entries, path: str, report: Report, result: Entries) -> None:
    for key in value.values:
        if key == "image":
            _put(result, "image", value, key, path, report)
        elif key == "architecture":
            report.add("note", value.keys[key], join(path, key), "is not used: images run as they are on this machine")
        elif not key.startswith("x-"):
            report.error(value.keys[key], join(path, key), f"unknown key `{key[:40]}`", "known: image, architecture")


def _resources(
    value: Entries, path: str, report: Report, result: Entries, place: Scalar, *, only_shm: bool = False
) -> None:
    """Add the slots in `value` to `resources`; `resource_opts` holds nothing but `shmem`."""
    slots = result.values.setdefault("resources", Entries(line=value.line, column=value.column))
    result.keys.setdefault("resources", place)
    assert isinstance(slots, Entries)
    for key in value.values:
        name = "shm" if key == "shmem" else key
        if only_shm and name != "shm" and not key.startswith("x-"):
            report.error(value.keys[key], join(path, key), f"unknown key `{key[:40]}`", "known: shmem")
        else:
            _put(slots, name, value, key, path, report)


def _put(into: Entries, name: str, source: Entries, key: str, path: str, report: Report) -> None:
    if name in into.values:
        report.error(source.keys[key], join(path, key), f"`{name}` is given twice", "keep one of them")
        return
    into.keys[name], into.values[name] = source.keys[key], source.values[key]
