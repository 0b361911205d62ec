"""The installation's own bridge network, and whether this process reaches the IPs on it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import docker

from orchestrator.runtimes.docker import options

NO_TRAFFIC_BETWEEN = {"com.docker.network.bridge.enable_icc": "false"}


def ensure_network(api: docker.APIClient, name: str, installation: str) -> None:
    """Made where missing, with no traffic between its containers; one that exists is used as it is."""
    if _exists(api, name):
        return
    try:
        api.create_network(
            name,
            driver="bridge",
            options=NO_TRAFFIC_BETWEEN,
            check_duplicate=True,
            labels={options.INSTALLATION: installation},
        )
    except docker.errors.APIError:
        if not _exists(api, name):  # else another was faster
            raise


def remove_network(api: docker.APIClient, name: str, installation: str) -> None:
    """Those of this name that we made; one that still has containers stays."""
    for found in api.networks(names=[name], filters={"label": f"{options.INSTALLATION}={installation}"}):
        with contextlib.suppress(docker.errors.APIError):
            api.remove_network(found["Id"])


def _exists(api: docker.APIClient, name: str) -> bool:
    return any(network["Name"] == name for network in api.networks(names=[name]))


def reached_by_ip(base_url: str, info: Mapping[str, Any]) -> bool:
    """Only an engine on this very machine, in the machine's own network namespace, puts its bridges where we are."""
    rootless = any("rootless" in option for option in info.get("SecurityOptions") or ())
    desktop = "docker desktop" in str(info.get("OperatingSystem", "")).lower()
    return base_url.startswith(("http+docker://localhost", "http+unix://")) and not rootless and not desktop
