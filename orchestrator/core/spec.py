"""What would run: a service resolved from its definition, the defaults and its folder.

`RoutingSpec` holds everything whose change is rolling; its hash is the revision. The rest of `ServiceSpec` is hot.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal, Self

from pydantic import Field

from orchestrator.core.definition import Action, Endpoint, HealthCheck, Part, Update

Source = Literal["folder", "api"]


class ResolvedMount(Part):
    """A host path mounted at `target` inside the routing; `source` is absolute, with symlinks resolved."""

    source: str
    target: str
    read_only: bool = True


class RoutingSpec(Part):
    """One routing as every runtime understands it. Templates are still in `command` and `actions`.

    `model_folder` is mounted at `model_mount`; `model_path` is the working directory of the start command.
    """

    model_name: str
    model_folder: str
    model_path: str
    model_mount: str
    model_read_only: bool = False
    image: str | None = None
    command: tuple[str, ...] | str | None = None
    shell: str | None = "default"
    port: int
    actions: tuple[Action, ...] = ()
    environ: Mapping[str, str] = Field(default_factory=dict)
    secrets: Mapping[str, str] = Field(default_factory=dict)
    resources: Mapping[str, float] = Field(default_factory=dict)
    """Slots: `cpu` in cores, `mem` and `shm` in bytes, `cuda.device` in whole devices, declared slots as declared."""
    resource_group: str = "default"
    cluster_mode: Literal["single-node", "multi-node"] = "single-node"
    cluster_size: int = 1
    mounts: tuple[ResolvedMount, ...] = ()
    user: str | None = None
    network: str | None = None
    hostname: str | None = None
    labels: Mapping[str, str] = Field(default_factory=dict)
    devices: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    health: HealthCheck | None = None
    """None: off; a routing counts as HEALTHY once its port accepts a connection. With the revision, so that each
    routing is asked what it was made to answer."""

    @cached_property
    def revision(self) -> str:
        """Twelve hex digits that are equal exactly where what runs is equal. Defaults are left out, so that a field
        that a later version adds changes no revision."""
        return digest(self.model_dump(mode="json", exclude_defaults=True))

    def __copy__(self) -> Self:
        """`model_copy` changes fields of the copy: it must not inherit the revision that was computed before."""
        copied = super().__copy__()
        copied.__dict__.pop("revision", None)
        return copied


class ServiceSpec(Part):
    """What is wanted of one service. Durations in seconds."""

    name: str
    model_name: str
    routing: RoutingSpec
    desired: int = 1
    open_to_public: bool = False
    endpoint: Endpoint = Endpoint()
    start_timeout: float = 1800.0
    unhealthy_timeout: float = 60.0
    stop_grace: float = 30.0
    retry: bool = True
    update: Update = Update()
    metadata: Mapping[str, Any] = Field(default_factory=dict)


def digest(value: object) -> str:
    """Twelve hex digits of the canonical JSON of `value`."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
