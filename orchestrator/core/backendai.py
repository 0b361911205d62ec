"""Bodies and answers of the `/services` paths, in the words of Backend.AI: what `api.backendai` and the SDK share.

Aliases are accepted, what cannot be granted is refused with its name; docs/differences.md lists both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator

from orchestrator.core.error_views import checked
from orchestrator.core.errors import InvalidInput
from orchestrator.core.expiry import LAST
from orchestrator.core.views import LaunchRequest, ModifyRequest, Request, View

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
    "resource_group": "scaling_group",
    "resource_slots": "resources",
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


class ResourceOptions(Request):
    shmem: Amount | None = None
    """Shared memory."""


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
    resource_opts: ResourceOptions | None = None


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
    cluster_size: int | None = Field(None, ge=1)
    cluster_mode: str | None = None
    open_to_public: bool = False
    config: CreateConfig

    def launch(self, folder: str) -> LaunchRequest:
        """The same as a launch of `folder`. Raises `InvalidInput` naming what cannot be granted."""
        self._refuse()
        config = self.config
        resources = {**(config.resources or {})}
        if (shm := _shm(config.resource_opts)) is not None:
            resources["shm"] = shm
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
            resource_group=config.scaling_group,
            cluster_mode=None if self.cluster_mode is None else _cluster_mode(self.cluster_mode),
            cluster_size=self.cluster_size,
        )

    def _refuse(self) -> None:
        for name, hint in _REFUSED.items():
            if getattr(self, name):
                raise _refusal(name, hint)
        fixed = {"group": "default", "domain": "default", "runtime_variant": "custom"}
        for name, only in fixed.items():
            if getattr(self, name) != only:
                raise _refusal(f"{name} {getattr(self, name)!r}", f"only {only!r} is known here")
        if self.config.vfolder_subpath:
            raise _refusal("config.vfolder_subpath", "give the path of the model folder itself as config.model")


class Modification(_Aliased):
    """What of a service is to change; what is left out stays, null is: as the definition says. The keys of `config` may
    stand in it, or beside the others."""

    name: str | None = None
    desired_session_count: int | None = Field(None, ge=0)
    image: str | None = None
    open_to_public: bool | None = None
    cluster_size: int | None = None
    cluster_mode: str | None = None
    runtime_variant: str | None = None
    model_definition_path: str | None = None
    extra_mounts: Mapping[str, MountOptions] | None = None
    environ: Mapping[str, str] | None = None
    scaling_group: str | None = None
    resources: Mapping[str, Amount] | None = None
    resource_opts: ResourceOptions | None = None
    edit: bool = False
    """What a folder declares is written into its definition (not Backend.AI's)."""

    @model_validator(mode="before")
    @classmethod
    def _flatten(cls, value: object) -> object:
        if not isinstance(value, dict) or not isinstance(value.get("config"), dict):
            return value
        rest, inside = {k: v for k, v in value.items() if k != "config"}, value["config"]
        if twice := rest.keys() & inside.keys():
            raise ValueError(f"{min(twice)} is given twice")
        return rest | inside

    def modification(self) -> ModifyRequest:
        """Raises `InvalidInput` naming what cannot be granted."""
        if self.runtime_variant not in (None, "custom"):
            raise _refusal(f"runtime_variant {self.runtime_variant!r}", "only 'custom' is known here")
        given = self.model_fields_set
        found: dict[str, Any] = {ours: getattr(self, name) for name, ours in _MODIFIED.items() if name in given}
        if "cluster_mode" in given:
            found["cluster_mode"] = None if self.cluster_mode is None else _cluster_mode(self.cluster_mode)
        if "extra_mounts" in given:
            mounts = self.extra_mounts
            found["mounts"] = None if mounts is None else tuple(_mount(s, o) for s, o in mounts.items())
        if "resources" in given:
            slots = {slot: str(amount) for slot, amount in (self.resources or {}).items()}
            found |= {"cpu": slots.pop("cpu", None), "mem": slots.pop("mem", None), "resources": slots or None}
        if "resource_opts" in given:
            found["shm"] = _shm(self.resource_opts)
        return checked(ModifyRequest, found)


_MODIFIED = {
    "name": "name",
    "desired_session_count": "count",
    "image": "image",
    "open_to_public": "public",
    "cluster_size": "cluster_size",
    "model_definition_path": "definition",
    "environ": "environ",
    "scaling_group": "resource_group",
    "edit": "edit",
}


def _cluster_mode(text: str) -> Any:
    """`SINGLE_NODE`, `multi-node`, however they are written."""
    found = text.lower().replace("_", "-")
    if found not in ("single-node", "multi-node"):
        raise _refusal(f"cluster_mode {text!r}", "SINGLE_NODE or MULTI_NODE")
    return found


def _shm(options: ResourceOptions | None) -> str | None:
    return None if options is None or options.shmem is None else str(options.shmem)


class ScaleTo(Request):
    to: int = Field(ge=0)


class TokenFor(Request):
    """One of both at most; neither: 30 days."""

    duration: str | int | None = None
    """`3600s`, `15m`, `2h`, `3d`, `1w`, `2mo`, `1yr`, bare seconds, or `never`."""
    valid_until: int | None = Field(None, ge=0, le=int(LAST))
    """Seconds since the epoch."""


class RuntimeVariant(View):
    name: str
    human_readable_name: str


class Runtimes(View):
    runtimes: tuple[RuntimeVariant, ...]


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
    return InvalidInput(f"cannot have such a service: {what} is not supported", hint=hint)
