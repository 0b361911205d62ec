"""Bytes to a valid definition, or to all that is wrong with them. First step of the flow; `core.resolve` goes on.

The daemon, `validate` and the API read by this one code. Nothing here raises on bad input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.core import deployment_keys, reading
from orchestrator.core.composing import compose
from orchestrator.core.definition import Definition, Deployment
from orchestrator.core.nodes import Entries, Node, Scalar, from_python
from orchestrator.core.problems import Problem
from orchestrator.core.report import Enough, Report, in_order, nearest
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
    root, report = document.root, Report(file, list(document.problems))
    report.positions[""] = (root.line, root.column)
    value = BAD
    if isinstance(root, Entries):
        value = _unless_too_much(lambda: reading.read(Definition, root, "", report), report)
    else:
        report.error(root, "", "a definition is a map", "begin with `models:` and indent the rest below it")
    return Loaded(_unless_wrong(value, report), in_order(report.problems), document.lines, report.positions)


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
    def read() -> Any:
        ours = deployment_keys.translated(node, path, report) if isinstance(node, Entries) else node
        return reading.read(Deployment, ours, path, report)

    value = _unless_too_much(read, report)
    return _unless_wrong(value, report), in_order(report.problems)


def _unless_too_much(read: Callable[[], Any], report: Report) -> Any:
    try:
        return read()
    except Enough:
        report.told_enough()
        return BAD


def _unless_wrong(value: Any, report: Report) -> Any:
    return None if value is BAD or any(p.severity == "error" for p in report.problems) else value
