"""What is there: our containers, found by their labels, as facts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, cast, get_args

import docker

from orchestrator.core.state import Observed, UnitKind, UnitState
from orchestrator.runtimes.docker import options

STATES: Mapping[str, UnitState] = {
    "created": "created",
    "running": "running",
    "restarting": "running",
    "paused": "paused",
}
"""Every other (exited, dead, removing) has ended."""


def ours(installation: str, routing: str = "") -> dict[str, list[str]]:
    """The filter for all containers of an installation, or those of one routing."""
    labels = [f"{options.INSTALLATION}={installation}"]
    return {"label": [*labels, f"{options.ROUTING}={routing}"] if routing else labels}


def observe(api: docker.APIClient, installation: str, waiting: Collection[str]) -> list[Observed]:
    """`waiting`: containers that are behind their gate, and so created, not running, to everyone else."""
    found = api.containers(all=True, filters=ours(installation))
    return [seen for container in found if (seen := _observed(api, container, waiting)) is not None]


def _observed(api: docker.APIClient, container: Mapping[str, Any], waiting: Collection[str]) -> Observed | None:
    labels = container["Labels"]
    runtime_id = str(container["Id"])
    kind = labels.get(options.KIND, "routing")
    state = "created" if runtime_id in waiting else STATES.get(container["State"], "exited")
    end: Mapping[str, Any] = {}
    if state == "exited":
        try:
            end = api.inspect_container(runtime_id)["State"]
        except docker.errors.NotFound:
            return None
    host, port = _address(container, int(labels.get(options.PORT, "0")))
    return Observed(
        routing=labels.get(options.ROUTING, ""),
        service=labels.get(options.SERVICE, ""),
        revision=labels.get(options.REVISION, ""),
        kind=cast(UnitKind, kind) if kind in get_args(UnitKind) else "routing",
        runtime_id=runtime_id,
        state=state,
        host=host if state in ("running", "paused") else "",
        port=port,
        exit_code=end.get("ExitCode"),
        oom=bool(end.get("OOMKilled")),
        member=int(labels.get(options.MEMBER, "0")),
    )


def _address(container: Mapping[str, Any], port: int) -> tuple[str, int]:
    """Where its port is reached: published, on the host's own network, or at its IP on a bridge."""
    for published in container.get("Ports") or ():
        if published.get("PublicPort") and published.get("PrivatePort") == port:
            return "127.0.0.1", int(published["PublicPort"])
    networks = (container.get("NetworkSettings") or {}).get("Networks") or {}
    if "host" in networks:
        return "127.0.0.1", port
    mode = (container.get("HostConfig") or {}).get("NetworkMode", "")
    own: Mapping[str, Any] = networks.get(mode) or next(iter(networks.values()), {})
    return str(own.get("IPAddress") or ""), port
