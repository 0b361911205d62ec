"""What `apply` shows while it waits: a live tree on a terminal, else a line each time a service comes further."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING

from orchestrator.cli.output import COLOURS, age, one_line

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

    from orchestrator.core.plan_views import FetchView, ProgressView, TargetView

_CLOCK = re.compile(r"\d+ (s of|%)|\d+ requests?")
"""What changes by the second, and is no news."""
STATES = {"under_way": "cyan", "done": "green", "waits": "yellow", "rolled_back": "red", "superseded": "red"}


class Lines:
    """For logs and pipes. `quiet`: nothing at all."""

    def __init__(self, targets: Sequence[TargetView], *, quiet: bool) -> None:
        self._names = {t.id: t.service for t in targets}
        self._quiet = quiet
        self._said: dict[str, str] = {}

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, found: Sequence[ProgressView]) -> None:
        for one in found:
            line = f"{self._names[one.id]}: {one_line(_standing(one))}"
            without_clock = _CLOCK.sub("", line)
            if one.state == "under_way" and not self._quiet and self._said.get(one.id) != without_clock:
                self._said[one.id] = without_clock
                print(line, flush=True)


class Live:
    """For terminals: one tree that is drawn again and again."""

    def __init__(self, targets: Sequence[TargetView]) -> None:
        from rich.live import Live as Drawn

        self._names = {t.id: t.service for t in targets}
        self._live = Drawn(auto_refresh=False, transient=True)

    def __enter__(self) -> Live:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, found: Sequence[ProgressView]) -> None:
        self._live.update(tree(found, self._names, datetime.now(UTC)), refresh=True)


def shown(targets: Sequence[TargetView], *, quiet: bool) -> Lines | Live:
    return Live(targets) if sys.stdout.isatty() and not quiet else Lines(targets, quiet=quiet)


def tree(found: Sequence[ProgressView], names: dict[str, str], now: datetime) -> Tree:
    """Services, below each its routings and the images that are fetched for them."""
    from rich.tree import Tree

    done = sum(one.state != "under_way" for one in found)
    root = Tree(_text((f"{done} of {len(found)} done", "bold")), guide_style="dim")
    for one in found:
        branch = root.add(
            _text((names[one.id], "bold"), (one.state.replace("_", " "), STATES[one.state]), (_standing(one), ""))
        )
        for parts in _routings(one, now):
            branch.add(_text(*parts))
    return root


def _routings(one: ProgressView, now: datetime) -> Iterator[tuple[tuple[str, str], ...]]:
    fetching = {f.routing: f for f in one.fetching}
    for routing in one.routings:
        fetched = fetching.get(routing.id)
        cause = _fetch(fetched) if fetched else routing.cause
        yield (
            (routing.id, ""),
            (f"revision {routing.revision}", ""),
            (routing.status, COLOURS[routing.status]),
            (age(routing.created_at, now), "dim"),
            (cause, "dim"),
        )


def _standing(one: ProgressView) -> str:
    """Where it stands: the rollout in its own words where there is one."""
    said = one.service.rollout.said if one.service is not None and one.service.rollout is not None else ""
    fetched = ", ".join(_fetch(f) for f in one.fetching[:1])
    return "; ".join(part for part in (said if one.state == "under_way" and said else one.message, fetched) if part)


def _fetch(fetch: FetchView) -> str:
    share = f": {fetch.current * 100 // fetch.total} % of {fetch.total / 2**20:.0f} MiB" if fetch.total else ""
    return f"fetching {fetch.image}{share}"


def _text(*parts: tuple[str, str]) -> Text:
    from rich.text import Text

    return Text("  ").join(Text(one_line(text), style=style) for text, style in parts if text)
