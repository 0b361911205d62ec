"""How answers are shown: tables with colours on a terminal, aligned text when piped, JSON where asked for."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from shutil import get_terminal_size
from textwrap import TextWrapper
from typing import TYPE_CHECKING, Any

from orchestrator.core.units import span_text

if TYPE_CHECKING:
    from pydantic import BaseModel

    from orchestrator.core.errors import OrchestratorError

COLOURS = {
    "HEALTHY": "green",
    "DEGRADED": "yellow",
    "PROVISIONING": "cyan",
    "UNHEALTHY": "red",
    "FAILED_TO_START": "red",
    "INVALID": "red",
    "STOPPED": "dim",
    "TERMINATING": "dim",
    "DESTROYING": "dim",
    "ok": "green",
    "passed": "green",
    "warn": "yellow",
    "fail": "red",
    "failed": "red",
    "started": "cyan",
    "info": "dim",
}

FOLDED = 24
"""Characters that a table's column has at least where it folds."""
INDENT = "    "
span = span_text
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_COLOUR = re.compile(r"(\x1b\[[0-9;]*m)")


@dataclass(frozen=True, slots=True)
class Column:
    """`right`: aligned to the right. `folds`: text that may take several lines; the last column always may. A cell that
    is a word of COLOURS is coloured."""

    title: str
    text: Callable[[Any], str]
    right: bool = False
    folds: bool = False


def clean(text: str) -> str:
    """Text that came from a model, a log or an engine: nothing in it may steer the terminal."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def tamed(text: str) -> str:
    """A log's line as a terminal may see it: its colours are kept, all else that would steer it is not."""
    parts = _COLOUR.split(text)
    return "".join(part if number % 2 else clean(part) for number, part in enumerate(parts))


def one_line(text: str) -> str:
    return clean(" ".join(text.split()))


def print_json(value: object) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


def dump(view: BaseModel, *, exclude: Collection[str] = ()) -> dict[str, Any]:
    return view.model_dump(mode="json", exclude=set(exclude))


def print_table(columns: Sequence[Column], rows: Sequence[object], *, nothing: str) -> None:
    """`nothing` is said (to stderr) where there are no rows. On a terminal columns fold where they may, and where that
    is not enough each row takes several lines: ids and addresses stay whole, to be copied.
    """
    if not rows:
        print(nothing, file=sys.stderr)
        return
    cells = [[one_line(column.text(row)) for column in columns] for row in rows]
    titled = [[c.title for c in columns], *cells]
    widths = [max(map(len, column)) for column in zip(*titled, strict=True)]
    right = [c.right for c in columns]
    room = get_terminal_size().columns
    least = [min(w, FOLDED) if c.folds or c is columns[-1] else w for c, w in zip(columns, widths, strict=True)]
    if not sys.stdout.isatty():
        print("\n".join(aligned(titled, right)))
    elif sum(least) + 2 * len(least) <= room:
        _print_rich(columns, cells)
    else:
        print("\n".join(stacked(titled, right, room)))


def stacked(cells: Sequence[Sequence[str]], right: Sequence[bool], room: int) -> list[str]:
    """Lines of rows that are wider than `room` characters: each goes on, indented, with the columns that did not fit.
    A text that is wider than a line is broken between its words."""
    lines: list[list[int]] = [[]]
    used = 0
    for index, column in enumerate(zip(*cells, strict=True)):
        width = max(map(len, column)) + 2
        if lines[-1] and used + width > room + 2:
            lines.append([])
            used = len(INDENT)
        lines[-1].append(index)
        used += width
    blocks = [aligned([[row[i] for i in line] for row in cells], [right[i] for i in line]) for line in lines]
    rows = zip(*blocks, strict=True)
    return [line for row in rows for n, part in enumerate(row) for line in (_below(part, room) if n else [part])]


def _below(part: str, room: int) -> list[str]:
    if len(part) + len(INDENT) <= room:
        return [INDENT + part] if part else []
    wrap = TextWrapper(room, INDENT, INDENT, break_long_words=False, break_on_hyphens=False)
    return wrap.wrap(part)


def aligned(cells: Sequence[Sequence[str]], right: Sequence[bool]) -> list[str]:
    """Lines with their cells under each other, two spaces apart, without trailing space."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    placed = [
        [
            " " * (width - len(cell)) * r + paint(cell) + " " * (width - len(cell)) * (not r)
            for cell, width, r in columns
        ]
        for columns in (zip(row, widths, right, strict=True) for row in cells)
    ]
    return ["  ".join(row).rstrip() for row in placed]


def _print_rich(columns: Sequence[Column], cells: Iterable[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(
            column.title,
            justify="right" if column.right else "left",
            overflow="fold",
            no_wrap=not column.folds and column is not columns[-1],
        )
    for row in cells:
        table.add_row(*(Text(cell, style=COLOURS.get(cell, "")) for cell in row))
    Console().print(table)


def print_facts(facts: Mapping[str, str]) -> None:
    """Name and value, one a line; those without a value are left out."""
    shown = {name: value for name, value in facts.items() if value}
    width = max(map(len, shown), default=0) + 1
    for name, value in shown.items():
        print(f"{name + ':':<{width}}  {paint(one_line(value))}")


def paint(word: str) -> str:
    """A status in its colour, on a terminal that wants colours."""
    import os

    style = COLOURS.get(word)
    if not style or not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return word
    code = {"green": 32, "yellow": 33, "red": 31, "cyan": 36, "dim": 2}[style]
    return f"\x1b[{code}m{word}\x1b[0m"


def print_error(error: OrchestratorError) -> None:
    print(f"error: {clean(error.message)}", file=sys.stderr)
    if error.hint:
        print(f"hint: {clean(error.hint)}", file=sys.stderr)


def age(since: datetime | None, now: datetime | None = None) -> str:
    """How long ago, in one unit: 5s, 12m, 3h, 4d; empty where it is not known."""
    if since is None:
        return ""
    return span(((now or datetime.now(UTC)) - since).total_seconds())


def when(time: datetime | None) -> str:
    """A time as people read it, in their own zone."""
    return time.astimezone().strftime("%Y-%m-%d %H:%M:%S") if time else ""
