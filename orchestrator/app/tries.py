"""`validate --try`: a definition really run in a scratch routing, each step told as it happens, always cleaned up."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal, Protocol
from uuid import uuid4

import structlog

from orchestrator.actions import ActionFailed
from orchestrator.core.capacity import OVER, Ledger
from orchestrator.core.causes import hint_of
from orchestrator.core.daemon_views import TryEvent, TryRequest
from orchestrator.core.errors import InvalidInput, OrchestratorError, RuntimeFailure
from orchestrator.core.fetching import Fetching
from orchestrator.core.health import fold, gap, hopeless_from
from orchestrator.core.launching import deployment_of
from orchestrator.core.loading import deployment_from_mapping
from orchestrator.core.ports import Clock, LogLine, PullProgress, Runtime
from orchestrator.core.problems import is_valid
from orchestrator.core.spec import ServiceSpec
from orchestrator.core.state import Observed, ProbeState, Reservation, World
from orchestrator.core.symptoms import exit_meaning, log_symptom, probe_symptom
from orchestrator.core.views import instant
from orchestrator.executor import Launch, Launcher
from orchestrator.folders import read_folder
from orchestrator.folders.launched import misnamed
from orchestrator.scheduler.prober import Prober, Target
from orchestrator.settings import Settings

LOG = structlog.get_logger("orchestrator")
STOP_GRACE = 5.0
PULL_REPORT_EVERY = 2.0
"""Seconds."""
LOG_MOST = 5000
"""Lines of a scratch routing's log that are told."""
LOG_AGAIN = 0.2
"""Seconds until a log that could not be read is looked for again."""
LOG_GRACE = 0.4
"""Seconds that the last lines of one that failed may take."""

State = Literal["started", "passed", "failed", "info"]


class Tell(Protocol):
    def __call__(
        self, step: str, state: State, message: str = "", detail: Mapping[str, object] | None = None
    ) -> None: ...


class Tries:
    """`mine`: where the ids of tries under way are kept, so that the loop does not take them for orphans; `over` is
    called when one is not under way any more: what could not be removed of it is an orphan from then on."""

    def __init__(
        self,
        settings: Settings,
        runtime: Runtime,
        launcher: Launcher,
        prober: Prober,
        clock: Clock,
        mine: set[str],
        world: Callable[[], World],
        over: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings
        self._runtime = runtime
        self._launcher = launcher
        self._prober = prober
        self._clock = clock
        self._mine = mine
        self._world = world
        self._over = over

    async def run(self, request: TryRequest) -> AsyncGenerator[TryEvent, None]:
        """The last event's state is the result. Closed early, it cleans up all the same."""
        queue: asyncio.Queue[TryEvent | None] = asyncio.Queue()

        async def work() -> None:
            try:
                await self.told(request, queue.put_nowait)
            finally:
                queue.put_nowait(None)

        task = asyncio.create_task(work(), name="try")
        try:
            while (event := await queue.get()) is not None:
                yield event
            await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def told(self, request: TryRequest, event: Callable[[TryEvent], None]) -> None:
        """The same, with `event` called for each step. Cancelled, it cleans up first."""

        def tell(step: str, state: State, message: str = "", detail: Mapping[str, object] | None = None) -> None:
            at = instant(self._clock.wall())
            event(TryEvent(step=step, state=state, message=message, detail=dict(detail or {}), at=at))

        try:
            await self._attempt(request, tell)
        except asyncio.CancelledError:
            tell("result", "failed", "it was cancelled", {"code": "cancelled"})
            raise
        except Exception as error:
            LOG.error("try.broken", folder=request.folder, exc_info=error)
            tell("result", "failed", f"unexpected {type(error).__name__}", {"hint": "the daemon's log has the details"})

    async def _attempt(self, request: TryRequest, tell: Tell) -> None:
        try:
            spec = await asyncio.to_thread(self._read, request)
            tell("definition", "passed", f"{spec.name}: valid")
            reservation = self._reserve(spec)
        except OrchestratorError as error:
            tell("result", "failed", error.message, {"code": error.code, "hint": error.hint})
            return
        unit = f"try-{uuid4().hex[:8]}"
        self._mine.add(unit)
        failure: tuple[str, dict[str, object]] | None = None
        try:
            failure = await self._in_scratch(unit, spec, reservation, tell)
        finally:
            tell("cleanup", "started", "ending the scratch routing")
            left = await _to_its_end(self._clean(unit))
        tell("cleanup", "failed" if left else "passed", left or "nothing of it is left")
        if failure is None:
            tell(
                "result",
                "passed",
                "the first pass of its health check" if spec.routing.health else "its port accepts connections",
            )
        else:
            tell("result", "failed", *failure)

    async def _in_scratch(
        self, unit: str, spec: ServiceSpec, reservation: Reservation, tell: Tell
    ) -> tuple[str, dict[str, object]] | None:
        """Launch and probe; why it failed, with what explains it. None: it passed."""

        async def report(step: str, cause: str, detail: Mapping[str, object]) -> None:
            name, _, state = step.partition(".")
            states: Mapping[str, State] = {"started": "started", "failed": "failed"}
            tell(name, states.get(state, "passed"), cause, detail)

        told = float("-inf")
        fetching: Fetching | None = None

        def log(line: LogLine) -> None:
            tell("log", "info", line.text, {"stream": line.stream})

        def progress(seen: PullProgress) -> None:
            nonlocal fetching, told
            now = self._clock.now()
            fetching = fetching.goes_on(seen, now) if fetching else Fetching(seen, now, now, seen.current)
            if now - told >= PULL_REPORT_EVERY:
                told = now
                tell("image", "info", str(fetching), {"current": seen.current, "total": seen.total})

        lines = asyncio.create_task(self._lines(unit, spec, log), name="try: log")
        try:
            launch = Launch(unit, spec.name, spec.routing, reservation, spec.stop_grace, "try")
            await self._launcher.launch(launch, report, progress)
            await self._probe(unit, spec, tell)
            await asyncio.sleep(LOG_GRACE)
        except OrchestratorError as error:
            await asyncio.sleep(LOG_GRACE)
            tail = error.tail if isinstance(error, ActionFailed) else await self._launcher.log_tail(unit, spec.routing)
            text = self._launcher.masked(spec.routing, error.message)
            return _explained(text, error, tail)
        finally:
            lines.cancel()
            await asyncio.gather(lines, return_exceptions=True)
        return None

    async def _lines(self, unit: str, spec: ServiceSpec, tell: Callable[[LogLine], None]) -> None:
        """The lines of its log as they come, without the values of its secrets; a log that is not there yet, or whose
        reading broke off, is read on."""
        mask, told = self._launcher.masker(spec.routing), 0
        while True:
            seen = 0
            with suppress(OrchestratorError):
                async for line in self._runtime.logs(unit, follow=True):
                    seen += 1
                    if seen > told:
                        told = seen
                        tell(replace(line, text=mask(line.text)))
                    if told >= LOG_MOST:
                        tell(LogLine(line.time, line.stream, f"({LOG_MOST} lines are shown, and no more)"))
                        return
            await asyncio.sleep(LOG_AGAIN)

    async def _probe(self, unit: str, spec: ServiceSpec, tell: Tell) -> None:
        """Until the first pass. Raises `RuntimeFailure` when it ends before, cannot come, or at start_timeout."""
        started, state = self._clock.now(), ProbeState()
        while True:
            seen = await self._observed(unit, spec)
            target = Target(unit, seen.host, seen.port, spec.routing.health, started)
            result = await self._prober.probe(target, owned=True)
            if result.message != state.last_message:
                tell("probe", "passed" if result.ok else "info", result.message)
            state = fold(state, result, spec.routing.health, started)
            if state.passed_once:
                return
            since = hopeless_from(state, spec.routing.health, started)
            if since is not None and self._clock.now() >= since:
                raise RuntimeFailure(f"it cannot become HEALTHY: {state.last_message}", code="start_hopeless")
            if self._clock.now() - started > spec.start_timeout:
                text = f"not HEALTHY within {spec.start_timeout:g} s: {state.last_message}"
                raise RuntimeFailure(text, code="start_timeout")
            await asyncio.sleep(gap(state, spec.routing.health, started, self._clock.now()) or 0)

    async def _observed(self, unit: str, spec: ServiceSpec) -> Observed:
        seen = next((o for o in await self._runtime.observe() if o.routing == unit), None)
        if seen is None:
            raise RuntimeFailure("its container is gone", code="removed")
        if seen.state == "exited":
            code, hint = exit_meaning(seen.exit_code, await self._launcher.log_tail(unit, spec.routing))
            if seen.oom:
                code, hint = "oom_killed", "raise deployment.resources.mem"
            raise RuntimeFailure(
                f"it ended with exit code {seen.exit_code} before its first pass", hint=hint, code=code
            )
        return seen

    def _read(self, request: TryRequest) -> ServiceSpec:
        """Raises `InvalidInput` with every error of the definition."""
        path = self._place(request.folder)
        file = path if os.path.isfile(path) else None  # noqa: PTH113  # a name that is too long is none
        folder = path.parent if file else path
        if why := misnamed(folder, request.definition or "", self._settings, file=file):
            raise InvalidInput(f"cannot try {path}: {why}", code="definition_invalid")
        told = request.model_dump(mode="json", exclude_none=True, exclude={"name", "count"})
        launch, problems = deployment_from_mapping(deployment_of(told), "--try")
        reading = read_folder(
            folder,
            self._settings,
            runtime=self._runtime.name,
            file=file,
            launch=launch,
            definition=request.definition,
        )
        wrong = [str(p) for p in (*problems, *reading.problems) if p.severity == "error"]
        if wrong or not is_valid(reading.problems):
            raise InvalidInput(
                "\n".join(wrong), code="definition_invalid", hint="`orchestrator validate` shows the places"
            )
        for spec in reading.services:
            if request.model in (None, spec.model_name, spec.name):
                return spec
        if reading.file is None:
            raise InvalidInput(f"{path} has no definition", hint="name one model folder, or its definition")
        raise InvalidInput(f"{path} defines no service" + (f" {request.model!r}" if request.model else ""))

    def _place(self, folder: str) -> Path:
        """As given where it is there; else the name of a folder under models_dirs."""
        given = Path(folder)
        named = [d / folder for d in self._settings.models_dirs if "/" not in folder and folder not in ("", ".", "..")]
        found = [path for path in named if os.path.isdir(path)]  # noqa: PTH112  # a name that is too long is none
        return found[0] if found and not given.is_absolute() else given

    def _reserve(self, spec: ServiceSpec) -> Reservation:
        world = self._world()
        found = Ledger(world.groups, world.routings.values()).reserve(spec.routing)
        if isinstance(found, str):
            code = "over_quota" if found.startswith(OVER) else "no_capacity"
            raise RuntimeFailure(found, code=code, hint=f"a try needs as much room as a routing: {hint_of(code)}")
        return found

    async def _clean(self, unit: str) -> str:
        """Why something is left; empty: nothing is."""
        try:
            await self._runtime.stop(unit, STOP_GRACE)
            await self._runtime.remove(unit)
        except OrchestratorError as error:
            return error.message
        finally:
            self._mine.discard(unit)
            self._over()
        return ""


def _explained(text: str, error: OrchestratorError, tail: Sequence[str]) -> tuple[str, dict[str, object]]:
    """Why it failed, and with what: where its probes or its log tell of something that is known, that is said too."""
    probed = error.code in ("start_timeout", "start_hopeless")
    sight = (probe_symptom(error.message) if probed else None) or log_symptom(tail)
    hint = error.hint or hint_of(error.code)
    if sight is not None and (probed or error.code in ("exited", "action_failed")):
        text, hint = f"{text}: {sight.message}", sight.hint
    return text, {"code": error.code, "hint": hint, "log_tail": list(tail)}


async def _to_its_end(work: Coroutine[None, None, str]) -> str:
    """Also when whoever waits for it goes away meanwhile."""
    task = asyncio.create_task(work, name="try: cleanup")
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
