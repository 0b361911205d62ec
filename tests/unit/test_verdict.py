"""When a canary is not good enough: its own step's requests against those of the revision that it is to replace."""

from __future__ import annotations

import pytest

from orchestrator.core.definition import Update
from orchestrator.core.routes import Traffic
from orchestrator.core.verdict import Served, fault, served

UPDATE = Update(strategy="canary", steps=(5,), min_requests=20, max_error_rate=0.01, max_latency=1.5)

FAULTS: dict[str, tuple[Served, Served, str]] = {
    "as many errors as the old one": (Served(100, 5), Served(1000, 50), ""),
    "as many more as are allowed": (Served(100, 6), Served(1000, 50), ""),
    "more than are allowed": (Served(100, 7), Served(1000, 50), "7 of 100 requests failed (7.0%)"),
    "too few requests to tell": (Served(19, 19), Served(1000, 0), ""),
    "no requests at all": (Served(), Served(1000, 0), ""),
    "the old one answered nothing, this one fails": (Served(20, 1), Served(), "1 of 20 requests failed"),
    "the old one answered nothing, this one is slow": (Served(20, 0, 9.0), Served(), ""),
    "slower than is allowed": (Served(20, 0, 0.31), Served(20, 0, 0.2), "took 310 ms on average"),
    "as slow as is allowed": (Served(20, 0, 0.3), Served(20, 0, 0.2), ""),
    "slower by less than can be measured": (Served(20, 0, 0.004), Served(20, 0, 0.001), ""),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults(name: str) -> None:
    new, old, why = FAULTS[name]
    found = fault(UPDATE, new, old)
    assert why in found
    assert bool(found) == bool(why)


def test_only_what_came_since_the_step_began_counts() -> None:
    base = {"a": Traffic(1000, 100, 9.0)}
    now = {"a": Traffic(1010, 101, 0.1), "b": Traffic(30, 0, 0.2), "c": Traffic(7, 7, 1.0)}
    found = served(["a", "b"], base, now)
    assert found is not None
    assert (found.requests, found.errors, found.latency) == (40, 1, pytest.approx(0.175))


def test_counters_that_went_back_tell_nothing() -> None:
    assert served(["a"], {"a": Traffic(10, 1)}, {"a": Traffic(9, 1)}) is None
    assert served(["a"], {"a": Traffic(10, 1)}, {"a": Traffic(12, 0)}) is None
