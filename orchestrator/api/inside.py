"""Inside a routing: commands that run beside what it runs, files in and out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from aiohttp import WSCloseCode, WSMsgType, web
from pydantic import ValidationError

from orchestrator.api.control import Control
from orchestrator.api.errors import problem
from orchestrator.api.routes import TAR, WEBSOCKET, Route, answer, parameters
from orchestrator.api.streams import CLOSING
from orchestrator.core.errors import InvalidInput
from orchestrator.core.inside_views import ERR, OUT, CopiedView, ExecControl, ExecEnd, ExecQuery, FilesQuery, PutQuery
from orchestrator.core.ports import Execution, Invocation

_PING = 10.0
"""Seconds between looks whether whoever asked is still there; then the command ends."""
_MESSAGE = 1 << 20


async def execute(request: web.Request, control: Control) -> web.StreamResponse:
    """A WebSocket. Binary messages to it are the command's input, text ones `{"size": [columns, rows]}` or
    `{"eof": true}`; binary messages from it begin with a byte 1 (out) or 2 (err), and the last one is text:
    `{"exit_code": n}`, or `{"error": problem}`. A command ends with its connection.
    """
    asked = parameters(request, ExecQuery)
    socket = web.WebSocketResponse(heartbeat=_PING, max_msg_size=_MESSAGE, compress=False)
    if not socket.can_prepare(request).ok:
        hint = "`orchestrator exec` is one way"
        raise InvalidInput("cannot run a command: the request asks for no WebSocket", hint=hint)
    invocation = _invocation(asked)
    await socket.prepare(request)
    try:
        execution = await control.execute(request.match_info["id"], invocation)
    except Exception as error:
        with contextlib.suppress(ConnectionError):
            await socket.send_str(_failed(error, request))
            await socket.close()
        return socket
    try:
        await _carry(request, socket, execution)
    finally:
        await execution.close()
    return socket


def _failed(error: Exception, request: web.Request) -> str:
    return ExecEnd(exit_code=-1, error=problem(error, request).model_dump(mode="json")).model_dump_json()


def _invocation(asked: ExecQuery) -> Invocation:
    pairs = [text.partition("=") for text in asked.env]
    if any(not key or not sign for key, sign, _ in pairs) or any("\0" in text for text in (*asked.cmd, *asked.env)):
        raise InvalidInput("cannot run a command: env is KEY=VALUE, and no text holds a NUL")
    environ = {key: value for key, _, value in pairs}
    size = (asked.columns, asked.rows)
    return Invocation(asked.cmd, asked.tty, asked.stdin, asked.user, asked.folder, environ, size)


async def _carry(request: web.Request, socket: web.WebSocketResponse, execution: Execution) -> None:
    """Until the command has ended, whoever asked has gone, or the daemon ends."""
    writing = asyncio.create_task(_write(request, socket, execution), name="exec output")
    reading = asyncio.create_task(_read(socket, execution), name="exec input")
    closing = asyncio.create_task(request.app[CLOSING].wait(), name="exec end")
    tasks = (writing, reading, closing)
    try:
        await asyncio.wait({writing, reading, closing}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(ConnectionError):
            await socket.close(code=WSCloseCode.GOING_AWAY if request.app[CLOSING].is_set() else WSCloseCode.OK)


async def _write(request: web.Request, socket: web.WebSocketResponse, execution: Execution) -> None:
    with contextlib.suppress(ConnectionError):
        try:
            async for stream, data in execution.output():
                await socket.send_bytes(bytes([ERR if stream == "err" else OUT]) + data)
            end = ExecEnd(exit_code=await execution.wait()).model_dump_json()
        except ConnectionError:
            raise
        except Exception as error:
            end = _failed(error, request)
        await socket.send_str(end)


async def _read(socket: web.WebSocketResponse, execution: Execution) -> None:
    async for message in socket:
        if message.type is WSMsgType.BINARY and message.data:
            await execution.write(message.data)
        elif message.type is WSMsgType.TEXT:
            with contextlib.suppress(ValidationError):
                told = ExecControl.model_validate_json(message.data)
                if told.size:
                    await execution.resize(*told.size)
                if told.eof:
                    await execution.write(b"")


async def files(request: web.Request, control: Control) -> web.StreamResponse:
    """A tar of one root, which has the path's last name."""
    asked = parameters(request, FilesQuery)
    blocks = control.archive(request.match_info["id"], asked.path)
    try:
        first = await anext(aiter(blocks), b"")
        response = web.StreamResponse(headers={"Content-Type": TAR, "Cache-Control": "no-store"})
        await response.prepare(request)
        try:
            await response.write(first)
            async for block in blocks:
                await response.write(block)
            await response.write_eof()
        except ConnectionError:
            pass
        except Exception as error:  # what was sent already looks whole unless the connection breaks
            problem(error, request)
            if request.transport is not None:
                request.transport.close()
        return response
    finally:
        await blocks.aclose()  # type: ignore[attr-defined]


async def put(request: web.Request, control: Control) -> web.Response:
    """Of any length. What its members may be: files, folders, links; nothing of it gets outside of `path`."""
    asked = parameters(request, PutQuery)
    told = await control.unpack(request.match_info["id"], asked.path, _body(request), folder=asked.into)
    return answer(told)


async def _body(request: web.Request) -> AsyncIterator[bytes]:
    async for data in request.content.iter_any():
        yield data


_RUN, _GET, _PUT = "Run a command in a routing", "Files of a routing, as a tar", "Bring files into a routing"
_OWN = (400, 409, 502)

ROUTES = (
    Route(
        *("GET", "/v1/routings/{id}/exec", "admin", execute, _RUN),
        query=ExecQuery,
        status=101,
        media=(WEBSOCKET,),
        refuses=_OWN,
        changes=True,
    ),
    Route(
        *("GET", "/v1/routings/{id}/files", "admin", files, _GET),
        query=FilesQuery,
        media=(TAR,),
        refuses=_OWN,
        changes=True,
    ),
    Route(
        *("PUT", "/v1/routings/{id}/files", "admin", put, _PUT, None, CopiedView),
        query=PutQuery,
        takes=TAR,
        refuses=_OWN,
    ),
)
