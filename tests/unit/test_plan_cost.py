"""What a plan costs grows with the world and no faster: counted in calls, so that a busy machine changes nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from benchmarks.planner import NOW, WORLDS
from orchestrator.core.plan import plan
from orchestrator.core.state import World
from orchestrator.core.table import routes
from tests.unit.worlds import spec


def calls(of: Callable[[], object]) -> int:
    """Python calls, C calls and steps of generators that `of` makes."""
    count = 0

    def note(*_: object) -> None:
        nonlocal count
        count += 1

    sys.setprofile(note)
    try:
        of()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("make", WORLDS.values(), ids=WORLDS)
def test_four_times_the_routings_cost_four_times_as_much(make: Callable[[int], World]) -> None:
    small, large = make(200), make(800)
    assert calls(lambda: plan(large, NOW)) < 4.8 * calls(lambda: plan(small, NOW))
    assert calls(lambda: routes(large)) < 4.8 * calls(lambda: routes(small))


def test_a_revision_is_computed_once_and_not_inherited_by_a_changed_copy() -> None:
    one = spec("echo", image="i:1").routing
    before = one.revision
    assert calls(lambda: one.revision) < 5
    changed = one.model_copy(update={"image": "i:2"})
    assert changed.revision == spec("echo", image="i:2").routing.revision != before
    assert one.model_copy().revision == before
