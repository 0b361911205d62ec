"""Verbs that measure: top, usage, access, and the level of the daemon's log."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Awaitable, Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.common import Common, ask, each
from orchestrator.cli.completion import service_names
from orchestrator.cli.output import (
    COLOURS,
    Column,
    aligned,
    dump,
    one_line,
    print_facts,
    print_json,
    print_table,
    when,
)

if TYPE_CHECKING:
    from rich.table import Table

    from orchestrator.client import Client
    from orchestrator.core.traffic_views import AccessEntry, LogLevelView, TopView, UsageView

NONE = "-"


class Level(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def size(value: float | None) -> str:
    """Bytes in three digits or so: 512B, 3.4M, 12G."""
    if value is None:
        return NONE
    for unit in ("B", "K", "M", "G"):
        if value < 999.5 or unit == "G":
            return f"{value:.0f}{unit}" if value >= 9.95 or unit == "B" else f"{value:.1f}{unit}"
        value /= 1024
    raise AssertionError("unreachable")


def rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def latency(seconds: float | None) -> str:
    """2 ms, 340 ms, 1.2 s, 85 s, 31 h."""
    if seconds is None:
        return NONE
    if seconds < 1:
        return f"{seconds * 1000:.{0 if seconds >= 0.01 else 1}f} ms"
    if seconds >= 36_000:
        return f"{seconds / 3600:,.0f} h"
    return f"{seconds:.{1 if seconds < 10 else 0}f} s"


TOP = (
    Column("SERVICE", lambda t: t.service),
    Column("STATUS", lambda t: t.status),
    Column("ROUTINGS", lambda t: f"{t.healthy}/{t.desired}", right=True),
    Column("REQ/S", lambda t: rate(t.requests_per_second), right=True),
    Column("ERR/S", lambda t: rate(t.errors_per_second), right=True),
    Column("P50", lambda t: latency(t.p50), right=True),
    Column("P95", lambda t: latency(t.p95), right=True),
    Column("P99", lambda t: latency(t.p99), right=True),
    Column("OPEN", lambda t: str(t.open), right=True),
    Column("QUEUE", lambda t: str(t.queued), right=True),
    Column("OUT/S", lambda t: size(t.bytes_per_second), right=True),
    Column("CPU", lambda t: NONE if t.cpu is None else f"{t.cpu:.2f}", right=True),
    Column("MEMORY", lambda t: size(t.memory), right=True),
)
USAGE = (
    Column("DAY", lambda u: u.day),
    Column("SERVICE", lambda u: u.service),
    Column("TOKEN", lambda u: u.token_name or u.token_id or "(none)"),
    Column("REQUESTS", lambda u: f"{u.requests:,}", right=True),
    Column("ERRORS", lambda u: f"{u.errors:,}", right=True),
    Column("IN", lambda u: size(u.bytes_in), right=True),
    Column("OUT", lambda u: size(u.bytes_out), right=True),
    Column("TIME", lambda u: latency(u.seconds) if u.seconds else NONE, right=True),
)


def top(
    common: Common,
    every: Annotated[
        float | None, typer.Option(min=0.5, max=3600, metavar="SECONDS", help="Between two looks; default: 2.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Look once and end.")] = False,
) -> None:
    """Show live what is asked of services, how they answer and what they take. The busiest come first.

    On a terminal it goes on until Ctrl-C. Piped it looks once, or with --every for ever; with -o json once. Rates are
    those of the last seconds; ERR/S: answers with 5xx. CPU is in cores.

    Examples:
      orchestrator top
      orchestrator top --every 10 >> top.txt
      orchestrator top -o json
    """
    if common.json:
        print_json([dump(view) for view in ask(common, lambda client: client.top())])
        return
    live = sys.stdout.isatty() and not once
    try:
        ask(common, lambda client: _live(client, every or 2.0) if live else _lines(client, None if once else every))
    except KeyboardInterrupt:
        if not live:
            raise


async def _lines(client: Client, every: float | None) -> None:
    import asyncio

    while True:
        views = busiest(await client.top())
        if every is None:
            print_table(TOP, views, nothing="no services: put a model folder into a models_dir")
            return
        cells = [[column.title for column in TOP], *([one_line(c.text(v)) for c in TOP] for v in views)]
        print("\n".join(aligned(cells, [c.right for c in TOP])) + "\n", flush=True)
        await asyncio.sleep(every)


async def _live(client: Client, every: float) -> None:
    import asyncio

    from rich.live import Live

    with Live(screen=True, auto_refresh=False) as live:
        while True:
            views = busiest(await client.top())
            live.update(_table(views, live.console.width, live.console.height), refresh=True)
            await asyncio.sleep(every)


def busiest(views: Iterable[TopView]) -> list[TopView]:
    return sorted(views, key=lambda v: (-v.requests_per_second, -v.open - v.queued, v.service.lower()))


GIVE_WAY = ("OUT/S", "P95", "OPEN", "MEMORY", "CPU", "QUEUE", "ERR/S", "P50")
"""Columns that a narrow terminal does without, the first first."""


def fitting(columns: Sequence[Column], views: Sequence[TopView], room: int) -> list[Column]:
    """Those that fit whole into `room` characters."""
    left = list(columns)
    widths = {c.title: max(len(one_line(text)) for text in (c.title, *map(c.text, views))) + 2 for c in columns}
    for title in GIVE_WAY:
        if sum(widths[column.title] for column in left) - 2 <= room:
            break
        left = [column for column in left if column.title != title]
    return left


def _table(views: Sequence[TopView], width: int, height: int) -> Table:
    from datetime import datetime

    from rich.table import Table
    from rich.text import Text

    shown = views[: max(1, height - 4)]
    requests, errors = sum(v.requests_per_second for v in views), sum(v.errors_per_second for v in views)
    count = "1 service" if len(views) == 1 else f"{len(views)} services"
    told = f"{count} · {rate(requests)} requests/s · {rate(errors)} errors/s"
    waiting = f" · {sum(v.queued for v in views)} waiting · {sum(v.open for v in views)} open"
    more = f"{len(views) - len(shown)} more · " if len(shown) < len(views) else ""
    table = Table(
        box=None,
        pad_edge=False,
        header_style="bold",
        title=f"{datetime.now():%H:%M:%S}  {told}{waiting}",
        title_justify="left",
        caption=f"{more}Ctrl-C ends",
        caption_justify="left",
    )
    columns = fitting(TOP, shown, width)
    for column in columns:
        table.add_column(column.title, justify="right" if column.right else "left", no_wrap=True)
    for view in shown:
        cells = [one_line(column.text(view)) for column in columns]
        table.add_row(*(Text(cell, style=COLOURS.get(cell, "")) for cell in cells))
    return table


def usage(
    common: Common,
    service: Annotated[
        str | None, typer.Option(metavar="SERVICE", help="Of this one only.", autocompletion=service_names)
    ] = None,
    by: Annotated[str | None, typer.Option(metavar="TOKEN", help="By this token only: its id or name.")] = None,
    days: Annotated[int, typer.Option(min=1, max=400, metavar="N", help="Days back, today included (UTC).")] = 30,
    total: Annotated[bool, typer.Option("--total", help="Of all days together.")] = False,
) -> None:
    """Show what was used, by day, service and token. TIME is the sum of the requests' times.

    Examples:
      orchestrator usage --days 7
      orchestrator usage --service my-model --total
      orchestrator usage --by alice -o json
    """
    rows = ask(common, lambda client: client.usage(service=service, token=by, days=days))
    found = summed(rows) if total else list(rows)
    if common.json:
        print_json([dump(row) for row in found])
        return
    print_table(USAGE, found, nothing="nothing was used")


SUMS = ("requests", "errors", "bytes_in", "bytes_out", "seconds")


def summed(rows: Iterable[UsageView]) -> list[UsageView]:
    """By service and token; `day` says from when to when."""
    groups: dict[tuple[str, str], list[UsageView]] = defaultdict(list)
    for row in rows:
        groups[row.service, row.token_id].append(row)
    found = []
    for group in groups.values():
        sums = {name: sum(getattr(row, name) for row in group) for name in SUMS}
        days = sorted({row.day for row in group})
        name = next((row.token_name for row in reversed(group) if row.token_name), "")
        day = days[0] if len(days) == 1 else f"{days[0]}..{days[-1]}"
        found.append(group[-1].model_copy(update={**sums, "day": day, "token_name": name}))
    return found


def access(
    common: Common,
    ref: Annotated[
        str, typer.Argument(metavar="SERVICE", help="Name or id of a service.", autocompletion=service_names)
    ],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as requests end.")] = False,
    tail: Annotated[int, typer.Option(min=0, max=10_000, metavar="N", help="The latest N requests.")] = 100,
) -> None:
    """Show the requests of a service that have ended: who asked what, what came of it, and where the time went.

    Times: the whole, then (where there was one) + waiting in the gateway until its service was ready, ~ until the
    answer began.

    Examples:
      orchestrator access -f my-model
      orchestrator access --tail 1000 my-model -o json
    """
    import json

    def show(entry: AccessEntry) -> None:
        text = json.dumps(dump(entry), ensure_ascii=False) if common.json else told(entry)
        print(text, flush=True)

    each(common, lambda client: client.access(ref, tail=tail, follow=follow), show)


def told(entry: AccessEntry) -> str:
    times = [latency(entry.seconds.total)]
    if entry.seconds.hold:
        times.append(f"+{latency(entry.seconds.hold)}")
    if entry.seconds.first_byte is not None and entry.seconds.total > entry.seconds.first_byte + 0.05:
        times.append(f"~{latency(entry.seconds.first_byte)}")
    who = entry.token_name or entry.token_id or NONE
    status = str(entry.status) if entry.status is not None else "gone"
    sizes = f"{size(entry.bytes_in)}>{size(entry.bytes_out)}"
    words = (when(entry.time), status, f"{entry.method} {entry.path}", " ".join(times), sizes, who)
    return "  ".join(map(one_line, (*words, entry.routing or NONE, entry.client, entry.request_id)))


def log_level(
    common: Common,
    level: Annotated[Level | None, typer.Argument(help="The least level that is logged from now on.")] = None,
) -> None:
    """Show or change how much the running daemon logs. A restart brings back what config.toml says.

    Examples:
      orchestrator log-level
      orchestrator log-level debug
    """

    def call(client: Client) -> Awaitable[LogLevelView]:
        return client.log_level() if level is None else client.set_log_level(level.value)

    view = ask(common, call)
    if common.json:
        print_json(dump(view))
        return
    print_facts({"level": view.level})
