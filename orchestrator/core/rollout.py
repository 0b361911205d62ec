"""What an operation of a rollout makes of its service, and going back to an earlier revision. Pure."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.core.operations import Accept, Advance, RollBack, Switch
from orchestrator.core.spec import RoutingSpec
from orchestrator.core.state import Good, Phase, Rejected, Rollout, Service, Strategy

GOOD = "good"
ROLLED_BACK = "rolled back: "
"""Outcomes of a revision, as they are kept with it; what follows the second is why."""


def changed(service: Service, operation: Advance | Switch | RollBack | Accept, now: float) -> Service:
    """The service after `operation`."""
    match operation:
        case Advance(rollout=rollout):
            return replace(service, rollout=rollout)
        case Switch(side=side, rollout=rollout):
            return replace(service, side=side, rollout=rollout)
        case Accept():
            return replace(service, rollout=None, good=Good(service.revision_number, service.spec.routing))
        case RollBack(cause=cause):
            assert service.good is not None
            return rolled_back(service, service.good.routing, cause, now, by_hand=False)


def number_after(before: Service | None, after: Service) -> int:
    """The number that the revision of `after` gets once it takes the place of `before`."""
    return 1 if before is None else before.revision_number + (before.revision != after.revision)


def awaits_promotion(service: Service) -> bool:
    """Blue-green: both sides are there, and only somebody's word brings it further."""
    rollout = service.rollout
    if rollout is None or rollout.phase != "ready" or rollout.promoted:
        return False
    return service.spec.update.promote_after is None


def rolled_back(service: Service, to: RoutingSpec, cause: str, now: float, *, by_hand: bool) -> Service:
    """The service with `to` as what runs; what is hot (count, timeouts, public) stays as it is. The revision that its
    definition asks for is remembered, so that it does not come back until that changes or is applied."""
    known = service.good is not None and to.revision == service.good.routing.revision
    phase: Phase = "returning" if known else "replacing"
    strategy: Strategy = "recreate" if service.spec.update.strategy == "recreate" else "rolling"
    rejected = service.rejected
    if rejected is None or rejected.revision == service.revision:
        rejected = Rejected(service.revision, service.revision_number, cause, by_hand)
    return replace(
        service,
        spec=service.spec.model_copy(update={"routing": to}),
        rejected=rejected if rejected.revision != to.revision else None,
        rollout=Rollout(to.revision, strategy, cause, now, phase, phase_since=now, progress_at=now),
    )
