"""Bytes that wait on the disk between two sides of different speed, for sides that must not wait for each other.

The file has no name, so that however this ends nothing of it is left.
"""

from __future__ import annotations

import asyncio
import errno
import os
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TypeVar

from orchestrator.archives.reading import PIECE
from orchestrator.core.errors import Unavailable

T = TypeVar("T")
SPARED = 256 << 20
"""Bytes of the disk that are left to others."""


@contextmanager
def spool(folder: Path) -> Iterator[IO[bytes]]:
    """An empty one in `folder`, which is made. Raises `Unavailable`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
    except OSError as error:
        raise _full(error) from error
    with file:
        yield file


async def filled(file: IO[bytes], blocks: AsyncIterator[bytes], news: asyncio.Event | None = None) -> None:
    """Take all that comes; `news` is set whenever something has. Raises `Unavailable` where the disk has no room."""
    held = bytearray()
    async for block in blocks:
        held += block
        if len(held) >= PIECE or news is not None:
            await _write(file, bytes(held))
            held.clear()
            if news is not None:
                news.set()
    await _write(file, bytes(held))


async def followed(file: IO[bytes], blocks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """`blocks`, taken as fast as they come and given as fast as they are wanted. Raises what they raise, at once."""
    news, at = asyncio.Event(), 0
    filling = asyncio.create_task(filled(file, blocks, news), name="spool")
    waiting = asyncio.create_task(news.wait(), name="spool news")
    try:
        while True:
            ended = filling.done()
            if ended:
                filling.result()
            while piece := await _to_its_end(partial(os.pread, file.fileno(), PIECE, at)):
                at += len(piece)
                yield piece
            if ended:
                return
            await asyncio.wait({filling, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                news.clear()
                waiting = asyncio.create_task(news.wait(), name="spool news")
    finally:
        for task in (filling, waiting):
            task.cancel()
        await asyncio.gather(filling, waiting, return_exceptions=True)


async def _write(file: IO[bytes], data: bytes) -> None:
    def work() -> None:
        free = os.fstatvfs(file.fileno())
        if data and free.f_bavail * free.f_frsize < SPARED + len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left = memoryview(data)
        while left:
            left = left[file.write(left) :]

    try:
        await _to_its_end(work)
    except OSError as error:
        raise _full(error) from error


async def _to_its_end(call: Callable[[], T]) -> T:
    """In a thread; also when whoever waits has gone: the file is closed then."""
    work = asyncio.ensure_future(asyncio.to_thread(call))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait({work})
        raise


def _full(error: OSError) -> Unavailable:
    hint = "free some space where state_dir is: files of containers wait there"
    return Unavailable(f"cannot keep what is copied: {error.strerror}", hint=hint, code="disk_full")
