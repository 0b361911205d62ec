"""config.toml: every key with its default, overridable as ORCHESTRATOR_<SECTION>__<KEY>. Contract: docs/surface.md."""

from orchestrator.settings.loading import load
from orchestrator.settings.models import (
    ApiSettings,
    DockerSettings,
    FolderSettings,
    GatewaySettings,
    GroupSettings,
    LogSettings,
    Origins,
    RuntimeName,
    Settings,
    StoreSettings,
    address,
    own_hosts,
)
from orchestrator.settings.showing import Shown, shown

__all__ = [
    "ApiSettings",
    "DockerSettings",
    "FolderSettings",
    "GatewaySettings",
    "GroupSettings",
    "LogSettings",
    "Origins",
    "RuntimeName",
    "Settings",
    "Shown",
    "StoreSettings",
    "address",
    "load",
    "own_hosts",
    "shown",
]
