"""What the API may ask, answered from the loop's facts. Everything that changes them does so under the loop's lock."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from orchestrator import __version__
from orchestrator.api.doctor import host_checks
from orchestrator.api.metrics import Metrics
from orchestrator.app.logs import Logs
from orchestrator.app.tries import Tries
from orchestrator.auth import KeyRing
from orchestrator.core import present
from orchestrator.core.errors import Conflict, InvalidInput, NotFound, Unavailable
from orchestrator.core.ports import Clock, Gateway, Runtime, RuntimeInfo
from orchestrator.core.problems import Problem
from orchestrator.core.spec import ServiceSpec
from orchestrator.core.state import Attempts, Removed, Routing, RoutingStatus, Service, ServiceStatus
from orchestrator.core.status import is_shown, is_up, routing_status, service_status
from orchestrator.core.views import (
    CheckView,
    EventView,
    ExplainView,
    KeyView,
    LaunchRequest,
    LogEntry,
    RoutingView,
    ServiceDetail,
    ServiceView,
    StatusView,
    TokenCheck,
    TokenRequest,
    TokenView,
    TryEvent,
    TryRequest,
    instant,
)
from orchestrator.scheduler.journal import Journal
from orchestrator.scheduler.loop import Loop
from orchestrator.scheduler.reader import FolderReader
from orchestrator.scheduler.tokens import Tokens
from orchestrator.settings import Settings
from orchestrator.store import Store

MOST_ROUTINGS = 1000
LATEST = 20
"""Events shown with a service."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the daemon is made of (see app.daemon)."""

    settings: Settings
    store: Store
    runtime: Runtime
    info: RuntimeInfo
    runtime_reason: str
    gateway: Gateway
    gateway_url: str
    keys: KeyRing
    clock: Clock
    journal: Journal
    reader: FolderReader
    loop: Loop
    tokens: Tokens
    tries: Tries
    logs: Logs
    metrics: Metrics
    started_at: float


class DaemonControl:
    """Implements `api.control.Control`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._facts = parts.loop.facts

    # --- the daemon -------------------------------------------------------------------------------------------------

    async def status(self) -> StatusView:
        parts, seen = self._parts, self._parts.loop.seen
        gateway = {"url": parts.gateway_url, "state": "up"}
        try:
            gateway |= await parts.gateway.check()
        except Unavailable as error:
            gateway["state"] = f"down: {error.message}"
        broken = parts.journal.store_error or seen.store_error or await self._store_trouble()
        by_service = self._facts.by_service()
        return StatusView(
            version=__version__,
            runtime=parts.runtime.name,
            runtime_reason=parts.runtime_reason,
            runtime_version=parts.info.version,
            pid=os.getpid(),
            started_at=instant(parts.started_at),
            uptime=round(parts.clock.now() - parts.started_at, 3),
            state_dir=str(parts.settings.state_dir),
            gateway=gateway,
            store={"state": broken or "writable"},
            observed_ok=self._facts.observed_ok,
            services=_counts(
                [service_status(s, by_service.get(s.id, ())) for s in self._facts.services.values()]
                + [ServiceStatus.INVALID] * len(self._facts.broken)
            ),
            routings=_counts(self._routing_statuses()),
            held=tuple(sorted(s.name for s in self._facts.services.values() if s.held)),
        )

    async def _store_trouble(self) -> str:
        try:
            await self._parts.store.check()
        except Unavailable as error:
            return error.message
        return ""

    async def ready(self) -> None:
        if not self._facts.observed_ok:
            raise Unavailable(f"not ready: the runtime is not observed ({self._parts.loop.seen.engine_error})")
        await self._parts.store.check()

    async def metrics(self) -> bytes:
        by_service = self._facts.by_service()
        services = [service_status(s, by_service.get(s.id, ())) for s in self._facts.services.values()]
        return self._parts.metrics.render(services, self._routing_statuses())

    def _routing_statuses(self) -> list[RoutingStatus]:
        """Of those that `ps` shows."""
        of = self._facts.services
        shown = [r for r in self._facts.routings.values() if r.service_id in of and is_shown(r, of[r.service_id])]
        return [routing_status(r) for r in shown]

    async def doctor(self) -> Sequence[CheckView]:
        return await asyncio.to_thread(host_checks, self._parts.settings, running=True)

    # --- services ---------------------------------------------------------------------------------------------------

    async def services(self) -> Sequence[ServiceView]:
        around, by_service = self._around(), self._facts.by_service()
        known = [present.service_view(s, by_service.get(s.id, ()), around) for s in self._facts.services.values()]
        broken = [present.broken_view(b, around) for b in self._facts.broken]
        return sorted([*known, *broken], key=lambda v: (v.name.lower(), v.folder))

    async def service(self, ref: str) -> ServiceDetail:
        service = self._find(ref)
        events = await self._parts.store.events(service=service.name, limit=LATEST, newest=True)
        routings = self._facts.of(service.id)
        return present.service_detail(service, routings, events, self._around(await self._numbers(service, routings)))

    async def routings(self, service: str | None) -> Sequence[RoutingView]:
        wanted = [self._find(service)] if service else sorted(self._facts.services.values(), key=lambda s: s.name)
        by_service = self._facts.by_service()
        views: list[RoutingView] = []
        for one in wanted:
            shown = [r for r in by_service.get(one.id, ()) if is_shown(r, one)]
            around = self._around(await self._numbers(one, shown))
            views += [present.routing_view(r, around) for r in shown]
        return views

    async def explain(self, ref: str) -> ExplainView:
        broken = next((b for b in self._facts.broken if b.name.lower() == ref.lower()), None)
        known = any(ref.lower() in (s.name.lower(), s.id) for s in self._facts.services.values())
        if broken is not None and not known:
            view = present.broken_view(broken, self._around())
            causes = tuple(present.problem_cause(p) for p in broken.problems if p.severity == "error")
            return ExplainView(service=broken.name, status=view.status, causes=causes)
        service = self._find(ref)
        routings = self._facts.of(service.id)
        tails = await self._parts.logs.tails([r for r in routings if not r.probe.healthy and is_up(r)])
        causes = tuple(present.cause_view(c) for c in present.causes_of(service, routings, self._around(), tails))
        return ExplainView(service=service.name, status=service_status(service, routings), causes=causes)

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
            if not marks:
                self._refuse_taken(names)
                for spec in reading.services:
                    await self._create(spec, reading.digest, reading.problems, launch, folder)
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

    async def _create(
        self, spec: ServiceSpec, digest: str, problems: tuple[Problem, ...], launch: Mapping[str, Any], folder: Path
    ) -> None:
        service = Service(
            id=str(uuid4()),
            name=spec.name,
            source="api",
            folder=str(folder),
            model=spec.model_name,
            spec=spec,
            revision_number=0,
            created_at=self._parts.clock.now(),
            problems=problems,
            digest=digest,
            launch=launch,
        )
        await self._facts.put_service(service, "started by hand")
        await self._tell("service.added", service, "started by hand")

    def _folder(self, text: str) -> Path:
        """An absolute path, or a name under models_dirs. Raises `NotFound`."""
        settings = self._parts.settings
        candidates = [Path(text)] if Path(text).is_absolute() else [d / text for d in settings.models_dirs]
        for path in candidates:
            if ".." not in path.parts and path.is_dir():
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
        if count is not None and count > 1 and service.id in self._facts.world().exclusive:
            text = f"cannot scale {service.name} to {count}: with the process runtime its routings share one port"
            raise InvalidInput(text, hint="use {port} in start_command, so that each gets a port of its own")

    async def retry(self, ref: str) -> ServiceView:
        """Clear error and retry: read the definition again, drop the records, try now."""
        async with self._parts.loop.lock:
            service = self._find(ref)
            cleared = replace(service, attempts=Attempts(), cleared_at=self._parts.clock.now())
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

    # --- logs, events, tries ----------------------------------------------------------------------------------------

    async def logs(self, ref: str, *, follow: bool, tail: int | None, since: float | None) -> AsyncIterator[LogEntry]:
        routings = self._routings_of(ref)
        async with aclosing(self._parts.logs.merged(routings, follow=follow, tail=tail, since=since)) as lines:
            async for entry in lines:
                yield entry

    def _routings_of(self, ref: str) -> list[Routing]:
        """A routing by its id, else all of a service; records have their log's tail only."""
        found = [r for r in self._facts.routings.values() if r.id == ref]
        return found or self._facts.of(self._find(ref).id)

    async def events(self, *, after: int, service: str | None, limit: int, follow: bool) -> AsyncIterator[EventView]:
        if follow:
            async with aclosing(self._parts.journal.follow(after, service or "", limit)) as stream:
                async for event in stream:
                    yield present.event_view(event)
            return
        for event in await self._parts.store.events(after=after, service=service or "", limit=limit, newest=True):
            yield present.event_view(event)

    async def try_run(self, request: TryRequest) -> AsyncIterator[TryEvent]:
        async with aclosing(self._parts.tries.run(request)) as events:
            async for event in events:
                yield event

    # --- tokens -----------------------------------------------------------------------------------------------------

    async def token_create(self, request: TokenRequest) -> TokenView:
        name = "*" if request.service == "*" else self._find(request.service).name
        return await self._parts.tokens.create(request, name)

    async def tokens(self, service: str | None) -> Sequence[TokenView]:
        return await self._parts.tokens.listed(service or "")

    async def token_revoke(self, token_id: str, *, now: bool) -> TokenView:
        return await self._parts.tokens.revoke(token_id, now=now)

    async def token_inspect(self, text: str) -> TokenCheck:
        return await self._parts.tokens.inspect(text)

    async def keys(self) -> Sequence[KeyView]:
        return self._parts.tokens.keys()

    async def rotate_key(self) -> KeyView:
        key = await self._parts.tokens.rotate()
        await self._publish_keys()
        return key

    async def drop_key(self, kid: str) -> KeyView:
        key = await self._parts.tokens.drop(kid)
        await self._publish_keys()
        return key

    async def _publish_keys(self) -> None:
        """The answer waits for it: a token that is made next must be taken, one whose key was dropped refused."""
        self._parts.loop.republish()
        await self._parts.loop.look_now()

    # --- shared -----------------------------------------------------------------------------------------------------

    def _find(self, ref: str) -> Service:
        return self._facts.find(ref)

    def _view(self, service: Service) -> ServiceView:
        return present.service_view(service, self._facts.of(service.id), self._around())

    def _around(self, numbers: Mapping[str, int] | None = None) -> present.Surroundings:
        loop = self._parts.loop
        return present.Surroundings(
            now=self._parts.clock.now(),
            gateway_url=self._parts.gateway_url,
            engine_down="" if self._facts.observed_ok else loop.seen.engine_error,
            gateway_down=loop.seen.gateway_error,
            gateway_problems=loop.gateway_problems,
            numbers=numbers or {},
        )

    async def _numbers(self, service: Service, routings: Sequence[Routing]) -> dict[str, int]:
        """Revision hash to number; of several with one hash (a change taken back) the newest. The store is asked only
        where an older one is among them."""
        if all(r.revision == service.revision for r in routings):
            return {service.revision: service.revision_number}
        newest_first = await self._parts.store.revisions(service.id)
        return {r.hash: r.number for r in reversed(newest_first)}

    async def _tell(self, kind: str, service: Service, cause: str) -> None:
        await self._parts.journal.emit(kind, service.name, "", cause, {})


def _counts(statuses: Sequence[str]) -> dict[str, int]:
    return {str(status): statuses.count(status) for status in sorted(set(statuses))}
