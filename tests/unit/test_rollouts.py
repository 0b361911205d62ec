"""Rollouts as stories: what the planner does look by look, and what holds in every one of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import Simulator, routing, service, spec, world

from orchestrator.core.definition import Update
from orchestrator.core.fleet import canaries, count_of
from orchestrator.core.operations import Operation
from orchestrator.core.plan import plan
from orchestrator.core.rollout import rolled_back
from orchestrator.core.routes import Route, Traffic
from orchestrator.core.state import Failure, Group, Routing, Service, World
from orchestrator.core.status import is_live
from orchestrator.core.table import routes

NOW = 1000.0
GPUS = {"default": Group("default", {"cuda.device": 2.0}, ("g0", "g1"))}


def changing(count: int = 2, *, resources: dict[str, float] | None = None, **update: Any) -> tuple[Service, World]:
    """A service of `count` HEALTHY routings whose definition has just changed, and its world."""
    held = resources or {}
    old = service("echo", desired=count, resources=held, update=Update(**update))
    new = replace(
        old,
        spec=spec("echo", desired=count, image="i:2", resources=dict(held), update=Update(**update)),
        revision_number=2,
    )
    return old, world(new, routings=tuple(routing(old, f"old{i}") for i in range(count)), groups=GPUS)


class Story(Simulator):
    """Looks until nothing is due within an hour. `fails`: whether a routing that was started never gets HEALTHY."""

    def __init__(self, start: World, fails: Callable[[Routing], bool] = lambda _: False) -> None:
        super().__init__(start)
        self.now = NOW
        self.fails = fails
        self.told: list[str] = []
        self.tables: list[Route] = []
        self.rate: Callable[[Routing], tuple[int, int, float]] = lambda _: (0, 0, 0.0)
        self.after: Callable[[Operation], None] = lambda _: None

    @property
    def echo(self) -> Service:
        return self.world.services["id-echo"]

    def live(self) -> list[Routing]:
        return [r for r in self.world.routings.values() if is_live(r)]

    def look(self) -> float | None:
        made = plan(self.world, self.now)
        for operation in made.operations:
            self.told.append(self.words(operation))
            self.apply(operation, self.now)
            self.after(operation)
        self.tables.append(routes(self.world).routes[0])
        return self.now if made.operations else made.wake_at

    def words(self, operation: Operation) -> str:
        revisions = {"2": self.echo.revision} | ({"1": self.echo.good.routing.revision} if self.echo.good else {})
        text = str(operation).replace("id-", "")
        for number, revision in revisions.items():
            text = text.replace(revision, f"r{number}")
        return text

    def tell(self, until: str = "") -> list[str]:
        for _ in range(400):
            if until and any(until in line for line in self.told):
                return self.told
            wake = self.look()
            finished = self._finish()
            self._serve()
            if wake == self.now or finished:
                self.now += 0.01
            elif wake is None or wake > self.now + 3600:
                return self.told
            else:
                self.now = max(self.now + 0.01, wake)
        raise AssertionError("does not settle:\n" + "\n".join(self.told[-20:]))

    def _finish(self) -> bool:
        doomed = {r.id for r in self.world.routings.values() if r.busy == "start" and self.fails(r)}
        hurt = {
            i: replace(r, busy="", outcome=Failure("exited", "it ended with exit code 1", self.now))
            for i, r in self.world.routings.items()
            if i in doomed
        }
        self.world = replace(self.world, routings={**self.world.routings, **hurt})
        finished = self.finish(self.now)
        repaired = {i: r for i, r in hurt.items() if self.world.routings[i].outcome is None}
        self.world = replace(self.world, routings={**self.world.routings, **repaired})
        return finished or bool(hurt)

    def _serve(self) -> None:
        """A second of requests: count, errors and latency of each routing that gets any."""
        traffic = dict(self.world.traffic)
        for one in self.live():
            count, errors, latency = self.rate(one)
            known = traffic.get(one.id, Traffic())
            traffic[one.id] = Traffic(known.requests + count, known.errors + errors, latency)
        self.world = replace(self.world, traffic=traffic)


STORIES: dict[str, Callable[[], Story]] = {}


def story(name: str) -> Callable[[Callable[[], Story]], Callable[[], Story]]:
    def keep(make: Callable[[], Story]) -> Callable[[], Story]:
        STORIES[name] = make
        return make

    return keep


def of(count: int, fails: Callable[[Routing], bool] = lambda _: False, **update: Any) -> Story:
    return Story(changing(count, **update)[1], fails)


def new(one: Routing) -> bool:
    return one.id.startswith("n")


STORIES |= {
    "rolling": lambda: of(3),
    "rolling, two below": lambda: of(3, max_surge=0, max_unavailable=2),
    "rolling, neither above nor below by rounding": lambda: of(3, max_surge=0, max_unavailable="10%"),
    "rolling, watched": lambda: of(2, min_ready=5, bake=30),
    "recreate": lambda: of(2, strategy="recreate"),
    "blue-green by hand": lambda: of(2, strategy="blue_green"),
    "blue-green after a delay": lambda: of(2, strategy="blue_green", promote_after=5, bake=60),
    "canary": lambda: of(3, strategy="canary", steps=(10, 50), pause=3, min_requests=0),
    "a new routing that never gets HEALTHY": lambda: of(2, new),
    "the same, blue-green": lambda: of(2, new, strategy="blue_green"),
    "the same, recreate": lambda: of(1, lambda r: r.id == "n0000", strategy="recreate"),
    "the same, without rollback": lambda: of(1, lambda r: r.id == "n0000", auto_rollback=False),
    "no room, two routings": lambda: of(2, resources={"cuda.device": 1.0}),
    "no room, one routing": lambda: of(1, resources={"cuda.device": 2.0}),
    "no room for a canary beside the only one": lambda: of(
        1, resources={"cuda.device": 2.0}, strategy="canary", progress_deadline=90
    ),
}


@story("more than there is: nothing is given up for it")
def _() -> Story:
    told = of(1, resources={"cuda.device": 2.0}, progress_deadline=60)
    big = spec("echo", image="i:2", resources={"cuda.device": 3.0}, update=told.echo.spec.update)
    told.world = replace(told.world, services={told.echo.id: replace(told.echo, spec=big)})
    return told


@story("a shared port")
def _() -> Story:
    told = of(1)
    told.world = replace(told.world, exclusive=frozenset({told.echo.id}))
    return told


@story("a canary that fails its requests")
def _() -> Story:
    told = of(2, strategy="canary", steps=(5, 50), pause=10, min_requests=30)
    told.rate = lambda r: (10, 1, 0.01) if new(r) else (100, 1, 0.01)
    return told


@story("a canary that is slow")
def _() -> Story:
    told = of(1, strategy="canary", steps=(5,), pause=5, min_requests=5)
    told.rate = lambda r: (10, 0, 0.05) if new(r) else (100, 1, 0.01)
    return told


@story("blue-green, unhealthy after the switch: back at one instant")
def _() -> Story:
    told = of(2, strategy="blue_green", promote_after=0, bake=60)

    def sicken(operation: Operation) -> None:
        if str(operation).startswith("switch") and told.echo.side == "green":
            hurt = next(r for r in told.live() if new(r))
            probe = replace(hurt.probe, healthy=False, unhealthy_since=told.now, last_message="status 500")
            told.world = replace(told.world, routings={**told.world.routings, hurt.id: replace(hurt, probe=probe)})

    told.after = sicken
    return told


@story("changed again in the middle")
def _() -> Story:
    told = of(3)

    def change(operation: Operation) -> None:
        if "2 of 3" in str(operation) and told.echo.revision_number == 2:
            third = spec("echo", desired=3, image="i:3")
            told.world = replace(told.world, services={told.echo.id: replace(told.echo, spec=third, revision_number=3)})

    told.after = change
    return told


@story("changed back in the middle")
def _() -> Story:
    told = of(2)

    def change(operation: Operation) -> None:
        if "1 of 2" in str(operation) and told.echo.good and told.echo.revision != told.echo.good.routing.revision:
            back = spec("echo", desired=2)
            told.world = replace(told.world, services={told.echo.id: replace(told.echo, spec=back, revision_number=3)})

    told.after = change
    return told


@story("scaled to nothing in the middle, and up again")
def _() -> Story:
    told = of(2, strategy="canary", steps=(50,), pause=60, min_requests=0)
    told.tell("judging")
    told.world = replace(told.world, services={told.echo.id: replace(told.echo, override_desired=0)})
    told.tell()
    told.world = replace(told.world, services={told.echo.id: replace(told.echo, override_desired=None)})
    return told


@story("rolled back by hand to one that was not the last good")
def _() -> Story:
    told = of(1)
    told.tell()
    first = spec("echo", image="i:0").routing
    told.world = replace(
        told.world,
        services={told.echo.id: rolled_back(told.echo, first, "rolled back by hand", told.now, by_hand=True)},
    )
    return told


def test_stories(request: pytest.FixtureRequest) -> None:
    """Each story as it was told and read; `data/rollouts.txt` holds them all."""
    told = "".join(f"== {name}\n" + "".join(f"{line}\n" for line in make().tell()) for name, make in STORIES.items())
    golden = request.path.parent / "data" / "rollouts.txt"
    assert told == golden.read_text()


def test_no_deadline_passes_while_there_is_no_daemon() -> None:
    told = STORIES["no room for a canary beside the only one"]()
    told.tell("wait echo")
    told.now += 1000.0
    told.world = replace(told.world, since=told.now)
    told.look()
    assert not any("roll back" in line for line in told.told)


def test_looks_in_between_do_not_lengthen_a_step() -> None:
    told = of(2, strategy="canary", steps=(50,), pause=1.5, min_requests=0)
    told.tell("advance echo to judging")
    assert told.echo.rollout is not None
    began = told.echo.rollout.phase_since
    assert plan(told.world, began + 0.3).wake_at == began + 1.3
    assert plan(told.world, began + 0.9).wake_at == began + 1.5


def test_what_is_no_fault_of_the_new_revision_does_not_end_its_rollout() -> None:
    """An attempt from before the rollout began, and a container that somebody removed."""
    told = of(2)
    failed = Failure("exited", "it ended with exit code 1", NOW - 100)
    record = replace(routing(told.echo, "before", "gone", NOW - 200), failure=failed)
    told.world = replace(told.world, routings={**told.world.routings, record.id: record})
    told.tell("1 of 2 routings of revision 2 are ready")
    assert told.echo.rollout is not None
    removed = next(r for r in told.live() if new(r))
    told.world = replace(
        told.world, routings={**told.world.routings, removed.id: replace(removed, observed=None, busy="")}
    )
    told.tell()
    assert f"fail {removed.id} (its container was removed by hand)" in told.told
    assert not any("roll back" in line for line in told.told)
    assert told.echo.good is not None
    assert told.echo.good.number == 2


@pytest.mark.parametrize(("requests", "least", "most"), [(50, 3, 10), (0, 60, 70)], ids=["enough", "too few"])
def test_a_step_waits_for_requests_but_not_for_ever(requests: int, least: float, most: float) -> None:
    """Its pause is 3 s; where too few requests come the progress deadline of 60 s ends the wait."""
    told = of(2, strategy="canary", steps=(50,), pause=3, min_requests=50, progress_deadline=60)
    told.rate = lambda _: (requests, 0, 0.01)
    told.tell("advance echo to judging")
    assert told.echo.rollout is not None
    began = told.echo.rollout.phase_since
    told.tell("step 1 passed")
    assert least <= told.now - began <= most


def test_a_step_goes_on_with_a_new_daemon_and_counts_anew() -> None:
    """One that failed many requests before is judged by those from now on; its pause is not longer for that."""
    told = of(2, strategy="canary", steps=(50,), pause=3, min_requests=50)
    told.tell("advance echo to judging")
    rollout = told.echo.rollout
    assert rollout is not None
    told.rate = lambda _: (20, 0, 0.01)
    told.world = replace(
        told.world,
        services={told.echo.id: replace(told.echo, rollout=replace(rollout, base={}))},
        traffic={r.id: Traffic(1000, 500 if new(r) else 0, 0.01) for r in told.live()},
    )
    told.tell("step 1 passed")
    assert "advance echo to judging (its requests are counted from now on)" in told.told
    assert 3 <= told.now - rollout.phase_since < 6


def test_back_on_the_other_side_waits_until_it_can_carry_all() -> None:
    """The new side fails while one of the old two is down: those that serve go on until both old ones are back."""
    told = of(2, strategy="blue_green", promote_after=0, bake=60)
    back: list[int] = []

    def sicken(operation: Operation) -> None:
        if str(operation).startswith("switch") and told.echo.side == "blue":
            back.append(sum(r.side == "blue" and r.probe.healthy for r in told.live()))
        elif str(operation).startswith("switch"):
            hurt = (told.world.routings["old0"], next(r for r in told.live() if new(r)))
            down = {"healthy": False, "unhealthy_since": told.now, "last_message": "status 500"}
            ill = {r.id: replace(r, probe=replace(r.probe, **down)) for r in hurt}
            told.world = replace(told.world, routings={**told.world.routings, **ill})

    told.after = sicken
    told.tell()
    assert back == [2]


# --- what holds in every rollout ------------------------------------------------------------------------------------

UPDATES = st.builds(
    Update,
    strategy=st.sampled_from(["rolling", "recreate", "blue_green", "canary"]),
    max_surge=st.sampled_from([0, 1, 2, "25%", "100%"]),
    max_unavailable=st.sampled_from([0, 1, "10%", "50%"]),
    min_ready=st.sampled_from([0.0, 3.0]),
    bake=st.sampled_from([0.0, 5.0]),
    promote_after=st.sampled_from([0.0, 4.0]),
    steps=st.sampled_from([(5,), (20, 60)]),
    pause=st.sampled_from([0.0, 2.0]),
    min_requests=st.just(0),
    progress_deadline=st.just(600.0),
)


@st.composite
def rollouts(draw: st.DrawFn, *, room: bool = True) -> Story:
    """A service that has just changed; its new routings may fail, and there may be little room."""
    update = draw(UPDATES)
    count = draw(st.integers(1, 5))
    held = {} if room else {"cuda.device": 1.0}
    doomed = draw(st.sampled_from([set(), {"n0000"}, {"n0001"}]))
    told = Story(
        changing(count, resources=held, **{f: getattr(update, f) for f in Update.model_fields})[1],
        lambda r: r.id in doomed,
    )
    size = 10 if room else count + draw(st.integers(0, 2))
    group = Group("default", {"cuda.device": float(size)}, tuple(f"g{i}" for i in range(size)))
    told.world = replace(told.world, groups={"default": group})
    return told


def serving(told: Story) -> int:
    return sum(not s.draining and s.side == told.tables[-1].side for s in told.tables[-1].servers)


def cut_off(told: Story, after: int) -> None:
    """The daemon dies after so many operations, once, and comes back; 0: it does not."""
    left, apply = [after], told.apply

    def dies(operation: Operation, now: float) -> None:
        apply(operation, now)
        left[0] -= 1
        if not left[0]:
            told.interrupt()

    told.apply = dies  # type: ignore[method-assign]


@given(rollouts(), st.integers(0, 40))
def test_never_fewer_or_more_than_the_policy_allows(told: Story, cut: int) -> None:
    """Also where it is cut off. Where neither leaves room to move (percentages that round to nothing), one fewer."""
    update, desired = told.echo.spec.update, told.echo.desired
    spare = count_of(update.max_unavailable, desired, up=False)
    surge = count_of(update.max_surge, desired, up=True)
    more = {"rolling": surge, "recreate": 0, "blue_green": max(desired, surge)}
    most = desired + more.get(update.strategy, max(canaries(told.echo, desired, len(update.steps) - 1), surge))
    least = {"recreate": 0, "blue_green": desired}.get(update.strategy, desired - (spare if spare or surge else 1))
    cut_off(told, cut)
    look = told.look

    def checked() -> float | None:
        wake = look()
        assert len([r for r in told.live() if r.reservation is not None]) <= most, "\n".join(told.told)
        assert serving(told) >= least, "\n".join(told.told)
        return wake

    told.look = checked  # type: ignore[method-assign]
    told.tell()


@given(rollouts(room=False), st.integers(0, 40))
def test_it_arrives_wherever_it_is_cut_off(told: Story, cut: int) -> None:
    """All of one revision, which is the good one, HEALTHY as many as are wanted, and nothing left under way; and while
    nothing serves requests are held, which of several only those need that are all replaced at once."""
    cut_off(told, cut)
    told.tell()
    echo = told.echo
    assert echo.rollout is None
    assert echo.good is not None
    assert {r.revision for r in told.live()} == {echo.revision} == {echo.good.routing.revision}
    assert len(told.live()) == echo.desired == serving(told)
    at_once = echo.desired == 1 or echo.spec.update.strategy == "recreate"
    assert {t.state for t in told.tables} <= ({"serving", "holding"} if at_once else {"serving"}), "\n".join(told.told)


@given(rollouts(room=False), st.integers(0, 30))
def test_at_one_moment_it_comes_to_an_end(told: Story, looks: int) -> None:
    """Idempotent: once carried out, nothing of a plan is asked for again while the world stands still."""
    for _ in range(looks):
        told.look()
        told._finish()
        told.now += 0.5
    for _ in range(20):
        if told.look() != told.now:
            return
    raise AssertionError("\n".join(told.told[-10:]))
