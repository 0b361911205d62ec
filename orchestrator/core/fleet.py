"""The routings of one service as a rollout sees them, and how many of each revision are wanted at its phase. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil, floor

from orchestrator.core.routes import Side
from orchestrator.core.state import Routing, RoutingStatus, Service
from orchestrator.core.status import routing_status


def count_of(share: int | str, total: int, *, up: bool) -> int:
    """Routings of a count (`2`) or a percentage (`25%`) of `total`."""
    if isinstance(share, int):
        return share
    part = total * int(share.removesuffix("%")) / 100
    return ceil(part) if up else floor(part)


def other(side: Side) -> Side:
    return "green" if side == "blue" else "blue"


def count_wanted(service: Service, *, exclusive: bool) -> int:
    """How many routings can and shall run. `exclusive`: they cannot run side by side."""
    return min(service.desired, 1) if exclusive else service.desired


def is_healthy(routing: Routing) -> bool:
    return routing_status(routing) is RoutingStatus.HEALTHY


@dataclass(frozen=True)
class Fleet:
    """`live`: those that count toward the desired count; `routings`: all, with those that end and the records."""

    service: Service
    live: Sequence[Routing]
    routings: Sequence[Routing]
    exclusive: bool
    now: float

    @cached_property
    def desired(self) -> int:
        return count_wanted(self.service, exclusive=self.exclusive)

    @cached_property
    def current(self) -> list[Routing]:
        return [r for r in self.live if r.revision == self.service.revision]

    @cached_property
    def old(self) -> list[Routing]:
        return [r for r in self.live if r.revision != self.service.revision]

    @cached_property
    def ready(self) -> int:
        """Current ones that have been HEALTHY for min_ready."""
        return len(self._ready)

    @cached_property
    def serving(self) -> int:
        """Ready ones that get requests."""
        return sum(r.side == self.service.side for r in self._ready)

    @cached_property
    def _ready(self) -> list[Routing]:
        return [r for r in self.current if is_healthy(r) and self.ready_at(r) <= self.now]

    @cached_property
    def serving_old(self) -> list[Routing]:
        """HEALTHY old ones that get requests."""
        return [r for r in self.old if is_healthy(r) and r.side == self.service.side]

    @cached_property
    def waiting(self) -> str:
        """For what a routing of the current revision waits."""
        return next((r.cause for r in self.current if r.reservation is None), "")

    def ready_at(self, routing: Routing) -> float:
        since = routing.probe.healthy_since
        rollout = self.service.rollout is not None
        return (since if since is not None else self.now) + (self.service.spec.update.min_ready if rollout else 0.0)

    @property
    def all_ready(self) -> bool:
        return self.ready >= self.desired

    @property
    def others_gone(self) -> bool:
        """Nothing of another revision (with a shared port: nothing at all) is left on the runtime."""
        rest = [r for r in self.routings if self.exclusive or r.revision != self.service.revision]
        return not any(r.observed is not None or r.busy for r in rest)


@dataclass(frozen=True, slots=True)
class Targets:
    """`new`: live routings of the current revision; `keep`: HEALTHY old ones that go on serving; `heal`: live old ones
    below which the good revision is refilled; `stable`: old ones are not replaced yet, so what is down is awaited."""

    new: int
    keep: int = 0
    heal: int = 0
    stable: bool = False
    side: Side = "blue"


def targets(fleet: Fleet) -> Targets:
    """What is wanted at this moment of the rollout, or without one."""
    service, rollout, desired = fleet.service, fleet.service.rollout, fleet.desired
    if not desired:
        return Targets(0, side=service.side)
    strategy = rollout.strategy if rollout is not None else "rolling"
    if fleet.exclusive or strategy == "recreate":
        started = any(r.reservation is not None for r in fleet.current)
        return Targets(desired if fleet.others_gone or started else 0, side=service.side)
    if strategy == "blue_green" and rollout is not None:
        if rollout.phase == "baking":
            return Targets(desired, desired, 0, True, service.side)
        return Targets(desired, desired, desired, True, other(service.side))
    if strategy == "canary" and rollout is not None and rollout.step < len(service.spec.update.steps):
        new = canaries(service, desired, rollout.step)
        return Targets(new, desired, desired - len(fleet.current), True, service.side)
    return _rolling(fleet, _side(fleet))


def canaries(service: Service, desired: int, step: int) -> int:
    """Routings that carry the share of a step without more load on each than the old ones have."""
    return max(1, ceil(desired * service.spec.update.steps[step] / 100))


def _rolling(fleet: Fleet, side: Side) -> Targets:
    desired, update = fleet.desired, fleet.service.spec.update
    surge = count_of(update.max_surge, desired, up=True)
    spare = count_of(update.max_unavailable, desired, up=False)
    least = desired - (spare if spare or surge else 1)  # a percentage of few may round to nothing
    keep = max(0, least - fleet.serving)
    kept = min(keep, len(fleet.serving_old))
    return Targets(max(0, min(desired, desired + surge - kept)), keep, side=side)


def _side(fleet: Fleet) -> Side:
    """After a blue-green rollout that failed, what is left of the good revision says on which side it is."""
    sides = [r.side for r in fleet.current]
    return sides[0] if sides else fleet.service.side
