"""Files that only the daemon's user may read (0600), written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from orchestrator.core.errors import Unavailable


def replace(path: Path, text: str) -> None:
    """Write `text` to `path`; what was there before is there until this has succeeded, also after a power cut."""
    with _translated("write", path), _draft(path, text) as draft:
        draft.replace(path)
        _sync_folder(path.parent)


def create(path: Path, text: str) -> str:
    """Write `text` unless `path` exists; what it holds now. Of two at once both get the same answer."""
    with _translated("write", path):
        with _draft(path, text) as draft, suppress(FileExistsError):
            os.link(draft, path)
            _sync_folder(path.parent)
        return path.read_text()


def read(path: Path) -> str | None:
    """None: there is no such file."""
    with _translated("read", path):
        try:
            return path.read_text()
        except FileNotFoundError:
            return None


@contextmanager
def _draft(path: Path, text: str) -> Iterator[Path]:
    """A finished file beside `path`; gone afterwards unless it was moved."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # made 0600
    draft = Path(name)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _translated(verb: str, path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        hint = "check that state_dir has space and belongs to the daemon's user"
        raise Unavailable(f"cannot {verb} {path}: {reason}", hint=hint) from error
