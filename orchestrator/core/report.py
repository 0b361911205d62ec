"""Where problems of one file are collected while it is read, with the place of every value. Used by `core.reading`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from orchestrator.core.problems import Problem, Severity

MOST_PROBLEMS = 200
_SIMPLE_KEY = re.compile(r"\w[\w.-]*")


class Place(Protocol):
    """1-based; 0:0 where there is no file behind the value."""

    @property
    def line(self) -> int: ...
    @property
    def column(self) -> int: ...


class Enough(Exception):
    """There are `MOST_PROBLEMS`: nobody reads more, and a hostile file could give a million."""


@dataclass(slots=True)
class Report:
    """Problems found so far, and key path to the place of its value. `lenient`: parts are made of what is right."""

    file: str
    problems: list[Problem] = field(default_factory=list)
    positions: dict[str, tuple[int, int]] = field(default_factory=dict)
    lenient: bool = False

    def error(self, at: Place, path: str, message: str, hint: str = "") -> None:
        self.add("error", at, path, message, hint)

    def add(self, severity: Severity, at: Place, path: str, message: str, hint: str = "") -> None:
        self._keep(Problem(severity, self.file, at.line, at.column, path, message, hint))

    def at_path(self, severity: Severity, path: str, message: str, hint: str = "") -> None:
        """A problem of the value at `path`, or of what holds it where it is left out."""
        self._keep(Problem(severity, self.file, *nearest(self.positions, path), path, message, hint))

    def _keep(self, problem: Problem) -> None:
        if len(self.problems) >= MOST_PROBLEMS:
            raise Enough
        self.problems.append(problem)

    def told_enough(self) -> None:
        """Say last that there is more."""
        last = max(self.problems, key=lambda p: (p.line, p.column))
        text = f"there are more than {MOST_PROBLEMS} problems; the others are not shown"
        self.problems.append(Problem("error", self.file, last.line, last.column, "", text))


def join(path: str, key: str) -> str:
    """Path of `key` in the map at `path`."""
    if not _SIMPLE_KEY.fullmatch(key):
        return f"{path}[{key[:40]!r}]"
    return f"{path}.{key}" if path else key


def nearest(positions: Mapping[str, tuple[int, int]], path: str) -> tuple[int, int]:
    """Place of the value at `path`, else of the nearest value that holds it, else 0:0."""
    while path not in positions and path:
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return positions.get(path, (0, 0))


def in_order(problems: list[Problem]) -> tuple[Problem, ...]:
    """In file order, each once."""
    return tuple(sorted(dict.fromkeys(problems), key=lambda p: (p.line, p.column)))
