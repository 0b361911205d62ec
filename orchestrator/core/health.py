"""What probe results mean: folds one result after another into a routing's `ProbeState`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from orchestrator.core.causes import UNMENDED
from orchestrator.core.definition import HealthCheck
from orchestrator.core.state import ProbeState
from orchestrator.core.symptoms import probe_symptom

FIRST_GAP = 0.1
"""Seconds between probes right after the start; grows with the routing's age up to `SLOWEST_FIRST_GAP`."""
SLOWEST_FIRST_GAP = 2.0
GRACE = 60.0
"""Seconds after its start for which a routing without a health check, which is never UNHEALTHY, is given time."""
SURE = 10
"""More probes than this in a row must see what no time mends, where no check says how many (`max_retries`)."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One probe that ended at `at`; `message` says in words what was seen."""

    ok: bool
    at: float
    message: str = ""


def fold(state: ProbeState, result: ProbeResult, check: HealthCheck | None, started_at: float) -> ProbeState:
    """The state after `result`. Failures before the first pass count only once `initial_delay` is over."""
    unmended = state.unmended + 1 if _is_unmended(state, result) else 0
    seen = replace(state, last_at=result.at, last_message=result.message, unmended=unmended)
    if result.ok:
        since = state.healthy_since if state.healthy and state.healthy_since is not None else result.at
        return replace(seen, passed_once=True, healthy=True, failures=0, unhealthy_since=None, healthy_since=since)
    if check is None or (not state.passed_once and result.at < started_at + check.initial_delay):
        return seen
    failures = state.failures + 1
    if failures <= check.max_retries:
        return replace(seen, failures=failures)
    since = state.unhealthy_since if state.unhealthy_since is not None else result.at
    return replace(seen, failures=failures, healthy=False, healthy_since=None, unhealthy_since=since)


def _is_unmended(state: ProbeState, result: ProbeResult) -> bool:
    sight = probe_symptom(result.message) if not result.ok and not state.passed_once else None
    return sight is not None and sight.code in UNMENDED


def hopeless_from(state: ProbeState, check: HealthCheck | None, started_at: float) -> float | None:
    """From when on a routing that never passed is not worth waiting for: its grace is over, and what the probes have
    seen for a while is nothing that loading ends. None: it is, or its grace is not over."""
    if state.unmended <= (check.max_retries if check is not None else SURE):
        return None
    return state.unhealthy_since if check is not None else started_at + GRACE


def gap(state: ProbeState, check: HealthCheck | None, started_at: float, now: float) -> float | None:
    """Seconds from the end of a probe to the start of the next; None: no further probe is needed."""
    if state.passed_once:
        return check.interval if check is not None else None
    interval = check.interval if check is not None else SLOWEST_FIRST_GAP
    return min(max(FIRST_GAP, (now - started_at) / 10), interval, SLOWEST_FIRST_GAP)
