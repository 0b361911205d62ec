"""What differs between two specs of a service, key by key, and how each change takes effect. Pure.

Plans and diffs are made of it. Paths are those of the definition where the value comes from one of its keys.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from orchestrator.core.definition import HealthCheck, Part
from orchestrator.core.report import join
from orchestrator.core.spec import RoutingSpec, ServiceSpec
from orchestrator.core.units import written_size

ChangeKind = Literal["hot", "rolling", "recreate"]
"""`hot`: takes effect on what runs. `rolling`: new routings replace the old ones while these serve. `recreate`: the
old ones end before new ones start."""


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One value that changes. `before`, `after`: as text (a text of several lines stays so); None: not there."""

    path: str
    before: str | None
    after: str | None
    kind: ChangeKind


IDENTITY: Mapping[str, str] = {"name": "deployment.service_name", "model_name": "name"}
"""Fields of `ServiceSpec` whose change makes it another service, with their paths."""
ROUTING: Mapping[str, str] = {
    "model_folder": "model_folder",
    "model_path": "model_path",
    "actions": "service.pre_start_actions",
    "command": "service.start_command",
    "shell": "service.shell",
    "port": "service.port",
    "health": "service.health_check",
    "image": "deployment.image",
    "environ": "deployment.environ",
    "secrets": "deployment.secrets",
    "resources": "deployment.resources",
    "resource_group": "deployment.resource_group",
    "cluster_mode": "deployment.cluster_mode",
    "cluster_size": "deployment.cluster_size",
    "model_mount": "deployment.model_mount_destination",
    "model_read_only": "deployment.model_read_only",
    "mounts": "deployment.extra_mounts",
    "user": "deployment.user",
    "network": "deployment.network",
    "hostname": "deployment.hostname",
    "labels": "deployment.labels",
    "devices": "deployment.devices",
    "capabilities": "deployment.capabilities",
}
"""Fields of `RoutingSpec`; together they are the revision. Its `model_name` is that of the service."""
HOT: Mapping[str, str] = {
    "metadata": "metadata",
    "desired": "deployment.desired_routing_count",
    "open_to_public": "deployment.open_to_public",
    "endpoint": "deployment.endpoint",
    "start_timeout": "deployment.start_timeout",
    "unhealthy_timeout": "deployment.unhealthy_timeout",
    "stop_grace": "deployment.stop_grace",
    "retry": "deployment.retry",
    "update": "deployment.update",
}
"""The other fields of `ServiceSpec`."""

_NOTHING = ServiceSpec(
    name="",
    model_name="",
    routing=RoutingSpec(model_name="", model_folder="", model_path="", model_mount="", port=0),
)
_ABSENT: Any = object()
Difference = tuple[str, Any, Any]


def field_changes(before: ServiceSpec | None, after: ServiceSpec | None) -> tuple[FieldChange, ...]:
    """What differs, always in the same order; None: there is no such service. Beside None, and within an action or a
    mount that is new or gone, values that are the default are left out."""
    told = after or before or _NOTHING
    old, new = before or _NOTHING, after or _NOTHING
    replaced: ChangeKind = "recreate" if told.update.strategy == "recreate" else "rolling"
    found: list[FieldChange] = []
    tables: tuple[tuple[Mapping[str, str], Part, Part, ChangeKind], ...] = (
        (IDENTITY, old, new, "recreate"),
        (ROUTING, old.routing, new.routing, replaced),
        (HOT, old, new, "hot"),
    )
    for table, a, b, kind in tables:
        for name, path in table.items():
            for where, left, right in _differences(path, _value(a, name), _value(b, name)):
                left, right = _texts(where, left if before else _ABSENT, right if after else _ABSENT)
                found.append(FieldChange(where, left, right, kind))
    return tuple(found)


def _value(part: Part, name: str) -> Any:
    value = getattr(part, name)
    return HealthCheck(enable=False) if name == "health" and value is None else value


# --- where they differ ----------------------------------------------------------------------------------------------


def _differences(path: str, before: Any, after: Any) -> Iterator[Difference]:
    """Path, value before and after of each leaf that differs; `_ABSENT` where one side has no such leaf."""
    if before == after:
        return
    sides = [side for side in (before, after) if side is not _ABSENT]
    if all(isinstance(side, Part) for side in sides):
        yield from _of_parts(path, before, after)
    elif any(sides) and all(isinstance(side, Mapping) for side in sides):
        yield from _of_maps(path, *({} if side is _ABSENT else side for side in (before, after)))
    elif any(isinstance(item, Part) for side in sides if isinstance(side, tuple) for item in side):
        yield from _of_lists(path, *(() if side is _ABSENT else side for side in (before, after)))
    else:
        yield path, before, after


def _of_parts(path: str, before: Any, after: Any) -> Iterator[Difference]:
    sides = [side for side in (after, before) if isinstance(side, Part)]
    names = dict.fromkeys(name for side in sides for name in type(side).model_fields)
    for name in sorted(names, key=lambda name: name != "action"):
        yield from _differences(f"{path}.{name}", _given(before, name, after), _given(after, name, before))


def _given(part: Any, name: str, other: Any) -> Any:
    """The field's value; absent where the part lacks it, or is the only one to have it and it is the default."""
    if not isinstance(part, Part) or name not in type(part).model_fields:
        return _ABSENT
    value = getattr(part, name)
    alone = not isinstance(other, Part) or name not in type(other).model_fields
    return _ABSENT if alone and value == type(part).model_fields[name].default else value


def _of_maps(path: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Difference]:
    for key in sorted({*before, *after}):
        yield from _differences(join(path, key), before.get(key, _ABSENT), after.get(key, _ABSENT))


def _of_lists(path: str, before: Sequence[Any], after: Sequence[Any]) -> Iterator[Difference]:
    """Item by item, without those that are equal at both ends: an item put between others is one change."""
    first = _equal(before, after)
    last = _equal(before[first:][::-1], after[first:][::-1])
    old, new = before[first : len(before) - last], after[first : len(after) - last]
    for index in range(max(len(old), len(new))):
        a, b = (side[index] if index < len(side) else _ABSENT for side in (old, new))
        yield from _differences(f"{path}[{first + index}]", a, b)


def _equal(before: Sequence[Any], after: Sequence[Any]) -> int:
    """How many items are equal from the beginning."""
    for index, (a, b) in enumerate(zip(before, after, strict=False)):
        if a != b:
            return index
    return min(len(before), len(after))


# --- as text --------------------------------------------------------------------------------------------------------


def _texts(path: str, before: Any, after: Any) -> tuple[str | None, str | None]:
    """Both sides as text, told apart even where a list reads like a string."""
    left, right = _text(path, before), _text(path, after)
    return (left, right) if left != right else (json.dumps(before), json.dumps(after))


def _text(path: str, value: Any) -> str | None:
    name = path.rpartition(".")[2]
    is_null = path == "service.shell" or path.startswith("metadata")
    match value:
        case _ if value is _ABSENT:
            return None
        case None:
            return "null" if is_null else None
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() if name == "mode":
            return f"{value:o}"
        case int() | float() if path in ("deployment.resources.mem", "deployment.resources.shm"):
            return written_size(value)
        case int() | float():
            return f"{value:.15g}"
        case tuple() if path == "service.health_check.expected_status_code":
            return ", ".join(f"{low}" if low == high else f"{low}-{high}" for low, high in value)
        case tuple() if name == "body":
            return "\n".join(value)
    return json.dumps(value, ensure_ascii=False)
