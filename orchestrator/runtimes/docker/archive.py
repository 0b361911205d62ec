"""Files in and out of a container by the engine's archive requests, which need no shell and no running container."""

from __future__ import annotations

import base64
import io
import json
import posixpath
import tarfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import docker

from orchestrator.core.errors import RuntimeFailure
from orchestrator.runtimes.docker.client import address

DIRECTORY, SYMLINK = 1 << 31, 1 << 27
"""Bits of Go's file mode."""
LARGEST = 64 << 20
"""Bytes of a file that is read back at most."""


@dataclass(frozen=True, slots=True)
class Owner:
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class Stat:
    """`path` with the links in it resolved."""

    path: str
    size: int
    mode: int

    @property
    def is_folder(self) -> bool:
        return bool(self.mode & DIRECTORY)


@dataclass(frozen=True, slots=True)
class Entry:
    """One member of an archive; `body` None: a folder."""

    name: str
    owner: Owner
    mode: int
    body: bytes | None = None


def pack(entries: Iterable[Entry]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, errors="surrogateescape") as tar:
        for entry in entries:
            info = tarfile.TarInfo(entry.name)
            info.uid, info.gid, info.mode, info.mtime = entry.owner.uid, entry.owner.gid, entry.mode, int(time.time())
            info.type = tarfile.DIRTYPE if entry.body is None else tarfile.REGTYPE
            info.size = len(entry.body or b"")
            tar.addfile(info, io.BytesIO(entry.body or b""))
    return out.getvalue()


def stat(api: docker.APIClient, container: str, path: str) -> Stat | None:
    """None where nothing is at `path` (or the container is gone: the next request will say so)."""
    found = _stat(api, container, path)
    if found is None or not found[0].mode & SYMLINK or not found[1]:
        return found[0] if found else None
    target = _stat(api, container, found[1])
    return target[0] if target else None


def _stat(api: docker.APIClient, container: str, path: str) -> tuple[Stat, str] | None:
    answer = api.head(address(api, f"/containers/{container}/archive"), params={"path": path}, timeout=api.timeout)
    header = answer.headers.get("X-Docker-Container-Path-Stat")
    if header is None:
        return None
    facts = json.loads(base64.b64decode(header))
    return Stat(path, int(facts["size"]), int(facts["mode"])), str(facts["linkTarget"])


def nearest(api: docker.APIClient, container: str, folder: str) -> tuple[str, list[str]]:
    """The deepest part of `folder` that exists, links resolved, and the names that are missing below it.
    Raises `RuntimeFailure` (not_a_directory) where a part of it is a file."""
    missing: list[str] = []
    while folder != "/":
        if found := stat(api, container, folder):
            if not found.is_folder:
                raise RuntimeFailure(f"cannot use {folder} as a folder: it is a file", code="not_a_directory")
            return found.path, missing
        folder, name = posixpath.split(folder)
        missing.insert(0, name)
    return "/", missing


def parents(missing: Sequence[str], owner: Owner) -> list[Entry]:
    """Only what is missing: an entry for a folder that exists would change its owner and mode."""
    return [Entry("/".join(missing[: depth + 1]), owner, 0o755) for depth in range(len(missing))]


def put(api: docker.APIClient, container: str, folder: str, entries: Iterable[Entry]) -> None:
    api.put_archive(container, folder, pack(entries))


def read(api: docker.APIClient, container: str, path: str) -> bytes | None:
    """The content of one file, None where there is none. Always read to its end: an answer half read blocks the
    container."""
    found = stat(api, container, path)
    if found is None or found.is_folder:
        return None
    if found.size > LARGEST:
        raise RuntimeFailure(f"cannot read {path}: it has more than {LARGEST >> 20} MiB", code="too_large")
    chunks, _ = api.get_archive(container, found.path)
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        member = tar.next()
        content = tar.extractfile(member) if member is not None else None
        return content.read() if content is not None else None


def resolve_owner(user: str, passwd: str, group: str) -> Owner:
    """uid and gid of a `user[:group]` as the engine reads it: names by the image's files, unknown numbers as they are.
    Raises `RuntimeFailure` (no_user)."""
    name, _, group_name = user.partition(":")
    if not name:
        return Owner()
    users = [fields for line in passwd.splitlines() if len(fields := line.split(":")) >= 4 and fields[2].isdigit()]
    known = next((fields for fields in users if fields[0] == name), None) or next(
        (fields for fields in users if fields[2] == name), None
    )
    if known is None and not name.isdigit():
        raise RuntimeFailure(
            f"cannot use user {name}: the image has none of that name", hint="give its number", code="no_user"
        )
    uid = int(known[2]) if known else int(name)
    gid = int(known[3]) if known and known[3].isdigit() else 0
    return Owner(uid, _group_id(group_name, group) if group_name else gid)


def _group_id(name: str, group: str) -> int:
    for line in group.splitlines():
        fields = line.split(":")
        if len(fields) >= 3 and fields[0] == name and fields[2].isdigit():
            return int(fields[2])
    if not name.isdigit():
        raise RuntimeFailure(
            f"cannot use group {name}: the image has none of that name", hint="give its number", code="no_user"
        )
    return int(name)
