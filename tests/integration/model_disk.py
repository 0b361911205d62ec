"""Model folders on a real disk, with what must not be reached beside them, behind a Control with no services."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from small_control import SmallControl

from orchestrator.app.models import ModelFolders
from orchestrator.app.parts import Parts
from orchestrator.settings import Settings

VALID = "models:\n  - name: m\n    service: {start_command: [run], port: 8000}\n    deployment: {image: i}\n"
INVALID = "models:\n  - name: m\n    service: {start_command: [run], port: none}\n"
SECRET = b"secret"


class OnDisk(ModelFolders, SmallControl):
    """The model folders of a daemon with no services; all else is small."""

    def __init__(self, settings: Settings) -> None:
        SmallControl.__init__(self)
        facts = SimpleNamespace(services={}, broken=(), removed=(), by_service=dict, of=lambda _: [])
        loop = SimpleNamespace(lock=asyncio.Lock(), facts=facts, rescan=lambda: None, wake=lambda: None)
        runtime = SimpleNamespace(name="docker")
        ModelFolders.__init__(self, cast(Parts, SimpleNamespace(loop=loop, settings=settings, runtime=runtime)))


class Disk:
    """A models_dir with the folder `m`, another one, and what must not be reached beside them."""

    def __init__(self, top: Path) -> None:
        self.top, self.first, self.second = top, top / "models", top / "more"
        self.outside = top / "outside"
        for folder in (self.first, self.second, self.outside, self.first / "m"):
            folder.mkdir()
        self.m = self.first / "m"
        (self.outside / "secret").write_bytes(SECRET)
        self.settings = Settings(models_dirs=(self.first, self.second), state_dir=top / "state")

    def untouched(self) -> bool:
        return {p.name: p.read_bytes() for p in self.outside.iterdir()} == {"secret": SECRET}

    def visible(self) -> set[str]:
        return {str(p.relative_to(self.m)) for p in self.m.rglob("*") if not p.name.startswith(".")}
