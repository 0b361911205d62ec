"""Files of a routing of the memory runtime as tar streams; small ones, since all of it is memory."""

from __future__ import annotations

import io
import posixpath
import tarfile
from collections.abc import AsyncIterator

from orchestrator.archives.reading import members, renamed_to
from orchestrator.core.errors import RuntimeFailure
from orchestrator.core.paths import HOME
from orchestrator.core.ports import Unpacked
from orchestrator.runtimes.memory_engine import Member


def archive(member: Member, path: str) -> bytes:
    path, out = absolute(path), io.BytesIO()
    folders = sorted(one for one in member.folders if one == path or one.startswith(path.rstrip("/") + "/"))
    files = sorted(one for one in member.files if one == path or one.startswith(path.rstrip("/") + "/"))
    if not folders and not files:
        raise RuntimeFailure(f"cannot read {path}: there is no such file or folder", code="not_found")
    above = posixpath.dirname(path).rstrip("/") + "/"
    with tarfile.open(fileobj=out, mode="w") as tar:
        for one in folders:
            info = tarfile.TarInfo(one.removeprefix(above))
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(info)
        for one in files:
            body, mode = member.files[one]
            info = tarfile.TarInfo(one.removeprefix(above))
            info.size, info.mode = len(body), mode
            tar.addfile(info, io.BytesIO(body))
    return out.getvalue()


async def unpack(member: Member, path: str, chunks: AsyncIterator[bytes], *, folder: bool) -> Unpacked:
    path = absolute(path)
    place, rename = path, lambda parts: parts
    if path not in member.folders:
        place = posixpath.dirname(path)
        rename = renamed_to(posixpath.basename(path))
        if folder or place not in member.folders:
            raise RuntimeFailure(f"cannot write {path}: there is no such folder", code="not_found")
    data = io.BytesIO(b"".join([chunk async for chunk in chunks]))
    files = size = 0
    for one in members(data, rename):
        target = posixpath.join(place, *one.parts)
        if one.info.isdir():
            member.folders.add(target)
            continue
        body = b"".join(one.pieces())
        member.files[target] = (body, one.info.mode & 0o777)
        files, size = files + 1, size + len(body)
    return Unpacked(files, size)


def absolute(path: str) -> str:
    return posixpath.normpath(posixpath.join(HOME, path))
