"""What the API may ask, answered from the loop's facts; what it may change is `app.changes`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import asdict

from orchestrator import __version__
from orchestrator.api.doctor import host_checks
from orchestrator.app.asking import Asking
from orchestrator.app.inside import Inside
from orchestrator.app.logs import LogPart
from orchestrator.app.models import ModelFolders
from orchestrator.app.modifying import Modifying
from orchestrator.app.observing import Observing
from orchestrator.app.plans import PlanChanges
from orchestrator.core import present
from orchestrator.core.access_views import AuditView, ConfigView, SettingView
from orchestrator.core.audit import AuditEntry
from orchestrator.core.daemon_views import CheckView, StatusView, TryEvent, TryRequest, TryView
from orchestrator.core.errors import Conflict, Unavailable
from orchestrator.core.log_cursor import read_places
from orchestrator.core.pending import change_of
from orchestrator.core.state import Routing, ServiceStatus
from orchestrator.core.status import is_shown, is_up, service_status
from orchestrator.core.token_views import KeyView, TokenCheck, TokenRequest, TokenView
from orchestrator.core.views import (
    EventView,
    ExplainView,
    FailureView,
    LogEntry,
    LogsAsked,
    RoutingView,
    ServiceDetail,
    ServiceView,
    instant,
)
from orchestrator.settings import shown

LATEST = 20
"""Events shown with a service."""


class DaemonControl(Inside, PlanChanges, Modifying, Asking, ModelFolders, Observing):
    """Implements `api.control.Control`."""

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
            pending={p.wanted.name: change_of(p) for p in parts.reader.pending},
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

    async def doctor(self) -> Sequence[CheckView]:
        return await asyncio.to_thread(host_checks, self._parts.settings, running=True)

    async def config(self) -> ConfigView:
        settings = self._parts.settings
        keys = (SettingView(key=k.key, value=k.value, default=k.default, set=k.set) for k in shown(settings))
        return ConfigView(file=settings.origins.file, keys=tuple(keys))

    # --- the audit log ----------------------------------------------------------------------------------------------

    async def record(self, entry: AuditEntry) -> AuditEntry:
        return await self._parts.store.put_audit(entry)

    async def audit(self, *, after: int, service: str | None, limit: int) -> Sequence[AuditView]:
        found = await self._parts.store.audit(after=after, service=service or "", limit=limit)
        return [AuditView.model_validate({**asdict(entry), "time": instant(entry.time)}) for entry in found]

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

    # --- logs, events, tries ----------------------------------------------------------------------------------------

    async def errors(self, ref: str) -> Sequence[FailureView]:
        service = self._find(ref)
        failed = [r for r in self._facts.of(service.id) if r.failure and r.failure.at > service.cleared_at]
        around = self._around(await self._numbers(service, failed))
        return present.failures(service, failed, around)

    async def logs(self, ref: str, asked: LogsAsked) -> AsyncIterator[LogEntry]:
        part = LogPart(
            tail=asked.tail,
            since=asked.since,
            after=read_places(asked.after) if asked.after else {},
            before=next(iter(read_places(asked.before).values())) if asked.before else None,
            limit=asked.limit,
        )
        routings, one = self._routings_of(ref), ref in self._facts.routings
        found = (
            self._parts.logs.follow(lambda: self._routings_of(ref), part, grows=not one)
            if asked.follow
            else self._parts.logs.page(routings, part)
        )
        async with aclosing(found) as lines:
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
        if not self._parts.journal.store_error:
            await self._parts.journal.flush()  # who sees a state finds the events that led to it
        for event in await self._parts.store.events(after=after, service=service or "", limit=limit, newest=True):
            yield present.event_view(event)

    async def try_run(self, request: TryRequest) -> AsyncIterator[TryEvent]:
        async with aclosing(self._parts.trying.run(request)) as events:
            async for event in events:
                yield event

    async def try_begin(self, request: TryRequest) -> TryView:
        return self._parts.trying.begin(request)

    async def tries(self) -> Sequence[TryView]:
        return self._parts.trying.listed()

    async def try_view(self, ident: str) -> TryView:
        return self._parts.trying.find(ident).view(events=True)

    async def try_events(self, ident: str, *, after: int) -> AsyncIterator[TryEvent]:
        async with aclosing(self._parts.trying.find(ident).follow(after)) as events:
            async for event in events:
                yield event

    async def try_cancel(self, ident: str) -> TryView:
        return await self._parts.trying.cancel(ident)

    # --- tokens -----------------------------------------------------------------------------------------------------

    async def token_create(self, request: TokenRequest) -> TokenView:
        if request.service == "*":
            return await self._parts.tokens.create(request, "*")
        service = self._find(request.service)
        if service.removing:  # its tokens are revoked already: this one would be good for its successor
            raise Conflict(f"cannot create a token for {service.name}: it is being removed")
        return await self._parts.tokens.create(request, service.name)

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


def _counts(statuses: Sequence[str]) -> dict[str, int]:
    return {str(status): statuses.count(status) for status in sorted(set(statuses))}
