"""Totals over workers that come and go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.routes import Traffic
from orchestrator.scheduler.traffic import GONE, TrafficCounts


def reading(**workers: int) -> dict[str, dict[str, Traffic]]:
    return {worker: {"r": Traffic(requests)} for worker, requests in workers.items()}


@pytest.mark.parametrize(
    ("readings", "total"),
    [
        ([reading(a=5)], 5),
        ([reading(a=5), reading(a=5), reading(a=7)], 7),
        ([reading(a=5), reading(a=6, b=1), reading(b=4)], 10),
        ([reading(a=5), reading(), reading(a=8)], 8),
        ([reading(a=5), reading(b=3), reading(a=2)], 10),
        ([reading(a=5), reading(a=1), reading(a=3)], 8),
        ([reading(**{f"w{turn}": 2}) for turn in range(GONE * 3)], GONE * 6),
    ],
    ids=["one", "grows", "replaced", "overlooked once", "id of one that is gone", "id at once", "many"],
)
def test_totals(readings: list[dict[str, dict[str, Traffic]]], total: int) -> None:
    counts = TrafficCounts()
    totals = [counts.add(seen) for seen in readings]
    assert totals[-1] == {"r": Traffic(total)}


def test_latency_is_weighed_by_requests_and_errors_never_shrink() -> None:
    counts = TrafficCounts()
    counts.add({"a": {"r": Traffic(30, 3, 0.1)}})
    assert counts.add({"a": {"r": Traffic(30, 2, 0.1)}, "b": {"r": Traffic(10, 1, 0.5)}}) == {
        "r": Traffic(40, 4, pytest.approx(0.2))  # type: ignore[arg-type]
    }


def test_what_no_longer_exists_is_forgotten() -> None:
    counts = TrafficCounts()
    counts.add({"a": {"old": Traffic(1), "new": Traffic(2)}})
    counts.add({"a": {"old": Traffic(0), "new": Traffic(0)}})
    counts.forget(["new"])
    assert counts.add({"b": {"new": Traffic(3)}}) == {"new": Traffic(5)}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.booleans()), max_size=30))
def test_a_reload_at_any_time_loses_no_request(steps: list[tuple[str, int, bool]]) -> None:
    """One worker at a time counts; it is replaced by one whose counters begin at 0."""
    counts, worker, live, truth = TrafficCounts(), 0, dict.fromkeys("abc", 0), dict.fromkeys("abc", 0)
    for routing, requests, reload in steps:
        live[routing] += requests
        truth[routing] += requests
        found = counts.add({str(worker): {name: Traffic(count) for name, count in live.items()}})
        assert {name: count.requests for name, count in found.items()} == truth
        if reload:
            worker, live = worker + 1, dict.fromkeys("abc", 0)
