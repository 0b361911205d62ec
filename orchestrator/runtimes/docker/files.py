"""Files of a container, in and out, by the engine's archive requests: streams that are never held whole in memory.

The engine locks a container for as long as such a request lasts: it answers no question about it, and starts and stops
nothing there. So what comes slowly comes to the disk first, and what is taken slowly waits there (`archives.spooling`).
"""

from __future__ import annotations

import posixpath
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import docker
import requests

from orchestrator.archives import Rename, filled, followed, repacked, spool
from orchestrator.archives.reading import renamed_to
from orchestrator.core.errors import RuntimeFailure
from orchestrator.core.ports import Unpacked
from orchestrator.runtimes.docker import archive, gate
from orchestrator.runtimes.docker.client import Body, Engine, opened
from orchestrator.runtimes.docker.prepared import Prepared
from orchestrator.runtimes.docker.sandbox import inside, under

PIECE = 1 << 18


async def read(engine: Engine, container: str, path: str, disk: Path) -> AsyncGenerator[bytes, None]:
    """`disk`: the folder where it waits."""
    target, doing = inside(path), f"read {path}"
    _refuse_unseen(target, doing)
    found = await engine.call(doing, lambda api: archive.stat(api, container, target))
    if found is None:
        raise _missing(doing)

    def source(api: docker.APIClient) -> Body[bytes]:
        answer = opened(api, "GET", f"/containers/{container}/archive", params={"path": found.path})
        return Body(answer, _pieces)

    with spool(disk) as file:
        async with aclosing(followed(file, _blocks(engine, doing, source))) as pieces:
            async for piece in pieces:
                yield piece


async def _blocks(
    engine: Engine, doing: str, source: Callable[[docker.APIClient], Body[bytes]]
) -> AsyncIterator[bytes]:
    async with aclosing(engine.stream(doing, source)) as batches:
        async for batch in batches:
            for block in batch:
                yield block


def _pieces(response: requests.Response) -> Iterator[bytes]:
    yield from response.iter_content(PIECE)


async def write(
    engine: Engine, prepared: Prepared, path: str, chunks: AsyncIterator[bytes], disk: Path, *, whole: bool
) -> Unpacked:
    """`whole`: `path` must be a folder. `disk`: the folder where it waits until all of it is there."""
    target, doing = inside(path), f"write {path}"
    _refuse_unseen(target, doing)
    container, owner = prepared.container, prepared.owner
    folder, rename = await engine.call(doing, lambda api: _place(api, container, target, doing, whole))
    count = _Count()
    with spool(disk) as file:
        await filled(file, chunks)
        file.seek(0)
        body = repacked(file, rename, (owner.uid, owner.gid), count.add)
        await engine.send(doing, lambda api: _put(api, container, folder, body))
    return Unpacked(count.files, count.size)


class _Count:
    files = 0
    size = 0

    def add(self, size: int) -> None:
        self.files += 1
        self.size += size


def _put(api: docker.APIClient, container: str, folder: str, body: Iterator[bytes]) -> None:
    api.put_archive(container, folder, body)


def _place(api: docker.APIClient, container: str, target: str, doing: str, whole: bool) -> tuple[str, Rename]:
    found = archive.stat(api, container, target)
    if found is not None and found.is_folder:
        return found.path, lambda parts: parts
    above = archive.stat(api, container, posixpath.dirname(target))
    if whole or above is None or not above.is_folder:
        raise _missing(doing)
    return above.path, renamed_to(posixpath.basename(target))


def _missing(doing: str) -> RuntimeFailure:
    return RuntimeFailure(f"cannot {doing}: there is no such file or folder in the container", code="not_found")


def _refuse_unseen(target: str, doing: str) -> None:
    if under(target, gate.VIRTUAL):
        hint = "`orchestrator exec SERVICE -- tar c PATH` brings it out, `exec -i … tar x` in"
        text = f"cannot {doing}: the engine sees nothing of {target} in a running container"
        raise RuntimeFailure(text, hint=hint, code="unsupported")
