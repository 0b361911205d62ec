"""Problems as text: the place, what is wrong, the line and a caret below it. Used by `validate`.

Nothing of a file's text may steer the terminal, and a caret stands under its character whatever is before it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence

from orchestrator.cli.output import clean
from orchestrator.core.problems import Problem

WIDTH = 100
"""Columns of a line that are shown."""
TAB = "    "
_COLOURS = {"error": "\x1b[31m", "warning": "\x1b[33m", "note": "\x1b[36m"}
_END = "\x1b[0m"


def rendered(problems: Iterable[Problem], lines: Sequence[str], *, colour: bool = False) -> Iterator[str]:
    """Lines of text for `problems`; `lines` are those of the file they are in."""
    for problem in problems:
        text = clean(headline(problem))
        yield f"{_COLOURS[problem.severity]}{text}{_END}" if colour else text
        if problem.severity != "note" and 0 < problem.line <= len(lines) and problem.column:
            shown, indent = excerpt(lines[problem.line - 1], problem.column)
            yield f"{problem.line:5} | {shown}"
            yield f"      | {' ' * indent}^"


def headline(problem: Problem) -> str:
    """`file:line:column: key.path: what is wrong (what would be right)`; warnings and notes say that they are."""
    place = f"{problem.file}:{problem.line}:{problem.column}" if problem.line else problem.file
    path = f" {problem.path}:" if problem.path else ""
    severity = "" if problem.severity == "error" else f" {problem.severity}:"
    right = f" ({problem.hint})" if problem.hint else ""
    return f"{place}:{path}{severity} {problem.message}{right}"


def excerpt(line: str, column: int, width: int = WIDTH) -> tuple[str, int]:
    """At most `width` columns of `line` around its 1-based character `column`, and the columns before that one."""
    at = column - 1
    before = line[max(0, at - width) : at]
    while _columns(before) > width * 3 // 4:
        before = before[1:]
    after = line[at : at + width]
    while _columns(before + after) > width:
        after = after[:-1]
    start, end = at - len(before), at + len(after)
    head, tail = "…" if start > 0 else "", "…" if end < len(line) else ""
    return head + _printable(before + after) + tail, len(head) + _columns(before)


def _printable(text: str) -> str:
    return clean(text.replace("\t", TAB))


def _columns(text: str) -> int:
    return sum(_width(character) for character in _printable(text))


def _width(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
