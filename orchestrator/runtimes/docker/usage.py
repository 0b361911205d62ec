"""What containers take: read from the kernel where the engine is this machine's, else asked of the engine one by one.

Reading costs tens of microseconds a container, a question some milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import docker

from orchestrator.core.ports import Usage
from orchestrator.runtimes.docker import observe, options

GROUPS = Path("/sys/fs/cgroup")
AT_ONCE = 4
_V2 = ("docker/{id}", "system.slice/docker-{id}.scope")
_NS, _US = 1e9, 1e6


def usage(api: docker.APIClient, installation: str) -> dict[str, Usage]:
    """By routing (or try), of the running containers. One that ends meanwhile is left out."""
    filters = observe.ours(installation) | {"status": ["running"]}
    containers = {str(c["Id"]): c["Labels"].get(options.ROUTING, "") for c in api.containers(filters=filters)}
    found = {id: taken for id in containers if (taken := read(GROUPS, id)) is not None}
    left = [id for id in containers if id not in found]
    if left:
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="docker stats") as pool:
            asked = pool.map(lambda id: (id, _asked(api, id)), left)
            found |= {id: taken for id, taken in asked if taken is not None}
    return {containers[id]: taken for id, taken in found.items()}


def read(groups: Path, container: str) -> Usage | None:
    """From the files of its control group (version 2, then 1); None: they are not here."""
    for name in _V2:
        folder = groups / name.format(id=container)
        with suppress(OSError, KeyError, ValueError):
            cpu = _table(folder / "cpu.stat")["usage_usec"] / _US
            memory, stat = int((folder / "memory.current").read_text()), _table(folder / "memory.stat")
            return Usage(cpu, max(0, memory - stat["inactive_file"]))
        with suppress(OSError, KeyError, ValueError):
            cpu = int((groups / "cpuacct" / name.format(id=container) / "cpuacct.usage").read_text()) / _NS
            folder = groups / "memory" / name.format(id=container)
            memory, stat = int((folder / "memory.usage_in_bytes").read_text()), _table(folder / "memory.stat")
            return Usage(cpu, max(0, memory - stat["total_inactive_file"]))
    return None


def _table(path: Path) -> dict[str, int]:
    return {name: int(value) for name, value in (line.split() for line in path.read_text().splitlines())}


def _asked(api: docker.APIClient, container: str) -> Usage | None:
    with suppress(docker.errors.APIError, KeyError):
        return told(api.stats(container, stream=False, one_shot=True))
    return None


def told(answer: Mapping[str, Any]) -> Usage:
    """From the engine's answer about one container. Raises KeyError where it has ended."""
    memory = answer["memory_stats"]
    details: Mapping[str, int] = memory.get("stats") or {}
    cache = details.get("total_inactive_file", details.get("inactive_file", 0))
    return Usage(answer["cpu_stats"]["cpu_usage"]["total_usage"] / _NS, max(0, int(memory["usage"]) - cache))
