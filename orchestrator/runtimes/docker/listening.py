"""What a container listens on, read from its network namespace without running anything inside."""

from __future__ import annotations

from pathlib import Path

import docker

from orchestrator.core.listening import Listener, sockets

RESOLVER = "127.0.0.11"
"""The engine's own name server, in every container on a network of ours."""


def listeners(api: docker.APIClient, container: str) -> list[Listener] | None:
    """None: its processes are not this machine's (a remote engine, another pid namespace), it has ended, the namespace
    is not its own, or its port outside is another than inside."""
    facts = api.inspect_container(container)
    pid, host = facts["State"].get("Pid") or 0, facts["HostConfig"]
    mode = host.get("NetworkMode", "")
    if not pid or mode == "host" or mode.startswith("container:") or host.get("PortBindings"):
        return None
    process = Path(f"/proc/{pid}")
    try:
        if str(facts["Id"]) not in (process / "cgroup").read_text():
            return None
        tables = [(process / "net" / name).read_text() for name in ("tcp", "tcp6")]
    except OSError:
        return None
    return [one for table in tables for one in sockets(table) if one.address != RESOLVER]
