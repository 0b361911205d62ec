"""Where the gateway's files lie, and how they are written: whole or not at all, readable by the daemon's user only."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.auth import Certificate, private
from orchestrator.core.errors import Unavailable
from orchestrator.gateway.render import HOLD, MAPS, Sockets, hold_source, map_text

MAP_NAMES = ("backend", "state", "public", "ports", "hosts", "revoked")
CERTIFICATE = "tls-"
_LONGEST = 97
"""Characters of a socket's path that HAProxy can take."""
_PLAIN = re.compile(r"[A-Za-z0-9/._-]+")


@dataclass(frozen=True, slots=True)
class Files:
    folder: Path
    sockets: Path

    @property
    def config(self) -> Path:
        return self.folder / "haproxy.cfg"

    @property
    def candidate(self) -> Path:
        return self.folder / "haproxy.cfg.new"

    @property
    def master(self) -> Path:
        return self.sockets / "master.sock"

    @property
    def onward(self) -> Path:
        return self.sockets / "onward.sock"

    @property
    def records(self) -> Path:
        return self.sockets / "records.sock"

    @property
    def metrics(self) -> Path:
        return self.sockets / "metrics.sock"

    @property
    def told(self) -> Sockets:
        """Those that stand in a configuration."""
        return Sockets(str(self.onward), str(self.records), str(self.metrics))

    def drop_sockets(self) -> None:
        """After HAProxy ended: nothing of it stays behind in a shared folder."""
        if self.sockets != self.folder:
            shutil.rmtree(self.sockets, ignore_errors=True)

    def map(self, name: str) -> Path:
        return self.folder / MAPS / f"{name}.map"

    def read_config(self) -> str:
        return private.read(self.config) or ""

    def write_config(self, text: str) -> None:
        if text != self.read_config():
            private.replace(self.config, text)

    def complete(self) -> None:
        """All that a configuration reads is there: also what one of another version did without."""
        for name in MAP_NAMES:
            if not self.map(name).exists():
                self.write_map(name, {})
        if private.read(self.folder / HOLD) != hold_source():
            private.replace(self.folder / HOLD, hold_source())

    def write_certificate(self, certificate: Certificate | None) -> str:
        """Its name in the folder, empty where there is none. Another certificate is another file: a configuration
        always finds the one that it was written with."""
        if certificate is None:
            return ""
        name = f"{CERTIFICATE}{certificate.mark}.pem"
        if private.read(self.folder / name) != certificate.pem:
            private.replace(self.folder / name, certificate.pem)
        return name

    def drop_certificates(self, kept: str) -> None:
        """All but this one."""
        for path in self.folder.glob(f"{CERTIFICATE}*.pem"):
            if path.name != kept:
                path.unlink(missing_ok=True)

    def write_map(self, name: str, entries: Mapping[str, str]) -> None:
        text = map_text(entries)
        if private.read(self.map(name)) != text:
            private.replace(self.map(name), text)


def files(state_dir: Path) -> Files:
    """The folders, made where they are missing. Sockets lie beside the files where their path is short and plain."""
    folder = (state_dir / "gateway").absolute()
    sockets = folder if _fits(folder) else _short(folder)
    try:
        for made in (folder, folder / MAPS, sockets):
            made.mkdir(mode=0o700, parents=True, exist_ok=True)
        _guard(sockets)
    except OSError as error:
        raise Unavailable(
            f"cannot make {folder}: {error.strerror or error}", hint="state_dir must belong to the daemon's user"
        ) from error
    return Files(folder, sockets)


def _fits(folder: Path) -> bool:
    return len(os.fsencode(folder / "records.sock")) <= _LONGEST and bool(_PLAIN.fullmatch(str(folder)))


def _short(folder: Path) -> Path:
    mark = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"orchestrator-{mark}"


def _guard(sockets: Path) -> None:
    """Whoever owns the folder of the sockets owns the gateway: in a shared place it must be ours alone."""
    found = sockets.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise Unavailable(f"cannot use {sockets}: another user could replace it", hint=f"remove {sockets}")
