"""What `run` shows while services come up, and when it has waited long enough for one. Pure but for the printing."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

from orchestrator.cli.output import COLOURS, age, one_line
from orchestrator.core.causes import HOPELESS
from orchestrator.core.state import RoutingStatus, ServiceStatus

if TYPE_CHECKING:
    from rich.tree import Tree

    from orchestrator.core.views import CauseView, ExplainView, RoutingView, ServiceView

TRIES = 3
"""Failed starts in sight after which a service is not waited for, whatever the cause."""


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
        if bad := next((cause for cause in causes if cause.code in HOPELESS), None):
            return service.status is not ServiceStatus.HEALTHY, bad
        first = _sharpest(causes)
        if service.status in (ServiceStatus.INVALID, ServiceStatus.STOPPED, ServiceStatus.DESTROYING):
            return True, first
        failed = [r for r in self.of(service.name) if r.status is RoutingStatus.FAILED_TO_START]
        return service.status is ServiceStatus.UNHEALTHY and len(failed) >= TRIES, first


def _sharpest(causes: Sequence[CauseView]) -> CauseView | None:
    """What its log says, where that is understood: that it ended is seen without being told."""
    return next((cause for cause in causes if cause.code.startswith("log_")), causes[0] if causes else None)


def headline(picture: Picture) -> str:
    gateway = "" if picture.gateway_up else ", the gateway is not up yet"
    return f"{len(picture.healthy())} of {len(picture.services)} services HEALTHY{gateway}"


def state_lines(picture: Picture) -> dict[str, str]:
    """One line a service, without what changes by the second."""
    return {s.name: f"{s.name}: {s.status}{_why(s, picture)}" for s in picture.services}


def _why(service: ServiceView, picture: Picture) -> str:
    if service.status is ServiceStatus.HEALTHY:
        return ""
    told = picture.causes.get(service.name)
    if told and told.causes:
        return f" ({told.causes[0].code})"
    return ""


class PlainProgress:
    """For logs and pipes: a line each time a service's state changes."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}

    def __enter__(self) -> PlainProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, picture: Picture) -> None:
        for name, line in state_lines(picture).items():
            if self._said.get(name) != line:
                self._said[name] = line
                print(one_line(line), flush=True)


class LiveProgress:
    """For terminals: one tree that is drawn again and again."""

    def __init__(self) -> None:
        from rich.live import Live

        self._live = Live(auto_refresh=False, transient=True)

    def __enter__(self) -> LiveProgress:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, picture: Picture) -> None:
        self._live.update(tree(picture, datetime.now(UTC)), refresh=True)


def progress() -> PlainProgress | LiveProgress:
    return LiveProgress() if sys.stdout.isatty() else PlainProgress()


def tree(picture: Picture, now: datetime) -> Tree:
    """Services, their routings, and of those that are not HEALTHY the first cause."""
    from rich.text import Text
    from rich.tree import Tree

    def line(*parts: tuple[Any, str]) -> Text:
        return Text("  ").join(Text(one_line(str(text)), style=style) for text, style in parts if str(text))

    root = Tree(line((headline(picture), "bold")), guide_style="dim")
    for service in picture.services:
        told = picture.causes.get(service.name)
        cause = told.causes[0].message if told and told.causes else ""
        branch = root.add(line((service.name, "bold"), (service.status, COLOURS[service.status]), (cause, "dim")))
        for routing in picture.of(service.name):
            since = age(routing.created_at, now)
            branch.add(line((routing.id, ""), (routing.status, COLOURS[routing.status]), (since, "dim")))
    return root
