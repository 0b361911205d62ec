"""Reading a tar stream that nobody vouches for: what is in it and where it may go. Nothing is written here."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any, Protocol, TypeAlias

from orchestrator.core.errors import InvalidInput

PIECE = 1 << 18
_HEADER = 1 << 20
"""Bytes of a member's long name and other facts, which are held in memory."""
_FACTS = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
Parts: TypeAlias = tuple[str, ...]
Rename: TypeAlias = Callable[[Parts], Parts]
"""Where a member goes instead."""


class Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Member:
    """`parts`: where it goes, below the place it is unpacked to; empty: that place itself. `link`: of a hard link, the
    member that it is; of a symbolic one its text is in `info.linkname`."""

    parts: Parts
    info: tarfile.TarInfo
    link: Parts = ()
    content: IO[bytes] | None = None

    def pieces(self) -> Iterator[bytes]:
        """Its content. Raises `InvalidInput` where the stream ends too early."""
        left = self.info.size
        while left and self.content is not None:
            try:
                data = self.content.read(min(left, PIECE))
            except (tarfile.TarError, EOFError, zlib.error):
                data = b""
            if not data:
                raise InvalidInput("cannot unpack: the archive ends in the middle of a file")
            left -= len(data)
            yield data


class _Info(tarfile.TarInfo):
    def _proc_member(self, archive: tarfile.TarFile) -> Any:
        if self.type in _FACTS and self.size > _HEADER:
            raise tarfile.ReadError("the name of a member is too long")
        return super()._proc_member(archive)  # type: ignore[misc]


def members(source: Readable, rename: Rename = lambda parts: parts) -> Iterator[Member]:
    """Files, folders and links; anything else (a device, a socket) is left out. Content must be read before the next
    member. Raises `InvalidInput` for what is no tar, and for a member that would lie anywhere else."""
    try:
        with tarfile.open(fileobj=source, mode="r|*", tarinfo=_Info, bufsize=PIECE) as archive:  # type: ignore[call-overload]
            while (info := archive.next()) is not None:
                archive.members = []  # it keeps all that it has seen
                if info.issparse():
                    raise InvalidInput(f"cannot unpack {info.name}: it is a sparse file", hint="pack it without -S")
                if info.isreg():
                    yield Member(rename(_parts(info.name)), info, content=archive.extractfile(info))
                elif info.isdir() or info.issym():
                    yield Member(rename(_parts(info.name)), info)
                elif info.islnk():
                    yield Member(rename(_parts(info.name)), info, link=rename(_parts(info.linkname)))
    except (tarfile.TarError, EOFError, ValueError, zlib.error) as error:
        raise InvalidInput(f"cannot unpack: it is no tar archive ({error})") from error


def _parts(name: str) -> Parts:
    """As tar does, `/` and `./` at the beginning are left out."""
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise InvalidInput(f"cannot unpack {name!r}: it would lie outside", hint="a name in it must not hold ..")
    return parts


def renamed_to(name: str) -> Rename:
    """All of an archive is below one root, which gets another name. What is beside it is refused."""
    root: list[str] = []

    def rename(parts: Parts) -> Parts:
        root[:] = root or parts[:1]
        if parts[:1] != tuple(root):
            text = f"cannot unpack as {name}: the archive holds more than one file or folder"
            raise InvalidInput(text, hint="name a folder that is there")
        return (name, *parts[1:])

    return rename


def repacked(source: Readable, rename: Rename, owner: tuple[int, int], told: Callable[[int], None]) -> Iterator[bytes]:
    """The same as a checked archive whose members belong to `owner` (uid, gid). `told` gets the size of each file."""
    for member in members(source, rename):
        if not member.parts:
            continue
        info = member.info
        info.name = "/".join(member.parts)
        info.linkname = "/".join(member.link) if member.link else info.linkname
        (info.uid, info.gid), info.uname, info.gname, info.mode = owner, "", "", info.mode & 0o777
        info.pax_headers = {}
        yield info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        if info.isreg():
            yield from member.pieces()
            yield padding(info.size)
            told(info.size)
    yield END


def padding(size: int) -> bytes:
    return b"\0" * (-size % tarfile.BLOCKSIZE)


END = b"\0" * tarfile.BLOCKSIZE * 2
