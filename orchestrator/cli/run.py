"""`run`: the whole in one command. A daemon on embedded defaults as a child, its progress, what to paste, its end."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.common import ERROR, INTERRUPTED, OK, TIMEOUT, Common
from orchestrator.cli.output import one_line
from orchestrator.core.errors import Conflict, NotAuthorised, NotFound, OrchestratorError, Unavailable

if TYPE_CHECKING:
    from orchestrator.cli.embedded import Embedded
    from orchestrator.cli.progress import Picture
    from orchestrator.client import Client
    from orchestrator.core.views import ServiceView

_LOOK = 0.25
"""Seconds between looks while services come up."""
_EMPTY = 5.0
"""Seconds after which no service at all is taken as said."""
_TOKEN = "run"
"""Name of the tokens that are made here."""
_UP = 30.0
"""Seconds that the daemon gets to answer."""


def run(
    common: Common,
    folder: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FOLDER", help="Folders of model folders, or model folders; default: the current one."),
    ] = None,
    state_dir: Annotated[
        Path | None, typer.Option(help="Where its state is kept; default: below ~/.local/state/orchestrator.")
    ] = None,
    runtime: Annotated[str | None, typer.Option(help="docker, process or auto (the default).")] = None,
    timeout: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="How long all may take to become HEALTHY.")
    ] = 300.0,
    once: Annotated[bool, typer.Option("--once", help="End everything as soon as all are HEALTHY.")] = False,
) -> None:
    """Serve model folders now: starts a daemon, waits until they are HEALTHY, prints how to call each. Ctrl-C ends all.

    Examples:
      orchestrator run examples/model-definitions
      orchestrator run ./my-model --state-dir ./state --runtime process
    """
    from orchestrator.cli.embedded import embed

    embedded = embed(folder or [Path()], state_dir=state_dir, runtime=runtime, config=common.config, environ=os.environ)
    for note in embedded.notes:
        print(note)
    raise typer.Exit(asyncio.run(_run(embedded, timeout=timeout, once=once)))


async def _run(embedded: Embedded, *, timeout: float, once: bool) -> int:
    """The child lives exactly as long as this."""
    from orchestrator.cli.embedded import log_tail, spawn

    logged = embedded.log.stat().st_size if embedded.log.exists() else 0
    child = await spawn(embedded)
    stop = _Stop(child)
    work = asyncio.create_task(_work(embedded, timeout=timeout, once=once), name="run")
    died = asyncio.create_task(child.wait(), name="run child")
    asked = asyncio.create_task(stop.asked.wait(), name="run stop")
    try:
        await asyncio.wait({work, died, asked}, return_when=asyncio.FIRST_COMPLETED)
        if died.done() and not asked.done():
            print(
                f"error: the daemon ended by itself (exit code {child.returncode}); {embedded.log} ends:",
                file=sys.stderr,
            )
            print("\n".join(f"  {one_line(line)}" for line in log_tail(embedded.log, logged)), file=sys.stderr)
            print("hint: what it had started goes on; the same command again takes it over", file=sys.stderr)
            return ERROR
        return INTERRUPTED if asked.done() else await work
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        if not died.done():
            print("ending everything that was started …", flush=True)
            running = await _running(embedded)
            _signal(child, signal.SIGTERM)
            await died
            print(stop.ended(child.returncode, running))
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        stop.close()


class _Stop:
    """SIGINT, SIGTERM and SIGHUP ask for the end; another one kills the daemon, whatever it has left."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self.asked = asyncio.Event()
        self._child = child
        for number in self.SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._told)

    def _told(self) -> None:
        if self.asked.is_set():
            _signal(self._child, signal.SIGKILL)
        self.asked.set()

    @staticmethod
    def ended(code: int | None, running: Mapping[str, int]) -> str:
        if code == -signal.SIGKILL:
            return "the daemon was killed: routings may be left; the next start finds them"
        routings = ", ".join(f"{count} of {service}" for service, count in running.items())
        return f"ended: routings ({routings or 'none'}), the gateway, the daemon; its state is kept"

    def close(self) -> None:
        for number in self.SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(number)


async def _running(embedded: Embedded) -> Mapping[str, int]:
    """Service to how many of its routings the runtime has; none where the daemon does not say within 2 s."""
    from orchestrator.client import Client, find_daemon

    daemon = find_daemon(environ={"ORCHESTRATOR_CONFIG": str(embedded.config)})
    async with Client(daemon.url, daemon.token, trust=daemon.trust, timeout=2) as client:
        with suppress(OrchestratorError):
            return Counter(r.service for r in await client.routings() if r.runtime_id)
    return {}


def _signal(child: asyncio.subprocess.Process, number: int) -> None:
    with suppress(ProcessLookupError):
        child.send_signal(number)


async def _work(embedded: Embedded, *, timeout: float, once: bool) -> int:
    """From the daemon's first answer to the last printed line; then for ever, or with `once` the exit code."""
    from orchestrator.client import Client, find_daemon

    environ = {"ORCHESTRATOR_CONFIG": str(embedded.config)}
    await _answering(environ, embedded.log)
    daemon = find_daemon(environ=environ)
    async with Client(daemon.url, daemon.token, trust=daemon.trust) as client:
        await _introduce(client, embedded)
        picture, in_time = await _come_up(client, timeout)
        await _print_endpoints(client, picture, in_time=in_time)
        if once:
            return OK if in_time and picture.healthy() else ERROR if in_time else TIMEOUT
        print(f"\nThe page: {daemon.url}/ (sign in with the text of {embedded.admin_token})")
        print(f"In another terminal: {_way_here(embedded.config)}; orchestrator status")
        print("Ctrl-C ends everything.", flush=True)
        await asyncio.Event().wait()
    return OK


def _way_here(config: Path) -> str:
    """What to type in another shell so that `orchestrator` is found there, and finds this daemon."""
    places = [f"ORCHESTRATOR_CONFIG={shlex.quote(str(config))}"]
    if shutil.which("orchestrator") is None:
        places.append(f"PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH")
    return f"export {' '.join(places)}"


async def _answering(environ: dict[str, str], log: Path) -> None:
    """Until the daemon made its token and is ready."""
    from orchestrator.client import Client, find_daemon

    deadline = time.monotonic() + _UP
    while True:
        daemon = find_daemon(environ=environ)
        try:
            async with Client(daemon.url, daemon.token, trust=daemon.trust, timeout=5) as client:
                await client.ready()
                await client.status()
            return
        except (Unavailable, NotAuthorised) as error:
            if time.monotonic() > deadline:
                text = f"cannot start: the daemon is not ready after {_UP:.0f} s: {error.message}"
                raise Unavailable(text, hint=f"see {log}", code="timeout") from None
        await asyncio.sleep(0.1)


async def _introduce(client: Client, embedded: Embedded) -> None:
    from orchestrator.core.views import LaunchRequest

    status = await client.status()
    why = f" ({status.runtime_reason})" if status.runtime_reason else ""
    print(f"runtime: {status.runtime}{why}", flush=True)
    for folder in embedded.folders:
        with suppress(Conflict):  # it is there since an earlier run
            await client.start(LaunchRequest(folder=str(folder)))


async def _come_up(client: Client, timeout: float) -> tuple[Picture, bool]:
    """What there is once every service is HEALTHY or not waited for (in two looks, no service new), and whether that
    was in time."""
    from orchestrator.cli.progress import progress

    began = time.monotonic()
    before: Picture | None = None
    with progress() as show:
        while True:
            picture = await _look(client)
            show(picture)
            passed = time.monotonic() - began
            known = picture.services or passed > _EMPTY
            if known and picture.settled() and before is not None and len(before.services) == len(picture.services):
                return picture, True
            if passed > timeout:
                return picture, False
            before = picture
            await asyncio.sleep(_LOOK)


async def _look(client: Client) -> Picture:
    from orchestrator.cli.progress import Picture
    from orchestrator.core.state import ServiceStatus

    services, routings = await client.services(), await client.routings()
    causes = {}
    for service in services:
        if service.status is not ServiceStatus.HEALTHY:
            with suppress(NotFound):  # it went between the two questions
                causes[service.name] = await client.explain(service.id)
    gateway = (await client.status()).gateway
    return Picture(services, routings, causes, gateway.get("state") == "up")


async def _revoke_earlier(client: Client, service: str) -> None:
    """Tokens that earlier runs made: nobody is to be left with a list of them."""
    for token in await client.tokens(service):
        if token.name == _TOKEN and token.revoked_at is None:
            await client.token_revoke(token.id)


async def _print_endpoints(client: Client, picture: Picture, *, in_time: bool) -> None:
    from orchestrator.core.token_views import TokenRequest

    for service in picture.healthy():
        token = None
        if not service.open_to_public:
            await _revoke_earlier(client, service.name)
            token = (await client.token_create(TokenRequest(service=service.name, name=_TOKEN))).token
        print("\n".join(("", *call_lines(service, token))))
    left_out = picture.left_out()
    waiting = [s for s in picture.services if s not in picture.healthy() and s.name not in left_out]
    lines = [
        f"left out: {name}: " + (one_line(f"{cause.message} [{cause.code}]") if cause else "see `orchestrator explain`")
        for name, cause in left_out.items()
    ]
    lines += [f"not HEALTHY in time: {s.name} is {s.status}: {one_line(s.cause)}" for s in waiting if not in_time]
    if not picture.gateway_up:
        lines.append("the gateway is not up: nothing is reachable yet; `orchestrator status` says why")
    if not picture.services:
        lines = ["no model folder was found: one that is put there is served within seconds"]
    if lines:
        print("\n".join(("", *lines)))


def call_lines(service: ServiceView, token: str | None) -> Sequence[str]:
    """What is needed to call a service: its endpoint, a token, a line to paste into a shell."""
    header = f"-H 'Authorization: BackendAI {token}' " if token else ""
    lines = [f"{service.name}", f"  endpoint: {service.endpoint}"]
    lines += [f"  token:    {token}"] if token else ["  token:    none needed"]
    return [*lines, f"  curl -i {header}'{service.endpoint}/'"]
