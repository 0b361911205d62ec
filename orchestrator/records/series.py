"""The last hour of each service in memory: 20 KB a service, so that 1,000 of them take 20 MB."""

from __future__ import annotations

from array import array
from math import isnan, nan

from orchestrator.core.traffic_views import SeriesPoint
from orchestrator.core.views import instant

STEP = 10.0
"""Seconds between two points."""
POINTS = 360
COLUMNS = ("requests", "errors", "p50", "p95", "p99", "open", "queued", "desired", "healthy", "cpu", "memory")
_WHOLE = frozenset({"open", "queued", "desired", "healthy", "memory"})


class Series:
    """A ring of points; the oldest gives way."""

    def __init__(self) -> None:
        self._times = array("d")
        self._values = array("f")
        self._next = 0

    def add(self, at: float, values: dict[str, float | None]) -> None:
        """`at` in wall seconds; `values` by the names of `COLUMNS`, what is left out or None was not known."""
        row = array("f", [nan if (value := values.get(name)) is None else value for name in COLUMNS])
        if len(self._times) < POINTS:
            self._times.append(at)
            self._values.extend(row)
        else:
            start = self._next * len(COLUMNS)
            self._times[self._next] = at
            self._values[start : start + len(COLUMNS)] = row
        self._next = (self._next + 1) % POINTS

    def points(self, since: float) -> list[SeriesPoint]:
        """Those after wall time `since`, oldest first."""
        count = len(self._times)
        order = range(count) if count < POINTS else [(self._next + i) % POINTS for i in range(POINTS)]
        return [self._point(index) for index in order if self._times[index] > since]

    def _point(self, index: int) -> SeriesPoint:
        start = index * len(COLUMNS)
        row = zip(COLUMNS, self._values[start : start + len(COLUMNS)], strict=True)
        found = {
            name: int(value) if name in _WHOLE else float(f"{value:.6g}") for name, value in row if not isnan(value)
        }
        return SeriesPoint(time=instant(self._times[index]), **found)
