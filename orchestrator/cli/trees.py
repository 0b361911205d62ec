"""What is drawn while something is waited for: services, their routings, and what each is at; never more than fits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from shutil import get_terminal_size
from typing import TYPE_CHECKING

from orchestrator.cli.output import COLOURS, age, one_line
from orchestrator.core.state import RoutingStatus

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

    from orchestrator.core.views import RoutingView

Part = tuple[str, str]
"""A text and its style."""
AGAIN = 15.0
"""Seconds after which a log is told once more how far a download is."""


@dataclass(frozen=True, slots=True)
class Branch:
    """A service and the lines of its routings. `over`: nothing of it is waited for any more."""

    line: tuple[Part, ...]
    leaves: Sequence[tuple[Part, ...]] = ()
    over: bool = False


Draw = Callable[[str, Sequence[Branch]], None]
"""By headline and branches."""


def leaf(routing: RoutingView, now: datetime, *, revision: bool = False) -> tuple[Part, ...]:
    """What it is at is told of one that is not HEALTHY; of a download what counts most first."""
    fetch = routing.fetching
    at = "" if routing.status is RoutingStatus.HEALTHY else routing.cause
    return (
        (routing.id, ""),
        (f"revision {routing.revision}" if revision else "", ""),
        ("fetching" if fetch is not None else routing.status, COLOURS[routing.status]),
        (age(routing.created_at, now), "dim"),
        (fetch.amount if fetch is not None else at, "dim"),
    )


def drawn(headline: str, branches: Sequence[Branch], room: int) -> Tree:
    """As many lines as there is `room` for, whoever is waited for first; the rest is counted."""
    from rich.tree import Tree

    root = Tree(_text((headline, "bold")), guide_style="dim")
    for line, leaves in fitted(branches, room - 1):
        branch = root.add(_text(*line))
        for one in leaves:
            branch.add(_text(*one))
    return root


def fitted(branches: Sequence[Branch], room: int) -> Iterator[tuple[tuple[Part, ...], Sequence[tuple[Part, ...]]]]:
    """In their order where all fits; else those that are not over first, then what is over without its routings."""
    if sum(1 + len(one.leaves) for one in branches) <= room:
        yield from ((one.line, one.leaves) for one in branches)
        return
    left = room - 1
    ordered = [one for one in branches if not one.over] + [one for one in branches if one.over]
    for number, one in enumerate(ordered):
        leaves = () if one.over else one.leaves[: max(0, left - 1)]
        if left < 1:
            rest = ordered[number:]
            over = sum(one.over for one in rest)
            yield ((f"… {len(rest)} more, {over} of them done", "dim"),), ()
            return
        left -= 1 + len(leaves)
        yield one.line, leaves


def _text(*parts: Part) -> Text:
    from rich.text import Text

    shown = [Text(one_line(text), style=style) for text, style in parts if text]
    return Text("  ", no_wrap=True, overflow="ellipsis").join(shown)


@contextmanager
def drawing() -> Iterator[Draw]:
    """One tree that is drawn again and again meanwhile, and gone afterwards."""
    from rich.live import Live

    with Live(auto_refresh=False, transient=True) as live:
        yield lambda headline, branches: live.update(
            drawn(headline, branches, get_terminal_size().lines - 1), refresh=True
        )


class News:
    """For logs and pipes: a line is told when it says something new, or (`goes_on`) after a while."""

    def __init__(self) -> None:
        self._said: dict[str, tuple[str, float]] = {}

    def tell(self, name: str, line: str, news: str, now: float, *, goes_on: bool = False) -> None:
        """`news`: what of the line counts as new."""
        before, at = self._said.get(name, ("", 0.0))
        if before != news or (goes_on and now - at >= AGAIN):
            self._said[name] = (news, now)
            print(one_line(line), flush=True)
