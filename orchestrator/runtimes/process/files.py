"""Files of a local routing, in and out: what its own view shows, and nothing else of this machine."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import PurePosixPath

from orchestrator.archives import Incoming, aside, packed, place_of, streamed, unpacked
from orchestrator.core.ports import Unpacked
from orchestrator.runtimes.process.failures import on_disk, translated
from orchestrator.runtimes.process.sandbox import target
from orchestrator.runtimes.process.units import Record, UnitFolder


async def archive(folder: UnitFolder, record: Record, path: str) -> AsyncGenerator[bytes, None]:
    doing = f"read {path}"
    real = await on_disk(doing, lambda: target(folder, record, path, reading=True))
    await on_disk(doing, real.lstat)
    name = PurePosixPath(path).name or real.name
    try:
        async with aclosing(streamed(doing, packed(real, name))) as blocks:
            async for block in blocks:
                yield block
    except OSError as error:
        raise translated(error, doing) from error


async def unpack(
    folder: UnitFolder, record: Record, path: str, chunks: AsyncIterator[bytes], *, whole: bool
) -> Unpacked:
    """`whole`: `path` must be a folder."""
    doing = f"write {path}"
    real = await on_disk(doing, lambda: target(folder, record, path))
    place, rename = await on_disk(doing, lambda: place_of(real, folder=whole))
    incoming = Incoming(chunks)
    try:
        return await aside(doing, lambda: unpacked(incoming, place, rename))
    except OSError as error:
        raise translated(error, f"write {error.filename or path}") from error
    finally:
        incoming.close()
