"""What a plan says before anything happens: operations, downtime and room, all from the real planner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import Simulator, routing, service, spec, world

from orchestrator.core.definition import Endpoint, Update
from orchestrator.core.fitting import Host
from orchestrator.core.pending import Pending, change_of, summary, taken_over, told
from orchestrator.core.plan import plan
from orchestrator.core.preview import Preview, after_world, preview
from orchestrator.core.simulation import simulate
from orchestrator.core.state import Attempts, Group, Rejected, Service, World

GIB = 1 << 30
ONE_GPU = {"default": Group("default", {"cuda.device": 1.0}, ("gpu-0",))}
GPU = {"cuda.device": 1.0}


def change(desired: int = 1, *, to: int | None = None, image: str = "i:2", **more: Any) -> tuple[Service, Service]:
    """A service, and what is wanted of it."""
    before = service("echo", spec=spec(desired=desired, **more))
    after = spec(desired=desired if to is None else to, image=image, **more)
    return before, replace(before, spec=after)


def seen(
    before: Service | None,
    wanted: Service,
    *others: Service,
    host: Host | None = None,
    exclusive: bool = False,
    **more: Any,
) -> Preview:
    """The preview of one change in a world where as many routings serve as are wanted."""
    routings = [routing(before, f"r{n}", at=float(n)) for n in range(before.desired)] if before else []
    known = [before] if before is not None else []
    now = world(*known, *others, routings=tuple(routings), **more)
    pending = Pending(before, wanted, exclusive)
    after = replace(now, services=after_world(now, [pending]))
    if exclusive:
        after = replace(after, exclusive=frozenset({wanted.id}))
    return preview(now, after, [pending], 1000.0, host or Host())[0]


OPERATIONS: dict[str, tuple[Update, tuple[str, ...]]] = {
    "rolling": (
        Update(),
        (
            "begin to replace by revision 2, rolling",
            "start routing 1 of 2 on revision 2",
            "drain and end routing r1 of revision 1: replaced by revision 2",
            "start routing 2 of 2 on revision 2",
            "drain and end routing r0 of revision 1: replaced by revision 2",
            "revision 2 counts as good",
        ),
    ),
    "blue-green after a delay, watched": (
        Update(strategy="blue_green", promote_after=5, bake=30),
        (
            "begin to replace by revision 2, blue_green",
            "start routing 1 of 2 on revision 2",
            "start routing 2 of 2 on revision 2",
            "both revisions are HEALTHY: switch after 5 s",
            "switch all requests at once to revision 2 (green); the other side stays for 30 s",
            "revision 2 counts as good",
            "drain and end routing r0 of revision 1: replaced by revision 2",
            "drain and end routing r1 of revision 1: replaced by revision 2",
        ),
    ),
    "blue-green, by hand": (
        Update(strategy="blue_green"),
        (
            "begin to replace by revision 2, blue_green",
            "start routing 1 of 2 on revision 2",
            "start routing 2 of 2 on revision 2",
            "wait for `orchestrator promote echo`",
            "switch all requests at once to revision 2 (green)",
            "revision 2 counts as good",
            "drain and end routing r0 of revision 1: replaced by revision 2",
            "drain and end routing r1 of revision 1: replaced by revision 2",
        ),
    ),
    "canary with bake": (
        Update(strategy="canary", steps=(10,), bake=5.0),
        (
            "begin to replace by revision 2, canary",
            "start routing 1 of 2 on revision 2",
            "judge revision 2 with 10 % of the requests for 60 s at least",
            "drain and end routing r1 of revision 1: replaced by revision 2",
            "start routing 2 of 2 on revision 2",
            "drain and end routing r0 of revision 1: replaced by revision 2",
            "watch revision 2, which serves alone, for 5 s",
            "revision 2 counts as good",
        ),
    ),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_are_told_in_order(name: str) -> None:
    update, lines = OPERATIONS[name]
    found = seen(*change(2, update=update))
    assert found.operations == lines
    assert (found.change, found.fits, found.downtime.text) == ("rolling", True, "none")


def test_what_has_no_room_for_both_makes_requests_wait() -> None:
    found = seen(*change(resources=GPU), groups=ONE_GPU)
    why = "no room for both: needs 1 cuda.device, 0 free"
    limit = "the last start took about 1 s; after 60 s (gateway.hold_seconds) they get 503"
    assert found.downtime.text == f"requests wait at the gateway while revision 2 starts ({why}); {limit}"
    assert (found.fits, found.downtime.seconds) == (True, 0.0)


def test_a_start_that_takes_longer_than_requests_may_wait_is_said() -> None:
    before, wanted = change(resources=GPU)
    slow = routing(before, "r0", at=0.0)
    slow = replace(slow, probe=replace(slow.probe, healthy_since=90.0))
    now = world(before, routings=(slow,), groups=ONE_GPU)
    pending = Pending(before, wanted)
    after = replace(now, services=after_world(now, [pending]))
    found = preview(now, after, [pending], 1000.0, Host(hold_seconds=60.0))[0]
    assert found.downtime.seconds == pytest.approx(30.0, abs=1)
    assert "the last start took about 90 s; after 60 s (gateway.hold_seconds) they get 503" in found.downtime.text


KINDS: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "a fixed port": ({}, {"exclusive": True}, "recreate", "its port is fixed: one routing at a time"),
    "recreate": ({"update": Update(strategy="recreate")}, {}, "recreate", "strategy recreate: the old routings end"),
    "to nothing": ({"to": 0, "image": "i:1"}, {}, "hot", "for good: no routing is wanted any more"),
}


@pytest.mark.parametrize("name", KINDS)
def test_changes_that_end_what_serves_say_so(name: str) -> None:
    asked, around, kind, why = KINDS[name]
    found = seen(*change(**asked), **around)
    assert (found.change, why in found.downtime.text) == (kind, True), found.downtime


def test_what_waits_is_named_as_it_is_planned() -> None:
    before, wanted = change()
    assert summary(Pending(before, wanted)).startswith("a rolling change of deployment.image waits")
    assert summary(Pending(before, wanted, exclusive=True)).startswith("a recreate change of deployment.image waits")


def test_a_new_service_one_that_ends_and_one_that_stays() -> None:
    new = service("echo", good=None)
    created = seen(None, new)
    assert (created.change, created.operations[0]) == ("create", "start routing 1 of 1 on revision 1")
    assert created.fields
    assert all(f.before is None for f in created.fields)
    gone = seen(service("echo"), replace(service("echo"), removing=True))
    assert (gone.change, gone.downtime.text) == ("remove", "for good: the service ends")
    assert gone.operations[-1] == "forget the service"
    assert change_of(Pending(service("echo"), service("echo"))) == "none"


HOSTS: dict[str, tuple[dict[str, Any], Host, str]] = {
    "no room": ({"resources": {"cuda.device": 2.0}}, Host(), "over quota: needs 2 cuda.device, 1 in all"),
    "an image that is never fetched": (
        {},
        Host(images={"i:2": False}, pull="never"),
        "image i:2 is not there, and images are never fetched here ([docker] pull)",
    ),
    "a full disk": ({}, Host(disk={"/state": GIB // 2}), "needs 1 GiB of disk, 512 MiB free at /state"),
    "a port of another program": (
        {"endpoint": Endpoint(port=9000)},
        Host(ports={9000: "process 7 (nginx) has it"}),
        "port 9000 cannot be listened on: process 7 (nginx) has it",
    ),
    "a port of another service": (
        {"endpoint": Endpoint(port=9001)},
        Host(),
        "port 9001 is taken by the service other",
    ),
    "a name of another service": (
        {"endpoint": Endpoint(host="a.example")},
        Host(),
        "the host name a.example is taken by the service other",
    ),
}


@pytest.mark.parametrize("name", HOSTS)
def test_what_does_not_fit_is_named(name: str) -> None:
    asked, host, lack = HOSTS[name]
    other = service("other", endpoint=Endpoint(port=9001, host="A.example"))
    new = service("echo", good=None, spec=spec(image="i:2", **asked))
    found = seen(None, new, other, host=host, groups=ONE_GPU)
    assert not found.fits
    assert found.lacks[0].startswith(lack), found.lacks


def test_an_image_that_will_be_fetched_is_said_and_fits() -> None:
    found = seen(*change(), host=Host(images={"i:2": False}))
    assert (found.fits, found.notes) == (True, ("image i:2 will be fetched first",))


def test_manual_follows_problems_and_nothing_else() -> None:
    before, wanted = change(to=3)
    gone = replace(wanted, removing=True, vanished_since=5.0, digest="new")
    assert told(before, gone) == replace(before, vanished_since=5.0, digest="new")


def test_what_was_rolled_back_is_known_as_such() -> None:
    before, wanted = change()
    rejected = replace(before, rejected=Rejected(wanted.revision, 2, "it fell over"))
    assert Pending(rejected, wanted).rejected
    failed = replace(wanted, attempts=Attempts(wanted.revision, 3, 990.0), rejected=rejected.rejected)
    again = taken_over(Pending(rejected, failed))
    assert (again.attempts, again.rejected) == (Attempts(), None), "it is tried at once"
    assert not Pending(before, wanted).rejected


# --- properties -----------------------------------------------------------------------------------------------------

UPDATES = st.sampled_from(
    [
        Update(),
        Update(max_surge=0, max_unavailable=1),
        Update(min_ready=3.0),
        Update(strategy="recreate"),
        Update(strategy="blue_green"),
        Update(strategy="blue_green", promote_after=1.0),
        Update(strategy="canary"),
    ]
)


@settings(max_examples=60)
@given(UPDATES, st.integers(0, 4), st.integers(0, 4), st.integers(1, 8))
def test_a_simulation_ends_where_the_planner_has_nothing_left_to_do(
    update: Update, desired: int, to: int, room: int
) -> None:
    before, wanted = change(desired, to=to, update=update, resources={"cpu": 1.0})
    room = max(room, desired)
    start = world(before, routings=_routings(before, desired), groups={"default": Group("default", {"cpu": room})})
    pending = Pending(before, wanted)
    after = replace(start, services=after_world(start, [pending]))
    course = simulate(after, 1000.0)
    end = course[before.id][-1]
    assert course == simulate(after, 1000.0), "the same facts give the same course"
    assert end.service is not None
    left = replace(after, services={before.id: end.service}, routings=end.routings)
    assert plan(left, end.at).operations == ()
    fits = preview(start, after, [pending], 1000.0, Host())[0].fits
    if fits:
        assert [r.revision for r in end.routings.values()] == [wanted.revision] * to
    assert fits or room < 2 * max(desired, to), "somebody waits only where there is no room for both"


@settings(max_examples=30)
@given(st.sampled_from([Update(), Update(strategy="recreate"), Update(max_surge=2)]), st.integers(1, 4))
def test_a_simulation_does_what_happens_then(update: Update, desired: int) -> None:
    """Operation by operation, as the tests' own simulator carries out what the planner says."""
    before, wanted = change(desired, update=update)
    start = world(before, routings=_routings(before, desired))
    pending = Pending(before, wanted)
    after = replace(start, services=after_world(start, [pending]))
    imagined = [type(m.operation) for m in simulate(after, 1000.0)[before.id] if m.operation is not None]
    assert imagined == _happens(after)


def _happens(after: World) -> Sequence[type]:
    real, done, now = Simulator(after), [], 1000.0
    for _ in range(200):
        made = plan(real.world, now)
        for operation in made.operations:
            real.apply(operation, now)
            done.append(type(operation))
        now += 1.0
        if not made.operations and not real.finish(now):
            break
    return done


def _routings(of: Service, count: int) -> Any:
    return tuple(routing(of, f"r{n}", at=float(n)) for n in range(count))
