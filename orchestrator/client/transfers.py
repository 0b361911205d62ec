"""Files to and from a model folder, of any size: part by part, and on from where they were after an interruption."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import BinaryIO, TypeVar

from orchestrator.client.client import Client
from orchestrator.core.errors import Conflict, InvalidInput, NotFound, OrchestratorError, Unavailable
from orchestrator.core.model_views import PART, TAIL, FileView, UploadView

Result = TypeVar("Result")
Report = Callable[[int, int], None]
"""Bytes that are there and bytes of all; again and again."""
PATIENCE = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds before each further try; tries count anew once a byte came through."""
FINAL = frozenset({"disk_full", "not_writable"})


async def send(client: Client, model: str, file: Path, target: str, report: Report) -> UploadView:
    """Upload `file` as `target` (a path in the model folder). What the daemon has of it already is not sent again.

    Raises `InvalidInput` (it is no file, or changes while it is sent) and what the client does.
    """
    try:
        with file.open("rb") as source:
            seen = os.fstat(source.fileno())
            if not stat.S_ISREG(seen.st_mode):
                raise InvalidInput(f"cannot upload {file}: it is not a regular file")
            await client.upload(model, target)  # who is not there at all is not waited for
            upload = _Sending(client, model, target, source, report)
            return await _again(upload.run, upload.at)
    except OSError as error:
        raise InvalidInput(f"cannot read {file}: {error.strerror or error}") from None


class _Sending:
    def __init__(self, client: Client, model: str, target: str, source: BinaryIO, report: Report) -> None:
        self._client, self._model, self._target = client, model, target
        self._source, self._report = source, report
        seen = os.fstat(source.fileno())
        self._total, self._executable = seen.st_size, bool(seen.st_mode & stat.S_IXUSR)
        self._at = 0

    def at(self) -> int:
        return self._at

    async def run(self) -> UploadView:
        """From where the daemon is to the end."""
        seen = await self._client.upload(self._model, self._target)
        self._at = seen.received if await asyncio.to_thread(self._goes_on, seen) else 0
        while True:
            self._report(self._at, self._total)
            data = await asyncio.to_thread(self._read)
            done = await self._client.upload_part(
                self._model, self._target, data, offset=self._at, total=self._total, executable=self._executable
            )
            self._at = done.received
            if done.done:
                self._report(self._at, self._total)
                return done

    def _goes_on(self, seen: UploadView) -> bool:
        """Does what is there begin as this file does?"""
        if seen.total != self._total or not 0 < seen.received <= self._total:
            return False
        tail = os.pread(self._source.fileno(), min(TAIL, seen.received), max(0, seen.received - TAIL))
        return hashlib.sha256(tail).hexdigest() == seen.tail

    def _read(self) -> bytes:
        wanted = min(PART, self._total - self._at)
        data = os.pread(self._source.fileno(), wanted, self._at)
        if len(data) < wanted or os.fstat(self._source.fileno()).st_size != self._total:
            raise InvalidInput(f"cannot upload {self._target}: the file changes while it is sent", hint="try again")
        return data


async def fetch(client: Client, model: str, path: str, target: Path, report: Report) -> int:
    """Download a file to `target`, which is whole or not there; its bytes. What is here of it already, from before an
    interruption, is not fetched again. Raises `InvalidInput` where `target` cannot be written, and what the client
    does.
    """
    try:
        await file_view(client, model, path)  # who is not there at all is not waited for
        download = _Fetching(client, model, path, target, report)
        return await _again(download.run, download.at)
    except OSError as error:
        raise InvalidInput(f"cannot write {target}: {error.strerror or error}") from None


class _Fetching:
    def __init__(self, client: Client, model: str, path: str, target: Path, report: Report) -> None:
        self._client, self._model, self._path, self._target = client, model, path, target
        self._report = report
        self._at = 0

    def at(self) -> int:
        return self._at

    async def run(self) -> int:
        seen = await file_view(self._client, self._model, self._path)
        mark = hashlib.sha256(f"{self._model}/{self._path} {seen.size} {seen.modified_at}".encode()).hexdigest()[:16]
        draft = self._target.with_name(f".orchestrator-part-{mark}")
        with draft.open("ab") as file:
            self._at = file.tell() if file.tell() <= seen.size else 0
            file.truncate(self._at)
            self._report(self._at, seen.size)
            if self._at < seen.size:
                async for some in self._client.download(self._model, self._path, offset=self._at):
                    await asyncio.to_thread(file.write, some)
                    self._at += len(some)
                    self._report(self._at, seen.size)
        if self._at != seen.size:
            draft.unlink()
            raise Unavailable(f"cannot download {self._path}: it changed while it was sent", code="changed")
        draft.replace(self._target)
        return seen.size


async def file_view(client: Client, model: str, path: str) -> FileView:
    """Of one file. Raises `NotFound`, or `Conflict` where it is none."""
    found = next((f for f in await client.model_files(model, path.rpartition("/")[0]) if f.path == path), None)
    if found is None:
        raise NotFound(f"there is no file {path!r} in {model}", hint=f"`orchestrator models files {model}` lists them")
    if found.kind != "file":
        raise Conflict(f"cannot download {path}: it is a {found.kind}", hint="give the path of a file")
    return found


async def _again(run: Callable[[], Awaitable[Result]], at: Callable[[], int]) -> Result:
    """To its end, over interruptions."""
    tries, before = 0, -1
    while True:
        try:
            return await run()
        except (Unavailable, Conflict) as error:
            tries, before = (1, at()) if at() > before >= 0 else (tries + 1, max(before, at()))
            if not _passes(error) or tries > len(PATIENCE):
                raise
            await asyncio.sleep(PATIENCE[tries - 1])


def _passes(error: OrchestratorError) -> bool:
    """May it be better soon?"""
    if isinstance(error, Conflict):
        return error.code == "upload_busy"
    return error.code not in FINAL
