"""Facts over a real store: what was stored by a clock that was ahead."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

from orchestrator.core.routes import Traffic
from orchestrator.core.spec import RoutingSpec, ServiceSpec
from orchestrator.core.state import Attempts, Failure, ProbeState, Rejected, Rollout, Routing, Service
from orchestrator.scheduler.clock import SteadyClock
from orchestrator.scheduler.facts import Facts
from orchestrator.store import Store

CLOCK = SteadyClock()
LATER = CLOCK.now() + 1e6


async def test_times_of_a_clock_that_was_ahead_are_moved_to_now(tmp_path: Path) -> None:
    """Else deadlines, pauses and grace would last until the clock is there again."""
    store = await Store.open("", tmp_path)
    await store.put_service(service())
    await store.put_routing(routing())
    facts = Facts(store, CLOCK, {}, shared_ports=False, needs_image=False)
    await facts.load()
    now = CLOCK.now()
    (one,), (other,) = facts.services.values(), facts.routings.values()
    assert (one.attempts.count, other.id) == (1, "r")
    assert one.rollout is not None
    ahead = [path for path, at in (*times("service", one), *times("routing", other)) if at > now]
    assert not ahead
    await store.close()


async def test_a_canary_is_not_judged_by_totals_of_the_daemon_before(tmp_path: Path) -> None:
    """They hold what workers had counted that are gone since: what this daemon reads does not go on from there."""
    store = await Store.open("", tmp_path)
    judged = replace(service().rollout, base={"r": Traffic(1000, 5, 0.1)})
    await store.put_service(replace(service(), rollout=judged))
    facts = Facts(store, CLOCK, {}, shared_ports=False, needs_image=False)
    await facts.load()
    (one,) = facts.services.values()
    assert one.rollout is not None
    assert not one.rollout.base
    await store.close()


def times(path: str, value: object) -> Iterator[tuple[str, float]]:
    """Every moment in it: no other number here is as large."""
    if is_dataclass(value):
        for field in fields(value):
            yield from times(f"{path}.{field.name}", getattr(value, field.name))
    elif isinstance(value, float):
        yield path, value


def service() -> Service:
    spec = RoutingSpec(model_name="m", model_folder="/m", model_path="/m", model_mount="/m", port=1)
    return Service(
        id="s",
        name="m",
        source="folder",
        folder="/m",
        model="m",
        spec=ServiceSpec(name="m", model_name="m", routing=spec),
        revision_number=1,
        created_at=LATER,
        attempts=Attempts(spec.revision, 1, LATER),
        cleared_at=LATER,
        vanished_since=LATER,
        rejected=Rejected("r", 1, ""),
        rollout=Rollout(spec.revision, "canary", "", LATER, phase_since=LATER, progress_at=LATER),
    )


def routing() -> Routing:
    return Routing(
        "r",
        "s",
        "m",
        "r",
        LATER,
        unit_created_at=LATER,
        started_at=LATER,
        probe=ProbeState(True, True, 0, LATER, LATER),
        stopping_since=LATER,
        failure=Failure("exited", "", LATER),
    )
