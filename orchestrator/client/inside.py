"""A command in a routing, as its caller sees it: the other end of the WebSocket of `api.inside`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType

import aiohttp
from pydantic import ValidationError

from orchestrator.core.error_views import ErrorView
from orchestrator.core.errors import Unavailable
from orchestrator.core.inside_views import ERR, ExecControl, ExecEnd
from orchestrator.core.ports import Chunk


class RemoteExecution:
    """See `core.ports.Execution`. Made by `Client.execute`; the command ends when this is closed."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._code: int | None = None

    async def __aenter__(self) -> RemoteExecution:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def output(self) -> AsyncIterator[Chunk]:
        """Raises the error that the command came to nothing by, `Unavailable` where the connection is lost."""
        async for message in self._socket:
            if message.type is aiohttp.WSMsgType.BINARY and message.data:
                yield ("err" if message.data[0] == ERR else "out"), message.data[1:]
            elif message.type is aiohttp.WSMsgType.TEXT:
                self._code = _ended(message.data)
                return
        raise Unavailable(
            "cannot follow the command: the daemon ended the connection", hint="the command ended with it"
        )

    async def write(self, data: bytes) -> None:
        """Empty: the end of the input."""
        if self._socket.closed:
            return
        try:
            if data:
                await self._socket.send_bytes(data)
            else:
                await self._socket.send_str(ExecControl(eof=True).model_dump_json())
        except ConnectionError:
            pass  # whoever reads the output is told

    async def resize(self, columns: int, rows: int) -> None:
        if not self._socket.closed:
            await self._socket.send_str(ExecControl(size=(columns, rows)).model_dump_json())

    async def wait(self) -> int:
        """Once the output has ended."""
        if self._code is None:
            async for _ in self.output():
                pass
        return self._code or 0

    async def close(self) -> None:
        await self._socket.close()


def _ended(text: str) -> int:
    """Raises what a problem says."""
    try:
        end = ExecEnd.model_validate_json(text)
        problem = ErrorView.model_validate(end.error) if end.error is not None else None
    except ValidationError:
        text = "cannot understand how the command ended"
        raise Unavailable(text, hint="client and daemon are of different versions") from None
    if problem is not None:
        raise problem.error()
    return end.exit_code
