"""What `apply` shows while it waits: a live tree on a terminal, else a line each time a service comes further."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from orchestrator.cli.output import span
from orchestrator.cli.trees import Branch, News, drawing, leaf

if TYPE_CHECKING:
    from orchestrator.core.plan_views import ProgressView, TargetView

_CLOCK = re.compile(r"\d+ (s of|%)|\d+ requests?")
"""What changes by the second, and is no news."""
Show = Callable[["Sequence[ProgressView]"], None]
STATES = {"under_way": "cyan", "done": "green", "waits": "yellow", "rolled_back": "red", "superseded": "red"}


def _lines(names: Mapping[str, str]) -> Show:
    """For logs and pipes."""
    news = News()

    def show(found: Sequence[ProgressView]) -> None:
        for one in found:
            if one.state == "under_way":
                new = _CLOCK.sub("", f"{_said(one)} {[fetch.image for fetch in one.fetching]}")
                line = f"{names[one.id]}: {_standing(one)}"
                news.tell(one.id, line, new, time.monotonic(), goes_on=bool(one.fetching))

    return show


@contextmanager
def _live(names: Mapping[str, str]) -> Iterator[Show]:
    """For terminals: one tree that is drawn again and again."""
    began = time.monotonic()
    with drawing() as draw:
        yield lambda found: draw(headline(found, time.monotonic() - began), branches(found, names, datetime.now(UTC)))


def shown(targets: Sequence[TargetView], *, quiet: bool) -> AbstractContextManager[Show]:
    names = {t.id: t.service for t in targets}
    if quiet:
        return nullcontext(lambda _: None)
    return _live(names) if sys.stdout.isatty() else nullcontext(_lines(names))


def headline(found: Sequence[ProgressView], seconds: float) -> str:
    return f"{sum(one.state != 'under_way' for one in found)} of {len(found)} done, {span(seconds)}"


def branches(found: Sequence[ProgressView], names: Mapping[str, str], now: datetime) -> list[Branch]:
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
