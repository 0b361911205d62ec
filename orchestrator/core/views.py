"""What the control API answers and is asked about services: the words that API, client and CLI share.

Also the base of `core.revision_views`, `plan_views`, `token_views`, `daemon_views` and `error_views`.

Frozen. Times are RFC 3339 in UTC, durations seconds, sizes bytes. Keys are stable (docs/surface.md): more may be added,
none may change its meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from orchestrator.core.problems import Problem, Severity
from orchestrator.core.routes import Side
from orchestrator.core.spec import Source
from orchestrator.core.state import Phase, RoutingStatus, ServiceStatus, Strategy


def instant(seconds: float) -> datetime:
    """Wall seconds since the epoch as a time in UTC, to the millisecond."""
    return datetime.fromtimestamp(round(seconds, 3), UTC)


class View(BaseModel):
    """Base of all answers. A newer daemon may add keys: an older client drops those that it does not know."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Request(BaseModel):
    """Base of all request bodies. Unknown keys are refused, so that a misspelt one is not lost without a word."""

    model_config = ConfigDict(frozen=True, extra="forbid")


# --- services and routings ------------------------------------------------------------------------------------------


class ProblemView(View):
    """See `core.problems.Problem`."""

    severity: Severity
    file: str = ""
    line: int = 0
    column: int = 0
    path: str = ""
    message: str
    hint: str = ""

    def problem(self) -> Problem:
        return Problem(**dict(self))


class RolloutView(View):
    """A change of revision that is under way. `said`: where it stands, in one plain line."""

    revision: int
    strategy: Strategy
    phase: Phase
    said: str
    cause: str = ""
    began_at: AwareDatetime | None = None
    step: int = 0
    """canary: of the step that is prepared or judged, from 1; 0: it has no steps, or all are done."""
    steps: int = 0
    weight: int = 0
    """canary: percent of the requests that go to the new revision."""
    promoted: bool = False
    holding: bool = False
    """Requests wait at the gateway: nothing serves for a moment."""


class ServiceView(View):
    """One service as `ls` lists it. `desired_in_file` differs from `desired_routing_count` under an override."""

    id: str
    name: str
    status: ServiceStatus
    desired_routing_count: int
    healthy: int
    revision: str
    endpoint: str
    source: Source
    problems: tuple[ProblemView, ...] = ()
    open_to_public: bool = False
    override_desired: int | None = None
    desired_in_file: int = 0
    held: str = ""
    """Why its removal waits for confirmation; empty: it does not."""
    folder: str = ""
    model: str = ""
    cause: str = ""
    """Why it is not HEALTHY, in one line."""
    cause_code: str = ""
    """The code of that cause, as `explain` tells it; empty: there is none."""
    created_at: AwareDatetime | None = None
    rollout: RolloutView | None = None
    rejected: str = ""
    """Which revision was rolled back and why, while its definition still asks for it."""
    pending: str = ""
    """What its folder asks for and is not followed, and what to do; empty: nothing."""
    served: bool = False
    """A routing of it has been HEALTHY: its endpoint has answered once."""


class FetchView(View):
    """An image that is being fetched for a routing, in bytes; `total` 0: not known yet."""

    routing: str
    image: str
    current: int = 0
    total: int = 0
    whole: bool = False
    """`total` is that of all layers."""
    layers: int = 0
    fetched: int = 0
    """Layers that have come."""
    unpacked: int = 0
    rate: float = 0.0
    """Bytes a second; 0: not known yet."""
    seconds_left: float | None = None
    amount: str = ""
    """How much, how fast, how long, in words."""
    said: str = ""
    """With the image's name."""


class RoutingView(View):
    """One routing as `ps` lists it."""

    id: str
    service: str
    revision: str
    status: RoutingStatus
    address: str = ""
    """host:port that the gateway and the probes reach it by; empty until it has one."""
    runtime_id: str = ""
    created_at: AwareDatetime
    healthy_since: AwareDatetime | None = None
    cause: str = ""
    devices: tuple[str, ...] = ()
    exit_code: int | None = None
    oom: bool = False
    traffic_ratio: float = 1.0
    """Its share of the requests against the others of its service (of its revision, while a canary is judged)."""
    side: Side = "blue"
    fetching: FetchView | None = None
    """While its image is fetched."""


class EventView(View):
    """One thing that happened. `seq` grows by one an event: ask for what came after it."""

    time: AwareDatetime
    kind: str
    service: str = ""
    routing: str = ""
    cause: str = ""
    detail: Mapping[str, Any] = Field(default_factory=dict)
    seq: int = 0


ClusterMode: TypeAlias = Literal["single-node", "multi-node"]


class LaunchView(View):
    """What a service runs with now, in the words that it is started by: a dialog to modify it is filled in with it."""

    folder: str
    name: str
    image: str | None = None
    count: int = 1
    public: bool = False
    cpu: float | None = None
    mem: str | None = None
    shm: str | None = None
    resources: Mapping[str, str] = Field(default_factory=dict)
    """Other slots than cpu, mem and shm."""
    environ: Mapping[str, str] = Field(default_factory=dict)
    mounts: tuple[str, ...] = ()
    definition: str = ""
    """The definition's file name; empty: one of the usual ones."""
    destination: str = ""
    resource_group: str = "default"
    cluster_mode: ClusterMode = "single-node"
    cluster_size: int = 1
    start_timeout: float = 1800.0
    unhealthy_timeout: float = 60.0
    stop_grace: float = 30.0
    retry: bool = True


class OverrideView(View):
    """A field whose value was set by hand, and what the file says."""

    value: bool | int | float
    in_file: bool | int | float


class ServiceDetail(ServiceView):
    """`spec`: the resolved definition with secrets masked; `endpoints`: all addresses, the first as in `endpoint`."""

    revision_number: int = 0
    owner: str = ""
    project: str = ""
    endpoints: tuple[str, ...] = ()
    spec: Mapping[str, Any] = Field(default_factory=dict)
    routings: tuple[RoutingView, ...] = ()
    events: tuple[EventView, ...] = ()
    """The latest, in order of time."""
    attempts: int = 0
    """Failed starts in a row."""
    next_try_at: AwareDatetime | None = None
    launch: LaunchView | None = None
    """What it runs with now."""
    overrides: Mapping[str, OverrideView] = Field(default_factory=dict)
    """Fields of `launch` that were set by hand over what the file says."""


class CauseView(View):
    """One link of the chain that says why a service is not HEALTHY. `code` is stable."""

    code: str
    message: str
    hint: str = ""
    routing: str = ""
    log_tail: tuple[str, ...] = ()


class ExplainView(View):
    service: str
    status: ServiceStatus
    causes: tuple[CauseView, ...] = ()


class LogEntry(View):
    """One line of a routing's log."""

    time: AwareDatetime
    routing: str
    service: str = ""
    stream: Literal["out", "err"] = "out"
    text: str
    cursor: str = ""
    """Its place in the log: what a reader goes on after, or before."""


CURSOR = r"[A-Za-z0-9_.-]{1,128}@[0-9]{1,18}\+[0-9]{1,9}"
"""Of a line: its routing, when it was written (microseconds), and which of the lines of that moment it is."""


class LogsAsked(Request):
    """Which lines of a log. Without `follow` in the order of their time."""

    follow: bool = False
    """Go on with what comes, of a service also from routings that come."""
    tail: int | None = Field(None, ge=0)
    """Only the last lines of each routing, this many."""
    since: float | None = Field(None, allow_inf_nan=False, ge=0, le=1e11)
    """Only lines from then on, in seconds since the epoch."""
    limit: int | None = Field(None, ge=1, le=10_000)
    """At most so many lines in all: the first after `after`, else the last. With `follow` it is not looked at."""
    after: str = Field("", max_length=16_000, pattern=rf"^({CURSOR}(,{CURSOR})*)?$")
    """Only what follows that line (its `cursor`; of several logs the last of each, joined by commas). A stream of
    server-sent events also takes `Last-Event-ID`."""
    before: str = Field("", max_length=256, pattern=rf"^({CURSOR})?$")
    """Only what comes before that line (its `cursor`): the page before. With `follow` it is not looked at."""


class FailureView(View):
    """One failure of a service, kept until it is cleared. `code` is stable."""

    at: AwareDatetime
    routing: str = ""
    """Empty: of the service as a whole."""
    revision: str = ""
    code: str
    message: str
    hint: str = ""
    exit_code: int | None = None
    oom: bool = False
    log_tail: tuple[str, ...] = ()


class Launcher(Request):
    """What is asked for of a service, laid over its folder's definition. None: as the definition says."""

    name: str | None = None
    image: str | None = None
    count: int | None = Field(None, ge=0)
    """Desired routing count."""
    public: bool | None = None
    """No token is needed."""
    cpu: float | None = Field(None, gt=0)
    """In cores."""
    mem: str | None = None
    """A size with a unit (`4g`), or in bytes."""
    shm: str | None = None
    """Shared memory, part of `mem`."""
    resources: Mapping[str, str] | None = None
    """Slot to amount: `cuda.device`, declared slots."""
    environ: Mapping[str, str] | None = None
    mounts: tuple[str, ...] | None = None
    """Each `SOURCE[:TARGET[:ro|rw]]`."""
    definition: str | None = None
    """Its file name in the folder."""
    destination: str | None = None
    """Where the folder is mounted in the routing."""
    resource_group: str | None = None
    cluster_mode: ClusterMode | None = None
    cluster_size: int | None = Field(None, ge=1)
    """Nodes of one routing."""
    start_timeout: float | None = Field(None, gt=0, le=1e9)
    unhealthy_timeout: float | None = Field(None, ge=0, le=1e9)
    stop_grace: float | None = Field(None, ge=0, le=1e9)
    retry: bool | None = None
    """Requests whose routing dies before the first byte go to another one."""


class LaunchRequest(Launcher):
    """`folder`: an absolute path, or a name under models_dirs."""

    folder: str = Field(min_length=1)


class ModifyRequest(Launcher):
    """Only what is given changes; null: back to what the definition says. A map or list that is given is the whole of
    it. `edit`: what a folder's own definition declares is written into it."""

    edit: bool = False


HotField: TypeAlias = Literal["count", "public", "start_timeout", "unhealthy_timeout", "stop_grace", "retry"]
"""What takes effect in place, and may so be set over what a file says."""


class ResetRequest(Request):
    """Which fields are to be as their file says again; null or empty: all that were overridden."""

    fields: tuple[HotField, ...] | None = None


class ScaleRequest(Request):
    """`count` None: back to what the file says."""

    count: int | None = Field(None, ge=0)


class ConfirmRequest(Request):
    """`service` None: all whose removal waits."""

    service: str | None = None


class ConfirmedView(View):
    removed: tuple[str, ...] = ()
