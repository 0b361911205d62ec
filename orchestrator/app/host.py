"""What is found out about the host before a plan is made: room on disk, images, ports. Used by `app.plans`."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from orchestrator.app.parts import Parts
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.fitting import Host
from orchestrator.core.pending import Pending
from orchestrator.core.state import World
from orchestrator.gateway.listening import refused
from orchestrator.settings import address


async def look_at_host(parts: Parts, changes: Sequence[Pending], world: World) -> Host:
    """What `changes` need to know. What cannot be found out is left out: it is no reason against a plan."""
    granted = {s.spec.endpoint.port for s in world.services.values()}
    ports = {p.wanted.spec.endpoint.port for p in changes} - granted
    host = address(parts.settings.gateway.listen)[0]
    wanted = {p.wanted.spec.routing.image for p in changes if not p.wanted.removing}
    return Host(
        disk=await asyncio.to_thread(_free, (parts.settings.state_dir, Path(parts.info.detail.get("folder", "")))),
        images=await _images(parts, {image for image in wanted if image}),
        pull=parts.settings.docker.pull,
        hold_seconds=parts.settings.gateway.hold_seconds,
        ports=await asyncio.to_thread(refused, host, [port for port in ports if port is not None], ()),
    )


async def _images(parts: Parts, names: set[str]) -> dict[str, bool]:
    found = {}
    for name in sorted(names):
        try:
            found[name] = await parts.runtime.has_image(name)
        except OrchestratorError:
            return found
    return found


def _free(folders: Sequence[Path]) -> dict[str, int]:
    """Free bytes, of the folders that can be looked at."""
    found = {}
    for folder in folders:
        if folder.is_absolute() and os.access(folder, os.F_OK):
            try:
                found[str(folder)] = shutil.disk_usage(folder).free
            except OSError:
                continue
    return found
