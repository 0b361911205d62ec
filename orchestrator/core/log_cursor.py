"""Where in the logs of routings a reader is: after or before which line it goes on. Pure; used by `app.logs`.

A line's cursor is `ROUTING@MICROSECONDS+N`: its routing, when it was written, and which of the lines of that moment it
is. Where a reader of several logs is, is the last cursor of each, joined by commas.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.core.errors import InvalidInput
from orchestrator.core.views import CURSOR

MARGIN = 0.001
"""Seconds by which reading begins earlier, so that rounding loses no line."""


@dataclass(frozen=True, slots=True, order=True)
class LogPlace:
    """In the order of all lines of all logs."""

    micros: int
    routing: str
    number: int = 0

    def __str__(self) -> str:
        return f"{self.routing}@{self.micros}+{self.number}"

    @property
    def since(self) -> float:
        """From when on to read, in seconds, to come upon it."""
        return max(0.0, self.micros / 1e6 - MARGIN)


class Counting:
    """Gives each line of one log its place."""

    def __init__(self, routing: str) -> None:
        self._last = LogPlace(-1, routing)

    def place(self, time: float) -> LogPlace:
        micros, last = max(0, round(time * 1e6)), self._last
        self._last = LogPlace(micros, last.routing, last.number + 1 if micros == last.micros else 0)
        return self._last


def read_places(text: str) -> Mapping[str, LogPlace]:
    """By routing. Raises `InvalidInput`."""
    if not re.fullmatch(rf"{CURSOR}(,{CURSOR})*", text, re.ASCII):
        raise InvalidInput("cannot read the place in the log", hint="give the `cursor` of a line, as it was answered")
    found: dict[str, LogPlace] = {}
    for one in text.split(","):
        routing, _, rest = one.partition("@")
        micros, _, number = rest.partition("+")
        found[routing] = LogPlace(int(micros), routing, int(number))
    return found
