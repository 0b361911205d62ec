"""Latencies as counts in buckets: what adds up over workers, time and services, and gives percentiles. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

BOUNDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 60_000, 120_000, 300_000, 600_000)
"""Upper ends of the buckets in milliseconds; one more bucket holds what took longer."""
SIZE = len(BOUNDS) + 1
_SOON = bytes(bisect_left(BOUNDS, ms) for ms in range(2048))


def bucket(ms: int) -> int:
    """Which bucket holds a latency of `ms` milliseconds."""
    return _SOON[ms] if 0 <= ms < 2048 else bisect_left(BOUNDS, ms)


def quantile(counts: Sequence[float], share: float) -> float | None:
    """Seconds that `share` of what was counted did not exceed, as exact as the buckets are (taken to be evenly filled);
    None: nothing was counted. Beyond the last bound: the last bound."""
    total = sum(counts)
    if total <= 0:
        return None
    rank, below, seen = share * total, 0.0, 0.0
    for count, bound in zip(counts, BOUNDS, strict=False):
        if count and seen + count >= rank:
            return (below + (bound - below) * (rank - seen) / count) / 1000
        seen, below = seen + count, bound
    return BOUNDS[-1] / 1000
