"""How a canary serves beside the revision it is to replace: judged by the gateway's counters of its own step. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from orchestrator.core.definition import Update
from orchestrator.core.routes import Traffic

RESOLUTION = 0.005
"""Seconds by which means of latency may differ by measurement alone (the gateway counts milliseconds)."""


@dataclass(frozen=True, slots=True)
class Served:
    """What the routings of one revision answered since the step began. `latency`: mean seconds to the first byte."""

    requests: int = 0
    errors: int = 0
    latency: float = 0.0

    @property
    def error_rate(self) -> float:
        return self.errors / self.requests if self.requests else 0.0


def served(routings: Iterable[str], base: Mapping[str, Traffic], traffic: Mapping[str, Traffic]) -> Served | None:
    """None: counters went back (the gateway was started anew): the step cannot be judged from this base."""
    requests, errors, seconds = 0, 0, 0.0
    for routing in routings:
        began, now = base.get(routing, Traffic()), traffic.get(routing, Traffic())
        count, failed = now.requests - began.requests, now.errors - began.errors
        if count < 0 or failed < 0:
            return None
        requests, errors, seconds = requests + count, errors + failed, seconds + count * now.latency
    return Served(requests, errors, seconds / requests if requests else 0.0)


def fault(update: Update, new: Served, old: Served) -> str:
    """Why the new revision is not good enough, in words; empty: nothing speaks against it so far."""
    if not new.requests or new.requests < update.min_requests:
        return ""
    if new.error_rate > old.error_rate + update.max_error_rate:
        return (
            f"{new.errors} of {new.requests} requests failed ({new.error_rate:.1%}), of the old revision's "
            f"{old.errors} of {old.requests} ({old.error_rate:.1%}): {update.max_error_rate:.1%} more are allowed"
        )
    if old.requests and new.latency > old.latency * update.max_latency + RESOLUTION:
        return (
            f"the first byte took {new.latency * 1000:.0f} ms on average over {new.requests} requests, with the old "
            f"revision {old.latency * 1000:.0f} ms: {update.max_latency:g} times as long is allowed"
        )
    return ""
