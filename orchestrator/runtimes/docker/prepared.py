"""A container between its creation and its start command, as this process remembers it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import docker

from orchestrator.core.ports import LogLine, Unit
from orchestrator.runtimes.docker.archive import Owner


@dataclass(slots=True)
class Prepared:
    """`own`: what the image itself would execute, in `own_folder`."""

    unit: Unit
    container: str
    shell: bool
    owner: Owner
    own: tuple[str, ...] = ()
    own_folder: str = "/"
    path: str = ""
    """PATH inside."""
    waiting: bool = False
    """It runs, behind its gate."""
    notes: list[LogLine] = field(default_factory=list)
    """Lines of actions that its log gets when the gate opens."""
    replay: list[Callable[[docker.APIClient, str], None]] = field(default_factory=list)
    """Without a shell there is no gate, so the container is created again at its start: what was put into it."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def mounted(self, path: str) -> bool:
        """Whether `path` lies in a mount, where the engine would write as root, and not atomically."""
        targets = [self.unit.spec.model_mount, *(mount.target for mount in self.unit.spec.mounts)]
        return any(path == target or path.startswith(target.rstrip("/") + "/") for target in targets)
