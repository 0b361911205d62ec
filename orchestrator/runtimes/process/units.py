"""One local routing on disk: its folder, what it was created from, and what its supervisor wrote about it.

A folder appears whole and vanishes whole (by renaming), so a crash leaves either all of a routing or nothing of it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import TypeAdapter

from orchestrator.core.errors import InvalidInput
from orchestrator.core.paths import HOME
from orchestrator.core.state import Observed, UnitKind, UnitState
from orchestrator.folders.removing import remove_tree
from orchestrator.runtimes.process.processes import alive, state

LOOPBACK = "127.0.0.1"
TMP = "/tmp"
"""Inside a routing; the host's own is another."""
_STALE = 600.0
_MOST_PID = 4194304
"""The kernel's own limit."""


@dataclass(frozen=True, slots=True)
class Record:
    """What a routing was created from: all that is needed to start it, also by another daemon than its creator."""

    id: str
    installation: str
    service: str
    revision: str
    kind: UnitKind
    runtime_id: str
    port: int
    fixed_port: bool
    cwd: str
    """Inside the routing."""
    paths: tuple[tuple[str, str], ...] = ()
    read_only: tuple[str, ...] = ()
    """Host paths among `paths` that are not written to."""
    environ: Mapping[str, str] = field(default_factory=dict)
    member: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)


_RECORD = TypeAdapter(Record)


@dataclass(frozen=True, slots=True)
class UnitFolder:
    """`path` is state_dir/routings/ID."""

    path: Path

    @property
    def home(self) -> Path:
        return self.path / "home"

    @property
    def tmp(self) -> Path:
        return self.path / "tmp"

    @property
    def exists(self) -> bool:
        return self.path.is_dir()

    def record(self) -> Record:
        """Raises OSError or ValueError where it cannot be read, or is another's."""
        record = _RECORD.validate_json((self.path / "unit.json").read_bytes())
        if record.id != self.path.name:
            raise ValueError(f"it is the record of {record.id}")
        return record

    def recorded(self) -> Mapping[str, Any]:
        """`supervisor` and `main`, each as `supervisor.identity` gives it; empty before the start. What is damaged is
        left out: the routing itself can write there."""
        return {name: who for name, who in self._json("pid.json").items() if _is_identity(who)}

    def ended(self) -> Mapping[str, Any]:
        """`code`; empty while it runs, or where its supervisor was killed."""
        ended = self._json("exit.json")
        return ended if type(ended.get("code")) is int else {}

    def _json(self, name: str) -> Mapping[str, Any]:
        try:
            value = json.loads((self.path / name).read_text())
        except (OSError, ValueError):
            return {}
        return value if isinstance(value, dict) else {}

    def observe(self, installation: str) -> Observed | None:
        """What it is now; None: another installation's. A folder whose record is lost is shown with its id alone, so
        that it can be removed."""
        now = self.state()
        ended = self.ended() if now == "exited" else {}  # read after: how it ended is written before it is over
        try:
            record = self.record()
        except (OSError, ValueError):
            return Observed(self.path.name, "", "", "routing", self.path.name, now)
        if record.installation != installation:
            return None
        return Observed(
            record.id,
            record.service,
            record.revision,
            record.kind,
            record.runtime_id,
            now,
            host=LOOPBACK if now != "created" else "",
            port=record.port,
            exit_code=ended.get("code"),
            member=record.member,
        )

    def state(self) -> UnitState:
        recorded = self.recorded()
        if not recorded:
            return "created"
        if self.ended() or not alive(recorded.get("supervisor")):
            return "exited"
        if "main" not in recorded:
            return "created"
        return "paused" if state(recorded["main"]) == "T" else "running"


def _is_identity(who: object) -> bool:
    """An id of 0 or less would stand for many processes, or for all."""
    return isinstance(who, dict) and type(who.get("pid")) is int and 0 < who["pid"] <= _MOST_PID


def folder_of(routings: Path, unit_id: str) -> UnitFolder:
    """Raises `InvalidInput` for an id that is not one plain name."""
    if not unit_id or unit_id.startswith(".") or "/" in unit_id or "\0" in unit_id or len(unit_id) > 200:
        raise InvalidInput(f"cannot address the routing {unit_id!r}: an id is one plain name")
    return UnitFolder(routings / unit_id)


def all_folders(routings: Path) -> Iterator[UnitFolder]:
    """Every routing's folder, of whatever installation. Raises OSError."""
    for entry in sorted(routings.iterdir()):
        if not entry.name.startswith(".") and entry.name.isprintable() and entry.is_dir():
            yield UnitFolder(entry)


def make(folder: UnitFolder, record: Record) -> None:
    """Create the folder with everything in it. Raises OSError; then nothing of it is left."""
    building = folder.path.with_name(f".new-{uuid4().hex}")
    building.mkdir(mode=0o700)
    try:
        for name in ("home", "tmp"):
            (building / name).mkdir(mode=0o755)
        for inside, outside in record.paths:
            _link(building / "home", inside, outside)
        text = json.dumps(asdict(record))
        handle = os.open(building / "unit.json", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with open(handle, "w") as file:
            file.write(text)
        building.rename(folder.path)
    except BaseException:
        with suppress(OSError):
            _remove_tree(building)
        raise


def _link(home: Path, inside: str, outside: str) -> None:
    """Show what would be mounted below /home/work there, for programs that open it by a relative path."""
    if inside.startswith(HOME + "/"):
        link = home / inside[len(HOME) + 1 :]
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to(outside)


def unmake(folder: UnitFolder) -> None:
    """Remove it with everything in it; what is not there is fine. Raises OSError."""
    gone = folder.path.with_name(f".gone-{uuid4().hex}")
    try:
        folder.path.rename(gone)
    except FileNotFoundError:
        return
    _remove_tree(gone)


def sweep(routings: Path) -> None:
    """Finish what an interrupted `unmake` or `make` left; a young `make` may be under way."""
    for entry in routings.glob(".gone-*"):
        _remove_tree(entry)
    for entry in routings.glob(".new-*"):
        with suppress(FileNotFoundError):
            if time.time() - entry.stat().st_mtime > _STALE:
                _remove_tree(entry)


def _remove_tree(path: Path) -> None:
    """What is not there is fine. Raises OSError."""
    with suppress(FileNotFoundError):
        remove_tree(path)
