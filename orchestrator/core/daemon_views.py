"""What the control API answers about the daemon itself, and tries: part of `core.views`, on the same terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from pydantic import AwareDatetime, Field

from orchestrator.core.views import Launcher, View


class StatusView(View):
    """`services` and `routings`: how many by status. `observed_ok` False: the runtime does not answer now."""

    version: str
    runtime: str
    runtime_reason: str = ""
    runtime_version: str = ""
    pid: int = 0
    started_at: AwareDatetime | None = None
    uptime: float = 0.0
    state_dir: str = ""
    gateway: Mapping[str, str] = Field(default_factory=dict)
    """`url`, `state` (up, down) and what it says of itself."""
    store: Mapping[str, str] = Field(default_factory=dict)
    """`url` (without password), `state` (writable, or what is wrong), `schema`."""
    observed_ok: bool = True
    services: Mapping[str, int] = Field(default_factory=dict)
    routings: Mapping[str, int] = Field(default_factory=dict)
    held: tuple[str, ...] = ()
    """Services whose removal waits for confirmation."""
    pending: Mapping[str, str] = Field(default_factory=dict)
    """Services, also new ones, of which a change waits for `orchestrator apply`, to what kind of change it is."""


class AliveView(View):
    """`ok`: the process is up. `ready`: it has observed the runtime, and its store can be written."""

    status: Literal["ok", "ready"]


class DocumentView(View):
    """What the API is, as OpenAPI 3.1."""

    openapi: str
    info: Mapping[str, Any]
    paths: Mapping[str, Any]
    components: Mapping[str, Any]


class CheckView(View):
    """One line of `doctor`."""

    name: str
    state: Literal["ok", "warn", "fail"]
    message: str
    hint: str = ""


class TryRequest(Launcher):
    """A scratch routing of the definition at `folder` (absolute path of a model folder or of a definition file, or a
    name under models_dirs), with the same laid over it as over a service that is started."""

    folder: str = Field(min_length=1)
    model: str | None = None


TryState: TypeAlias = Literal["running", "passed", "failed", "cancelled"]


class TryEvent(View):
    """One step of a try as it happens. The last event's state, passed or failed, is the result of the whole."""

    step: str
    """`definition`, `image`, `create`, `action`, `start`, `probe`, `cleanup`, `result`; `log`: a line of its log."""
    state: Literal["started", "passed", "failed", "info"]
    message: str = ""
    detail: Mapping[str, Any] = Field(default_factory=dict)
    at: AwareDatetime
    seq: int = 0
    """Of a try in the background: from 1, one more an event."""


class TryView(View):
    """A try that runs in the background, or ran lately."""

    id: str
    state: TryState
    finished: bool = False
    folder: str = ""
    created_at: AwareDatetime | None = None
    events: tuple[TryEvent, ...] = ()
    """Those of it so far; empty in lists."""
