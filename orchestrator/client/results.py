"""What the SDK answers with: mappings whose keys are attributes too, and pages of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from orchestrator.core.errors import InvalidInput

OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: bool(a == b),
    "!=": lambda a, b: bool(a != b),
    ">=": lambda a, b: bool(a >= b),
    "<=": lambda a, b: bool(a <= b),
    ">": lambda a, b: bool(a > b),
    "<": lambda a, b: bool(a < b),
    "contains": lambda a, b: str(b).lower() in str(a).lower(),
}
_TERM = re.compile(r"""\s*(\w+)\s*(==|!=|>=|<=|>|<|contains)\s*("[^"]*"|'[^']*'|-?\d+(?:\.\d+)?|true|false)\s*""")


class Result(dict[str, Any]):
    """An answer: a mapping whose keys are attributes too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Answered(Mapping[str, Any]):
    """An object that is also a mapping of what it was answered with."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        self._answer = answer

    def __getitem__(self, key: str) -> Any:
        return self._answer[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._answer)

    def __len__(self) -> int:
        return len(self._answer)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({dict(self)})"


class Page:
    """Some of `total_count` items. `fields`: which of each there are."""

    def __init__(self, total_count: int, items: Sequence[Result], fields: Sequence[str]) -> None:
        self.total_count = total_count
        self.items = items
        self.fields = fields

    def __repr__(self) -> str:
        return f"Page(total_count={self.total_count}, items={self.items!r})"


def paged(
    rows: Sequence[Result], fields: Sequence[str] | None, offset: int, size: int, filter: str | None, order: str | None
) -> Page:
    """Raises `InvalidInput` for what cannot be read, or names a field that is not there."""
    if offset < 0 or size < 1:
        raise InvalidInput("cannot list: page_offset is at least 0, page_size at least 1")
    known = tuple(rows[0]) if rows else tuple(fields or ())
    if unknown := [name for name in fields or () if name not in known]:
        raise InvalidInput(f"cannot list: there is no field {unknown[0]!r}", hint=f"there are: {', '.join(known)}")
    found = [row for row in rows if all(holds(row) for holds in _tests(filter, known if rows else None))]
    for name in reversed([part.strip() for part in (order or "name").split(",")]):
        key = name.lstrip("+-")
        if rows and key not in known:
            raise InvalidInput(f"cannot order by {key!r}", hint=f"there are: {', '.join(known)}")
        found.sort(key=lambda row: (row[key] is None, row[key]), reverse=name.startswith("-"))
    kept = tuple(fields or known)
    return Page(len(found), [Result({n: row[n] for n in kept}) for row in found[offset : offset + size]], kept)


def _tests(filter: str | None, known: Sequence[str] | None) -> list[Callable[[Result], bool]]:
    return [_test(term, known) for term in filter.split("&") if term.strip()] if filter else []


def _test(term: str, known: Sequence[str] | None) -> Callable[[Result], bool]:
    match = _TERM.fullmatch(term)
    if match is None:
        raise InvalidInput(f"cannot read the filter {term.strip()!r}", hint='such as: status == "HEALTHY"')
    name, operator, text = match.groups()
    if known is not None and name not in known:
        raise InvalidInput(f"cannot filter by {name!r}", hint=f"there are: {', '.join(known)}")
    value: Any = text[1:-1] if text[0] in "\"'" else {"true": True, "false": False}.get(text, text)
    if isinstance(value, str) and text[0] not in "\"'":
        value = float(value)

    def holds(row: Result) -> bool:
        try:
            return OPERATORS[operator](row[name], value)
        except TypeError:
            return False

    return holds
