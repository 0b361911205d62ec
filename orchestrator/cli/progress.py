"""What `run` shows while services come up, and when it has waited long enough for one. Pure but for the printing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from orchestrator.cli.output import COLOURS, span
from orchestrator.cli.trees import Branch, News, drawing, leaf
from orchestrator.core.causes import HOPELESS, UNMENDED
from orchestrator.core.state import RoutingStatus, ServiceStatus

if TYPE_CHECKING:
    from orchestrator.core.views import CauseView, ExplainView, FetchView, RoutingView, ServiceView

TRIES = 3
"""Failed starts in sight after which a service is not waited for, whatever the cause."""

BLUNT = frozenset({"start_hopeless", "crash_loop"})
"""What says that something is wrong, not what."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What the daemon said of everything at one moment."""

    services: Sequence[ServiceView] = ()
    routings: Sequence[RoutingView] = ()
    causes: Mapping[str, ExplainView] = field(default_factory=dict)
    """By service name, of those that are not HEALTHY."""
    gateway_up: bool = True

    def of(self, service: str) -> list[RoutingView]:
        return [routing for routing in self.routings if routing.service == service]

    def healthy(self) -> list[ServiceView]:
        return [s for s in self.services if s.status is ServiceStatus.HEALTHY]

    def left_out(self) -> dict[str, CauseView | None]:
        """Services that are not waited for, with why."""
        return {s.name: cause for s in self.services for out, cause in [self._hopeless(s)] if out}

    def settled(self) -> bool:
        out = self.left_out()
        return self.gateway_up and all(s.status is ServiceStatus.HEALTHY or s.name in out for s in self.services)

    def _hopeless(self, service: ServiceView) -> tuple[bool, CauseView | None]:
        told = self.causes.get(service.name)
        causes = told.causes if told else ()
        if any(cause.code in HOPELESS for cause in causes):
            told_why = next((cause for cause in causes if cause.code in (HOPELESS | UNMENDED) - BLUNT), None)
            return service.status is not ServiceStatus.HEALTHY, told_why or _sharpest(causes)
        first = _sharpest(causes)
        if service.status in (ServiceStatus.INVALID, ServiceStatus.STOPPED, ServiceStatus.DESTROYING):
            return True, first
        failed = [r for r in self.of(service.name) if r.status is RoutingStatus.FAILED_TO_START]
        return service.status is ServiceStatus.UNHEALTHY and len(failed) >= TRIES, first


Show = Callable[[Picture], None]


def _sharpest(causes: Sequence[CauseView]) -> CauseView | None:
    """What its log says, where that is understood: that it ended is seen without being told."""
    return next((cause for cause in causes if cause.code.startswith("log_")), causes[0] if causes else None)


def headline(picture: Picture, seconds: float | None = None) -> str:
    gateway = "" if picture.gateway_up else ", the gateway is not up yet"
    passed = f", {span(seconds)}" if seconds is not None else ""
    return f"{len(picture.healthy())} of {len(picture.services)} services HEALTHY{passed}{gateway}"


def why(service: ServiceView, picture: Picture) -> str:
    """What it waits for: the rollout in its own words where there is one, else the first cause."""
    if service.status is ServiceStatus.HEALTHY and service.rollout is None:
        return ""
    if service.rollout is not None:
        return service.rollout.said
    if (fetch := fetching(service, picture)) is not None:
        return f"fetching {fetch.image}"
    told = picture.causes.get(service.name)
    return told.causes[0].message if told and told.causes else service.cause


def fetching(service: ServiceView, picture: Picture) -> FetchView | None:
    return next((r.fetching for r in picture.of(service.name) if r.fetching is not None), None)


def branches(picture: Picture, now: datetime) -> list[Branch]:
    out = picture.left_out()
    return [
        Branch(
            ((one.name, "bold"), (one.status, COLOURS[one.status]), (why(one, picture), "dim")),
            [leaf(routing, now) for routing in picture.of(one.name)],
            over=one.status is ServiceStatus.HEALTHY or one.name in out,
        )
        for one in picture.services
    ]


def plain() -> Show:
    """For logs and pipes: a line each time a service's state changes, and how far a download is now and then."""
    news = News()

    def show(picture: Picture) -> None:
        for one in picture.services:
            told = picture.causes.get(one.name)
            code = told.causes[0].code if told and told.causes and one.status is not ServiceStatus.HEALTHY else ""
            line = f"{one.name}: {one.status}{f' ({code})' if code else ''}"
            fetch = fetching(one, picture)
            said = f"{line}: {fetch.said}" if fetch is not None else line
            new = f"{line}: {fetch.image}" if fetch is not None else line
            news.tell(one.name, said, new, time.monotonic(), goes_on=fetch is not None)

    return show


@contextmanager
def live() -> Iterator[Show]:
    """For terminals: one tree that is drawn again and again."""
    began = time.monotonic()
    with drawing() as draw:
        yield lambda picture: draw(headline(picture, time.monotonic() - began), branches(picture, datetime.now(UTC)))


def progress() -> AbstractContextManager[Show]:
    return live() if sys.stdout.isatty() else nullcontext(plain())
