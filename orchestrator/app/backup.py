"""Backups: what a daemon keeps, in one archive with digests; and back again, in place of what is there.

Works on the state directory itself, with or without a daemon: secrets and keys cross no network. Blocking calls, for a
process of their own.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import os
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from orchestrator import __version__
from orchestrator.auth import KeyRing, admin_token
from orchestrator.core.errors import Conflict, InvalidInput, NotAuthorised, NotFound, Unavailable
from orchestrator.settings import Settings
from orchestrator.store import StateLock, Store
from orchestrator.store.copying import check_database, copy_database
from orchestrator.store.database import database_file

FORMAT = 1
MANIFEST = "manifest.json"
DATABASE, KEYS, ADMIN, SECRETS = "orchestrator.db", "keys.json", "admin.token", "secrets"
_MEMBER = re.compile(r"orchestrator\.db|keys\.json|admin\.token|secrets/(?!\.)[^/\0]{1,255}")
_ROOM = 1 << 20
"""Bytes that a manifest may have."""


class Member(BaseModel):
    """One file of a backup. `size` in bytes."""

    model_config = ConfigDict(frozen=True)

    sha256: str
    size: int


class Manifest(BaseModel):
    """What a backup holds; `format` says how to read it, `version` which program made it."""

    model_config = ConfigDict(frozen=True)

    format: int
    version: str
    made_at: AwareDatetime
    files: Mapping[str, Member]


@dataclass(frozen=True, slots=True)
class Restored:
    """`kept`: the folder that what was there before lies in now; None: nothing was there."""

    manifest: Manifest
    kept: Path | None


# --- there ----------------------------------------------------------------------------------------------------------


def backup(settings: Settings, target: Path) -> Manifest:
    """Write a backup to `target` (0600), whole or not at all. Raises `InvalidInput` where that file is there already,
    `NotFound` where no daemon kept anything, `NotAuthorised` or `Unavailable` where it cannot be read or written."""
    if target.exists():
        raise InvalidInput(f"cannot write {target}: there is such a file", hint="give another name, or remove it")
    source = database_file(settings.store.url, settings.state_dir)
    with _translated(f"back up {settings.state_dir}"):
        if not source.is_file():
            hint = "--config names the configuration file of another daemon"
            raise NotFound(f"cannot back up {settings.state_dir}: there is no database {source}", hint=hint)
        with tempfile.TemporaryDirectory(prefix=".backup-", dir=target.absolute().parent) as name:
            draft = Path(name)
            copy_database(source, draft / DATABASE)  # before the keys: each key that a token in it needs is there
            files = {DATABASE: draft / DATABASE} | _private_files(settings)
            manifest = _written(draft / "archive", files)
            (draft / "archive").replace(target)
        return manifest


def _private_files(settings: Settings) -> dict[str, Path]:
    """Keys, admin token and, where they lie in the state directory, secrets; those that there are."""
    files = {name: settings.state_dir / name for name in (KEYS, ADMIN)}
    secrets = settings.state_dir / SECRETS
    if settings.secrets_path.absolute() == secrets.absolute() and secrets.is_dir():
        files |= {f"{SECRETS}/{path.name}": path for path in sorted(secrets.iterdir())}
    return {name: path for name, path in files.items() if _MEMBER.fullmatch(name) and path.is_file()}


def _written(archive: Path, files: Mapping[str, Path]) -> Manifest:
    contents = {name: path.read_bytes() for name, path in files.items() if name != DATABASE}
    members = {name: Member(sha256=hashlib.sha256(data).hexdigest(), size=len(data)) for name, data in contents.items()}
    with files[DATABASE].open("rb") as database:
        digest = hashlib.file_digest(database, "sha256").hexdigest()
        members[DATABASE] = Member(sha256=digest, size=files[DATABASE].stat().st_size)
        manifest = Manifest(format=FORMAT, version=__version__, made_at=datetime.now(UTC), files=members)
        archive.touch(mode=0o600)
        with archive.open("wb") as file, tarfile.open(fileobj=file, mode="w:gz") as tar:
            head = manifest.model_dump_json(indent=2).encode()
            _add(tar, MANIFEST, len(head), io.BytesIO(head))
            database.seek(0)
            _add(tar, DATABASE, members[DATABASE].size, database)
            for name, data in contents.items():
                _add(tar, name, len(data), io.BytesIO(data))
        _sync(archive)
    return manifest


def _add(tar: tarfile.TarFile, name: str, size: int, data: IO[bytes]) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, 0o600, int(datetime.now(UTC).timestamp())
    tar.addfile(member, data)


# --- and back again -------------------------------------------------------------------------------------------------


def restore(settings: Settings, source: Path) -> Restored:
    """Put what `source` holds in place of what is there, which is kept beside it. Nothing is touched before all of it
    was read, compared with its digests and opened as a daemon would.

    Raises `Conflict` while a daemon runs, `InvalidInput` for what is no sound backup, `NotAuthorised`, `Unavailable`.
    """
    with _locked(settings.state_dir), _translated(f"restore {source}"):
        for left in settings.state_dir.glob(".restore-*"):  # of one that was killed
            shutil.rmtree(left)
        with tempfile.TemporaryDirectory(prefix=".restore-", dir=settings.state_dir) as name:
            draft = Path(name)
            manifest = _unpacked(source, draft)
            _verify(draft, source)
            targets = _targets(settings, manifest)
            kept = _keep(settings, targets)
            for member, target in targets.items():
                _place(draft / member, target, settings.state_dir)
        return Restored(manifest, kept)


@contextmanager
def _locked(state_dir: Path) -> Iterator[None]:
    try:
        lock = StateLock.take(state_dir)
    except Conflict as error:
        text = error.message.replace("cannot start", "cannot restore", 1)
        raise Conflict(text, hint="end it first; what it runs goes on meanwhile", code=error.code) from None
    with lock:
        _give(state_dir / "daemon.lock", state_dir)
        yield


def _unpacked(source: Path, draft: Path) -> Manifest:
    """The files of a backup in `draft`, as its manifest has them: all of them, no others, each with its digest."""
    try:
        with tarfile.open(source, "r:gz") as tar:
            members = iter(tar)
            head = next(members, None)
            if head is None or head.name != MANIFEST or not head.isreg() or head.size > _ROOM:
                raise _unsound(source, "it is no backup of an orchestrator")
            manifest = _manifest(source, _opened(tar, head).read())
            for member in members:
                told = manifest.files.get(member.name)
                if told is None or not member.isreg() or member.size != told.size:
                    raise _unsound(source, f"{member.name!r} is not as the manifest says")
                _unpack(source, _opened(tar, member), draft / member.name, told)
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, UnicodeError) as error:
        raise _unsound(source, str(error) or type(error).__name__) from None
    if missing := [name for name in manifest.files if not (draft / name).exists()]:
        raise _unsound(source, f"{missing[0]} is missing")
    return manifest


def _manifest(source: Path, data: bytes) -> Manifest:
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        raise _unsound(source, f"its manifest is not readable: {error.errors(include_url=False)[0]['msg']}") from None
    if manifest.format != FORMAT:
        hint = f"it was made by version {manifest.version}: restore with that one or a newer one"
        raise InvalidInput(f"cannot restore {source}: its format {manifest.format} is not known here", hint=hint)
    if DATABASE not in manifest.files or not all(map(_MEMBER.fullmatch, manifest.files)):
        raise _unsound(source, "its manifest names files that no backup has")
    return manifest


def _opened(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    file = tar.extractfile(member)
    assert file is not None  # it is a regular file
    return file


def _unpack(source: Path, data: IO[bytes], target: Path, told: Member) -> None:
    target.parent.mkdir(mode=0o700, exist_ok=True)
    target.touch(mode=0o600, exist_ok=False)
    with target.open("r+b") as file:
        shutil.copyfileobj(data, file)
        file.seek(0)
        if hashlib.file_digest(file, "sha256").hexdigest() != told.sha256:
            raise _unsound(source, f"{target.name} does not have its digest: the backup is damaged")


def _unsound(source: Path, why: str) -> InvalidInput:
    return InvalidInput(f"cannot restore {source}: {why}", hint="nothing was changed; take another backup")


def _verify(draft: Path, source: Path) -> None:
    """All of it as a daemon reads it. Its schema is brought to this program's."""
    try:
        check_database(draft / DATABASE)
        asyncio.run(_load(draft))
        if (draft / KEYS).exists():
            KeyRing.open(draft)
        if (draft / ADMIN).exists():
            admin_token(draft)
    except Unavailable as error:
        raise _unsound(source, error.message.replace(f"{draft}/", "")) from None


async def _load(folder: Path) -> None:
    store = await Store.open("", folder)
    try:
        await store.load()
    finally:
        await store.close()


def _targets(settings: Settings, manifest: Manifest) -> dict[str, Path]:
    """Each file and where it belongs; the database last, so that a daemon finds all that it needs once it is there."""
    places = {DATABASE: database_file(settings.store.url, settings.state_dir)}
    for name in manifest.files:
        if name.startswith(f"{SECRETS}/"):
            places[name] = settings.secrets_path / name.removeprefix(f"{SECRETS}/")
        elif name != DATABASE:
            places[name] = settings.state_dir / name
    return dict(sorted(places.items(), key=lambda place: place[0] == DATABASE))


def _keep(settings: Settings, targets: Mapping[str, Path]) -> Path | None:
    """A second name, in a folder of its own, for everything that is replaced; None: nothing is."""
    database = targets[DATABASE]
    journals = [database.with_name(f"{database.name}{end}") for end in ("-wal", "-shm")]
    there = {name: path for name, path in targets.items() if path.exists()}
    there |= {path.name: path for path in journals if path.exists()}
    if not there:
        return None
    folder = settings.state_dir / f"before-restore-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
    folder.mkdir(mode=0o700)
    _give(folder, settings.state_dir)
    for name, path in there.items():
        kept = folder / (path.name if path.parent == database.parent else name)
        kept.parent.mkdir(mode=0o700, exist_ok=True)
        try:
            kept.hardlink_to(path)
        except OSError:  # another file system
            shutil.copy2(path, kept)
            _give(kept, settings.state_dir)
    for journal in journals:  # it belongs to the old database alone
        journal.unlink(missing_ok=True)
    return folder


def _place(draft: Path, target: Path, state_dir: Path) -> None:
    """`target` is the old file or the new one at every moment, and the state directory's owner has it (0600)."""
    if not target.parent.exists():
        target.parent.mkdir(mode=0o700, parents=True)
        _give(target.parent, state_dir)
    beside = target.with_name(f".{target.name}.restored")
    with suppress(FileNotFoundError):
        beside.unlink()
    try:
        beside.touch(mode=0o600, exist_ok=False)
        shutil.copyfile(draft, beside)
        _give(beside, state_dir)
        _sync(beside)
        beside.replace(target)
        _sync(target.parent)
    finally:
        beside.unlink(missing_ok=True)


def _give(path: Path, like: Path) -> None:
    """To the user that `like` belongs to, where root does this for the daemon's user."""
    if os.geteuid() == 0:
        owner = like.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        hint = "run as the daemon's user (sudo), and where that may write"
        raise NotAuthorised(f"cannot {what}: permission denied: {error.filename}", hint=hint) from None
    except OSError as error:
        place = f": {error.filename}" if error.filename else ""
        raise Unavailable(f"cannot {what}: {error.strerror or error}{place}") from None
