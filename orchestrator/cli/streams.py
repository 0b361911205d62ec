"""Verbs that go on: logs and events."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.common import Common, ask, each
from orchestrator.cli.completion import service_names, targets
from orchestrator.cli.output import dump, one_line, tamed, when
from orchestrator.core.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from orchestrator.client import Client
    from orchestrator.core.views import EventView, LogEntry

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def logs(
    common: Common,
    ref: Annotated[
        str,
        typer.Argument(
            metavar="SERVICE|ROUTING",
            help="Name or id of a service, or id of a routing.",
            autocompletion=targets,
        ),
    ],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines come.")] = False,
    tail: Annotated[int | None, typer.Option(min=0, metavar="N", help="The last N lines of each routing.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="From when on: 10m (ago), or 2025-01-31T12:00:00Z.")
    ] = None,
) -> None:
    """Show the logs of a service's routings, or of one routing.

    Examples:
      orchestrator logs -f my-model
      orchestrator logs --tail 100 --since 10m my-model
    """
    start = None if since is None else since_seconds(since, datetime.now(UTC))
    prefixed = not common.json and ask(common, lambda client: _several(client, ref))

    def show(entry: LogEntry) -> None:
        if common.json:
            print_line(entry)
            return
        text = tamed(entry.text) if sys.stdout.isatty() else entry.text
        print(f"{entry.routing} | {text}" if prefixed else text, flush=True)

    each(common, lambda client: client.logs(ref, follow=follow, tail=tail, since=start), show)


async def _several(client: Client, ref: str) -> bool:
    try:
        return len(await client.routings(ref)) > 1
    except NotFound:
        return False


def events(
    common: Common,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as events come.")] = False,
    service: Annotated[
        str | None, typer.Option(metavar="SERVICE", help="Of this one only.", autocompletion=service_names)
    ] = None,
    tail: Annotated[int, typer.Option(min=0, max=10000, metavar="N", help="The latest N events.")] = 50,
) -> None:
    """Show what happened and why.

    Examples:
      orchestrator events -f
      orchestrator events --service my-model -o json
    """

    def show(event: EventView) -> None:
        if common.json:
            print_line(event)
            return
        place = " ".join(filter(None, (event.service, event.routing)))
        print(f"{when(event.time)}  {event.kind:<24}  {place}  {one_line(event.cause)}".rstrip(), flush=True)

    if follow:
        each(common, lambda client: client.follow_events(service=service, limit=tail), show)
        return
    for event in ask(common, lambda client: client.events(service=service, limit=tail)):
        show(event)


def print_line(view: EventView | LogEntry) -> None:
    import json

    print(json.dumps(dump(view), ensure_ascii=False), flush=True)


def since_seconds(text: str, now: datetime) -> float:
    """`10m` ago, or an ISO time (without a zone: local), as wall seconds. Raises `InvalidInput`."""
    if span := re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text.strip()):
        return now.timestamp() - float(span[1]) * _UNITS[span[2]]
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        hint = "a duration such as 10m, 2h, 3d, or a time such as 2025-01-31T12:00:00Z"
        raise InvalidInput(f"cannot read --since {text}", hint=hint) from None
