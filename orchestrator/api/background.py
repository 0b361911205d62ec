"""Validation of a service before it is created, and its events, in the words of Backend.AI."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from aiohttp import web

from orchestrator.api.control import Control
from orchestrator.api.routes import EVENTS, Route, answer, body, parameters
from orchestrator.api.streams import server_sent
from orchestrator.core.backendai import CreateRequest, Runtimes, RuntimeVariant
from orchestrator.core.backendai_tasks import Kind, Progress, StartedTask, TaskEvent, TaskQuery
from orchestrator.core.daemon_views import TryRequest


async def try_start(request: web.Request, control: Control) -> web.Response:
    """The body is that of `POST /services`. Its events: `/events/background-task`."""
    wanted = await body(request, CreateRequest)
    launch = wanted.launch(wanted.config.model).model_dump(exclude_unset=True)
    begun = await control.try_begin(TryRequest(**launch))
    return answer(StartedTask(task_id=begun.id, name=wanted.name))


async def events(request: web.Request, control: Control) -> web.StreamResponse:
    """To the end of the task. `Last-Event-ID` goes on after that event."""
    task_id = parameters(request, TaskQuery).task_id
    await control.try_view(task_id)
    last = request.headers.get("Last-Event-ID", "")
    after = int(last) if last.isdecimal() and len(last) < 10 else 0
    told: list[tuple[Kind, int]] = []
    found = _events(task_id, control, told, after)
    return await server_sent(request, found, ident=lambda _: str(told[-1][1]), kind=lambda _: told[-1][0])


async def _events(
    task_id: str, control: Control, told: list[tuple[Kind, int]], after: int
) -> AsyncGenerator[TaskEvent, None]:
    """`told` gets type and number of each. Read from the beginning, so that progress is right; `after` leaves some
    out."""
    progress, steps = Progress(task_id), control.try_events(task_id, after=0)
    try:
        async for step in steps:
            kind, event = progress.event(step)
            if step.seq > after:
                told.append((kind, step.seq))
                yield event
        told.append(("server_close", told[-1][1] if told else after))
        yield TaskEvent(task_id=task_id)
    finally:
        await steps.aclose()  # type: ignore[attr-defined]


async def runtimes(_: web.Request, __: Control) -> web.Response:
    """There is one: the definition says command, port and health path."""
    return answer(Runtimes(runtimes=(RuntimeVariant(name="custom", human_readable_name="Custom (Default)"),)))


_TRY, _FOLLOW, _VARIANTS = "Try a service before it is created", "Follow a background task", "List runtime variants"

ROUTES = (
    Route("POST", "/services/_/try", "admin", try_start, _TRY, CreateRequest, StartedTask, refuses=(409,)),
    Route("GET", "/services/_/runtimes", "read", runtimes, _VARIANTS, response=Runtimes),
    Route(
        "GET",
        "/events/background-task",
        "read",
        events,
        _FOLLOW,
        None,
        TaskEvent,
        True,
        query=TaskQuery,
        media=(EVENTS,),
        refuses=(404,),
    ),
)
