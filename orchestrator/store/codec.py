"""Facts to JSON text and back. Used by `store.store` alone.

Tolerant of versions both ways: unknown keys are ignored, missing ones take their default. Text is ASCII, so that
undecodable file names survive; infinities survive too, or a revision's hash would change over a restart.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from orchestrator.core.audit import AuditEntry
from orchestrator.core.errors import Unavailable
from orchestrator.core.events import Event
from orchestrator.core.spec import RoutingSpec
from orchestrator.core.state import Routing, Service

T = TypeVar("T")


class Codec(Generic[T]):
    """`omit`: fields that are not stored."""

    def __init__(self, kind: type[T], *, omit: frozenset[str] = frozenset()) -> None:
        self._adapter: TypeAdapter[T] = TypeAdapter(kind)
        self._kind = kind.__name__
        self._omit = set(omit)

    def encode(self, fact: T) -> str:
        return json.dumps(_plain(self._adapter.dump_python(fact, exclude=self._omit)), separators=(",", ":"))

    def decode(self, text: str) -> T:
        """Raises `Unavailable` for what cannot be read: a record left out would look like one that was removed."""
        try:
            return self._adapter.validate_python(json.loads(text), extra="ignore")
        except (ValidationError, ValueError, RecursionError) as error:
            raise Unavailable(
                f"cannot read the store: a {self._kind} record does not decode ({str(error).splitlines()[0]})",
                hint="restore the last backup, or install the version that wrote it",
                code="store_corrupt",
            ) from error


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_plain(item) for item in value]
        case _:
            return str(value)


SERVICE = Codec(Service)
ROUTING = Codec(Routing, omit=frozenset({"observed", "busy", "outcome", "lost_with_engine", "sessions"}))
SPEC = Codec(RoutingSpec)
TEXTS = Codec(dict[str, str])
AUDIT = Codec(AuditEntry, omit=frozenset({"seq"}))
EVENT = Codec(Event, omit=frozenset({"seq"}))
