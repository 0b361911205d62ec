"""From a unit to what the engine is asked to create. Pure: what a container may do is read here, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from docker.types import ContainerConfig, DeviceRequest, HostConfig, LogConfig, Mount

from orchestrator.core.ports import Unit
from orchestrator.core.spec import RoutingSpec

INSTALLATION = "orchestrator.installation"
SERVICE = "orchestrator.service"
ROUTING = "orchestrator.routing"
REVISION = "orchestrator.revision"
KIND = "orchestrator.kind"
MEMBER = "orchestrator.member"
PORT = "orchestrator.port"

CAPABILITIES_DROPPED = ("NET_RAW", "MKNOD", "AUDIT_WRITE", "SETFCAP")
"""Of Docker's default set; dropping all breaks common images (their root could not even read its user's files)."""
PIDS = 8192
LOG_OPTIONS = {"max-size": "10m", "max-file": "3"}
OWN_NETWORK_MODES = ("host", "none")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a container is created. `publish`: its port on the host's loopback, as its IP cannot be reached."""

    installation: str
    network: str
    api_version: str
    publish: bool = False


def container_name(unit: Unit) -> str:
    return f"orchestrator-{unit.service}-{unit.id}"


def labels(unit: Unit, installation: str) -> dict[str, str]:
    """The definition's own, then ours: those cannot be overridden."""
    return {
        **unit.spec.labels,
        INSTALLATION: installation,
        SERVICE: unit.service,
        ROUTING: unit.id,
        REVISION: unit.spec.revision,
        KIND: unit.kind,
        MEMBER: "0",
        PORT: str(unit.spec.port),
    }


def create_options(unit: Unit, image: str, entrypoint: Sequence[str], place: Place) -> dict[str, Any]:
    """The body of the engine's create request."""
    spec = unit.spec
    mode = network_mode(spec, place)
    config: dict[str, Any] = ContainerConfig(
        place.api_version,
        image=image,
        command=[],
        entrypoint=list(entrypoint),
        environment={**unit.environ, "PORT": str(spec.port)},
        labels=labels(unit, place.installation),
        user=spec.user,
        hostname=None if mode == "host" else spec.hostname,
        working_dir=spec.model_path,
        ports=[spec.port] if place.publish else None,
        host_config=host_config(unit, mode, place),
    )
    config["NetworkingConfig"] = None if mode in OWN_NETWORK_MODES else {"EndpointsConfig": {mode: {}}}
    config["Cmd"] = []  # absent, the engine would add the image's own behind our entrypoint
    return config


def network_mode(spec: RoutingSpec, place: Place) -> str:
    """The installation's network; another that the definition asks for is joined besides (see `extra_network`)."""
    return spec.network if spec.network in OWN_NETWORK_MODES and spec.network else place.network


def extra_network(spec: RoutingSpec, place: Place) -> str | None:
    return None if spec.network in (None, place.network, *OWN_NETWORK_MODES) else spec.network


def host_config(unit: Unit, mode: str, place: Place) -> HostConfig:
    spec = unit.spec
    added = [capability.upper().removeprefix("CAP_") for capability in spec.capabilities]
    return HostConfig(
        place.api_version,
        network_mode=mode,
        mounts=mounts(spec),
        port_bindings={spec.port: ("127.0.0.1", None)} if place.publish else None,
        restart_policy={"Name": "no"},
        init=True,
        security_opt=["no-new-privileges"],
        cap_add=added,
        cap_drop=[capability for capability in CAPABILITIES_DROPPED if capability not in added],
        pids_limit=PIDS,
        devices=list(spec.devices),
        log_config=LogConfig(type=LogConfig.types.JSON, config=LOG_OPTIONS),
        **limits(spec.resources, unit.reservation.devices),
    )


def limits(resources: Mapping[str, float], devices: Sequence[str]) -> dict[str, Any]:
    """Slots that the engine itself enforces; the others only count."""
    found: dict[str, Any] = {}
    if cpu := resources.get("cpu"):
        found["nano_cpus"] = int(cpu * 1e9)
    if mem := resources.get("mem"):
        found["mem_limit"] = found["memswap_limit"] = int(mem)
    if shm := resources.get("shm"):
        found["shm_size"] = int(shm)
    if devices:  # by id: a count would always mean the first ones
        found["device_requests"] = [DeviceRequest(device_ids=list(devices), capabilities=[["gpu"]])]
    return found


def mounts(spec: RoutingSpec) -> list[Mount]:
    """Of kind bind: a source that does not exist is an error, where a volume would be made as root."""
    return [
        Mount(spec.model_mount, spec.model_folder, type="bind", read_only=spec.model_read_only),
        *(Mount(mount.target, mount.source, type="bind", read_only=mount.read_only) for mount in spec.mounts),
    ]
