"""The facts that decisions are made from: what was told, what was tried, what was observed.

All times are seconds of the daemon's steady clock (wall time at its start, then monotonic).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from orchestrator.core.definition import HealthCheck
from orchestrator.core.problems import Problem
from orchestrator.core.routes import Side, Traffic
from orchestrator.core.spec import RoutingSpec, ServiceSpec, Source


class RoutingStatus(StrEnum):
    PROVISIONING = "PROVISIONING"
    HEALTHY = "HEALTHY"
    UNHEALTHY = "UNHEALTHY"
    TERMINATING = "TERMINATING"
    FAILED_TO_START = "FAILED_TO_START"


class ServiceStatus(StrEnum):
    HEALTHY = "HEALTHY"
    DEGRADED = "DEGRADED"
    PROVISIONING = "PROVISIONING"
    UNHEALTHY = "UNHEALTHY"
    INVALID = "INVALID"
    STOPPED = "STOPPED"
    DESTROYING = "DESTROYING"


# --- observed -------------------------------------------------------------------------------------------------------

UnitState = Literal["created", "running", "paused", "exited"]
UnitKind = Literal["routing", "try", "task", "session"]


@dataclass(frozen=True, slots=True)
class Observed:
    """One container (or local process group) of this installation, as its runtime sees it now."""

    routing: str
    service: str
    revision: str
    kind: UnitKind
    runtime_id: str
    state: UnitState
    host: str = ""
    """Address that the gateway and probes reach it by; empty until it has one."""
    port: int = 0
    exit_code: int | None = None
    oom: bool = False
    member: int = 0


# --- probes and failures --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ProbeState:
    """What the probes of one routing have shown so far. Folded by `core.health.fold`."""

    passed_once: bool = False
    healthy: bool = False
    failures: int = 0
    """Consecutive, and only those that count (see initial_delay)."""
    unhealthy_since: float | None = None
    healthy_since: float | None = None
    last_at: float | None = None
    last_message: str = ""
    unmended: int = 0
    """Probes in a row that saw what no time mends (see `core.causes.UNMENDED`), before the first pass."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a routing failed: kept with its record. `code` is stable (see core.explain); `at` is when it was seen."""

    code: str
    message: str
    at: float
    hint: str = ""
    exit_code: int | None = None
    oom: bool = False
    log_tail: tuple[str, ...] = ()
    """The last 50 lines of its log."""
    counts: bool = True
    """False: not held against the revision (stopped by hand, lost with the engine)."""


@dataclass(frozen=True, slots=True)
class Attempts:
    """Failed attempts in a row of one revision. Folded by `core.backoff`."""

    revision: str = ""
    count: int = 0
    last_at: float = 0.0


# --- records --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reservation:
    """Slots taken from a resource group for one routing. `devices` are the ids of whole accelerators."""

    group: str = "default"
    slots: Mapping[str, float] = field(default_factory=dict)
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Routing:
    """One routing: its stored facts, with what is observed and in flight laid over them."""

    id: str
    service_id: str
    service: str
    revision: str
    created_at: float
    cause: str = ""
    reservation: Reservation | None = None
    """None: it waits, and `cause` says for what."""
    fetched_at: float | None = None
    """It waits, and its image is there: others may give way to it."""
    unit_created_at: float | None = None
    """The container exists since; start_timeout counts from here."""
    started_at: float | None = None
    """Pre-start actions done and start command running since."""
    probe: ProbeState = ProbeState()
    stopping_since: float | None = None
    stop_cause: str = ""
    failure: Failure | None = None
    """Set: it is a record only; its container is removed."""
    traffic_ratio: float = 1.0
    """Its share of the requests against the others of its service (of its revision, while a canary is judged)."""
    side: Side = "blue"
    health: HealthCheck | None = None
    """The health check of its revision."""

    # observed and in flight; not stored
    observed: Observed | None = None
    busy: str = ""
    """The operation that is under way on it; empty: none."""
    outcome: Failure | None = None
    """A start that failed and is not yet recorded."""
    lost_with_engine: bool = False
    sessions: int | None = None
    """Requests that the gateway still has open on it, over all workers; None: not known."""


# --- rollouts -------------------------------------------------------------------------------------------------------

Strategy = Literal["rolling", "recreate", "blue_green", "canary"]
Phase = Literal["replacing", "ready", "judging", "baking", "returning"]
"""`replacing`: new routings come and old ones go. `ready`: blue-green, both sides are HEALTHY and it waits to be
promoted. `judging`: canary, the new revision has its step's share. `baking`: it serves alone and is watched.
`returning`: it failed, and the last good revision takes over again."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """A change of revision that is under way. Times in steady seconds."""

    revision: str
    """Hash of the revision that is to take over."""
    strategy: Strategy
    cause: str
    """Who or what began it."""
    began_at: float
    phase: Phase = "replacing"
    phase_since: float = 0.0
    progress_at: float = 0.0
    """When one more new routing than ever before was ready; progress_deadline counts from here."""
    ready: int = 0
    """So many new routings were ready then."""
    step: int = 0
    """canary: index of the step that is prepared or judged."""
    weight: int = 0
    """canary: percent of the requests that go to the new revision now."""
    base: Mapping[str, Traffic] = field(default_factory=dict)
    """canary: routing id to its counters when the step began. Empty: they count anew from when they are next read."""
    promoted: bool = False
    """Told by hand: do not wait, do not judge; go on to the end."""


@dataclass(frozen=True, slots=True)
class Good:
    """The last revision that reached the end of its rollout: what a failed one returns to."""

    number: int
    routing: RoutingSpec


@dataclass(frozen=True, slots=True)
class Rejected:
    """A revision that was rolled back: the definition that says so is not followed until it changes or is applied."""

    revision: str
    number: int
    cause: str
    by_hand: bool = False


@dataclass(frozen=True, slots=True)
class Overridden:
    """A hot field of what a file says, set to `value` by hand; it ends when the file no longer says `over`."""

    value: bool | float
    over: bool | float


@dataclass(frozen=True, slots=True)
class Service:
    """One service: identity, what is wanted of it, and what was told besides its file."""

    id: str
    name: str
    source: Source
    folder: str
    """Absolute path of its model folder."""
    model: str
    """Its model's `name` in the definition."""
    spec: ServiceSpec
    """The last good one; a definition that became invalid leaves it alone."""
    revision_number: int
    created_at: float
    owner: str = "admin"
    project: str = "default"
    problems: tuple[Problem, ...] = ()
    """Of the definition as it is on disk now. Errors here and nothing running: INVALID."""
    override_desired: int | None = None
    """Set by `scale`; ended by --reset or when the file's own count changes."""
    override_over: int | None = None
    """The file's count when the override was made."""
    overrides: Mapping[str, Overridden] = field(default_factory=dict)
    """Other hot fields of the spec that were set by hand, laid over what the file says already."""
    attempts: Attempts = Attempts()
    cleared_at: float = 0.0
    """FAILED_TO_START records from before are not shown (clear error and retry)."""
    vanished_since: float | None = None
    """Its folder or definition is gone since; ends after 5 s unless held."""
    held: str = ""
    """Why its removal waits for confirmation; empty: it does not."""
    digest: str = ""
    """Of the definition's bytes (and its side files) as last read."""
    launch: Mapping[str, Any] | None = None
    """Source api: what `start` asked for (core.views.LaunchRequest), laid over the folder's definition at each read."""
    removing: bool = False
    """Deleted (by API, or its folder vanished): DESTROYING until its routings are gone."""
    good: Good | None = None
    rejected: Rejected | None = None
    rollout: Rollout | None = None
    side: Side = "blue"
    """The side that gets the requests."""

    @property
    def revision(self) -> str:
        return self.spec.routing.revision

    def spec_of(self, revision: str) -> ServiceSpec:
        """What a routing of `revision` runs as: the hot part is the same for all of them."""
        if self.good is not None and revision == self.good.routing.revision != self.revision:
            return self.spec.model_copy(update={"routing": self.good.routing})
        return self.spec

    @property
    def desired(self) -> int:
        """How many routings are wanted now."""
        if self.removing:
            return 0
        return self.spec.desired if self.override_desired is None else self.override_desired


@dataclass(frozen=True, slots=True)
class Group:
    """Capacity of one resource group: slot name to amount, and the ids of its whole accelerators.

    A slot that is absent is not limited (a definition that asks for an undeclared one does not validate).
    """

    name: str
    slots: Mapping[str, float]
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class World:
    """Everything `plan` may know. `observed_ok` False: the runtime could not be observed; absence means nothing."""

    services: Mapping[str, Service]
    """By id."""
    routings: Mapping[str, Routing]
    """By id."""
    groups: Mapping[str, Group] = field(default_factory=dict)
    broken: tuple[str, ...] = ()
    """Names of services of which only an invalid definition is known."""
    orphans: tuple[Observed, ...] = ()
    """Containers of this installation that no record claims."""
    observed_ok: bool = True
    refused: Mapping[str, str] = field(default_factory=dict)
    """Service id to why none of its routings can be started here (`no image`)."""
    exclusive: frozenset[str] = frozenset()
    """Ids of services whose routings cannot run side by side (a fixed port in a shared port space)."""
    traffic: Mapping[str, Traffic] = field(default_factory=dict)
    """Routing id to what it has answered, over all workers of the gateway."""
    since: float = 0.0
    """When this daemon began to look. While none did no deadline can be held against a routing or a rollout."""


# --- tokens ---------------------------------------------------------------------------------------------------------


ASKING = "ask"
"""Id and name of the token that a request through the API (`ask`, Try it) bears: one for all, so that records of use
do not grow by an entry a request."""


@dataclass(frozen=True, slots=True)
class Token:
    """An issued token as it is remembered: never its text. Times in wall seconds; `service` is a name or `*`."""

    id: str
    service: str
    name: str
    scope: Literal["infer", "read", "admin"]
    issued_at: float
    expires_at: float | None
    kid: str = ""
    revoked_at: float | None = None
    last_used_at: float | None = None


@dataclass(frozen=True, slots=True)
class Removed:
    """A folder's service that was removed by hand: not started again until `start` or a change of its definition."""

    folder: str
    model: str
    digest: str
    at: float
