"""Verbs that decide about revisions: go back, go on with a rollout or give it up, share requests among routings."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.apply import LOOK
from orchestrator.cli.common import FAILED, Common, ask
from orchestrator.cli.completion import routing_ids
from orchestrator.cli.output import dump, print_error, print_json, print_table
from orchestrator.cli.services import ROUTINGS, ServiceName, changed
from orchestrator.core.errors import OrchestratorError, Unavailable

if TYPE_CHECKING:
    from orchestrator.client import Client
    from orchestrator.core.views import ServiceView


def rollback(
    common: Common,
    service: ServiceName,
    revision: Annotated[
        int | None, typer.Argument(metavar="REV", min=1, help="Default: the one before that was good.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until it serves again.")] = False,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait at most.")] = 600.0,
) -> None:
    """Go back to an earlier revision. While a rollout is under way, this ends it.

    What runs then is a new revision, equal to that one. The definition is followed again once it changes, or by
    `apply`. With --wait: exit code 4 where that failed, too, 5 after the timeout.

    Examples:
      orchestrator rollback my-model
      orchestrator rollback my-model 3 --wait
    """

    async def going_back(client: Client) -> ServiceView:
        view = await client.rollback(service, revision)
        return await _arrived(client, view, timeout) if wait else view

    view = ask(common, going_back)
    changed(common, view)


async def _arrived(client: Client, begun: ServiceView, timeout: float) -> ServiceView:
    """The service once the rollout of its revision is over. Ends the command where another took its place."""
    end = time.monotonic() + timeout
    while True:
        view = await client.service(begun.id)
        if view.revision != begun.revision:
            text = f"revision {begun.revision} of {view.name} did not stay: {view.cause or 'another took over'}"
            print_error(OrchestratorError(text, hint=f"orchestrator history {view.name}"))
            raise typer.Exit(FAILED)
        if view.rollout is None:
            return view
        if time.monotonic() > end:
            text = f"{view.name} has not arrived at revision {view.revision} within {timeout:g} s: {view.rollout.said}"
            raise Unavailable(text, hint="it goes on; `orchestrator explain` says what it waits for", code="timeout")
        await asyncio.sleep(LOOK)


def promote(common: Common, service: ServiceName) -> None:
    """Go on with a rollout that waits or is judged: switch to the new side, skip a canary's remaining steps.

    Examples:
      orchestrator promote my-model
    """
    changed(common, ask(common, lambda client: client.promote(service)))


def abort(common: Common, service: ServiceName) -> None:
    """Give up the rollout under way and go back to the last good revision.

    Examples:
      orchestrator abort my-model
    """
    changed(common, ask(common, lambda client: client.abort(service)))


def ratio(
    common: Common,
    routing: Annotated[
        str,
        typer.Argument(metavar="ROUTING", help="Id of a routing, as `ps` shows it.", autocompletion=routing_ids),
    ],
    value: Annotated[float, typer.Argument(metavar="VALUE", min=0, max=1000, help="Its share; 1 is the default.")],
) -> None:
    """Give one routing more or fewer of the requests than the others of its service: 2 twice as many, 0 none.

    It holds as long as this routing does; the one that replaces it begins with 1.

    Examples:
      orchestrator ratio 3f9c2a41be07 0.5
    """
    view = ask(common, lambda client: client.set_ratio(routing, value))
    if common.json:
        print_json(dump(view))
    else:
        print_table(ROUTINGS, [view], nothing="")
