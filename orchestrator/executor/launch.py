"""From a routing's spec to its running start command: image, create, pre-start actions, start.

The same steps serve a routing of a service and a try; each is told to `report` as it happens.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from orchestrator.actions import ActionEvent, run_actions
from orchestrator.core import templates
from orchestrator.core.errors import InvalidInput, OrchestratorError, RuntimeFailure
from orchestrator.core.masking import mask
from orchestrator.core.ports import Command, PullProgress, Runtime, Sandbox, Unit
from orchestrator.core.spec import RoutingSpec
from orchestrator.core.state import Reservation, UnitKind
from orchestrator.executor.recording import Recording

LOG_TAIL = 50
"""Lines."""
LOG_TIMEOUT = 10.0
"""Seconds."""
Report = Callable[[str, str, Mapping[str, object]], Awaitable[None]]
"""step (`image`, `create`, `action.started`, `action.finished`, `action.failed`, `start`), cause in words, detail."""


AT_ONCE = 8
"""Units that are created or started side by side."""
PREPARED_AT_ONCE = 32
"""Units whose pre-start actions run side by side: these may take minutes, and must hold up few others."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What is to be launched. `spec` still has its templates and names of secrets."""

    id: str
    service: str
    spec: RoutingSpec
    reservation: Reservation
    stop_grace: float = 30.0
    kind: UnitKind = "routing"


@dataclass(frozen=True, slots=True)
class Launched:
    """`image`: digest or id (empty: the runtime has none); `files`: what its actions wrote, path to masked text."""

    image: str
    files: Mapping[str, str]


class Launcher:
    def __init__(self, runtime: Runtime, secrets_dir: Path) -> None:
        self._runtime = runtime
        self._secrets_dir = secrets_dir
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._preparing = asyncio.Semaphore(PREPARED_AT_ONCE)

    async def launch(self, launch: Launch, report: Report, progress: Callable[[PullProgress], None]) -> Launched:
        """Raises `OrchestratorError`; what was created by then is left for the caller to remove."""
        spec = launch.spec
        unit, secrets, image = await self.fetch(launch, progress)
        if image:
            await report("image", f"image {spec.image} is present", {"image": spec.image or "", "id": image})
        async with self._turn:
            created = await self._runtime.create(unit)
        await report("create", "created", {"runtime_id": created.runtime_id, "port": created.port})
        recording = Recording(self._runtime.sandbox(launch.id))
        async with self._preparing:
            values = await self._prepare(launch, created.port, recording, tuple(secrets.values()), report)
        async with self._turn:
            await self._runtime.start(launch.id, _command(spec, values))
        await report("start", "its start command runs", {})
        return Launched(image, recording.files(tuple(secrets.values())))

    async def fetch(
        self, launch: Launch, progress: Callable[[PullProgress], None]
    ) -> tuple[Unit, Mapping[str, str], str]:
        """What is to be created, the values of its secrets by variable, and its image's digest or id, which is
        present now. Raises `OrchestratorError`."""
        secrets = await asyncio.to_thread(self._secrets, launch.spec)
        unit = self._unit(launch, secrets)
        return unit, secrets, await self._runtime.ensure_image(unit, progress)

    async def _prepare(
        self, launch: Launch, port: int, sandbox: Sandbox, secrets: tuple[str, ...], report: Report
    ) -> Mapping[str, str]:
        """Run the pre-start actions; what templates may refer to after them."""
        spec = launch.spec
        values = {
            "model_path": spec.model_path,
            "port": str(port),
            "ports[0]": str(port),
            "routing_id": launch.id,
            "service_name": launch.service,
            "runtime_path": await sandbox.python(),
        }

        async def emit(event: ActionEvent) -> None:
            detail = {"index": event.index, "action": event.name, "duration": round(event.duration, 3), **event.detail}
            await report(f"action.{event.state}", event.cause, detail)

        return {**values, **await run_actions(spec.actions, sandbox, values, emit, secrets)}

    def _unit(self, launch: Launch, secrets: Mapping[str, str]) -> Unit:
        spec = launch.spec
        environ = {
            "BACKEND_MODEL_NAME": spec.model_name,
            "BACKEND_MODEL_PATH": spec.model_path,
            "ORCHESTRATOR_SERVICE": launch.service,
            "ORCHESTRATOR_ROUTING": launch.id,
            **spec.environ,
            **secrets,
        }
        return Unit(launch.id, launch.service, spec, launch.kind, launch.reservation, environ, launch.stop_grace)

    def _secrets(self, spec: RoutingSpec) -> dict[str, str]:
        """Environment variable to value."""
        return {env: self._secret(name) for env, name in spec.secrets.items()}

    def _secret(self, name: str) -> str:
        """The value of a secret: its file's text without the line end. Raises `RuntimeFailure` (secret_missing)."""
        if "/" in name or name.startswith("."):
            raise InvalidInput(f"cannot read the secret {name!r}: a name has no slash and no leading dot")
        try:
            value = (self._secrets_dir / name).read_text(encoding="utf-8").rstrip("\r\n")
            if "\0" not in value:
                return value
            why = "it contains a NUL character"
        except (OSError, UnicodeDecodeError) as error:
            why = (error.strerror or str(error)) if isinstance(error, OSError) else "it is not UTF-8 text"
        hint = f"write its value to {self._secrets_dir / name} (mode 0600)"
        raise RuntimeFailure(f"cannot read the secret {name!r}: {why}", hint=hint, code="secret_missing")

    async def log_tail(self, unit: str, spec: RoutingSpec) -> tuple[str, ...]:
        """The last lines of its log without secrets, as far as they could be read in time."""
        lines: list[str] = []
        with suppress(OrchestratorError, TimeoutError):
            async with asyncio.timeout(LOG_TIMEOUT):
                async for line in self._runtime.logs(unit, tail=LOG_TAIL):
                    lines.append(line.text)
        return tuple(self.masked(spec, "\n".join(lines)).splitlines()[-LOG_TAIL:])

    def masked(self, spec: RoutingSpec, text: str) -> str:
        """`text` without the values of the spec's secrets."""
        return self.masker(spec)(text)

    def masker(self, spec: RoutingSpec) -> Callable[[str], str]:
        """`masked` for many texts: the secrets are read once."""
        values = []
        for name in spec.secrets.values():
            with suppress(OrchestratorError):
                values.append(self._secret(name))
        return lambda text: mask(text, values)


def _command(spec: RoutingSpec, values: Mapping[str, str]) -> Command:
    match templates.render_command(spec.command, values):
        case None:
            return Command()
        case str(text) if spec.shell is not None:
            return Command(text=text, shell=spec.shell)
        case str(text):
            return Command(argv=split(text))
        case argv:
            return Command(argv=argv)


def split(text: str) -> tuple[str, ...]:
    """As a shell would split it. Raises `InvalidInput`."""
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        hint = "close the quote, or leave `shell` out"
        raise InvalidInput(f"cannot split start_command: {error}", hint=hint) from None
