"""`wait`: until a service is HEALTHY, or gone; says meanwhile what it waits for."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.apply import LOOK, SILENT
from orchestrator.cli.common import INTERRUPTED, Common, connect
from orchestrator.cli.output import dump, one_line, print_json
from orchestrator.cli.progress import Picture, Show, fetching, live
from orchestrator.cli.services import ServiceName
from orchestrator.cli.trees import News
from orchestrator.core.errors import NotFound, OrchestratorError, Unavailable
from orchestrator.core.state import ServiceStatus

if TYPE_CHECKING:
    from orchestrator.client import Client
    from orchestrator.core.views import ServiceView

_CLOCK = re.compile(r"\d+(\.\d+)? ?(s|m|h|%)\b")
"""What changes by the second, and is no news."""


class Goal(StrEnum):
    HEALTHY = "healthy"
    GONE = "gone"


def wait(
    common: Common,
    service: ServiceName,
    goal: Annotated[Goal, typer.Option("--for", help="HEALTHY, or removed with all its routings.")] = Goal.HEALTHY,
    timeout: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="How long at most; default: until it is so.")
    ] = None,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="End with 4 as soon as it does not get HEALTHY without a change.")
    ] = False,
) -> None:
    """Wait until a service is HEALTHY, also one that is not there yet, or until it is gone.

    While it waits it says why the service is not there yet. Exit codes: 0 it is so, 4 it does not get so without a
    change (--fail-fast), 5 timeout. Ctrl-C ends the waiting only.

    Examples:
      orchestrator wait my-model --timeout 600 --fail-fast
      orchestrator wait my-model --for gone
    """
    found = waited(common, service, goal, timeout, give_up=fail_fast and goal is Goal.HEALTHY)
    if common.json:
        print_json(dump(found) if found else {"name": service, "status": "gone"})
    else:
        print(f"{one_line(found.name if found else service)}: {found.status if found else 'gone'}")


def waited(common: Common, ref: str, goal: Goal, timeout: float | None, *, give_up: bool = False) -> ServiceView | None:
    """The service as it is when the goal is reached; None: it is gone. `give_up`: do not wait for what no time mends.
    Raises `Unavailable` (timeout), `Failed`."""
    try:
        return asyncio.run(_until(common, ref, goal, timeout, give_up=give_up))
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


class Failed(OrchestratorError):
    """It will not become HEALTHY without a change. Exit 4."""

    code = "failed"


async def _until(common: Common, ref: str, goal: Goal, timeout: float | None, *, give_up: bool) -> ServiceView | None:
    began = answered = time.monotonic()
    picture: Picture | None = None
    async with connect(common) as client:
        with _shown(ref, quiet=common.json) as show:
            while True:
                try:
                    picture = await _look(client, ref)
                    answered = time.monotonic()
                    service = picture.services[0] if picture.services else None
                    if _reached(service, goal):
                        return service
                    show(picture)
                    if give_up:
                        _give_up(ref, picture)
                except Unavailable:
                    if picture is None or time.monotonic() - answered > SILENT:
                        raise
                if timeout is not None and time.monotonic() - began >= timeout:
                    raise _late(ref, goal, timeout, picture)
                await asyncio.sleep(LOOK)


def _give_up(ref: str, picture: Picture) -> None:
    """Raises `Failed` for what is not worth waiting for, with why."""
    for cause in picture.left_out().values():
        why = cause.message if cause is not None else _standing(picture)
        hint = f"{cause.hint}; " if cause is not None and cause.hint else ""
        raise Failed(f"{ref} does not become HEALTHY: {why}", hint=f"{hint}`orchestrator explain {ref}` says more")


def _reached(service: ServiceView | None, goal: Goal) -> bool:
    match goal:
        case Goal.GONE:
            return service is None
        case Goal.HEALTHY:
            return service is not None and service.status is ServiceStatus.HEALTHY


async def _look(client: Client, ref: str) -> Picture:
    """Of this service only; empty where it is not there. One whose definition was never valid is found in the list."""
    try:
        service: ServiceView = await client.service(ref)
    except NotFound:
        listed = [s for s in await client.services() if s.name.lower() == ref.lower()]
        return Picture(listed[:1])
    try:
        return Picture([service], await client.routings(service.id), {service.name: await client.explain(service.id)})
    except NotFound:  # it went meanwhile: the next look says so
        return Picture([service])


def _late(ref: str, goal: Goal, timeout: float, picture: Picture) -> Unavailable:
    wanted = "HEALTHY" if goal is Goal.HEALTHY else "gone"
    return Unavailable(
        f"{ref} is not {wanted} within {timeout:g} s: {_standing(picture)}",
        hint=f"`orchestrator explain {ref}` says more" if picture.services else "`orchestrator ls` lists services",
        code="timeout",
    )


def _standing(picture: Picture) -> str:
    """Where it stands, in one line."""
    if not picture.services:
        return "no such service yet"
    service = picture.services[0]
    told = picture.causes.get(service.name)
    why = service.rollout.said if service.rollout else service.cause
    why = why or (told.causes[0].message if told and told.causes else "")
    why = why or next((f"{p.file}:{p.line}: {p.message}" for p in service.problems if p.severity == "error"), "")
    counts = f"{service.status}, {service.healthy} of {service.desired_routing_count} routings are HEALTHY"
    return one_line(f"{counts}: {why}" if why else counts)


def _lines(ref: str) -> Show:
    """For logs and pipes: a line each time it comes further."""
    news = News()

    def show(picture: Picture) -> None:
        line = f"{ref}: {_standing(picture)}"
        fetch = fetching(picture.services[0], picture) if picture.services else None
        said = f"{line}; {fetch.said}" if fetch is not None else line
        new = _CLOCK.sub("", line) + (fetch.image if fetch is not None else "")
        news.tell(ref, said, new, time.monotonic(), goes_on=fetch is not None)

    return show


def _shown(ref: str, *, quiet: bool) -> AbstractContextManager[Show]:
    if quiet:
        return nullcontext(lambda _: None)
    return live() if sys.stdout.isatty() else nullcontext(_lines(ref))
