"""Revisions and rollouts by hand: history, rollback, promote, abort, and the share of one routing's requests.

Every change of facts happens under the loop's lock, and is an event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from orchestrator.app.changes import ServiceChanges
from orchestrator.app.history import revision_detail, revision_views
from orchestrator.core import present
from orchestrator.core.errors import Conflict, NotFound
from orchestrator.core.revision_views import RevisionDetail, RevisionView
from orchestrator.core.rollout import GOOD, ROLLED_BACK, rolled_back
from orchestrator.core.spec import RoutingSpec
from orchestrator.core.state import Rollout, RoutingStatus, Service
from orchestrator.core.status import routing_status
from orchestrator.core.views import RoutingView, ServiceView
from orchestrator.folders.granted import refusals
from orchestrator.store import Revision, Texts


class Rollouts(ServiceChanges):
    """The part of `api.control.Control` about revisions."""

    async def revisions(self, ref: str) -> Sequence[RevisionView]:
        service = self._find(ref)
        return revision_views(service, await self._parts.store.revisions(service.id))

    async def revision(self, ref: str, number: int) -> RevisionDetail:
        service = self._find(ref)
        kept = await self._parts.store.revisions(service.id)
        one = _numbered(service, kept, number)
        view = next(v for v in revision_views(service, kept) if v.number == number)
        texts = await self._parts.store.texts(service.id, number)
        return revision_detail(view, one, texts or Texts({}, None))

    async def rollback(self, ref: str, number: int | None) -> ServiceView:
        """Go back to revision `number`; None: to the one before that was good. What runs then is a new revision."""
        async with self._parts.loop.lock:
            service = self._find(ref)
            if service.removing:
                hint = "once it is gone, its definition (or `start`) makes it a service again"
                raise Conflict(f"cannot roll back {service.name}: it is being removed", hint=hint)
            kept = await self._parts.store.revisions(service.id)
            to = _before(service, kept) if number is None else _numbered(service, kept, number)
            if to.hash == service.revision:
                text = f"cannot roll back {service.name}: revision {to.number} is what runs"
                if to.number != service.revision_number:
                    text += f" (as revision {service.revision_number})"
                raise Conflict(text, hint=f"name another: `orchestrator history {service.name}`")
            await self._refuse_closed(service, to)
            await self._go_back(service, to.routing, to.number, "by hand")
        await self._parts.loop.look_now()
        return self._view(self._find(service.id))

    async def abort(self, ref: str) -> ServiceView:
        """Give up the rollout that is under way."""
        async with self._parts.loop.lock:
            service = self._find(ref)
            _under_way(service, "abort")
            if service.good is None:
                hint = "change its definition; `orchestrator rm` ends it"
                raise Conflict(f"cannot abort {service.name}: no revision of it has been good yet", hint=hint)
            await self._go_back(service, service.good.routing, service.good.number, "aborted by hand")
        await self._parts.loop.look_now()
        return self._view(self._find(service.id))

    async def promote(self, ref: str) -> ServiceView:
        """Go on with the rollout that is under way, without waiting and without judging."""
        async with self._parts.loop.lock:
            service = self._find(ref)
            rollout = _under_way(service, "promote")
            if why := _not_promotable(service, rollout):
                hint = f"`orchestrator explain {service.name}` shows how far it is; `abort` goes back"
                raise Conflict(f"cannot promote {service.name}: {why}", hint=hint, code="nothing_to_promote")
            await self._facts.put_service(replace(service, rollout=replace(rollout, promoted=True)))
            await self._tell("rollout.promoted", service, "promoted by hand")
        await self._parts.loop.look_now()
        return self._view(self._find(service.id))

    async def set_ratio(self, routing_id: str, ratio: float) -> RoutingView:
        """`ratio`: 0 to 1000, against the other routings of its service."""
        async with self._parts.loop.lock:
            routing = self._facts.routings.get(routing_id)
            if routing is None:
                raise NotFound(f"there is no routing {routing_id!r}", hint="`orchestrator ps` lists them")
            status = routing_status(routing)
            if status in (RoutingStatus.FAILED_TO_START, RoutingStatus.TERMINATING):
                text = f"cannot set the ratio of routing {routing_id}: it is {status} and gets no requests"
                raise Conflict(text, hint=f"`orchestrator ps {routing.service}` lists those that do")
            routing = await self._facts.put_routing(replace(routing, traffic_ratio=ratio))
            await self._parts.journal.emit("routing.ratio", routing.service, routing.id, f"ratio {ratio:g} by hand", {})
        await self._parts.loop.look_now()
        numbers = await self._parts.store.numbers(routing.service_id)
        return present.routing_view(self._facts.routings.get(routing_id, routing), self._around(numbers))

    async def _refuse_closed(self, service: Service, to: Revision) -> None:
        """What the administrator has closed since `to` ran stays closed. (Without a word of anybody a failed rollout
        returns to what ran until that moment, which config.toml ends as little as any other running revision.)"""
        found = await asyncio.to_thread(refusals, to.routing, service.folder, self._parts.settings)
        if found:
            text = f"cannot roll back {service.name} to revision {to.number}: {'; '.join(r.message for r in found)}"
            raise Conflict(text, hint=found[0].hint, code="not_allowed")

    async def _go_back(self, service: Service, to: RoutingSpec, number: int, why: str) -> None:
        told = f"{why}, back to revision {number}"
        after = rolled_back(service, to, told, self._parts.clock.now(), by_hand=True)
        cause = f"back to revision {number}, {why}"
        await self._facts.put_service(after, cause, by="api", outcome=ROLLED_BACK + told)
        await self._tell("rollout.rolled_back", service, told)


def _numbered(service: Service, kept: Sequence[Revision], number: int) -> Revision:
    found = next((r for r in kept if r.number == number), None)
    if found is None:
        known = ", ".join(str(r.number) for r in kept)
        raise NotFound(f"{service.name} has no revision {number}", hint=f"known are {known}", code="no_revision")
    return found


def _before(service: Service, kept: Sequence[Revision]) -> Revision:
    """The last one that was good, while a rollout is under way; else the one before that. Raises `Conflict`."""
    rollout = service.rollout
    if rollout is not None and rollout.phase == "returning":
        text = f"cannot roll back {service.name}: it is going back already, as revision {service.revision_number}"
        raise Conflict(text, hint="name a revision to go to that one")
    older = (r for r in kept if r.number < service.revision_number and r.hash != service.revision)
    found = next((r for r in older if r.outcome == GOOD), None)
    if found is None:
        text = f"cannot roll back {service.name}: no revision before {service.revision_number} was good"
        raise Conflict(text, hint=f"name one: `orchestrator history {service.name}` lists them", code="no_revision")
    return found


def _under_way(service: Service, verb: str) -> Rollout:
    """Raises `Conflict` where there is nothing to decide."""
    if service.rollout is None or service.removing:
        hint = f"`orchestrator history {service.name}` shows what ran; `rollback` goes back to a revision"
        raise Conflict(f"cannot {verb} {service.name}: no rollout is under way", hint=hint, code="no_rollout")
    if service.rollout.phase == "returning":
        text = f"cannot {verb} {service.name}: it is going back to the last good revision"
        hint = f"`orchestrator rollback {service.name} REV` goes to another one"
        raise Conflict(text, hint=hint, code="no_rollout")
    return service.rollout


def _not_promotable(service: Service, rollout: Rollout) -> str:
    """Why nothing waits for a promotion; empty: something does."""
    number, update = service.revision_number, service.spec.update
    if rollout.phase == "baking":
        return f"revision {number} gets all requests already, and counts as good after {update.bake:g} s"
    if rollout.strategy in ("rolling", "recreate"):
        return f"a {rollout.strategy} update goes on by itself"
    if rollout.strategy == "canary" and rollout.step >= len(update.steps):
        return f"revision {number} has passed all steps and takes over by itself"
    return ""
