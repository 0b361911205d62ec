"""Where a rollout stands, and whether it goes on, ends well or is rolled back. A step of `core.plan`.

At most one step a look: each is a fact of its own before the next is decided, so that it may be cut off anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from orchestrator.core.capacity import OVER
from orchestrator.core.fleet import Fleet, canaries, other
from orchestrator.core.look import Look
from orchestrator.core.operations import Accept, Advance, RollBack, Switch
from orchestrator.core.rollout import changed
from orchestrator.core.routes import Traffic
from orchestrator.core.state import Failure, Phase, Rollout, Service
from orchestrator.core.updating import deadline
from orchestrator.core.verdict import Served, fault, served

BLAMELESS = frozenset({"removed", "stopped", "interrupted", "engine_lost", "engine_unavailable", "image_unreachable"})
"""Ends of a routing that say nothing about its revision."""
JUDGE_EVERY = 1.0
"""Seconds between looks at the counters of a canary."""
Step = Advance | Switch | RollBack | Accept


def steer(look: Look, fleet: Fleet) -> Service:
    """The service as it is after this look's step of its rollout, if there is one."""
    if fleet.service.removing:
        return fleet.service
    step = _step(look, fleet)
    if step is None:
        return fleet.service
    look.do(step)
    look.wake(look.now)
    return changed(fleet.service, step, look.now)


def _step(look: Look, fleet: Fleet) -> Step | None:
    service, rollout = fleet.service, fleet.service.rollout
    if not fleet.desired:
        return Advance(service.id, None, "nothing of it is wanted to run") if rollout else None
    if rollout is None or rollout.revision != service.revision:
        return _begin(look, fleet)
    if rollout.phase != "returning" and service.good is not None and service.spec.update.auto_rollback:
        why = _failed(look, fleet, rollout)
        if why:
            return RollBack(service.id, why)
    if rollout.phase == "returning" and (home := _home(fleet, rollout)):
        return home
    if rollout.phase in ("replacing", "returning"):
        return _progress(look, fleet, rollout) or _replaced(look, fleet, rollout)
    if rollout.phase == "ready":
        return _promote(look, fleet, rollout)
    if rollout.phase == "judging":
        return _judge(look, fleet, rollout)
    return _bake(look, fleet, rollout)


# --- begin ----------------------------------------------------------------------------------------------------------


def _begin(look: Look, fleet: Fleet) -> Step | None:
    """Without a revision that is known to be good there is nothing to go back to: the first one only has to arrive."""
    service = fleet.service
    if service.good is None:
        complete = fleet.all_ready and not fleet.old
        return Accept(service.id, f"revision {service.revision_number} is HEALTHY") if complete else None
    back = service.good.routing.revision == service.revision
    if back and service.rollout is None:
        return None
    strategy = "recreate" if fleet.exclusive else service.spec.update.strategy
    if (back or not fleet.old) and strategy != "recreate":
        strategy = "rolling"  # nothing to switch from, or to compare with
    cause = f"revision {service.revision_number} takes over ({strategy.replace('_', '-')})"
    if back:
        cause = f"revision {service.good.number} is wanted again"
    phase: Phase = "returning" if back else "replacing"
    now = look.now
    begun = Rollout(service.revision, strategy, cause, now, phase, phase_since=now, progress_at=now)
    return Advance(service.id, begun, cause)


# --- failure --------------------------------------------------------------------------------------------------------


def _failed(look: Look, fleet: Fleet, rollout: Rollout) -> str:
    """Why the rollout is to be given up, in words; empty: it is not."""
    for failure in _failures(look, fleet, rollout):
        return failure.message
    for routing in fleet.current:
        if routing.probe.passed_once and routing.probe.unhealthy_since is not None:
            return f"a new routing became UNHEALTHY: {routing.probe.last_message}"
    return fleet.waiting if fleet.waiting.startswith(OVER) else _overdue(look, fleet, rollout)


def _failures(look: Look, fleet: Fleet, rollout: Rollout) -> Iterable[Failure]:
    """Of routings of the new revision since the rollout began: those recorded, and those that this look decided."""
    mine = [r for r in fleet.routings if r.revision == rollout.revision]
    told = [r.failure for r in mine if r.failure is not None]
    told += [look.failures[r.id] for r in mine if r.id in look.failures]
    return (f for f in told if f.at >= rollout.began_at and f.code not in BLAMELESS)


def _overdue(look: Look, fleet: Fleet, rollout: Rollout) -> str:
    if rollout.phase != "replacing":
        return ""
    limit = deadline(fleet.service.spec)
    end = max(rollout.progress_at, look.world.since) + limit
    if look.now < end:
        look.wake(end)
        return ""
    why = f": {fleet.waiting}" if fleet.waiting else ""
    return f"no further new routing was ready within {limit:g} s{why}"


# --- replacing ------------------------------------------------------------------------------------------------------


def _progress(look: Look, fleet: Fleet, rollout: Rollout) -> Step | None:
    """One more new routing than ever before is ready: the deadline counts from now."""
    waits = [fleet.ready_at(r) for r in fleet.current if r.probe.healthy]
    for at in waits:
        if at > look.now:
            look.wake(at)
    if fleet.ready <= rollout.ready:
        return None
    cause = f"{fleet.ready} of {fleet.desired} routings of revision {fleet.service.revision_number} are ready"
    return Advance(fleet.service.id, replace(rollout, ready=fleet.ready, progress_at=look.now), cause)


def _replaced(look: Look, fleet: Fleet, rollout: Rollout) -> Step | None:
    """What follows when as many are ready as this phase asks for."""
    service, update = fleet.service, fleet.service.spec.update
    if rollout.strategy == "blue_green" and rollout.phase == "replacing":
        if not fleet.all_ready:
            return None
        after = f"in {update.promote_after:g} s, or " if update.promote_after is not None else ""
        cause = f"both sides are HEALTHY; the switch comes {after}by `orchestrator promote {service.name}`"
        return Advance(service.id, _phase(look, rollout, "ready"), cause)
    if rollout.strategy == "canary" and rollout.step < len(update.steps):
        return _show(look, fleet, rollout)
    if fleet.old or not fleet.all_ready:
        return None
    if rollout.phase == "returning" or not update.bake:
        healthy = f"{fleet.ready} of {fleet.desired} HEALTHY"
        return Accept(service.id, f"revision {service.revision_number} serves: {healthy}")
    return Advance(service.id, _phase(look, rollout, "baking"), f"it serves alone and is watched for {update.bake:g} s")


def _home(fleet: Fleet, rollout: Rollout) -> Step | None:
    """After a blue-green rollout that failed the requests go back to the side of the good revision."""
    service = fleet.service
    back = other(service.side)
    if not fleet.ready or any(r.side != back for r in fleet.current):
        return None
    if fleet.all_ready or not fleet.serving_old:
        return Switch(service.id, back, rollout, "the good revision gets the requests again")
    return None


def _phase(look: Look, rollout: Rollout, phase: Phase) -> Rollout:
    return replace(rollout, phase=phase, phase_since=look.now, progress_at=look.now)


# --- blue-green -----------------------------------------------------------------------------------------------------


def _promote(look: Look, fleet: Fleet, rollout: Rollout) -> Step | None:
    service, after = fleet.service, fleet.service.spec.update.promote_after
    if not fleet.all_ready:
        return Advance(service.id, _phase(look, rollout, "replacing"), "a new routing is no longer HEALTHY")
    due = None if after is None else rollout.phase_since + after
    if due is not None and look.now < due:
        look.wake(due)
    if not rollout.promoted and (due is None or look.now < due):
        return None
    cause = "promoted by hand" if rollout.promoted else f"{after:g} s after both sides were HEALTHY"
    return Switch(service.id, other(service.side), _phase(look, rollout, "baking"), cause)


# --- canary ---------------------------------------------------------------------------------------------------------


def _show(look: Look, fleet: Fleet, rollout: Rollout) -> Step | None:
    """Give the new revision the share of the next step, once enough of it is ready to carry that."""
    service, steps = fleet.service, fleet.service.spec.update.steps
    if rollout.promoted:
        return Advance(service.id, _phase(look, replace(rollout, step=len(steps)), "replacing"), "promoted by hand")
    if fleet.ready < min(canaries(service, fleet.desired, rollout.step), fleet.desired):
        return None
    weight = steps[rollout.step]
    begun = replace(_phase(look, rollout, "judging"), weight=weight, base=_counters(look, fleet))
    cause = f"step {rollout.step + 1} of {len(steps)}: {weight} % of the requests go to revision"
    return Advance(service.id, begun, f"{cause} {service.revision_number}")


def _judge(look: Look, fleet: Fleet, rollout: Rollout) -> Step | None:
    service, update = fleet.service, fleet.service.spec.update
    if not rollout.base and (counters := _counters(look, fleet)):
        return Advance(service.id, replace(rollout, base=counters), "its requests are counted from now on")
    new, old = judged(look, fleet, rollout)
    if new is None or old is None:
        begun = replace(_phase(look, rollout, "judging"), base=_counters(look, fleet))
        return Advance(service.id, begun, "the gateway's counters began anew: so does the step")
    why = "" if rollout.promoted else fault(update, new, old)
    if why and service.good is not None and update.auto_rollback:
        return RollBack(service.id, why)
    pause_ends = rollout.phase_since + update.pause
    look.wake(min(look.now + JUDGE_EVERY, pause_ends if pause_ends > look.now else float("inf")))
    if not rollout.promoted and (why or not _long_enough(look, fleet, rollout, new)):
        return None
    step = len(update.steps) if rollout.promoted else rollout.step + 1
    passed = f"step {rollout.step + 1} passed: {new.errors} of {new.requests} requests failed"
    cause = "promoted by hand" if rollout.promoted else passed
    return Advance(service.id, _phase(look, replace(rollout, step=step), "replacing"), cause)


def _long_enough(look: Look, fleet: Fleet, rollout: Rollout, new: Served) -> bool:
    """Its pause is over and it had requests enough; where too few come, the progress deadline ends the wait."""
    spec = fleet.service.spec
    passed = look.now - rollout.phase_since
    enough = new.requests >= spec.update.min_requests or passed >= deadline(spec)
    return passed >= spec.update.pause and enough


def judged(look: Look, fleet: Fleet, rollout: Rollout) -> tuple[Served | None, Served | None]:
    """What the new and the old revision answered in this step."""
    traffic = look.world.traffic
    new = served((r.id for r in fleet.current), rollout.base, traffic)
    return new, served((r.id for r in fleet.old), rollout.base, traffic)


def _counters(look: Look, fleet: Fleet) -> dict[str, Traffic]:
    return {r.id: look.world.traffic[r.id] for r in fleet.live if r.id in look.world.traffic}


# --- baking ---------------------------------------------------------------------------------------------------------


def _bake(look: Look, fleet: Fleet, rollout: Rollout) -> Step | None:
    service, bake = fleet.service, fleet.service.spec.update.bake
    end = rollout.phase_since + bake
    if look.now < end:
        look.wake(end)
        return None
    if not fleet.all_ready:
        return None
    return Accept(service.id, f"revision {service.revision_number} serves: it stayed HEALTHY for {bake:g} s")
