"""What the control API answers and is asked about revisions: part of `core.views`, on the same terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from pydantic import AwareDatetime, Field

from orchestrator.core.views import Request, View

RevisionState: TypeAlias = Literal["serving", "rolling out", "good", "rolled back", "superseded"]
"""`good`: it reached the end of its rollout. `superseded`: another took over before it did."""


class RevisionView(View):
    """One revision as `history` lists it: immutable but for its outcome."""

    number: int
    revision: str
    """Hash of what runs: equal where that is equal."""
    at: AwareDatetime
    what: str = ""
    """What differs from the one before, in short."""
    cause: str = ""
    by: str = ""
    """Who asked for it (`folder watch`, `api`, `planner`); empty: not known."""
    state: RevisionState
    outcome: str = ""
    """The state in words, with why it was rolled back."""
    outcome_at: AwareDatetime | None = None
    image: str = ""
    """Digest or id that its first routing ran; empty: none has started, or the runtime has no images."""


class RevisionDetail(RevisionView):
    """`spec`: what its routings are; `definition`: name of each file that it was read from to its text, and `files`:
    path to what pre-start actions of its first routing wrote there, both without values of secrets. An empty
    definition, and files that are None: not known."""

    spec: Mapping[str, Any] = Field(default_factory=dict)
    definition: Mapping[str, str] = Field(default_factory=dict)
    files: Mapping[str, str] | None = None


class RollbackRequest(Request):
    """`revision` None: the one before that was good."""

    revision: int | None = Field(None, ge=1)


class RatioRequest(Request):
    traffic_ratio: float = Field(ge=0, le=1000, allow_inf_nan=False)
