"""How far an image's download is, in words: bytes, share and speed as far as they are known. Pure.

An engine that fetches a few layers at a time tells the size of each only when its turn comes. Until all are known there
is no share and no time left, but how many layers there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from orchestrator.core.ports import PullProgress
from orchestrator.core.units import size_text, span_text

SETTLED = 1.0
"""Seconds before a speed is told."""


@dataclass(frozen=True, slots=True)
class Fetching:
    """`began` and `now` in steady seconds; `first`: the bytes that were there when it began."""

    seen: PullProgress
    began: float
    now: float
    first: int = 0

    def goes_on(self, seen: PullProgress, now: float) -> Fetching:
        return replace(self, seen=seen, now=now)

    @property
    def rate(self) -> float:
        """Bytes a second; 0: not known yet."""
        seconds = self.now - self.began
        return max(0.0, (self.seen.current - self.first) / seconds) if seconds >= SETTLED else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Of the download; None: not known."""
        seen = self.seen
        if not seen.whole or not self.rate or seen.unpacking:
            return None
        return (seen.total - seen.current) / self.rate

    @property
    def amount(self) -> str:
        """How much, how fast, how long: `45 %, 54.3 of 121 MiB, 5.8 MiB/s, 11s left`; empty: nothing is known."""
        left = self.seconds_left
        told = (
            self.seen.amount,
            f"{size_text(self.rate)}/s" if self.rate and not self.seen.unpacking else "",
            f"{span_text(left)} left" if left else "",
        )
        return ", ".join(part for part in told if part) if told[0] else ""

    def __str__(self) -> str:
        return f"fetching {self.seen.image}{f': {amount}' if (amount := self.amount) else ''}"


@dataclass(slots=True)
class Layers:
    """What an engine's events say of each layer, added up. `seen` takes one event: whether it told something new."""

    image: str
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Of those whose download has begun: bytes that came, bytes of all."""
    known: set[str] = field(default_factory=set)
    fetched: set[str] = field(default_factory=set)
    unpacked: set[str] = field(default_factory=set)

    def note(self, layer: str, status: str, detail: Mapping[str, int]) -> bool:
        match status:
            case "Pulling fs layer" | "Waiting":
                self.known.add(layer)
            case "Already exists":
                for these in (self.known, self.fetched, self.unpacked):
                    these.add(layer)
            case "Downloading" if detail.get("total"):
                self.known.add(layer)
                self.sizes[layer] = (int(detail.get("current", 0)), int(detail["total"]))
            case "Download complete" | "Verifying Checksum" | "Extracting" if layer in self.known:
                self._arrived(layer)
            case "Pull complete" if layer in self.known:
                self._arrived(layer)
                self.unpacked.add(layer)
            case _:
                return False
        return True

    def _arrived(self, layer: str) -> None:
        self.fetched.add(layer)
        if layer in self.sizes:
            self.sizes[layer] = (self.sizes[layer][1], self.sizes[layer][1])

    def progress(self) -> PullProgress:
        current, total = (sum(column) for column in zip((0, 0), *self.sizes.values(), strict=True))
        counts = PullProgress(self.image, current, total, len(self.known), len(self.fetched), len(self.unpacked))
        return replace(counts, whole=bool(self.known) and self.known <= self.sizes.keys() | self.fetched)
