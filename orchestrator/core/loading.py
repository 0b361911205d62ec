"""Bytes to a valid definition, or to all that is wrong with them. First step of the flow; `core.resolve` goes on.

The daemon, `validate` and the API read by this one code. Nothing here raises on bad input.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
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
    """What a file says. `definition` None: it has errors. `lines` are the text's; `positions` key path to place.

    `readable`: what is right in it, to be resolved for the problems that only resolving finds; never to be run.
    """

    definition: Definition | None
    problems: tuple[Problem, ...]
    lines: tuple[str, ...] = ()
    positions: Mapping[str, Place] = field(default_factory=dict)
    readable: Definition | None = None

    def at(self, path: str) -> Place:
        """1-based line and column of the value at `path`, else of the nearest value that holds it."""
        line, column = nearest(self.positions, path)
        return (line, column) if line else (1, 1)

    def beyond(self, found: Iterable[Problem]) -> Iterator[Problem]:
        """Of what resolving `readable` found: all of a valid file, else errors that none of reading explains."""
        if self.definition is not None:
            yield from found
            return
        known = {(p.path, p.message) for p in self.problems}
        wrong = [p.path for p in self.problems if p.severity == "error"]
        unclear = tuple(match[1] for path in wrong for rule in _DECIDING if (match := rule.match(path)))
        for problem in found:
            told = (problem.path, problem.message) in known
            if problem.severity == "error" and not told and not problem.path.startswith(unclear):
                yield problem


_DECIDING = (
    re.compile(r"(models\[\d+\]\.)(?:name|model_path)\b"),
    re.compile(r"(models\[\d+\]\.)deployment\.(?:service_name|resource_group|model_mount_destination)\b"),
    re.compile(r"(models\[\d+\]\.service)\b"),
)
"""Paths of errors, and the beginning of those where what was found later may only follow from them."""


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
    definition = _unless_wrong(value, report)
    readable = definition or _salvaged(root, file)
    return Loaded(definition, in_order(report.problems), document.lines, report.positions, readable)


def _salvaged(root: Node, file: str) -> Definition | None:
    try:
        value = reading.read(Definition, root, "", Report(file, lenient=True))
    except Enough:
        return None
    return None if value is BAD else value


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
