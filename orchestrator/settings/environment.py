"""ORCHESTRATOR_<SECTION>__<KEY>: settings from environment variables, laid over the file by `settings.loading`."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from orchestrator.settings.models import Settings

PREFIX = "ORCHESTRATOR_"
NOT_SETTINGS = frozenset({"URL", "TOKEN", "CA", "CONFIG", "CONTEXT", "SERVICE", "ROUTING"})
"""ORCHESTRATOR_… variables that mean something else: the client's, and those inside a routing."""


@dataclass(frozen=True, slots=True)
class Override:
    """One variable and the setting it stands for."""

    variable: str
    keys: tuple[str, ...]
    value: object


def overrides(environ: Mapping[str, str]) -> tuple[list[Override], list[str]]:
    """What `environ` overrides, and what is wrong with it, one line each."""
    found: list[Override] = []
    problems: list[str] = []
    for name in sorted(n for n in environ if n.startswith(PREFIX) and n.removeprefix(PREFIX) not in NOT_SETTINGS):
        keys = tuple(name.removeprefix(PREFIX).lower().split("__"))
        kind = _kind(keys)
        if kind is None:
            known = [_variable(k) for k in _all_keys(Settings)]
            problems.append(f"{name}: unknown setting{did_you_mean(name, known)}")
            continue
        try:
            found.append(Override(name, keys, _from_text(environ[name], kind)))
        except ValueError as error:
            problems.append(f"{name}: {error}")
    return found, problems


def _kind(keys: tuple[str, ...]) -> object | None:
    """The type of the setting at `keys`; None where there is none."""
    kind: object = Settings
    for key in keys:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            field = kind.model_fields.get(key)
            if field is None:
                return None
            kind = field.annotation
        elif get_origin(kind) is Mapping:
            kind = get_args(kind)[1]
        else:
            return None
    return None if isinstance(kind, type) and issubclass(kind, BaseModel) else kind


def _from_text(text: str, kind: object) -> object:
    """A list is JSON or comma-separated, a map JSON; what has no type of its own is read as TOML, else as text."""
    origin = get_origin(kind)
    if origin is Mapping or (origin is tuple and text.lstrip().startswith("[")):
        try:
            return json.loads(text)
        except ValueError as error:
            raise ValueError(f"not valid JSON: {error}") from None
    if origin is tuple:
        return [part.strip() for part in text.split(",") if part.strip()]
    if kind is Any:
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            return text
    return text


def _variable(keys: tuple[str, ...]) -> str:
    return PREFIX + "__".join(keys).upper()


def _all_keys(model: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _all_keys(kind, (*above, name))
        else:
            yield (*above, name)


def did_you_mean(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return (
        f" (did you mean `{close[0]}`?)" if close else f" (known here: {', '.join(known)})" if len(known) < 20 else ""
    )
