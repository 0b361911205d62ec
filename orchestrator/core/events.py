"""What happened, in the words that log, API and CLI share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """`time` is wall time in seconds since the epoch; `kind` is dotted (`routing.healthy`, `action.finished`)."""

    time: float
    kind: str
    service: str = ""
    routing: str = ""
    cause: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    seq: int = 0
    """Set by the store; grows by one an event."""
