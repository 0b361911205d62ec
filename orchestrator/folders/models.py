"""Model folders as the API shows and changes them: found by name, listed, made, removed; the files in them. Called in
threads by `app.models`; raises errors of `core.errors`.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from orchestrator.core.composing import MAX_BYTES
from orchestrator.core.errors import Conflict, InvalidDefinition, InvalidInput, NotFound, Unavailable
from orchestrator.core.file_names import checked_name, is_file_name, is_model_name
from orchestrator.core.model_views import FileView
from orchestrator.core.problems import is_valid
from orchestrator.core.views import instant
from orchestrator.folders.files import Refused, cause, read
from orchestrator.folders.pinned import (
    FOLDER_MODE,
    OURS,
    Pinned,
    disk_errors,
    lies_at,
    looked_at,
    parent_of,
    pinned,
    reopened,
    sync,
    where,
    write_below,
)
from orchestrator.folders.reading import Place, Reading, definition_name, locate, read_folder
from orchestrator.folders.removing import remove_tree
from orchestrator.folders.scanner import folders_of
from orchestrator.folders.sources import DEFINITIONS, leads_out
from orchestrator.folders.uploads import forget_uploads
from orchestrator.settings import Settings


@dataclass(frozen=True, slots=True)
class Found:
    """A folder in a models_dir. `shadowed_by`: the one of its name in an earlier models_dir; empty: none."""

    path: Path
    shadowed_by: str = ""


@dataclass(frozen=True, slots=True)
class Written:
    """A definition as it lies on the disk. `digest` None: it does not; `file` is what it would be called."""

    file: str
    data: bytes
    digest: str | None


def all_folders(settings: Settings) -> list[Found]:
    """In order of models_dirs and names. Raises `Unavailable` where no models_dir can be read."""
    found: dict[str, Path] = {}
    folders: list[Found] = []
    unread: list[str] = []
    for models_dir in settings.models_dirs:
        try:
            for path in folders_of(models_dir):
                first = found.setdefault(path.name, path)
                folders.append(Found(path, str(first) if first != path else ""))
        except OSError as error:
            unread.append(f"{models_dir}: {cause(error)}")
    if unread and len(unread) == len(settings.models_dirs):
        hint = "make the folder, or name others in config.toml (models_dirs)"
        raise Unavailable(f"cannot read {'; '.join(unread)}", hint=hint)
    return folders


def find(name: str, settings: Settings) -> Place:
    """Where the model folder of that name is: the first, by the order of models_dirs. Raises `NotFound`, or `Conflict`
    where it must not be read."""
    for models_dir in settings.models_dirs if is_model_name(name) else ():
        path = models_dir / name
        with suppress(OSError):
            if stat.S_ISDIR(os.stat(path).st_mode):  # noqa: PTH116
                place = locate(path, settings)
                if place.refusal:
                    hint = "opened by docker.allowed_mounts in config.toml"
                    raise Conflict(f"cannot use the model folder {name}: {place.refusal}", hint=hint, code="leads_out")
                return place
    raise NotFound(f"there is no model folder {name[:80]!r}", hint="`orchestrator models` lists them")


def make(name: str, settings: Settings) -> Place:
    """An empty folder in the first models_dir. Raises `Conflict` where there is one of that name in any."""
    checked_name(name)
    if not settings.models_dirs:
        hint = "name one in config.toml (models_dirs)"
        raise InvalidInput("cannot make a model folder: there is no models_dir", hint=hint)
    for models_dir in settings.models_dirs:
        if os.path.lexists(models_dir / name):
            text = f"cannot make the model folder {name}: {models_dir / name} is there"
            raise Conflict(text, hint="give it another name", code="name_taken")
    path = settings.models_dirs[0] / name
    with disk_errors(f"make the model folder {path}"):
        path.mkdir(FOLDER_MODE)
        path.chmod(FOLDER_MODE)
    return locate(path, settings)


def take_away(place: Place) -> Path | None:
    """The folder is gone at once for whoever looks: it now lies, hidden, where `destroy` removes it. A link is removed
    itself, and what it leads to stays: None."""
    with disk_errors(f"remove the model folder {place.listed}"):
        if place.listed.is_symlink():
            place.listed.unlink()
            return None
        hidden = place.listed.with_name(f"{OURS}removed-{uuid4().hex}")
        return place.listed.rename(hidden)


def destroy(hidden: Path) -> None:
    """With what an end of the daemon left of others. Raises `Unavailable` where something of it stays."""
    with disk_errors(f"remove all of {hidden}"):
        remove_tree(hidden)
    for left in hidden.parent.glob(f"{OURS}removed-*"):
        with suppress(OSError):
            remove_tree(left)


def files_in(place: Place, parts: Sequence[str]) -> list[FileView]:
    """What lies directly in a folder of the model folder: folders first, each by name."""
    path = "/".join(parts)
    with disk_errors(f"list {path or place.listed.name}"), pinned(place) as folder, looked_at(folder, parts) as seen:
        fd = reopened(seen, os.O_RDONLY | os.O_DIRECTORY)
        try:
            found = [view for name in os.listdir(fd) if is_file_name(name) and (view := _view(folder, fd, path, name))]  # noqa: PTH208
        finally:
            os.close(fd)
    return sorted(found, key=lambda one: (one.kind != "folder", one.path))


def _view(folder: Pinned, fd: int, above: str, name: str) -> FileView | None:
    """None: it is gone meanwhile."""
    found = lies_at(fd, name)
    if found is None:
        return None
    kind, seen = _kind(found), found
    if stat.S_ISLNK(found.st_mode):
        kind, seen = _linked(folder, fd, name, found)
    size = seen.st_size if kind == "file" else 0
    path = f"{above}/{name}" if above else name
    return FileView.model_validate({"path": path, "kind": kind, "size": size, "modified_at": instant(seen.st_mtime)})


def _linked(folder: Pinned, fd: int, name: str, found: os.stat_result) -> tuple[str, os.stat_result]:
    try:
        target = os.open(name, os.O_PATH | os.O_CLOEXEC, dir_fd=fd)
    except OSError:
        return "link", found
    try:
        seen = os.fstat(target)
        return (_kind(seen), seen) if where(target).is_relative_to(folder.root) else ("link", found)
    finally:
        os.close(target)


def _kind(found: os.stat_result) -> str:
    return "folder" if stat.S_ISDIR(found.st_mode) else "file" if stat.S_ISREG(found.st_mode) else "other"


def open_file(place: Place, parts: Sequence[str]) -> BinaryIO:
    """A regular file, to be read and closed."""
    path = "/".join(parts)
    with disk_errors(f"read {path}"), pinned(place) as folder, looked_at(folder, parts) as fd:
        mode = os.fstat(fd).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError
        if not stat.S_ISREG(mode):
            raise Refused("it is not a regular file")
        return open(reopened(fd, os.O_RDONLY), "rb")


def remove_file(place: Place, parts: Sequence[str]) -> None:
    """A file, a folder with all that is in it, a link itself, or what has come of an upload."""
    path, name = "/".join(parts), parts[-1]
    with disk_errors(f"remove {path}"), pinned(place) as folder, parent_of(folder, parts) as fd:
        begun = forget_uploads(fd, name)
        found = lies_at(fd, name)
        if found is not None and stat.S_ISDIR(found.st_mode):
            hidden = f"{OURS}removed-{uuid4().hex}"
            os.rename(name, hidden, src_dir_fd=fd, dst_dir_fd=fd)
            remove_tree(hidden, dir_fd=fd)
        elif found is not None or not begun:
            os.unlink(name, dir_fd=fd)
        sync(fd)


# --- the definition -------------------------------------------------------------------------------------------------


def definition_of(place: Place, settings: Settings) -> Written:
    """The one that the daemon reads, also where it is not valid."""
    file = _definition_file(place, settings)
    with disk_errors(f"read {file}"):
        try:
            data = read(place.listed / file, place.root).data
        except FileNotFoundError:
            place.real.stat()
            return Written(file, b"", None)
    if len(data) > MAX_BYTES:
        text = f"cannot read {file}: it is larger than {MAX_BYTES >> 20} MiB"
        raise Conflict(text, hint="no definition is: put another file in its place", code="too_large")
    return Written(file, data, hashlib.sha256(data).hexdigest())


def write_definition(place: Place, text: str, digest: str | None, settings: Settings, runtime: str) -> Written:
    """Put `text` in the place of the definition with `digest` (None: of none). Raises `InvalidDefinition`, with nothing
    written, or `Conflict` where another definition is there now."""
    file, data = _definition_file(place, settings), _encoded(text)
    reading = read_text(place, file, data, settings, runtime)
    if not is_valid(reading.problems):
        errors = [str(p) for p in reading.problems if p.severity == "error"]
        hint = "nothing was written; `problems` has each in its place"
        raise InvalidDefinition(f"cannot write {file}: {'; '.join(errors[:5])}", hint=hint, problems=reading.problems)
    now = definition_of(place, settings).digest
    if digest != now:
        state = "it is there already" if digest is None else "it is gone" if now is None else "it was changed meanwhile"
        hint = "read it again and make your change there"
        raise Conflict(f"cannot write {file} of {place.listed.name}: {state}", hint=hint, code="changed")
    with disk_errors(f"write {place.listed / file}"), pinned(place) as folder:
        write_below(folder, file, data)
    return Written(file, data, hashlib.sha256(data).hexdigest())


def read_text(place: Place, file: str, data: bytes, settings: Settings, runtime: str) -> Reading:
    """What the daemon would read if `data` were the definition in this folder."""
    return read_folder(place.listed, settings, runtime=runtime, file=place.real / file, data=data)


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise InvalidInput("cannot write the definition: it has a character that UTF-8 has no form of") from None


def _definition_file(place: Place, settings: Settings) -> str:
    """Its path in the folder; the usual one where there is none."""
    own = definition_name(place.listed, settings)
    if leads_out(own):
        raise Conflict(f"cannot use the definition's name {own!r}: it leads out of the folder")
    if own:
        return own
    return next((name for name in DEFINITIONS if os.path.lexists(place.real / name)), DEFINITIONS[1])


def modified_at(folder: Path, file: Path | None) -> float | None:
    """Wall seconds; None: it is gone."""
    times = []
    for path in (folder, file):
        with suppress(OSError):
            times += [path.stat().st_mtime] if path is not None else []
    return max(times, default=None)


def is_writable(place: Place) -> bool:
    return not place.refusal and os.access(place.real, os.W_OK | os.X_OK)
