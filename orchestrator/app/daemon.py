"""`serve`: the daemon from lock to farewell. SIGTERM or SIGINT ends the daemon; routings and gateway stay, unless it
is ephemeral."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from orchestrator import __version__
from orchestrator.api.app import build_app
from orchestrator.api.app import serve as serve_api
from orchestrator.api.door import admin_token as authenticate
from orchestrator.api.metrics import Metrics
from orchestrator.app.certificates import Certificates
from orchestrator.app.control import DaemonControl
from orchestrator.app.ending import end_everything
from orchestrator.app.logging import configure
from orchestrator.app.logs import Logs
from orchestrator.app.parts import Parts
from orchestrator.app.tries import Tries
from orchestrator.app.trying import BackgroundTries
from orchestrator.auth import KeyRing, admin_token
from orchestrator.core.errors import OrchestratorError, Unavailable
from orchestrator.core.granting import CONTAINER_RUNTIMES
from orchestrator.core.ports import Gateway, Runtime, RuntimeInfo
from orchestrator.executor import Executor, Launcher
from orchestrator.gateway import HAProxyGateway
from orchestrator.records import Recorder
from orchestrator.records.traces import Traces
from orchestrator.runtimes import open_runtime
from orchestrator.runtimes.host import host_capacity
from orchestrator.scheduler.accounting import Accounting
from orchestrator.scheduler.clock import SteadyClock
from orchestrator.scheduler.facts import Facts
from orchestrator.scheduler.groups import resource_groups
from orchestrator.scheduler.journal import Journal
from orchestrator.scheduler.loop import Loop
from orchestrator.scheduler.notify import Notifier
from orchestrator.scheduler.reader import FolderReader
from orchestrator.scheduler.sampler import Sampler
from orchestrator.scheduler.tokens import Tokens
from orchestrator.scheduler.wakeups import Watched, guard_gateway, periodic, watch_engine, watch_folders
from orchestrator.settings import Settings
from orchestrator.store import StateLock, Store

LOG = structlog.get_logger("orchestrator")
EVENTS_KEPT = 100_000
EVENTS_AGE = 30 * 86400.0
AUDIT_KEPT, AUDIT_REFUSED, AUDIT_SIZE = 100_000, 1_000, 64 << 20
"""Entries of those who may change something, and of all others; characters of all."""
AUDIT_AGE = 400 * 86400.0
USAGE_DAYS = 400
"""Days of usage that are kept."""


def serve(settings: Settings, *, ephemeral: bool = False) -> int:
    """Run the daemon until it is told to end; the exit code."""
    configure(settings.log)
    notifier = Notifier.from_environment(os.environ)
    try:
        lock = StateLock.take(settings.state_dir)
        try:
            asyncio.run(_serve(settings, ephemeral, notifier))
        finally:
            lock.release()
    except OrchestratorError as error:
        LOG.error("daemon.failed", cause=error.message, hint=error.hint)
        return 2 if error.code == "invalid_input" else 1
    return 0


async def _serve(settings: Settings, ephemeral: bool, notifier: Notifier) -> None:
    stop = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, stop.set)
    async with compose(settings) as parts:
        admin = admin_token(settings.state_dir)
        app = build_app(
            DaemonControl(parts),
            authenticate(admin, parts.tokens.caller),
            listen=settings.api.listen,
            sure=admin,
            origins=settings.api.cors_origins,
        )
        api = parts.certificates.api
        runner = await serve_api(app, settings.api.listen, (lambda: api.context) if api is not None else None)
        try:
            await _run(parts, notifier, stop)
        finally:
            notifier.stopping("ending")
            await parts.trying.close()
            await runner.cleanup()
            await parts.loop.close()
            if ephemeral:
                await end_everything(parts)
    LOG.info("daemon.ended", ephemeral=ephemeral)


@asynccontextmanager
async def compose(settings: Settings) -> AsyncIterator[Parts]:
    """The daemon's parts, opened in order and closed in reverse."""
    clock = SteadyClock()
    certificates = Certificates.open(settings)
    store = await Store.open(settings.store.url, settings.state_dir)
    runtime: Runtime | None = None
    gateway: Gateway | None = None
    traces: Traces | None = None
    try:
        traces = Traces(settings.tracing, __version__) if settings.tracing.endpoint else None
        runtime, reason = await open_runtime(settings, store.installation, settings.state_dir)
        info = await _info(runtime)
        keys = KeyRing.open(settings.state_dir)
        tracing = settings.tracing.sample if traces is not None else 0.0
        gateway = HAProxyGateway(
            settings.gateway, settings.state_dir, keys.signing_keys, certificates.gateway, tracing=tracing
        )
        journal = Journal(store, clock)
        facts = Facts(
            store,
            clock,
            resource_groups(settings.resource_groups, info.capacity),
            shared_ports=runtime.exclusive_ports,
            needs_image=runtime.name in CONTAINER_RUNTIMES,
        )
        await facts.load()
        launcher = Launcher(runtime, settings.secrets_path)
        executor = Executor(runtime, gateway, launcher, clock, journal.emit)
        reader = FolderReader(settings, runtime.name, facts, journal, clock)
        metrics = Metrics(__version__)
        loop = Loop(facts, reader, runtime, gateway, executor, journal, clock, metrics)
        tries = Tries(settings, runtime, launcher, loop.prober, clock, loop.tries, facts.world, loop.wake)
        recorder = Recorder(settings.state_dir, settings.access_log, lambda token: accounting.token_name(token))
        recorder.trace = traces.take if traces is not None else None
        accounting = Accounting(store, recorder, facts)
        await accounting.begin()
        LOG.info("daemon.started", pid=os.getpid(), runtime=runtime.name, why=reason, state_dir=str(settings.state_dir))
        yield Parts(
            settings=settings,
            certificates=certificates,
            store=store,
            runtime=runtime,
            info=info,
            runtime_reason=reason,
            gateway=gateway,
            gateway_url=settings.gateway.public_url or settings.gateway.local_url,
            keys=keys,
            clock=clock,
            journal=journal,
            reader=reader,
            loop=loop,
            pulls=executor.pulls,
            tokens=Tokens(store, keys, gateway, journal, clock),
            trying=BackgroundTries(tries, clock),
            logs=Logs(runtime, launcher, facts),
            metrics=metrics,
            recorder=recorder,
            accounting=accounting,
            sampler=Sampler(facts, gateway, runtime, recorder, clock),
            traces=traces,
            started_at=clock.now(),
        )
        await journal.flush()
        await accounting.flush()
        recorder.close()
    finally:
        if traces is not None:
            await asyncio.to_thread(traces.close)
        if gateway is not None:
            await gateway.close()
        if runtime is not None:
            await runtime.close()
        await store.close()


async def _info(runtime: Runtime) -> RuntimeInfo:
    """An engine that is down now is observed as soon as it answers; until then its host is taken to be this one."""
    try:
        return await runtime.info()
    except OrchestratorError as error:
        LOG.error("engine.down", cause=error.message, hint=error.hint)
        return RuntimeInfo(runtime.name, "", await host_capacity())


async def _run(parts: Parts, notifier: Notifier, stop: asyncio.Event) -> None:
    """Everything that goes on until `stop` is set. A part that breaks ends the daemon: systemd starts it anew."""
    fed = asyncio.Event()
    loop, gateway = parts.loop, parts.gateway
    await _start_gateway(parts)
    timers = periodic(loop.rescan, loop.wake, lambda: _housekeeping(parts))

    async def gateway_lost(cause: str) -> None:
        await parts.journal.emit("gateway.lost", "", "", cause, {})

    watched = Watched(parts.settings.models_dirs, parts.reader.elsewhere, parts.reader.files)
    work: dict[str, Coroutine[Any, Any, None]] = {
        "journal": parts.journal.run(),
        "loop": loop.run(fed),
        "watchdog": _feed(notifier, fed),
        "folders": watch_folders(watched, loop.rescan),
        "engine": watch_engine(parts.runtime, loop.wake),
        "gateway": guard_gateway(gateway, loop.republish, gateway_lost),
        "certificates": parts.certificates.watch(loop.republish),
        "records": gateway.records(parts.recorder.take),
        "accounting": parts.accounting.run(),
        "sampler": parts.sampler.run(),
    }
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(what, name=name) for name, what in work.items()]
            await stop.wait()
            for task in tasks:
                task.cancel()
    finally:
        timers.shutdown(wait=False)


async def _start_gateway(parts: Parts) -> None:
    """A gateway that cannot start does not keep the daemon down: it is tried again, and said."""
    try:
        await parts.gateway.start()
        await parts.tokens.publish()
    except OrchestratorError as error:
        LOG.error("gateway.start_failed", cause=error.message, hint=error.hint)


async def _feed(notifier: Notifier, fed: asyncio.Event) -> None:
    """Ready after the first look; then every look feeds the watchdog."""
    await fed.wait()
    notifier.ready("watching")
    while True:
        notifier.alive()
        fed.clear()
        await fed.wait()


async def _housekeeping(parts: Parts) -> None:
    with suppress(Unavailable):
        await parts.tokens.touch(await parts.gateway.token_uses())
    now = min(parts.clock.now(), parts.clock.wall())  # a system's clock that jumps ahead makes nothing old
    try:
        await parts.tokens.housekeeping()
        await parts.store.prune_events(EVENTS_KEPT, now - EVENTS_AGE)
        await parts.store.prune_audit(AUDIT_KEPT, AUDIT_REFUSED, AUDIT_SIZE, now - AUDIT_AGE)
        oldest = datetime.fromtimestamp(now, UTC).date() - timedelta(days=USAGE_DAYS)
        await parts.store.prune_usage(oldest.isoformat())
    except OrchestratorError as error:
        LOG.error("housekeeping.failed", cause=error.message, hint=error.hint)
