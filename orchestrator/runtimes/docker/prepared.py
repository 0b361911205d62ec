"""A container between its creation and its start command, as this process knows it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import docker

from orchestrator.core.ports import LogLine
from orchestrator.runtimes.docker.archive import Owner


@dataclass(slots=True)
class Prepared:
    """All but the last four is read from the engine, so a restarted daemon knows it too."""

    container: str
    service: str
    image: str
    folder: str
    """Where the start command runs."""
    targets: tuple[str, ...]
    """Where something is mounted."""
    shell: bool
    owner: Owner
    own: tuple[str, ...] = ()
    """What the image itself would execute, in `own_folder`."""
    own_folder: str = "/"
    path: str = ""
    """PATH inside."""
    opened: bool = False
    """Its start command is known, and may run."""
    waiting: bool = False
    """It runs, behind its gate."""
    notes: list[LogLine] = field(default_factory=list)
    """Lines of actions that its log gets when the gate opens."""
    replay: list[Callable[[docker.APIClient, str], None]] = field(default_factory=list)
    """Without a shell there is no gate, so the container is created again at its start: what was put into it."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def mounted(self, path: str) -> bool:
        """Whether `path` lies in a mount, where the engine would write as root, and not atomically."""
        return any(path == target or path.startswith(target.rstrip("/") + "/") for target in self.targets)
