"""How long the next attempt waits: 1 s, 2 s, 4 s … up to 60 s after failed attempts in a row of one revision."""

from __future__ import annotations

import zlib
from dataclasses import replace

from orchestrator.core.state import Attempts

LONGEST = 60.0
CRASH_LOOP = 5
"""Failed attempts in a row from which on the service shows `crash loop`."""
FORGIVEN_AFTER = 600.0
"""Seconds of HEALTHY after which failed attempts are forgotten."""
LONG_ENOUGH = 10.0
"""A death after at least so many seconds of HEALTHY is replaced at once and not counted."""


def failed(attempts: Attempts, revision: str, at: float) -> Attempts:
    """One more failed attempt. Deaths seen in one observation carry the same `at` and count once."""
    if attempts.revision != revision:
        return Attempts(revision, 1, at)
    if attempts.count and attempts.last_at == at:
        return attempts
    return replace(attempts, count=attempts.count + 1, last_at=at)


def next_try_at(attempts: Attempts, revision: str, seed: str) -> float:
    """When `revision` may be tried again; 0: at once. `seed` spreads services that failed together: the jitter
    shortens the wait by up to a fifth and never lengthens it."""
    if attempts.revision != revision or not attempts.count:
        return 0.0
    wait = min(2.0 ** (min(attempts.count, 16) - 1), LONGEST)
    spread = zlib.crc32(f"{seed}:{attempts.count}".encode()) / 0xFFFFFFFF
    return attempts.last_at + wait * (1 - 0.2 * spread)


def crash_loops(attempts: Attempts, revision: str) -> bool:
    return attempts.revision == revision and attempts.count >= CRASH_LOOP
