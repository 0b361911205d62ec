"""Which keys of an update policy count under its strategy, and the rules between them. Part of `core.resolve`, after
all layers are merged: a strategy may come from one file and its keys from another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.core.definition import Update
from orchestrator.core.resolving import View
from orchestrator.core.spec import ServiceSpec
from orchestrator.core.state import Strategy

COMMON = ("min_ready", "progress_deadline", "auto_rollback", "bake")
OWN: Mapping[Strategy, tuple[str, ...]] = {
    "rolling": ("max_surge", "max_unavailable"),
    "recreate": (),
    "blue_green": ("promote_after",),
    "canary": (
        *("steps", "pause", "min_requests", "max_error_rate", "max_latency"),
        *("max_surge", "max_unavailable"),  # of what follows the last step
    ),
}


def policy(spec: ServiceSpec) -> dict[str, Any]:
    """The update policy as it holds: the keys that count under its strategy; of `progress_deadline` the seconds."""
    update = spec.update
    counting = {name: getattr(update, name) for name in (*OWN[update.strategy], *COMMON)}
    return {"strategy": update.strategy} | counting | {"progress_deadline": deadline(spec)}


def deadline(spec: ServiceSpec) -> float:
    """Seconds within which one more new routing must become ready."""
    return spec.update.progress_deadline or spec.start_timeout + spec.update.min_ready


def check_update(view: View, spec: ServiceSpec) -> None:
    """Report what contradicts itself or has no effect."""
    _check_foreign(view, spec.update)
    _check_room(view, spec.update)
    _check_deadline(view, spec)


def _check_foreign(view: View, update: Update) -> None:
    """Keys of another strategy. Those of the administrator's defaults wait for services that choose it."""
    chosen = view.merged.origins.get("update.strategy")
    for name in sorted(Update.model_fields.keys() - {"strategy", *COMMON, *OWN[update.strategy]}):
        origin = view.merged.origins.get(f"update.{name}")
        if origin is not None and (origin is chosen or not origin.trusted):
            theirs = " or ".join(strategy for strategy, names in OWN.items() if name in names)
            message = f"has no effect: it is a key of {theirs}, and the strategy is {update.strategy}"
            view.tell("warning", f"update.{name}", message, f"leave it out, or choose {theirs}")


def _check_room(view: View, update: Update) -> None:
    if "max_surge" in OWN[update.strategy] and {update.max_surge, update.max_unavailable} <= {0, "0%"}:
        message = "max_surge and max_unavailable are both 0: no routing could ever be replaced"
        hint = "raise max_surge to start a new one first, or max_unavailable to end an old one first"
        view.tell("error", "update.max_surge", message, hint)


def _check_deadline(view: View, spec: ServiceSpec) -> None:
    given = spec.update.progress_deadline
    if given is None:
        return
    if given <= spec.update.min_ready:
        message = f"every rollout would fail: a routing is ready only after min_ready ({spec.update.min_ready:g} s)"
        view.tell("error", "update.progress_deadline", message, "more seconds than min_ready and a start take")
    elif given < spec.start_timeout:
        message = f"a routing may take {spec.start_timeout:g} s to start; one that takes longer than {given:g} s"
        hint = "start_timeout is the longer one"
        view.tell("note", "update.progress_deadline", f"{message} fails the rollout", hint)
