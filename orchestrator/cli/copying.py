"""`cp`: files into a routing and out of it, as streams; `-` is a tar archive on standard input or output."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.common import INTERRUPTED, Common, connect
from orchestrator.cli.completion import copied
from orchestrator.cli.executing import write
from orchestrator.cli.output import print_json
from orchestrator.cli.targets import routing_of
from orchestrator.core.errors import InvalidInput, OrchestratorError
from orchestrator.core.units import size_text

if TYPE_CHECKING:
    from orchestrator.core.inside_views import CopiedView
    from orchestrator.core.ports import Unpacked

STREAM = "-"
_SHOWN = 0.2
"""Seconds between two words on how far it is."""


@dataclass(frozen=True, slots=True)
class Place:
    """`ref`: a service or routing; empty: `path` is here."""

    ref: str
    path: str

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name


def cp(
    common: Common,
    source: Annotated[
        str, typer.Argument(metavar="FROM", help="A file or folder here, or SERVICE:PATH.", autocompletion=copied)
    ],
    target: Annotated[
        str, typer.Argument(metavar="TO", help="Where to: here, or SERVICE:PATH.", autocompletion=copied)
    ],
) -> None:
    """Copy files between here and a routing: one side is SERVICE:PATH or ROUTING:PATH, the other a path here.

    A PATH is as the routing sees it; a relative one counts from /home/work. What goes to a folder that is there goes
    into it; else it gets TO's name. `-` is a tar archive on standard input or output. Links stay links, and nothing
    lands outside of TO, whatever an archive holds. With the process runtime it reaches what the routing's own view
    shows: model folder, mounts, /home/work, /tmp.

    Examples:
      orchestrator cp my-model:/home/work/output ./output
      orchestrator cp adapter.safetensors my-model:/models/
      orchestrator cp my-model:/tmp/trace - | tar t
      tar cz data | orchestrator cp - my-model:/home/work
    """
    here, there = place(source), place(target)
    if bool(here.ref) == bool(there.ref):
        hint = "orchestrator cp my-model:/tmp/file ./file; a path here that holds a colon begins with ./"
        raise InvalidInput("cannot copy: one of FROM and TO is SERVICE:PATH, the other a path here", hint=hint)
    try:
        asyncio.run(_out(common, here, there.path) if here.ref else _in(common, here.path, there))
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def place(text: str) -> Place:
    """`SERVICE:PATH`; what begins with `/` or `.` is here, whatever it holds."""
    ref, colon, path = text.partition(":")
    if text == STREAM or not colon or not ref or text.startswith((".", "/")) or "/" in ref:
        return Place("", text)
    return Place(ref, path or ".")


async def _out(common: Common, source: Place, target: str) -> None:
    from orchestrator.archives import Incoming, aside, place_of, unpacked

    async with connect(common) as client:
        routing = await routing_of(client, source.ref)
        async with aclosing(client.archive(routing, source.path)) as blocks:
            shown = Shown(quiet=common.json or not sys.stderr.isatty())
            if target == STREAM:
                await _to_stdout(shown.counted(blocks))
                return
            incoming = Incoming(aiter(shown.counted(blocks)))
            try:
                folder, rename = place_of(Path(target), folder=target.endswith("/"))
                told = await aside("cp", lambda: unpacked(incoming, folder, rename))
            except OSError as error:
                raise _local("write", error, target) from None
            finally:
                incoming.close()
                shown.clear()
    _tell(common, told, f"{source.ref}:{source.path}", target)


async def _to_stdout(blocks: AsyncIterator[bytes]) -> None:
    if sys.stdout.isatty():
        raise InvalidInput("cannot write a tar archive to a terminal", hint="add `| tar t`, or `> FILE.tar`")
    async for block in blocks:
        write(sys.stdout, block)


async def _in(common: Common, source: str, target: Place) -> None:
    from orchestrator.archives import packed, streamed

    if source == STREAM:
        if sys.stdin.isatty():
            raise InvalidInput("cannot read a tar archive from a terminal", hint="tar c FOLDER | orchestrator cp - …")
        pieces, into = _stdin(), True
    else:
        path = Path(source)
        try:
            real = path.resolve(strict=True)
            os.close(os.open(real, os.O_RDONLY))
        except OSError as error:
            raise _local("read", error, source) from None
        pieces = packed(real, path.name if path.name not in ("", "..") else real.name)
        into = target.path.endswith("/")
    async with connect(common) as client, aclosing(streamed("cp", pieces)) as blocks:
        routing = await routing_of(client, target.ref)
        shown = Shown(quiet=common.json or not sys.stderr.isatty())
        try:
            told = await client.unpack(routing, shown.counted(blocks), target.path, into=into)
        except OSError as error:
            raise _local("read", error, source) from None
        finally:
            shown.clear()
    _tell(common, told, source, f"{target.ref}:{target.path}")


def _stdin() -> Iterator[bytes]:
    while data := os.read(sys.stdin.fileno(), 1 << 18):
        yield data


def _local(doing: str, error: OSError, path: str) -> OrchestratorError:
    return InvalidInput(f"cannot {doing} {error.filename or path}: {error.strerror or error}")


def _tell(common: Common, told: Unpacked | CopiedView, source: str, target: str) -> None:
    if common.json:
        print_json({"from": source, "to": target, "files": told.files, "size": told.size})
        return
    count = f"{told.files} file{'s' * (told.files != 1)}"
    print(f"{count}, {size_text(told.size)}: {source} → {target}")


class Shown:
    """How much has come, in one line of the terminal that is written again and again."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._began = self._last = time.monotonic()
        self._count = 0

    async def counted(self, blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for block in blocks:
            self._count += len(block)
            now = time.monotonic()
            if not self._quiet and now - self._last > _SHOWN:
                self._last = now
                rate = self._count / (now - self._began)
                print(f"\r\x1b[K{size_text(self._count)}, {size_text(rate)}/s", end="", file=sys.stderr, flush=True)
            yield block

    def clear(self) -> None:
        if not self._quiet:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
