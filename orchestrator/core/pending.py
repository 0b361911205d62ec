"""Changes that folders ask for and that are not followed yet: derived at each read, never stored. Pure.

With `apply = "manual"` that is every change; else what a rejection (a revision that was rolled back) or a hold (many
folders gone at once) keeps back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from orchestrator.core.changes import field_changes
from orchestrator.core.rollout import number_after
from orchestrator.core.rollout_words import rejected_line
from orchestrator.core.spec import digest
from orchestrator.core.state import Attempts, Service

Change = Literal["create", "hot", "rolling", "recreate", "remove", "none"]


@dataclass(frozen=True, slots=True)
class Pending:
    """`wanted`: the service as it would be, not yet numbered. `before` None: there is no such service yet."""

    before: Service | None
    wanted: Service
    exclusive: bool = False
    """Its routings cannot run side by side."""

    @property
    def held(self) -> bool:
        """Only somebody's explicit word lets it go on: too many went at once, or a disk is not there."""
        return self.before is not None and bool(self.before.held) and self.wanted.removing

    @property
    def rejected(self) -> bool:
        """It was rolled back before."""
        rejected = self.before.rejected if self.before is not None else None
        return rejected is not None and rejected.revision == self.wanted.revision

    @property
    def mark(self) -> str:
        """Equal exactly where the same is wanted."""
        return digest([self.wanted.spec.model_dump(mode="json"), self.wanted.removing, self.held])


def all_pending(
    services: Mapping[str, Service], wanted: Iterable[Service], is_exclusive: Callable[[Service], bool]
) -> tuple[Pending, ...]:
    """`services`: by id, as they are. In order of name."""
    found = [Pending(services.get(w.id), w, is_exclusive(w)) for w in wanted]
    return tuple(sorted((p for p in found if is_change(p)), key=lambda p: p.wanted.name.lower()))


def is_change(pending: Pending) -> bool:
    before, wanted = pending.before, pending.wanted
    if before is None:
        return not wanted.removing
    if before.removing:
        return False
    return wanted.removing or before.spec != wanted.spec or before.desired != wanted.desired


def told(before: Service, wanted: Service) -> Service:
    """What of `wanted` is not a matter of following: problems of the definition, that it is gone, or is held."""
    return replace(
        before,
        problems=wanted.problems,
        digest=wanted.digest,
        vanished_since=wanted.vanished_since,
        held=wanted.held,
    )


def taken_over(pending: Pending) -> Service:
    """The service once the change is taken over, numbered as it then is; a revision that was rolled back is tried again
    with a clean record."""
    before, wanted = pending.before, pending.wanted
    attempts = Attempts() if pending.rejected else wanted.attempts
    number = number_after(before, wanted)
    return replace(wanted, revision_number=number, attempts=attempts, rejected=None, vanished_since=None, held="")


def change_of(pending: Pending) -> Change:
    """How it takes effect as a whole."""
    before, wanted = pending.before, pending.wanted
    if wanted.removing:
        return "remove"
    if before is None:
        return "create"
    kinds = {f.kind for f in field_changes(before.spec, wanted.spec)}
    if before.desired != wanted.desired:
        kinds.add("hot")
    if before.revision != wanted.revision:
        return "recreate" if "recreate" in kinds or pending.exclusive else "rolling"
    return "hot" if kinds else "none"


def summary(pending: Pending) -> str:
    """In one line what waits, why, and what to do."""
    before, change = pending.before, change_of(pending)
    if pending.held and before is not None:
        return f"its removal is held ({before.held}): `orchestrator confirm-removal {before.name}` lets it go on"
    do = "`orchestrator plan` shows it, `orchestrator apply` takes it over"
    if change == "create":
        return f"a new service waits: {do}"
    if change == "remove":
        return f"its definition is gone, and its removal waits: {do}"
    if pending.rejected and before is not None:
        return f"{rejected_line(before)}; it is not tried again until it is changed, or `orchestrator apply` says so"
    fields = [f.path for f in field_changes(before.spec, pending.wanted.spec)] if before is not None else []
    more = f" and {len(fields) - 3} more" if len(fields) > 3 else ""
    return f"a {change} change of {', '.join(fields[:3]) or 'the count'}{more} waits: {do}"
