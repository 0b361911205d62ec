"""When a start is given up before its time: only what no time mends, seen for a while, once the grace is over."""

from __future__ import annotations

import pytest

from orchestrator.core.definition import HealthCheck
from orchestrator.core.health import GRACE, ProbeResult, fold, hopeless_from
from orchestrator.core.state import ProbeState

CHECK = HealthCheck(initial_delay=60, max_retries=3)
REFUSED = "GET /health on port 8000 failed: Connection refused"
LOOPBACK = f"{REFUSED}; it listens on 127.0.0.1:8000 only"
REDIRECTS = "GET /health on port 8000 answered 302, expected 200"
MISSING = "GET /health on port 8000 answered 404, expected 200"
PASSED = "passed"


@pytest.mark.parametrize(
    ("seen", "check", "given_up"),
    [
        pytest.param([(REDIRECTS, 70)], CHECK, 66.0, id="from the beginning on: when its grace is over"),
        pytest.param([(REDIRECTS, 60)], CHECK, None, id="within its grace"),
        pytest.param([(LOOPBACK, 200)], None, GRACE, id="without a check: after a minute"),
        pytest.param([(REFUSED, 300), (REDIRECTS, 6)], CHECK, None, id="loads for long, then redirects for a moment"),
        pytest.param([(REFUSED, 300), (REDIRECTS, 8)], CHECK, 66.0, id="and then for longer"),
        pytest.param([(REFUSED, 300), (LOOPBACK, 6), (REFUSED, 4), (LOOPBACK, 6)], CHECK, None, id="on and off"),
        pytest.param([(LOOPBACK, 50), (PASSED, 2), (LOOPBACK, 900)], CHECK, None, id="it had passed"),
        pytest.param([(MISSING, 900)], CHECK, None, id="it may still load"),
    ],
)
def test_a_start_is_given_up(seen: list[tuple[str, int]], check: HealthCheck | None, given_up: float | None) -> None:
    """A probe every two seconds; `seen`: what, and for how many seconds. `given_up`: not before."""
    state, now = ProbeState(), 0.0
    for message, seconds in seen:
        for _ in range(seconds // 2):
            state = fold(state, ProbeResult(message == PASSED, now, message), check, started_at=0.0)
            now += 2
    assert hopeless_from(state, check, started_at=0.0) == given_up
