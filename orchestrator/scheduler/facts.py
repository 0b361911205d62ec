"""What the loop knows between two looks: stored facts, written through, with what is observed laid over them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from orchestrator.core.catalog import Broken
from orchestrator.core.errors import NotFound
from orchestrator.core.port_use import uses_port
from orchestrator.core.ports import Clock
from orchestrator.core.routes import Traffic
from orchestrator.core.state import Group, Observed, ProbeState, Removed, Rollout, Routing, Service, World
from orchestrator.store import Outcome, Store


class Facts:
    """Memory changes only after the store took the change, so that a crash loses nothing that was acted on."""

    def __init__(
        self, store: Store, clock: Clock, groups: Mapping[str, Group], *, shared_ports: bool, needs_image: bool
    ) -> None:
        self._store = store
        self._clock = clock
        self._began = clock.now()
        self._groups = groups
        self._shared_ports = shared_ports
        self._needs_image = needs_image
        self.services: dict[str, Service] = {}
        self.routings: dict[str, Routing] = {}
        self._written: dict[str, Routing] = {}
        """Routings as the store has them."""
        self._ran: set[tuple[str, str, int]] = set()
        """Id, revision and number of services of which it is known what their routings run."""
        self.removed: list[Removed] = []
        self.broken: tuple[Broken, ...] = ()
        self.orphans: tuple[Observed, ...] = ()
        self.observed_ok = False
        self.traffic: Mapping[str, Traffic] = {}
        """Routing id to what the gateway counted, over all its workers."""

    async def load(self) -> None:
        """What was stored; times from a clock that was ahead are moved to now."""
        snapshot = await self._store.load()
        now = self._clock.now()
        self.services = {s.id: _service_not_after(s, now) for s in snapshot.services}
        self.routings = {r.id: _not_after(r, now) for r in snapshot.routings if r.service_id in self.services}
        self.removed = list(snapshot.removed)

    def world(self, services: Mapping[str, Service] | None = None) -> World:
        """`services`: by id, as they would be; None: as they are."""
        services = self.services if services is None else services
        names = tuple(sorted({b.name for b in self.broken}))
        imageless = [s.id for s in services.values() if self._needs_image and not s.spec.routing.image]
        return World(
            services=dict(services),
            routings=dict(self.routings),
            groups=self._groups,
            broken=names,
            orphans=self.orphans,
            observed_ok=self.observed_ok,
            refused=dict.fromkeys(imageless, "no image"),
            exclusive=frozenset(s.id for s in services.values() if self.is_exclusive(s)),
            traffic=self.traffic,
            since=self._began,
        )

    def is_exclusive(self, service: Service) -> bool:
        """Its routings cannot run side by side: their port is fixed, and the runtime has but one of each."""
        return self._shared_ports and not uses_port(service.spec.routing)

    def of(self, service_id: str) -> list[Routing]:
        """Its routings, oldest first."""
        mine = [r for r in self.routings.values() if r.service_id == service_id]
        return sorted(mine, key=lambda r: (r.created_at, r.id))

    def by_service(self) -> dict[str, list[Routing]]:
        """All routings by the id of their service, oldest first."""
        found: dict[str, list[Routing]] = {}
        for routing in sorted(self.routings.values(), key=lambda r: (r.created_at, r.id)):
            found.setdefault(routing.service_id, []).append(routing)
        return found

    def find(self, ref: str) -> Service:
        """By id or by name in any case. Raises `NotFound`, naming those that there are."""
        for service in self.services.values():
            if ref == service.id or ref.lower() == service.name.lower():
                return service
        names = ", ".join(sorted(s.name for s in self.services.values())[:10])
        raise NotFound(f"there is no service {ref!r}", hint=f"there are: {names}" if names else "`orchestrator ls`")

    async def put_service(
        self,
        service: Service,
        cause: str = "",
        *,
        by: str = "",
        definition: Mapping[str, str] | None = None,
        outcome: str = "",
    ) -> Service:
        """A changed routing part becomes a revision of its own, numbered by the store; numbered first, so that a
        service is never stored with the number of the revision before. `by`: who asked for it; `definition`: the
        texts that it was read from, by the names of their files; `outcome`: what becomes by this of the revision that
        the service was at (`good`, or `rolled back: …`)."""
        before = self.services.get(service.id)
        if before is None or before.revision != service.revision:
            number = await self._store.add_revision(
                service.id,
                service.spec.routing,
                cause,
                self._clock.wall(),
                by=by,
                definition=definition,
                good=service.good.number if service.good else None,
            )
            service = replace(service, revision_number=number)
        ended = Outcome(before.revision_number, outcome, self._clock.wall()) if before and outcome else None
        await self._store.put_service(service, ended)
        self.services[service.id] = service
        return service

    async def note_ran(self, routing: Routing, image: str, files: Mapping[str, str]) -> None:
        """What a routing that has started ran and wrote; kept with its revision where it is the first of it."""
        service = self.services.get(routing.service_id)
        known = (routing.service_id, routing.revision, service.revision_number if service else 0)
        if known not in self._ran:
            await self._store.set_ran(routing.service_id, routing.revision, image, files)
            self._ran.add(known)

    async def put_routing(self, routing: Routing) -> Routing:
        await self.store_routings([routing])
        self.routings[routing.id] = routing
        return routing

    async def store_routings(self, routings: Iterable[Routing]) -> None:
        """Write what of them is stored, where that changed, all at once; what is known here stays as it is."""
        changed = [r for r in routings if self._written.get(r.id) != _stored(r)]
        if changed:
            await self._store.put_routings(changed)
            self._written |= {r.id: _stored(r) for r in changed}

    async def forget_routing(self, routing_id: str) -> None:
        await self._store.delete_routing(routing_id)
        self._written.pop(routing_id, None)
        self.routings.pop(routing_id, None)

    async def forget_service(self, service_id: str) -> None:
        await self._store.delete_service(service_id)
        self.services.pop(service_id, None)
        self._ran = {known for known in self._ran if known[0] != service_id}

    async def mark_removed(self, mark: Removed) -> None:
        await self._store.put_removed(mark)
        self.removed = [r for r in self.removed if (r.folder, r.model) != (mark.folder, mark.model)] + [mark]

    async def unmark_removed(self, folder: str, model: str) -> None:
        await self._store.delete_removed(folder, model)
        self.removed = [r for r in self.removed if (r.folder, r.model) != (folder, model)]

    def observe(self, seen: Sequence[Observed], engine_came_back: bool, ours: Iterable[str]) -> None:
        """Lay an observation over the facts. `ours`: ids of tries and of orphans whose removal is under way."""
        by_id = {o.routing: o for o in seen}
        for routing in list(self.routings.values()):
            found = by_id.pop(routing.id, None)
            ended = found is not None and found.state == "exited"
            was_up = routing.observed is None or routing.observed.state != "exited"
            lost = ended and (routing.lost_with_engine or (engine_came_back and was_up))
            if found != routing.observed or lost != routing.lost_with_engine:
                self.routings[routing.id] = replace(routing, observed=found, lost_with_engine=lost)
        known = set(ours)
        self.orphans = tuple(o for o in by_id.values() if o.routing not in known)
        self.observed_ok = True


def _stored(routing: Routing) -> Routing:
    """Without what is observed or in flight, and without the probe details that every probe changes."""
    probe = replace(routing.probe, last_at=None, last_message="", failures=0)
    return replace(routing, probe=probe, observed=None, busy="", outcome=None, lost_with_engine=False, sessions=None)


def _service_not_after(service: Service, now: float) -> Service:
    attempts = replace(service.attempts, last_at=min(service.attempts.last_at, now))
    vanished = None if service.vanished_since is None else min(service.vanished_since, now)
    return replace(
        service,
        created_at=min(service.created_at, now),
        attempts=attempts,
        vanished_since=vanished,
        cleared_at=min(service.cleared_at, now),
        rollout=_rollout_not_after(service.rollout, now) if service.rollout else None,
    )


def _rollout_not_after(rollout: Rollout, now: float) -> Rollout:
    """What workers had counted that are gone went with the daemon before: its totals are no base for those of this."""
    return replace(
        rollout,
        base={},
        began_at=min(rollout.began_at, now),
        phase_since=min(rollout.phase_since, now),
        progress_at=min(rollout.progress_at, now),
    )


def _not_after(routing: Routing, now: float) -> Routing:
    def past(at: float | None) -> float | None:
        return None if at is None else min(at, now)

    probe: ProbeState = replace(
        routing.probe,
        healthy_since=past(routing.probe.healthy_since),
        unhealthy_since=past(routing.probe.unhealthy_since),
    )
    return replace(
        routing,
        created_at=min(routing.created_at, now),
        unit_created_at=past(routing.unit_created_at),
        started_at=past(routing.started_at),
        stopping_since=past(routing.stopping_since),
        probe=probe,
        failure=replace(routing.failure, at=min(routing.failure.at, now)) if routing.failure else None,
    )
