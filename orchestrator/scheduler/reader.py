"""Model folders into wanted services: reads them in a thread, has `core.catalog` decide, stores what changed.

With `apply = "manual"` only what is true anyway is stored (problems, that a definition is gone); what is wanted is
`pending` until somebody takes it over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from orchestrator.core.catalog import Catalog, Listed, reconcile, update
from orchestrator.core.errors import InvalidInput
from orchestrator.core.pending import Pending, all_pending, change_of, summary, taken_over, told
from orchestrator.core.ports import Clock
from orchestrator.core.problems import Problem, is_valid
from orchestrator.core.state import Service
from orchestrator.core.views import LaunchRequest
from orchestrator.folders import Reading, Scan, Scanner
from orchestrator.folders.launched import read_launched
from orchestrator.folders.sources import DEFINITIONS, SIDE_FILES
from orchestrator.scheduler.facts import Facts
from orchestrator.scheduler.journal import Journal
from orchestrator.settings import Settings

DEFINING = frozenset({*DEFINITIONS, *SIDE_FILES})
"""Files in a model folder that say what is served, where nobody named another."""


@dataclass(frozen=True, slots=True)
class Said:
    """What folders say beyond what is followed. `problems`: of definitions that do not validate, by folder."""

    pending: tuple[Pending, ...] = ()
    problems: Mapping[str, tuple[Problem, ...]] = field(default_factory=dict)
    texts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Service id to the texts of its definition and the file beside it, by their names."""


class FolderReader:
    """`pending`: changes that are not followed, as of the last read."""

    def __init__(self, settings: Settings, runtime: str, facts: Facts, journal: Journal, clock: Clock) -> None:
        self._settings = settings
        self._runtime = runtime
        self._facts = facts
        self._journal = journal
        self._clock = clock
        self._scanner = Scanner(settings, runtime)
        self._manual = settings.apply == "manual"
        self.wake_at: float | None = None
        self.pending: tuple[Pending, ...] = ()
        self._told: dict[str, str] = {}
        """Service name to the mark of the pending change that was told last."""

    def due(self, now: float) -> bool:
        return self.wake_at is not None and now >= self.wake_at

    def elsewhere(self) -> set[str]:
        """Model folders besides those in models_dirs: of services that were started by hand."""
        return {service.folder for service in self._by_hand()}

    def files(self) -> set[str]:
        """Names of the files whose change matters."""
        launches = [service.launch or {} for service in self._by_hand()]
        named = [*(f.definition for f in self._settings.folders.values()), *(x.get("definition") for x in launches)]
        return {*DEFINING, *(name for name in named if name)}

    def _by_hand(self) -> list[Service]:
        return [service for service in list(self._facts.services.values()) if service.source == "api"]

    async def read(self) -> None:
        """One scan of all models_dirs, and of the folders of services that were started by hand."""
        await self._read()

    async def said(self, candidates: Mapping[str, Reading] | None = None) -> Said:
        """What folders say now beyond what is followed. `candidates`: readings that stand for those of their folders.
        A definition that is gone counts at once."""
        scan, launched = await self._read()
        scan = replace(scan, readings={**scan.readings, **(candidates or {})})
        found = self._reconciled(scan)
        problems = {f: r.problems for f, r in scan.readings.items() if not is_valid(r.problems)}
        for broken in found.broken:
            problems[broken.folder] = tuple(dict.fromkeys((*problems.get(broken.folder, ()), *broken.problems)))
        pending = self._beyond(found, launched, gone_counts=True)
        texts = {p.wanted.id: scan.readings[p.wanted.folder].texts for p in pending if p.wanted.folder in scan.readings}
        return Said(pending, problems, {**texts, **{i: reading.texts for i, reading in launched.items()}})

    async def take(self, pending: Pending, texts: Mapping[str, str], cause: str) -> Service:
        """Make it what is wanted."""
        service = taken_over(pending)
        if pending.before is None:
            await self._facts.unmark_removed(service.folder, service.model)
        return await self._put(service, texts, cause=cause, by="apply")

    async def adopt(self, folder: str) -> None:
        """Somebody's word for a folder whose service had been removed: it is followed whatever else waits."""
        said = await self.said()
        for one in said.pending:
            if one.wanted.folder == folder and not one.wanted.removing:
                await self.take(one, said.texts.get(one.wanted.id, {}), "started by hand")

    async def _read(self) -> tuple[Scan, Mapping[str, Reading]]:
        """What was found: in models_dirs, and by id of services that were started by hand."""
        scan = await asyncio.to_thread(self._scanner.scan)
        found = self._reconciled(scan, rejections=True)
        for mark in found.returned if not self._manual else ():
            await self._facts.unmark_removed(mark.folder, mark.model)
        await self._tell_broken(found)
        for service in found.changed:
            reading = scan.readings.get(service.folder)
            await self._follow(service, reading.texts if reading else {})
        by_hand = [service for service in self._by_hand() if not service.removing]
        launched = {s.id: await self._relaunched(s) for s in by_hand}
        for service in by_hand:
            known = self._facts.services.get(service.id, service)
            await self._follow(_relaunch(known, launched[service.id]), launched[service.id].texts)
        self.wake_at = found.wake_at
        await self._note_pending(scan, launched)
        return scan, launched

    def _reconciled(self, scan: Scan, *, rejections: bool = False) -> Catalog:
        """`rejections`: revisions that were rolled back stay so."""
        services = list(self._facts.services.values())
        if not rejections:
            services = [replace(s, rejected=None) for s in services]
        listed = [_listed(r) for r in scan.readings.values()]
        now = self._clock.now()
        return reconcile(listed, scan.unreadable, services, self._facts.removed, now, lambda: str(uuid4()))

    async def _follow(self, service: Service, texts: Mapping[str, str]) -> None:
        before = self._facts.services.get(service.id)
        if not self._manual:
            await self._put(service, texts)
        elif before is not None:
            await self._put(told(before, service), texts)

    def _beyond(self, found: Catalog, launched: Mapping[str, Reading], *, gone_counts: bool) -> tuple[Pending, ...]:
        """What is wanted and not so. `gone_counts`: also definitions that are gone for less than 5 s."""
        known = self._facts.services
        wanted = {s.id: s for s in known.values()} | {s.id: s for s in found.changed}
        for ident, reading in launched.items():
            wanted[ident] = _relaunch(replace(known[ident], rejected=None), reading)
        gone = [s for s in wanted.values() if s.held or (gone_counts and s.vanished_since is not None)]
        wanted |= {s.id: replace(s, removing=True) for s in gone}
        return all_pending(known, wanted.values(), self._facts.is_exclusive)

    async def _note_pending(self, scan: Scan, launched: Mapping[str, Reading]) -> None:
        """Each change that waits is told once."""
        self.pending = ()
        if self._manual or any(s.rejected or s.held for s in self._facts.services.values()):
            self.pending = self._beyond(self._reconciled(scan), launched, gone_counts=False)
        for one in self.pending:
            if self._told.get(one.wanted.name) != one.mark:
                detail = {"change": change_of(one), "folder": one.wanted.folder}
                await self._journal.emit("plan.pending", one.wanted.name, "", summary(one), detail)
        self._told = {one.wanted.name: one.mark for one in self.pending}

    async def launched(self, request: LaunchRequest, folder: Path) -> tuple[Reading, Mapping[str, Any]]:
        """What `folder` says with `request` laid over it. Raises `InvalidInput` with every problem."""
        told = request.model_dump(mode="json", exclude_defaults=True)
        launch = {name: value for name, value in told.items() if value not in ({}, [])}
        reading = await self.reading_of(folder, launch)
        refuse_invalid(reading, f"cannot start {folder}")
        if not reading.services:
            hint = "write a model-definition.yml with a `service` into it"
            raise InvalidInput(f"cannot start {folder}: it defines no service", hint=hint)
        return reading, launch

    async def _relaunched(self, service: Service) -> Reading:
        """What the folder of a service that was started by hand says now."""
        return await self.reading_of(Path(service.folder), service.launch or {})

    async def reading_of(self, folder: Path, launch: Mapping[str, Any]) -> Reading:
        """What `folder` says now with `launch` laid over it. Raises `InvalidInput` for a mount that cannot be read."""
        return await asyncio.to_thread(read_launched, folder, launch, self._settings, self._runtime)

    async def _put(
        self, service: Service, texts: Mapping[str, str], *, cause: str = "", by: str = "folder watch"
    ) -> Service:
        before = self._facts.services.get(service.id)
        if before == service:
            return service
        kind, seen = _what_happened(before, service, manual=self._manual)
        cause = f"{cause}: {seen}" if cause and seen else cause or seen
        stored = await self._facts.put_service(service, cause, by=by, definition=texts)
        detail = {"revision": stored.revision_number, "folder": stored.folder}
        if kind == "service.invalid":
            detail["problems"] = "\n".join(str(p) for p in service.problems[:20])
        if kind:
            await self._journal.emit(kind, service.name, "", cause, detail)
        return stored

    async def _tell_broken(self, found: Catalog) -> None:
        known = set(self._facts.broken)
        for broken in found.broken:
            if broken not in known:
                first = next((str(p) for p in broken.problems if p.severity == "error"), "")
                await self._journal.emit("service.invalid", broken.name, "", first, {"folder": broken.folder})
        self._facts.broken = found.broken


def refuse_invalid(reading: Reading, what: str) -> None:
    """Raises `InvalidInput` with every error of a definition that does not validate."""
    if not is_valid(reading.problems):
        errors = [str(p) for p in reading.problems if p.severity == "error"]
        hint = f"`orchestrator validate {reading.folder}` shows the places"
        raise InvalidInput(f"{what}: " + "; ".join(errors), hint=hint, code="definition_invalid")


def _listed(reading: Reading) -> Listed:
    return Listed(reading.folder, reading.names, reading.digest, reading.services, reading.problems)


def _relaunch(service: Service, reading: Reading) -> Service:
    """A service that was started by hand, with its folder's definition as it is now."""
    spec = next((s for s in reading.services if s.model_name == service.model), None)
    if spec is None or spec.name != service.name:
        gone = Problem("error", service.folder, 0, 0, "", f"it has no model {service.model!r} any more")
        return replace(service, problems=reading.problems if not is_valid(reading.problems) else (gone,))
    return update(service, spec, reading.digest, reading.problems)


def _what_happened(before: Service | None, now: Service, *, manual: bool) -> tuple[str, str]:
    """Kind and cause of the event; an empty kind: nothing worth telling."""
    if before is None:
        return "service.added", f"its definition appeared in {now.folder}"
    if now.removing and not before.removing:
        return "service.removing", "its definition is gone"
    if now.held and now.held != before.held:
        return "service.held", f"{now.held}; it keeps running until `orchestrator confirm-removal`"
    if now.vanished_since is not None and before.vanished_since is None:
        what = "it keeps running until `orchestrator apply`" if manual else "it ends in 5 s unless it comes back"
        return "service.vanished", f"its definition is gone; {what}"
    if now.vanished_since is None and before.vanished_since is not None:
        return "service.returned", "its definition is back"
    if not is_valid(now.problems) and now.problems != before.problems:
        first = next(str(p) for p in now.problems if p.severity == "error")
        return "service.invalid", f"{first}; the last good revision keeps running"
    if before.revision != now.revision:
        return "service.changed", "its definition changed: new routings take over"
    if before.spec != now.spec:
        return "service.changed", "its definition changed: effective at once"
    return "", ""
