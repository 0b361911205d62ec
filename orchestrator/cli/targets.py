"""Which routing is meant by SERVICE|ROUTING, for verbs that go into one; and verbs that another command follows."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from typer.core import TyperOption

from orchestrator.cli.help import Verb
from orchestrator.core.errors import Conflict, NotFound

if TYPE_CHECKING:
    from orchestrator.client import Client
    from orchestrator.core.views import RoutingView


async def routing_of(client: Client, ref: str) -> str:
    """A routing by its id; of a service the one that serves, else one that is there. Said to standard error where
    there is a choice. Raises `NotFound`, `Conflict`."""
    routings = await client.routings()
    if any(one.id == ref for one in routings):
        return ref
    there = [one for one in routings if one.service.lower() == ref.lower()] or await _by_id(client, ref)
    found = best(there)
    if found is None:
        hint = f"`orchestrator explain {ref}` says why; `orchestrator ps` lists all routings"
        raise Conflict(f"cannot go into {ref}: no routing of it has been started", hint=hint)
    if len(there) > 1 and sys.stderr.isatty():
        print(f"{found.id}, one of {len(there)} routings", file=sys.stderr)
    return found.id


async def _by_id(client: Client, ref: str) -> Sequence[RoutingView]:
    try:
        return await client.routings(ref)
    except NotFound:
        hint = "`orchestrator ls` lists services, `orchestrator ps` routings"
        raise NotFound(f"there is no service or routing {ref!r}", hint=hint) from None


def best(routings: Sequence[RoutingView]) -> RoutingView | None:
    """The longest HEALTHY one, else the youngest of those that the runtime has."""
    serving = [one for one in routings if one.status == "HEALTHY" and one.healthy_since is not None]
    if serving:
        return min(serving, key=lambda one: str(one.healthy_since))
    there = [one for one in routings if one.runtime_id and one.status != "FAILED_TO_START"]
    there = there or [one for one in routings if one.runtime_id]
    return max(there, key=lambda one: one.created_at, default=None)


class Passing(Verb):
    """The second word that is no option begins another command: from there on nothing is an option of ours, with or
    without `--` before it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        valued = {name for p in self.params if isinstance(p, TyperOption) and not p.is_flag for name in p.opts}
        words, at = 0, 0
        while at < len(args) and args[at] != "--":
            word = args[at]
            if not word.startswith("-") or word == "-":
                words += 1
                if words == 2:
                    args = [*args[:at], "--", *args[at:]]
                    break
            elif word in valued or (len(word) > 2 and word[1] != "-" and f"-{word[-1]}" in valued):
                at += 1
            at += 1
        return super().parse_args(ctx, args)
