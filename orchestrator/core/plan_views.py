"""What the API answers and is asked about plans: the words that API, client, CLI and saved files share.

A saved plan is a `PlanView` as JSON: `format` says how to read it, `base` and `wanted` what it was made from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import AwareDatetime, ConfigDict, Field

from orchestrator.core.changes import ChangeKind
from orchestrator.core.pending import Change
from orchestrator.core.views import FetchView, ProblemView, Request, RoutingView, ServiceView, View

FORMAT = 1


class FieldView(View):
    """One value that changes, as text; None: not there on that side."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    path: str
    before: str | None = Field(None, alias="from")
    after: str | None = Field(None, alias="to")
    kind: ChangeKind = Field(alias="class")


class ServicePlan(View):
    """What would become of one service. `downtime`: `none`, or in words why there is one; `downtime_seconds`: how long
    nothing answers (None: not known, or for good)."""

    service: str
    change: Change
    fields: tuple[FieldView, ...] = ()
    operations: tuple[str, ...] = ()
    fits: bool = True
    lacks: tuple[str, ...] = ()
    """Why it does not fit."""
    downtime: str = "none"
    downtime_seconds: float | None = 0.0
    notes: tuple[str, ...] = ()
    why: str = ""
    """Why it waits, and what to do."""
    revision: int = 0
    """The number that it would have."""
    held: bool = False
    """Its removal waits for an explicit word (`apply --yes`)."""
    folder: str = ""
    problems: tuple[ProblemView, ...] = ()


class BaseView(View):
    """One service as the plan found it. `definition`: digest of the files that it is read from, where it is planned."""

    revision: int
    desired: int
    spec: str
    definition: str = ""


class PlanView(View):
    format: int = FORMAT
    made_at: AwareDatetime
    path: str = ""
    """What was asked for; empty: everything that waits."""
    services: tuple[ServicePlan, ...] = ()
    valid: bool = True
    """False: a definition among them does not validate."""
    fits: bool = True
    apply: Literal["auto", "manual"] = "auto"
    notes: tuple[str, ...] = ()
    base: Mapping[str, BaseView] = Field(default_factory=dict)
    """By service name, all that there are."""
    wanted: Mapping[str, str] = Field(default_factory=dict)
    """Service name to the mark of what is planned for it."""


class PlanRequest(Request):
    """`path`: absolute, of a models_dir, a model folder or a definition file, or of a candidate elsewhere; or the name
    of a service. None: what waits."""

    path: str | None = Field(None, min_length=1)


class ApplyRequest(Request):
    """`plan`: a saved one, to be carried out as it is or not at all. `yes`: also removals that are held."""

    path: str | None = Field(None, min_length=1)
    plan: PlanView | None = None
    yes: bool = False


class TargetView(View):
    """What was taken over, for asking how far it is. `revision`: hash of what is to run; empty: the service ends."""

    service: str
    id: str
    revision: str
    number: int
    change: Change


class ApplyView(View):
    """`left`: service name (or folder) to why it was not taken over."""

    targets: tuple[TargetView, ...] = ()
    left: Mapping[str, str] = Field(default_factory=dict)
    invalid: bool = False
    """A definition among those that were left does not validate."""


ProgressState = Literal["under_way", "done", "waits", "rolled_back", "superseded"]


class ProgressView(View):
    """How far one target is. `waits`: for somebody to promote it."""

    id: str
    name: str = ""
    state: ProgressState
    message: str = ""
    service: ServiceView | None = None
    """None: it is gone."""
    routings: tuple[RoutingView, ...] = ()
    fetching: tuple[FetchView, ...] = ()
