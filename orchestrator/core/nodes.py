"""A document as written: nodes with their places, before any key gives them a type. Read by `core.reading`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_DEPTH = 64


@dataclass(slots=True)
class Scalar:
    """One value's own text. `plain`: written without quotes, so that `null` and `~` mean nothing is given."""

    text: str
    plain: bool
    line: int = 0
    column: int = 0

    @property
    def is_null(self) -> bool:
        return self.plain and self.text in ("", "~", "null", "Null", "NULL")


@dataclass(slots=True)
class Items:
    items: list[Node] = field(default_factory=list)
    line: int = 0
    column: int = 0


@dataclass(slots=True)
class Entries:
    """Keys in their order; `keys` holds the place of each key, `values` its value."""

    keys: dict[str, Scalar] = field(default_factory=dict)
    values: dict[str, Node] = field(default_factory=dict)
    line: int = 0
    column: int = 0


Node = Scalar | Items | Entries


def from_python(value: object, depth: int = 0) -> Node:
    """Nodes without places of a plain Python value (TOML, JSON). Raises ValueError for what no document can hold."""
    if depth > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH}")
    match value:
        case None:
            return Scalar("", plain=True)
        case bool():
            return Scalar(str(value).lower(), plain=True)
        case float() if not math.isfinite(value):
            return Scalar(str(value), plain=True)
        case int() | float():
            return Scalar(repr(value) if isinstance(value, float) else str(value), plain=True)
        case str():
            return Scalar(value, plain=False)
        case Mapping():
            values = {str(k): from_python(v, depth + 1) for k, v in value.items()}
            return Entries({k: Scalar(k, plain=False) for k in values}, values)
        case list() | tuple():
            return Items([from_python(v, depth + 1) for v in value])
        case _:
            return Scalar(str(value), plain=False)
