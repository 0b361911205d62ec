"""What a command that somebody runs reads and writes, our side of it and the command's: pipes, or a pseudo terminal."""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import termios
from collections.abc import Sequence
from contextlib import suppress
from typing import Literal

Stream = Literal["out", "err"]
STREAMS: tuple[Stream, ...] = ("out", "err")
Reader = tuple[Stream, asyncio.StreamReader]


class _Read(asyncio.StreamReaderProtocol):
    """A terminal whose last user has gone ends with an error: what was said before is read all the same."""

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002
        super().connection_lost(None)


class Ends:
    """`theirs`: input, output and error for the command, closed here once it has them (`handed`)."""

    def __init__(self, theirs: Sequence[int], reading: Sequence[int], writing: int | None) -> None:
        self.theirs = tuple(theirs)
        self.readers: list[Reader] = []
        self.writer: asyncio.StreamWriter | None = None
        self._ours = [*reading, *([] if writing is None else [writing])]
        self._reading, self._writing = reading, writing
        self._transports: list[asyncio.BaseTransport] = []

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        for descriptor, name in zip(self._reading, STREAMS, strict=False):
            reader = asyncio.StreamReader()
            protocol = _Read(reader)
            transport, _ = await loop.connect_read_pipe(lambda p=protocol: p, self._owned(descriptor, "rb"))  # type: ignore[misc]
            self._transports.append(transport)
            self.readers.append((name, reader))
        if self._writing is not None:
            written, flow = await loop.connect_write_pipe(
                asyncio.streams.FlowControlMixin, self._owned(self._writing, "wb")
            )
            self._transports.append(written)
            self.writer = asyncio.StreamWriter(written, flow, None, loop)

    def _owned(self, descriptor: int, mode: str) -> object:
        self._ours.remove(descriptor)
        return os.fdopen(descriptor, mode, 0)

    def handed(self) -> None:
        for descriptor in set(self.theirs):
            os.close(descriptor)

    def resize(self, columns: int, rows: int) -> None:
        """Only a terminal has a size."""

    def end_of_input(self) -> None:
        if self.writer is not None:
            self.writer.close()

    def close(self) -> None:
        for descriptor in self._ours:
            os.close(descriptor)
        self._ours.clear()
        for transport in self._transports:
            if isinstance(transport, asyncio.WriteTransport) and not transport.is_closing():
                transport.abort()
            elif isinstance(transport, asyncio.ReadTransport):
                transport.close()


def pipes(*, stdin: bool) -> Ends:
    opened: list[int] = []
    try:
        opened += os.pipe2(os.O_CLOEXEC)
        opened += os.pipe2(os.O_CLOEXEC)
        opened += os.pipe2(os.O_CLOEXEC) if stdin else (os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC),)
    except OSError:
        for descriptor in opened:
            os.close(descriptor)
        raise
    out, theirs_out, err, theirs_err, theirs_in, *ours_in = opened
    return Ends((theirs_in, theirs_out, theirs_err), (out, err), *(ours_in or (None,)))


class Terminal(Ends):
    """A pseudo terminal of `size` columns and rows. Its end of input is a key that is typed."""

    def __init__(self, size: tuple[int, int]) -> None:
        ours, theirs = os.openpty()
        self._control = os.dup(ours)
        super().__init__((theirs,) * 3, (ours,), os.dup(ours))
        self.resize(*size)

    def resize(self, columns: int, rows: int) -> None:
        with suppress(OSError):
            fcntl.ioctl(self._control, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def end_of_input(self) -> None:
        """Nothing: what follows may still be typed."""

    def close(self) -> None:
        if self._control >= 0:
            os.close(self._control)
            self._control = -1
        super().close()
