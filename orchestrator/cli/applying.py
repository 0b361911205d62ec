"""What `apply` shows while it waits: a live tree on a terminal, else a line each time a service comes further."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING

from orchestrator.cli.output import span
from orchestrator.cli.trees import Branch, Drawing, News, leaf

if TYPE_CHECKING:
    from orchestrator.core.plan_views import ProgressView, TargetView

_CLOCK = re.compile(r"\d+ (s of|%)|\d+ requests?")
"""What changes by the second, and is no news."""
STATES = {"under_way": "cyan", "done": "green", "waits": "yellow", "rolled_back": "red", "superseded": "red"}


class Lines:
    """For logs and pipes. `quiet`: nothing at all."""

    def __init__(self, targets: Sequence[TargetView], *, quiet: bool) -> None:
        self._names = {t.id: t.service for t in targets}
        self._quiet = quiet
        self._news = News()

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, found: Sequence[ProgressView]) -> None:
        for one in found:
            if one.state != "under_way" or self._quiet:
                continue
            line = f"{self._names[one.id]}: {_standing(one)}"
            news = _CLOCK.sub("", f"{_said(one)} {[fetch.image for fetch in one.fetching]}")
            self._news.tell(one.id, line, news, time.monotonic(), goes_on=bool(one.fetching))


class Live:
    """For terminals: one tree that is drawn again and again."""

    def __init__(self, targets: Sequence[TargetView]) -> None:
        self._names = {t.id: t.service for t in targets}
        self._drawing = Drawing()
        self._began = time.monotonic()

    def __enter__(self) -> Live:
        self._drawing.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._drawing.__exit__(kind, error, trace)

    def show(self, found: Sequence[ProgressView]) -> None:
        shown = headline(found, time.monotonic() - self._began)
        self._drawing.draw(shown, branches(found, self._names, datetime.now(UTC)))


def shown(targets: Sequence[TargetView], *, quiet: bool) -> Lines | Live:
    return Live(targets) if sys.stdout.isatty() and not quiet else Lines(targets, quiet=quiet)


def headline(found: Sequence[ProgressView], seconds: float) -> str:
    return f"{sum(one.state != 'under_way' for one in found)} of {len(found)} done, {span(seconds)}"


def branches(found: Sequence[ProgressView], names: dict[str, str], now: datetime) -> list[Branch]:
    """Services, below each its routings and the images that are fetched for them."""
    return [
        Branch(
            ((names[one.id], "bold"), (one.state.replace("_", " "), STATES[one.state]), (_said(one), "")),
            [leaf(routing, now, revision=True) for routing in one.routings],
            over=one.state != "under_way",
        )
        for one in found
    ]


def _said(one: ProgressView) -> str:
    """Where it stands: the rollout in its own words where there is one."""
    said = one.service.rollout.said if one.service is not None and one.service.rollout is not None else ""
    return said if one.state == "under_way" and said else one.message


def _standing(one: ProgressView) -> str:
    return "; ".join(part for part in (_said(one), *(fetch.said for fetch in one.fetching[:1])) if part)
