"""What one routing needs by itself: to be given up, drained on, stopped, forgotten. A step of `core.plan`."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.core import backoff
from orchestrator.core.health import hopeless_from
from orchestrator.core.look import DRAIN_LOOK, Look
from orchestrator.core.operations import Fail, Forget, Stop
from orchestrator.core.state import Failure, Routing, Service

FIRST_PROBES = 5.0
"""Seconds after its start within which a daemon has seen how its routings are now."""


def tend(look: Look, service: Service, routing: Routing) -> bool:
    """What this routing needs by itself; True: it no longer counts."""
    if routing.busy:
        return False
    if routing.failure is not None:
        return _clean(look, routing)
    if routing.stopping_since is not None:
        return _end(look, service, routing)
    if routing.reservation is None and routing.outcome is None:
        return False
    failure = _failure(look, service, routing)
    if failure is None:
        return False
    counts = failure.counts and routing.revision == service.revision
    look.do(Fail(routing.id, replace(failure, at=look.now, counts=counts), failure.message))
    return True


def _clean(look: Look, routing: Routing) -> bool:
    if routing.observed is not None:
        look.do(Stop(routing.id, 0.0, "what is left of a failed routing"))
    return True


def _end(look: Look, service: Service, routing: Routing) -> bool:
    """Draining, then stopping, within one budget of `stop_grace` seconds."""
    assert routing.stopping_since is not None
    if routing.observed is None:
        look.do(Forget(routing.id, routing.stop_cause))
        return True
    end = routing.stopping_since + service.spec.stop_grace
    idle = routing.sessions == 0 or not routing.probe.passed_once or routing.observed.state != "running"
    if idle or look.now >= end:
        look.do(Stop(routing.id, max(0.0, end - look.now), routing.stop_cause))
    else:
        look.wake(min(end, look.now + DRAIN_LOOK))
    return True


def _failure(look: Look, service: Service, routing: Routing) -> Failure | None:
    """Why this routing is to be given up now, if it is. One case a branch."""
    now, seen = look.now, routing.observed
    if routing.outcome is not None:
        return routing.outcome
    if routing.started_at is None:
        return Failure("interrupted", "its start was interrupted (the daemon ended)", now, counts=False)
    if seen is None:
        return Failure("removed", "its container was removed by hand", now, counts=False)
    if seen.state == "exited":
        return _exit(routing, now)
    if seen.state == "created":
        return Failure("stopped", "its container is there but does not run", now, counts=False)
    return _overdue(look, service, routing)


def _exit(routing: Routing, now: float) -> Failure:
    seen = routing.observed
    assert seen is not None
    if routing.lost_with_engine:
        return Failure(
            "engine_lost", "it ended unseen: the container engine, or the daemon, was away", now, counts=False
        )
    ended = f"it ended with exit code {seen.exit_code}" if seen.exit_code is not None else "it ended, nobody saw how,"
    what = "it was killed for lack of memory" if seen.oom else ended
    since = routing.probe.healthy_since
    long_enough = since is not None and now - since >= backoff.LONG_ENOUGH
    when = "after it had been HEALTHY" if routing.probe.passed_once else "before its first pass"
    code = "oom_killed" if seen.oom else "exited"
    return Failure(code, f"{what} {when}", now, exit_code=seen.exit_code, oom=seen.oom, counts=not long_enough)


def _overdue(look: Look, service: Service, routing: Routing) -> Failure | None:
    """Never HEALTHY, or UNHEALTHY for longer than unhealthy_timeout."""
    spec, probe, probed = service.spec, routing.probe, look.world.since + FIRST_PROBES
    if not probe.passed_once:
        return _late(look, service, routing, probed)
    if probe.unhealthy_since is not None:
        end = max(probe.unhealthy_since + spec.unhealthy_timeout, probed)
        if look.now >= end:
            return Failure("unhealthy", f"UNHEALTHY for {spec.unhealthy_timeout:g} s: {probe.last_message}", look.now)
        look.wake(end)
    return None


def _late(look: Look, service: Service, routing: Routing, probed: float) -> Failure | None:
    """Not HEALTHY within start_timeout, or sure never to be. `probed`: when its probes are known."""
    probe, limit = routing.probe, service.spec.start_timeout
    end = max((routing.unit_created_at or routing.created_at) + limit, probed)
    if look.now >= end:
        text = f"not HEALTHY within {limit:g} s: {probe.last_message or 'no probe has ended'}"
        return Failure("start_timeout", text, look.now)
    since = hopeless_from(probe, routing.health, routing.started_at or look.now)
    if since is not None and look.now >= max(since, probed):
        return Failure("start_hopeless", f"it cannot become HEALTHY: {probe.last_message}", look.now)
    look.wake(end if since is None else min(end, max(since, probed)))
    return None
