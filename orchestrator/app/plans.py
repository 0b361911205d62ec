"""Plans and what they come to: what folders ask for beyond what is followed, previewed and taken over."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.app.changes import ServiceChanges
from orchestrator.app.host import look_at_host
from orchestrator.core import present
from orchestrator.core.errors import Conflict, InvalidInput
from orchestrator.core.pending import Pending, change_of, summary
from orchestrator.core.plan_views import (
    FORMAT,
    ApplyRequest,
    ApplyView,
    BaseView,
    FieldView,
    PlanRequest,
    PlanView,
    ProgressView,
    ServicePlan,
    TargetView,
)
from orchestrator.core.preview import Preview, after_world, preview
from orchestrator.core.problems import Problem
from orchestrator.core.progress import base, moved, progress
from orchestrator.core.rollout_words import rejected_line
from orchestrator.core.state import World
from orchestrator.core.status import is_shown
from orchestrator.core.views import instant
from orchestrator.folders import Reading
from orchestrator.folders.candidates import Chosen, choose, put_in_place, read_candidates
from orchestrator.scheduler.reader import Said

Picked = tuple[list[Pending], dict[str, tuple[Problem, ...]]]
"""Changes, and by folder the problems of definitions that do not validate."""


class PlanChanges(ServiceChanges):
    """The part of `api.control.Control` that plans changes and takes them over."""

    async def plan(self, request: PlanRequest) -> PlanView:
        chosen = await self._chosen(request.path)
        readings = await self._readings(chosen)
        async with self._parts.loop.lock:
            said = await self._parts.reader.said(readings)
            changes, problems = self._picked(said, chosen)
            before, now = self._facts.world(), self._parts.clock.now()
            after = self._facts.world(after_world(before, changes))
        host = await look_at_host(self._parts, changes, before)
        previews = await asyncio.to_thread(preview, before, after, changes, now, host)
        services = [_service_plan(p, one) for p, one in zip(changes, previews, strict=True)]
        services += [_invalid(folder, found, before) for folder, found in problems.items()]
        services += _unchanged(before, chosen, {one.service for one in services})
        unseen = () if before.observed_ok else ("the runtime does not answer: what runs is taken as it was seen last",)
        return PlanView(
            made_at=instant(self._parts.clock.wall()),
            path=request.path or "",
            services=tuple(sorted(services, key=lambda one: one.service.lower())),
            valid=not problems,
            fits=all(one.fits for one in services),
            apply=self._parts.settings.apply,
            notes=unseen,
            base=base(before.services.values(), changes),
            wanted={p.wanted.name: p.mark for p in changes},
        )

    async def apply(self, request: ApplyRequest) -> ApplyView:
        """Take over what waits. Raises `Conflict` where the world has moved since the plan was saved."""
        path = request.plan.path or None if request.plan is not None else request.path
        chosen = await self._chosen(path)
        readings = await self._readings(chosen)
        async with self._parts.loop.lock:
            said = await self._parts.reader.said(readings)
            changes, problems = self._picked(said, chosen)
            if problems and path is not None:
                raise _not_valid(path, problems)
            if request.plan is not None:
                _refuse_moved(request.plan, base(self._facts.services.values(), changes), changes)
            if chosen is not None and chosen.candidates:
                await asyncio.to_thread(put_in_place, chosen, readings, self._parts.settings)
            left = {folder: _first(found) for folder, found in problems.items()}
            left |= {p.wanted.name: summary(p) for p in changes if p.held and not request.yes}
            targets = [await self._take(p, said, path) for p in changes if request.yes or not p.held]
            await self._parts.reader.read()
        await self._parts.loop.look_now()
        return ApplyView(targets=tuple(targets), left=left, invalid=bool(problems))

    async def applied(self, targets: Sequence[str]) -> Sequence[ProgressView]:
        """How far each of `targets` is: a service's id, `@`, the hash of the revision that is to run (none: its
        end)."""
        return [await self._progress(*target.partition("@")[::2]) for target in targets]

    # --- what is meant, and what folders say of it

    async def _chosen(self, path: str | None) -> Chosen | None:
        """None: everything."""
        if path is None:
            return None
        elsewhere = self._parts.reader.elsewhere()
        return await asyncio.to_thread(choose, path, self._parts.settings, elsewhere)

    async def _readings(self, chosen: Chosen | None) -> Mapping[str, Reading]:
        """Of candidates; without the loop's lock, as there may be many."""
        if chosen is None or not chosen.candidates:
            return {}
        return await asyncio.to_thread(read_candidates, chosen, self._parts.settings, self._parts.runtime.name)

    def _picked(self, said: Said, chosen: Chosen | None) -> Picked:
        """Raises `NotFound` where a service is named and there is none."""
        changes, problems = _picked(said, chosen)
        if chosen is not None and chosen.name and not changes:
            folder = self._find(chosen.name).folder
            problems = {folder: said.problems[folder]} if folder in said.problems else {}
        return changes, problems

    async def _take(self, pending: Pending, said: Said, path: str | None) -> TargetView:
        change = change_of(pending)
        cause = f"applied {path}" if path else "applied"
        service = await self._parts.reader.take(pending, said.texts.get(pending.wanted.id, {}), cause)
        await self._tell("plan.applied", service, f"{cause}: {change}")
        revision = "" if service.removing else service.revision
        return TargetView(
            service=service.name, id=service.id, revision=revision, number=service.revision_number, change=change
        )

    # --- how far it is

    async def _progress(self, ident: str, revision: str) -> ProgressView:
        service = self._facts.services.get(ident)
        routings = self._facts.of(ident)
        exclusive = service is not None and self._facts.is_exclusive(service)
        state, message = progress(service, routings, revision, exclusive=exclusive)
        if service is None:
            return ProgressView(id=ident, state=state, message=message)
        shown = [r for r in routings if is_shown(r, service)]
        around = self._around(await self._numbers(service, shown))
        views = tuple(present.routing_view(r, around) for r in shown)
        return ProgressView(
            id=ident,
            name=service.name,
            state=state,
            message=message,
            service=present.service_view(service, routings, around),
            routings=views,
            fetching=tuple(view.fetching for view in views if view.fetching is not None),
        )


def _picked(said: Said, chosen: Chosen | None) -> Picked:
    """Of what folders say, what is meant."""
    if chosen is None:
        return list(said.pending), dict(said.problems)
    changes = [p for p in said.pending if chosen.has(p.wanted.folder, p.wanted.name)]
    return changes, {folder: found for folder, found in said.problems.items() if chosen.has(folder)}


def _service_plan(pending: Pending, found: Preview) -> ServicePlan:
    return ServicePlan(
        service=found.service.name,
        change=found.change,
        fields=tuple(FieldView(path=f.path, before=f.before, after=f.after, kind=f.kind) for f in found.fields),
        operations=found.operations,
        fits=found.fits,
        lacks=found.lacks,
        downtime=found.downtime.text,
        downtime_seconds=found.downtime.seconds,
        notes=(*found.notes, rejected_line(pending.before)) if pending.rejected and pending.before else found.notes,
        why=summary(pending),
        revision=found.service.revision_number,
        held=pending.held,
        folder=found.service.folder,
    )


def _invalid(folder: str, problems: Sequence[Problem], world: World) -> ServicePlan:
    names = sorted(s.name for s in world.services.values() if s.folder == folder)
    views = tuple(present.problem_view(p) for p in problems)
    return ServicePlan(service=", ".join(names) or Path(folder).name, change="none", folder=folder, problems=views)


def _unchanged(world: World, chosen: Chosen | None, told: set[str]) -> list[ServicePlan]:
    """Services that were asked for and that nothing changes of."""
    if chosen is None:
        return []
    return [
        ServicePlan(service=s.name, change="none", folder=s.folder, revision=s.revision_number)
        for s in world.services.values()
        if chosen.has(s.folder, s.name) and s.name not in told
    ]


def _refuse_moved(saved: PlanView, now: Mapping[str, BaseView], changes: Sequence[Pending]) -> None:
    if saved.format != FORMAT:
        text = f"cannot apply the plan: its format is {saved.format}, and this daemon knows {FORMAT}"
        raise InvalidInput(text, hint="plan again with this version")
    found = moved(saved.base, now, saved.wanted, {p.wanted.name: p.mark for p in changes})
    if found:
        text = f"the world has moved since the plan was saved: {'; '.join(found[:10])}"
        raise Conflict(text, hint="look at `orchestrator plan` again, and save that", code="world_moved")


def _not_valid(path: str, problems: Mapping[str, Sequence[Problem]]) -> InvalidInput:
    lines = [str(p) for found in problems.values() for p in found if p.severity == "error"]
    text = f"cannot apply {path}: " + "; ".join(lines[:20])
    return InvalidInput(text, hint="`orchestrator plan` shows the places", code="definition_invalid")


def _first(problems: Sequence[Problem]) -> str:
    return next((str(p) for p in problems if p.severity == "error"), "its definition does not validate")
