"""The revisions of a service as people read them: what changed, and what became of each. Used by `app.rollouts`."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.core.changes import FieldChange, field_changes
from orchestrator.core.revision_views import RevisionDetail, RevisionState, RevisionView
from orchestrator.core.rollout import GOOD, ROLLED_BACK
from orchestrator.core.spec import RoutingSpec
from orchestrator.core.state import Service
from orchestrator.core.views import instant
from orchestrator.store import Revision, Texts

SHORT = 24
"""Characters of a value that a summary shows."""
MOST = 3
"""Changes that a summary names."""


def revision_views(service: Service, kept: Sequence[Revision]) -> tuple[RevisionView, ...]:
    """`kept`: newest first, and so is the answer."""
    older: list[Revision | None] = [*kept[1:], None] if kept else []
    return tuple(_view(service, one, before) for one, before in zip(kept, older, strict=True))


def revision_detail(view: RevisionView, revision: Revision, texts: Texts) -> RevisionDetail:
    return RevisionDetail(
        **dict(view),
        spec=revision.routing.model_dump(mode="json"),
        definition=texts.definition,
        files=texts.files,
    )


def _view(service: Service, one: Revision, before: Revision | None) -> RevisionView:
    state = _state(service, one)
    return RevisionView(
        number=one.number,
        revision=one.hash,
        at=instant(one.at),
        what=_summary(service, before.routing, one.routing) if before else "first" if one.number == 1 else "first kept",
        cause=one.cause,
        by=one.by,
        state=state,
        outcome=one.outcome if state == "rolled back" else state,
        outcome_at=None if one.outcome_at is None else instant(one.outcome_at),
        image=one.image,
    )


def _state(service: Service, one: Revision) -> RevisionState:
    if one.number == service.revision_number:
        return "serving" if service.rollout is None else "rolling out"
    if one.outcome.startswith(ROLLED_BACK):
        return "rolled back"
    return "good" if one.outcome == GOOD else "superseded"


def _summary(service: Service, before: RoutingSpec, after: RoutingSpec) -> str:
    """`image i:1 → i:2, environ.KEY, and 2 more`."""
    old, new = (service.spec.model_copy(update={"routing": routing}) for routing in (before, after))
    told = [_short(change) for change in field_changes(old, new)]
    more = f", and {len(told) - MOST} more" if len(told) > MOST else ""
    return ", ".join(told[:MOST]) + more


def _short(change: FieldChange) -> str:
    path = change.path.removeprefix("deployment.").removeprefix("service.")
    values = [change.before, change.after]
    if any(value is not None and (len(value) > SHORT or "\n" in value) for value in values):
        return path
    return f"{path} {change.before or '(none)'} → {change.after or '(none)'}"
