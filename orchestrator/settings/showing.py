"""Every key of the settings with its value, its default and where it was set; secrets hidden. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from orchestrator.core.hiding import hidden
from orchestrator.settings.models import Settings

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Shown:
    """`value` and `default` as JSON; `set`: file and line, a variable's name, or `DEFAULT`."""

    key: str
    value: Any
    default: Any
    set: str


def shown(settings: Settings) -> list[Shown]:
    """In the order of config.toml. Of a section that has any names (`folders`, `defaults`) what is given in it."""
    safe = hidden(to_jsonable_python(settings), ())
    assert isinstance(safe, Mapping)
    places = settings.origins.set
    plain = to_jsonable_python(Settings())
    return [Shown(key, value, _at(plain, key), _place(key, places)) for key, value in _leaves(safe, Settings, "")]


_SECTIONS = frozenset(
    name
    for name, field in Settings.model_fields.items()
    if isinstance(field.get_default(call_default_factory=True), BaseModel | Mapping)
)
"""Headers in the file say nothing of each key below them."""


def _leaves(values: Mapping[str, Any], model: type[BaseModel] | None, above: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        key = f"{above}{name}"
        kind = model.model_fields[name].annotation if model is not None else None
        inner = kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
        if isinstance(value, Mapping) and (inner is not None or key in _NAMED) and value:
            yield from _leaves(value, inner, f"{key}.")
        elif isinstance(value, Mapping) and above in ("folders.", "resource_groups."):
            yield from _leaves(value, None, f"{key}.")
        else:
            yield key, value


_NAMED = ("folders", "resource_groups", "defaults")


def _at(values: Any, key: str) -> Any:
    for part in key.split("."):
        if not isinstance(values, Mapping) or part not in values:
            return None
        values = values[part]
    return values


def _place(key: str, places: Mapping[str, str]) -> str:
    """Of the key, else of what it lies in or what lies in it."""
    above = key
    while above:
        if above in places and (above == key or above not in _SECTIONS):
            return places[above]
        above = above.rpartition(".")[0]
    return next((place for name, place in places.items() if name.startswith(f"{key}.")), DEFAULT)
