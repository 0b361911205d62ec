"""config.toml: every key with its default, overridable as ORCHESTRATOR_<SECTION>__<KEY>. Contract: docs/surface.md."""

from orchestrator.settings.loading import load
from orchestrator.settings.models import (
    AccessLogSettings,
    ApiSettings,
    DockerSettings,
    FolderSettings,
    GatewaySettings,
    GroupSettings,
    Listening,
    LogSettings,
    MetricsSettings,
    Origins,
    RuntimeName,
    Settings,
    StoreSettings,
    TracingSettings,
    address,
    own_hosts,
)
from orchestrator.settings.showing import Shown, shown

__all__ = [
    "AccessLogSettings",
    "ApiSettings",
    "DockerSettings",
    "FolderSettings",
    "GatewaySettings",
    "GroupSettings",
    "Listening",
    "LogSettings",
    "MetricsSettings",
    "Origins",
    "RuntimeName",
    "Settings",
    "Shown",
    "StoreSettings",
    "TracingSettings",
    "address",
    "load",
    "own_hosts",
    "shown",
]
