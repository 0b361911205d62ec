"""Bytes to a valid definition, or to all that is wrong with them. First step of the flow; `core.resolve` goes on.

The daemon, `validate` and the API read by this one code. Nothing here raises on bad input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.core import deployment_keys, reading
from orchestrator.core.composing import compose
from orchestrator.core.definition import Definition, Deployment
from orchestrator.core.nodes import Entries, Node, Scalar, from_python
from orchestrator.core.problems import Problem
from orchestrator.core.report import Report, in_order, nearest
from orchestrator.core.values import BAD

Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a file says. `definition` None: it has errors. `lines` are the text's; `positions` key path to place."""

    definition: Definition | None
    problems: tuple[Problem, ...]
    lines: tuple[str, ...] = ()
    positions: Mapping[str, Place] = field(default_factory=dict)

    def at(self, path: str) -> Place:
        """1-based line and column of the value at `path`, else of the nearest value that holds it."""
        line, column = nearest(self.positions, path)
        return (line, column) if line else (1, 1)


def load(data: bytes, file: str) -> Loaded:
    """Read a definition; `file` is its name in problems."""
    document = compose(data, file)
    if document.root is None:
        return Loaded(None, document.problems, document.lines)
    report = Report(file, list(document.problems))
    root = document.root
    report.positions[""] = (root.line, root.column)
    value = BAD
    if isinstance(root, Entries):
        value = reading.read(Definition, root, "", report)
    else:
        report.error(root, "", "a definition is a map", "begin with `models:` and indent the rest below it")
    failed = value is BAD or any(p.severity == "error" for p in report.problems)
    return Loaded(None if failed else value, in_order(report.problems), document.lines, report.positions)


def load_mapping(data: bytes, file: str) -> tuple[Deployment | None, tuple[Problem, ...]]:
    """Read a `deployment-config.yaml`: the keys of `deployment`, and Backend.AI's names for them."""
    document = compose(data, file)
    if document.root is None:
        return None, document.problems
    return _deployment(document.root, Report(file, list(document.problems)), "")


def deployment_from_mapping(
    mapping: Mapping[str, object], file: str, path: str = ""
) -> tuple[Deployment | None, tuple[Problem, ...]]:
    """Read deployment keys of config.toml, service-definition.toml or a request by the same rules; no places."""
    report = Report(file)
    try:
        node = from_python(mapping)
    except ValueError as error:
        report.error(Scalar("", plain=True), path, f"cannot be read: {error}")
        return None, tuple(report.problems)
    return _deployment(node, report, path)


def _deployment(node: Node, report: Report, path: str) -> tuple[Deployment | None, tuple[Problem, ...]]:
    if isinstance(node, Entries):
        node = deployment_keys.translated(node, path, report)
    value = reading.read(Deployment, node, path, report)
    failed = value is BAD or any(p.severity == "error" for p in report.problems)
    return None if failed else value, in_order(report.problems)
