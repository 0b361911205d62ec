"""What the API may change about services. Every change of facts happens under the loop's lock, and is an event."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from orchestrator.app.parts import Parts
from orchestrator.core import present
from orchestrator.core.errors import Conflict, InvalidInput, NotFound
from orchestrator.core.kinds import MOST_ROUTINGS
from orchestrator.core.pending import summary
from orchestrator.core.spec import ServiceSpec
from orchestrator.core.state import Attempts, Removed, Routing, Service
from orchestrator.core.views import LaunchRequest, ServiceView
from orchestrator.folders import Reading


class ServiceChanges:
    """The half of `api.control.Control` that changes services."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._facts = parts.loop.facts

    async def start(self, request: LaunchRequest) -> ServiceView:
        """A folder's own service that was removed comes back; anything else becomes a service of its own."""
        folder = self._folder(request.folder)
        loop = self._parts.loop
        async with loop.lock:
            reading, launch = await self._parts.reader.launched(request, folder)
            names = [spec.name for spec in reading.services]
            marks = [r for r in self._facts.removed if r.folder == str(folder)] if set(launch) == {"folder"} else []
            for mark in marks:
                await self._facts.unmark_removed(mark.folder, mark.model)
            if marks:
                await self._parts.reader.adopt(str(folder))
            else:
                self._refuse_taken(names)
                for spec in reading.services:
                    await self._create(spec, reading, launch, folder)
        loop.rescan()
        await loop.look_now()
        return self._view(self._find(names[0]))

    def _refuse_taken(self, names: Sequence[str]) -> None:
        for name in names:
            holder = next((s for s in self._facts.services.values() if s.name.lower() == name.lower()), None)
            if holder is not None:
                whose = f"the service of {holder.folder}" if holder.source == "folder" else "started by hand"
                state = ", and still ending" if holder.removing else ""
                text = f"cannot start {name}: the name is taken ({whose}, id {holder.id}{state})"
                raise Conflict(text, hint="choose another with --name", code="name_taken")

    async def _create(self, spec: ServiceSpec, reading: Reading, launch: Mapping[str, Any], folder: Path) -> None:
        service = Service(
            id=str(uuid4()),
            name=spec.name,
            source="api",
            folder=str(folder),
            model=spec.model_name,
            spec=spec,
            revision_number=0,
            created_at=self._parts.clock.now(),
            problems=reading.problems,
            digest=reading.digest,
            launch=launch,
        )
        await self._facts.put_service(service, "started by hand", by="api", definition=reading.texts)
        await self._tell("service.added", service, "started by hand")

    def _folder(self, text: str) -> Path:
        """An absolute path, or a name under models_dirs. Raises `NotFound`."""
        settings = self._parts.settings
        candidates = [Path(text)] if Path(text).is_absolute() else [d / text for d in settings.models_dirs]
        for path in candidates:
            if ".." not in path.parts and os.path.isdir(path):  # noqa: PTH112  # a name that is too long is none
                return path.absolute()
        where = ", ".join(str(c) for c in candidates)
        raise NotFound(f"there is no model folder {text!r} (looked at {where})", hint="give its absolute path")

    async def remove(self, ref: str) -> None:
        """A folder's service is remembered as removed; tokens are revoked; its routings are drained and ended."""
        async with self._parts.loop.lock:
            service = self._find(ref)
            if service.source == "folder":
                mark = Removed(service.folder, service.model, service.digest, self._parts.clock.wall())
                await self._facts.mark_removed(mark)
            await self._facts.put_service(replace(service, removing=True, held="", vanished_since=None))
            await self._tell("service.removing", service, "removed by hand")
            await self._parts.tokens.revoke_all_of(service.name)
        self._parts.loop.wake()

    async def scale(self, ref: str, count: int | None) -> ServiceView:
        async with self._parts.loop.lock:
            service = self._find(ref)
            if service.removing:
                raise Conflict(f"cannot scale {service.name}: it is being removed")
            self._refuse_count(service, count)
            over = service.spec.desired if count is not None else None
            await self._facts.put_service(replace(service, override_desired=count, override_over=over))
            told = f"{count} wanted (the file says {over})" if count is not None else "back to what the file says"
            await self._tell("service.scaled", service, told)
        await self._parts.loop.look_now()
        return self._view(self._find(service.id))

    def _refuse_count(self, service: Service, count: int | None) -> None:
        if count is not None and count > MOST_ROUTINGS:
            raise InvalidInput(f"cannot scale {service.name} to {count}: at most {MOST_ROUTINGS}")
        if count is not None and count > 1 and self._facts.is_exclusive(service):
            text = f"cannot scale {service.name} to {count}: with the process runtime its routings share one port"
            raise InvalidInput(text, hint="use {port} in start_command, so that each gets a port of its own")

    async def sync(self, ref: str) -> ServiceView:
        """Read its folder again, look at what runs, and tell the gateway anew."""
        service, loop = self._find(ref), self._parts.loop
        loop.rescan()
        loop.republish()
        await loop.look_now()
        return self._view(self._find(service.id))

    async def retry(self, ref: str) -> ServiceView:
        """Clear error and retry: read the definition again, drop the records, try now. A revision that failed and was
        rolled back by itself is tried again; one that was left by hand is not."""
        async with self._parts.loop.lock:
            service = self._find(ref)
            by_hand = service.rejected is not None and service.rejected.by_hand
            rejected = service.rejected if by_hand else None
            cleared = replace(service, attempts=Attempts(), cleared_at=self._parts.clock.now(), rejected=rejected)
            await self._facts.put_service(cleared)
            for routing in self._facts.of(service.id):
                if routing.failure is not None and routing.observed is None and not routing.busy:
                    await self._facts.forget_routing(routing.id)
            await self._tell("service.retried", service, "errors cleared")
        self._parts.loop.rescan()
        await self._parts.loop.look_now()
        return self._view(self._find(service.id))

    async def confirm_removal(self, ref: str | None) -> Sequence[str]:
        async with self._parts.loop.lock:
            held = [self._find(ref)] if ref else list(self._facts.services.values())
            held = [s for s in held if s.held]
            if ref and not held:
                raise InvalidInput(
                    f"cannot confirm: no removal of {ref} is held", hint="`orchestrator status` names them"
                )
            for service in held:
                await self._facts.put_service(replace(service, removing=True, held=""))
                await self._tell("service.removing", service, "its removal was confirmed")
        self._parts.loop.wake()
        return sorted(s.name for s in held)

    def _find(self, ref: str) -> Service:
        return self._facts.find(ref)

    def _view(self, service: Service) -> ServiceView:
        return present.service_view(service, self._facts.of(service.id), self._around())

    def _around(self, numbers: Mapping[str, int] | None = None) -> present.Surroundings:
        loop = self._parts.loop
        clock = self._parts.clock
        return present.Surroundings(
            now=clock.now(),
            gateway_url=self._parts.gateway_url,
            engine_down="" if self._facts.observed_ok else loop.seen.engine_error,
            gateway_down=loop.seen.gateway_error,
            gateway_problems=loop.gateway_problems,
            clock_moved=clock.wall() - clock.now(),
            numbers=numbers or {},
            traffic=self._facts.traffic,
            fetching=self._parts.pulls.now(),
            pending={p.before.id: summary(p) for p in self._parts.reader.pending if p.before is not None},
            data_dirs=tuple(os.path.realpath(folder) for folder in self._parts.settings.data_dirs),
        )

    async def _numbers(self, service: Service, routings: Sequence[Routing]) -> dict[str, int]:
        """Revision hash to number. The store is asked only where an older one is among them."""
        if all(r.revision == service.revision for r in routings):
            return {service.revision: service.revision_number}
        return await self._parts.store.numbers(service.id)

    async def _tell(self, kind: str, service: Service, cause: str) -> None:
        await self._parts.journal.emit(kind, service.name, "", cause, {})
