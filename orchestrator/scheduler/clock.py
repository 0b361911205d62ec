"""The daemon's clock: steady time that no change of the system's clock can move."""

from __future__ import annotations

import time
from collections.abc import Callable


class SteadyClock:
    """`now` starts at wall time and goes on monotonically, so stored times stay comparable over restarts."""

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._offset = wall() - monotonic()

    def now(self) -> float:
        return self._monotonic() + self._offset

    def wall(self) -> float:
        return self._wall()
