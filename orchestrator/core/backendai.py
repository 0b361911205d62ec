"""Bodies and answers of the `/services` paths, in the words of Backend.AI: what `api.backendai` and the SDK share.

Aliases are accepted, what cannot be granted is refused with its name; docs/differences.md lists both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator

from orchestrator.core.errors import InvalidInput
from orchestrator.core.expiry import LAST
from orchestrator.core.views import LaunchRequest, Request, View

Amount = int | float | str

_ALIASES = {
    "clientSessionToken": "name",
    "service_name": "name",
    "desiredSessionCount": "desired_session_count",
    "replicas": "desired_session_count",
    "lang": "image",
    "arch": "architecture",
    "startupCommand": "startup_command",
    "bootstrapScript": "bootstrap_script",
    "callbackUrl": "callback_url",
    "groupName": "group",
    "domainName": "domain",
    "clusterSize": "cluster_size",
    "clusterMode": "cluster_mode",
    "expose_to_public": "open_to_public",
    "modelMountDestination": "model_mount_destination",
    "vfolderSubpath": "vfolder_subpath",
    "scalingGroup": "scaling_group",
}
_DEFINED = "the definition says it (model-definition.yml)"
_REFUSED = {
    "startup_command": _DEFINED,
    "bootstrap_script": "write it as a pre-start action of the definition",
    "callback_url": "follow /v1/events",
    "owner_access_key": "there are no owners",
    "tag": "write it under `metadata` in the definition",
}


class _Aliased(Request):
    @model_validator(mode="before")
    @classmethod
    def _rename(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        found: dict[object, object] = {}
        for key, given in value.items():
            name = _ALIASES.get(key, key) if _ALIASES.get(key) in cls.model_fields else key
            if name in found:
                raise ValueError(f"{name} is given twice")
            found[name] = given
        return found


class MountOptions(Request):
    mount_destination: str | None = None
    type: str = "bind"
    permission: str | None = None
    """`ro`, `rw` or `wd` (as `rw`)."""


class CreateConfig(_Aliased):
    model: str = Field(min_length=1, max_length=4096)
    """A model folder's name or path, else the name of a model."""
    model_version: int | str | None = None
    model_definition_path: str | None = None
    model_mount_destination: str | None = None
    vfolder_subpath: str | None = None
    extra_mounts: Mapping[str, MountOptions] = Field(default_factory=dict)
    environ: Mapping[str, str] | None = None
    scaling_group: str | None = None
    resources: Mapping[str, Amount] | None = None
    resource_opts: Mapping[str, Amount] | None = None


class CreateRequest(_Aliased):
    """What `POST /services` takes."""

    name: str = Field(min_length=1, max_length=64)
    desired_session_count: int = Field(ge=0)
    image: str | None = None
    runtime_variant: str = "custom"
    architecture: str | None = None
    tag: str | None = None
    startup_command: str | None = None
    bootstrap_script: str | None = None
    callback_url: str | None = None
    owner_access_key: str | None = None
    group: str = "default"
    domain: str = "default"
    cluster_size: int = 1
    cluster_mode: str = "SINGLE_NODE"
    open_to_public: bool = False
    config: CreateConfig

    def launch(self, folder: str) -> LaunchRequest:
        """The same as a launch of `folder`. Raises `InvalidInput` naming what cannot be granted."""
        self._refuse()
        config = self.config
        resources = {**(config.resources or {})}
        if "shmem" in (options := {**(config.resource_opts or {})}):
            resources["shm"] = options.pop("shmem")
        if options:
            raise _refusal(f"config.resource_opts.{min(options)}", "only shmem is known")
        return LaunchRequest(
            folder=folder,
            name=self.name,
            image=self.image,
            count=self.desired_session_count,
            public=self.open_to_public,
            resources={slot: str(amount) for slot, amount in resources.items()},
            environ=config.environ or {},
            mounts=tuple(_mount(source, options) for source, options in config.extra_mounts.items()),
            definition=config.model_definition_path,
            destination=config.model_mount_destination,
        )

    def _refuse(self) -> None:
        for name, hint in _REFUSED.items():
            if getattr(self, name):
                raise _refusal(name, hint)
        fixed = {"group": "default", "domain": "default", "runtime_variant": "custom", "cluster_size": 1}
        for name, only in fixed.items():
            if getattr(self, name) != only:
                raise _refusal(f"{name} {getattr(self, name)!r}", f"only {only!r} is known here")
        if self.cluster_mode.upper().replace("-", "_") != "SINGLE_NODE":
            raise _refusal(f"cluster_mode {self.cluster_mode!r}", "only SINGLE_NODE is known here")
        if self.config.scaling_group not in (None, "default"):
            raise _refusal("config.scaling_group", "`deployment.resource_group` of the definition names one")
        if self.config.vfolder_subpath:
            raise _refusal("config.vfolder_subpath", "give the path of the model folder itself as config.model")


class ScaleTo(Request):
    to: int = Field(ge=0)


class TokenFor(Request):
    """One of both at most; neither: 30 days."""

    duration: str | int | None = None
    """`3600s`, `15m`, `2h`, `3d`, `1w`, `2mo`, `1yr`, bare seconds, or `never`."""
    valid_until: int | None = Field(None, ge=0, le=int(LAST))
    """Seconds since the epoch."""


class Versions(View):
    version: str
    """Of the API."""
    manager: str
    """Of the daemon."""


class CompactService(View):
    """One service as `GET /services` lists it."""

    id: str
    name: str
    replicas: int
    desired_session_count: int
    active_route_count: int
    service_endpoint: str | None
    is_public: bool
    status: str


class CreatedService(View):
    endpoint_id: str
    name: str
    replicas: int
    desired_session_count: int
    active_route_count: int
    service_endpoint: str | None
    is_public: bool


class ActiveRoute(View):
    route_id: str
    session_id: str
    traffic_ratio: float
    status: str


class ServiceInfo(View):
    """`url` and `service_endpoint` are the same: None until a routing was HEALTHY for the first time."""

    endpoint_id: str
    name: str
    model_id: str
    """The model folder."""
    model_definition_path: str | None = None
    replicas: int
    desired_session_count: int
    active_routes: tuple[ActiveRoute, ...]
    url: str | None
    service_endpoint: str | None
    is_public: bool
    runtime_variant: str = "custom"
    status: str
    cause: str = ""
    """Why it is not HEALTHY, in one line."""


class Success(View):
    success: bool = True


class Scaled(View):
    current_route_count: int
    target_count: int


class TokenText(View):
    token: str


class RouteError(View):
    session_id: str | None
    error: Mapping[str, Any]
    """`src`, `name`, `repr`."""


class ErrorList(View):
    errors: tuple[RouteError, ...]
    retries: int


def _mount(source: str, options: MountOptions) -> str:
    permission = {"ro": "ro", "rw": "rw", "wd": "rw", None: ""}.get(options.permission)
    if permission is None or options.type != "bind":
        raise _refusal(f"config.extra_mounts.{source}", "type is bind, permission ro or rw")
    if ":" in source + (options.mount_destination or ""):
        raise _refusal(f"config.extra_mounts.{source}", "a path with `:` cannot be mounted")
    target = f":{options.mount_destination or ''}" if options.mount_destination or permission else ""
    return source + target + (f":{permission}" if permission else "")


def _refusal(what: str, hint: str) -> InvalidInput:
    return InvalidInput(f"cannot create the service: {what} is not supported", hint=hint)
