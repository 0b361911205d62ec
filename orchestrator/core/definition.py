"""The definition as written: what a valid `model-definition.yml` says, before defaults and folder are applied.

Contract: docs/definition.md. Loading with positions is `core.loading`; what follows from it is `core.spec`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Part(BaseModel):
    """Base of all parts of a definition: frozen, unknown keys forbidden."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


# --- pre-start actions ----------------------------------------------------------------------------------------------


class WriteFileArgs(Part):
    filename: str
    body: tuple[str, ...] | str
    """A list: each item becomes one line. A string: written as it is."""
    mode: int = 0o644
    append: bool = False


class WriteTempfileArgs(Part):
    body: tuple[str, ...] | str
    mode: int = 0o644


class RunCommandArgs(Part):
    command: tuple[str, ...]
    echo: bool = False
    check: bool = True


class MkdirArgs(Part):
    path: str


class LogArgs(Part):
    message: str
    debug: bool = False


class ActionBase(Part):
    ref: str | None = None
    timeout: float = 300.0
    """Seconds."""


class WriteFile(ActionBase):
    action: Literal["write_file"]
    args: WriteFileArgs


class WriteTempfile(ActionBase):
    action: Literal["write_tempfile"]
    args: WriteTempfileArgs


class RunCommand(ActionBase):
    action: Literal["run_command"]
    args: RunCommandArgs


class Mkdir(ActionBase):
    action: Literal["mkdir"]
    args: MkdirArgs


class Log(ActionBase):
    action: Literal["log"]
    args: LogArgs


Action = Annotated[WriteFile | WriteTempfile | RunCommand | Mkdir | Log, Field(discriminator="action")]

# --- service --------------------------------------------------------------------------------------------------------


class HealthCheck(Part):
    """How a routing is probed. Durations in seconds."""

    enable: bool = True
    path: str = "/health"
    interval: float = 10.0
    max_retries: int = 10
    max_wait_time: float = 15.0
    expected_status_code: tuple[tuple[int, int], ...] = ((200, 200),)
    """Inclusive ranges."""
    initial_delay: float = 60.0


class Service(Part):
    pre_start_actions: tuple[Action, ...] = ()
    start_command: tuple[str, ...] | str | None = None
    """None: the image's own command."""
    shell: str | None = "default"
    """Only used where `start_command` is a string. `default`: /bin/bash, else /bin/sh; None: split and executed."""
    port: int
    health_check: HealthCheck | None = None


class Mount(Part):
    """`source`: the name of a folder under `data_dirs` or an absolute path under `allowed_mounts`."""

    source: str
    target: str | None = None
    read_only: bool = True


class Endpoint(Part):
    port: int | None = None
    host: str | None = None


class Deployment(Part):
    """What Backend.AI asks for in its launcher. None: left out here; `[defaults]`, then the built-in default."""

    service_name: str | None = None
    image: str | None = None
    desired_routing_count: int | None = None
    open_to_public: bool | None = None
    environ: Mapping[str, str] | None = None
    secrets: Mapping[str, str] | None = None
    resources: Mapping[str, float] | None = None
    """Slot name to amount; sizes already in bytes."""
    resource_group: str | None = None
    cluster_mode: Literal["single-node", "multi-node"] | None = None
    cluster_size: int | None = None
    model_mount_destination: str | None = None
    model_read_only: bool | None = None
    extra_mounts: tuple[Mount, ...] | None = None
    user: str | None = None
    network: str | None = None
    hostname: str | None = None
    labels: Mapping[str, str] | None = None
    devices: tuple[str, ...] | None = None
    capabilities: tuple[str, ...] | None = None
    endpoint: Endpoint | None = None
    start_timeout: float | None = None
    unhealthy_timeout: float | None = None
    stop_grace: float | None = None
    retry: bool | None = None


class Model(Part):
    name: str
    model_path: str | None = None
    service: Service | None = None
    metadata: Mapping[str, Any] = Field(default_factory=dict)
    deployment: Deployment = Field(default_factory=Deployment)


class Definition(Part):
    models: tuple[Model, ...]
