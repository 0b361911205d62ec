"""The planner: tables of single looks as golden text, and properties over random worlds."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import Simulator, routing, seen, service, spec, world

from orchestrator.core.definition import HealthCheck
from orchestrator.core.operations import Drain, StartRouting
from orchestrator.core.plan import plan
from orchestrator.core.state import (
    Attempts,
    Failure,
    Group,
    Observed,
    ProbeState,
    Rollout,
    Routing,
    RoutingStatus,
    Service,
    World,
)
from orchestrator.core.status import is_live, routing_status

NOW = 1000.0
ECHO = service("echo")
TWO = service("echo", desired=2)
GPU = service("echo", desired=2, resources={"cuda.device": 1})
TWO_CPU = {"default": Group("default", {"cuda.device": 0.0})}
ONE_GPU = {"default": Group("default", {"cuda.device": 1.0}, ("GPU-0",))}
BEGINS = replace(ECHO, spec=spec("echo", image="i:2"), revision_number=2)
OLD, CURRENT = ECHO.revision, BEGINS.revision
NEW = replace(BEGINS, rollout=Rollout(CURRENT, "rolling", "", NOW - 10, phase_since=NOW - 10, progress_at=NOW - 10))
READY = replace(NEW, rollout=replace(NEW.rollout, ready=1))


def text(of: World) -> str:
    """The plan's operations, with hashes as words."""
    lines = [str(o) for o in plan(of, NOW).operations]
    return "\n".join(lines).replace("id-", "").replace(CURRENT, "NEW").replace(OLD, "REV")


def failed(of: Service, ident: str, at: float) -> object:
    return routing(of, ident, "gone", failure=Failure("exited", "it ended", at))


LOGIN = "GET / on port 8000 answered 401, expected 200"


def hopeless(message: str, unhealthy_since: float | None, seen: int = 11) -> Routing:
    """It never passed; `unhealthy_since` None: within the grace of its health check; `seen`: so many times in a row."""
    probe = ProbeState(failures=99, unhealthy_since=unhealthy_since, last_message=message, unmended=seen)
    return routing(ECHO, "a", "loading", NOW - 90, probe=probe, health=HealthCheck())


LOOKS = {
    "nothing is wanted": (world(service(desired=0)), ""),
    "a first routing": (world(ECHO), "start echo REV (1 wanted)"),
    "all is well": (world(ECHO, routings=(routing(ECHO, "a"),)), ""),
    "one of two is missing": (world(TWO, routings=(routing(TWO, "a"),)), "start echo REV (2 wanted)"),
    "a start is under way": (world(ECHO, routings=(routing(ECHO, "a", "starting"),)), ""),
    "it died after a long time of HEALTHY": (
        world(ECHO, routings=(routing(ECHO, "a", "exited"),)),
        "fail a (it ended with exit code 1 after it had been HEALTHY)\nstart echo REV (1 wanted)",
    ),
    "it died young: the next start waits": (
        world(ECHO, routings=(routing(ECHO, "a", "exited", NOW - 5),)),
        "fail a (it ended with exit code 1 after it had been HEALTHY)",
    ),
    "it was removed by hand": (
        world(ECHO, routings=(routing(ECHO, "a", "gone"),)),
        "fail a (its container was removed by hand)\nstart echo REV (1 wanted)",
    ),
    "the engine is not observed: absence means nothing": (
        world(ECHO, routings=(routing(ECHO, "a", "gone"),), observed_ok=False),
        "",
    ),
    "it died with the engine": (
        world(ECHO, routings=(routing(ECHO, "a", "exited", NOW - 1, lost_with_engine=True),)),
        "fail a (it ended unseen: the container engine, or the daemon, was away)\nstart echo REV (1 wanted)",
    ),
    "a start that was interrupted": (
        world(ECHO, routings=(replace(routing(ECHO, "a", "starting"), busy=""),)),
        "fail a (its start was interrupted (the daemon ended))\nstart echo REV (1 wanted)",
    ),
    "too many: provisioning goes first, then unhealthy, then the newest": (
        world(
            service(desired=1),
            routings=(
                routing(ECHO, "a", "healthy", 1.0),
                routing(ECHO, "b", "healthy", 2.0),
                routing(ECHO, "c", "unhealthy", NOW - 1),
                routing(ECHO, "d", "loading", 3.0),
            ),
        ),
        "drain d (1 wanted)\ndrain c (1 wanted)\ndrain b (1 wanted)",
    ),
    "a paused container is left alone": (world(ECHO, routings=(routing(ECHO, "a", "paused"),)), ""),
    "unhealthy too long": (
        world(ECHO, routings=(routing(ECHO, "a", "unhealthy", NOW - 60),)),
        "fail a (UNHEALTHY for 60 s: )",
    ),
    "never healthy within start_timeout": (
        world(ECHO, routings=(routing(ECHO, "a", "loading", NOW - 1800),)),
        "fail a (not HEALTHY within 1800 s: no probe has ended)",
    ),
    "sure never to be HEALTHY: not all of start_timeout is waited for": (
        world(ECHO, routings=(hopeless(LOGIN, NOW - 1),)),
        "fail a (it cannot become HEALTHY: GET / on port 8000 answered 401, expected 200)",
    ),
    "the same within its grace": (world(ECHO, routings=(hopeless(LOGIN, None),)), ""),
    "the same once more after the daemon was away": (
        replace(world(ECHO, routings=(hopeless(LOGIN, NOW - 9999),)), since=NOW - 1),
        "",
    ),
    "the same, seen for a moment only": (world(ECHO, routings=(hopeless(LOGIN, NOW - 99, seen=10),)), ""),
    "a change of revision begins a rollout": (
        world(BEGINS, routings=(routing(ECHO, "a"),)),
        "advance echo to replacing (revision 2 takes over (rolling))\nstart echo NEW (revision 2 takes over)",
    ),
    "its deadline passed while no daemon was there: it is probed first": (
        replace(world(ECHO, routings=(routing(ECHO, "a", "loading", NOW - 9999),)), since=NOW - 1),
        "",
    ),
    "so is one that was UNHEALTHY": (
        replace(world(ECHO, routings=(routing(ECHO, "a", "unhealthy", NOW - 9999),)), since=NOW - 1),
        "",
    ),
    "a new revision starts beside the old": (
        world(NEW, routings=(routing(ECHO, "a"),)),
        "start echo NEW (revision 2 takes over)",
    ),
    "the old serve until the new are HEALTHY": (
        world(NEW, routings=(routing(ECHO, "a"), routing(NEW, "b", "loading", NOW))),
        "",
    ),
    "then they are drained": (
        world(READY, routings=(routing(ECHO, "a"), routing(NEW, "b"))),
        "drain a (replaced by revision 2)",
    ),
    "an old one that serves nothing goes at once": (
        world(NEW, routings=(routing(ECHO, "a", "loading", NOW), routing(NEW, "b", "loading", NOW))),
        "drain a (replaced by revision 2)",
    ),
    "no room: it waits, and says what is missing": (
        world(GPU, routings=(routing(GPU, "a"),), groups=ONE_GPU),
        "wait echo REV (no capacity: needs 1 cuda.device, 0 free)".replace("REV", GPU.revision),
    ),
    "it waits on with the same words": (
        world(
            GPU,
            routings=(
                routing(GPU, "a"),
                routing(GPU, "w", "waiting", cause="no capacity: needs 1 cuda.device, 0 free"),
            ),
            groups=ONE_GPU,
        ),
        "",
    ),
    "more than there is in all": (
        world(service("echo", resources={"cuda.device": 2}), groups=ONE_GPU),
        "wait echo TWO (over quota: needs 2 cuda.device, 1 in all (resource group 'default'))".replace(
            "TWO", service("echo", resources={"cuda.device": 2}).revision
        ),
    ),
    "no room while another ends": (
        world(
            replace(GPU, spec=GPU.spec.model_copy(update={"desired": 1})),
            routings=(routing(GPU, "a", stopping_since=NOW - 1, sessions=2),),
            groups=ONE_GPU,
        ),
        "wait echo REV (no room yet: needs 1 cuda.device, 0 free; what ends makes some)".replace("REV", GPU.revision),
    ),
    "drained and without requests: stopped with what is left of its grace": (
        world(service(desired=0), routings=(routing(ECHO, "a", stopping_since=NOW - 10, sessions=0, stop_cause="x"),)),
        "stop a within 20 s (x)",
    ),
    "requests are still open: it drains on": (
        world(service(desired=0), routings=(routing(ECHO, "a", stopping_since=NOW - 10, sessions=2),)),
        "",
    ),
    "the grace is over": (
        world(service(desired=0), routings=(routing(ECHO, "a", stopping_since=NOW - 30, sessions=2, stop_cause="x"),)),
        "stop a within 0 s (x)",
    ),
    "stopped and gone": (
        world(service(desired=0), routings=(routing(ECHO, "a", "gone", stopping_since=NOW - 10, stop_cause="x"),)),
        "forget a (x)",
    ),
    "a removed service without routings": (
        world(service(removing=True)),
        "forget service echo (removed, and none of its routings is left)",
    ),
    "a container that no record claims": (
        world(orphans=(seen(ECHO, "z"),)),
        "remove orphan z (no record claims this container)",
    ),
    "no image: wanted, and not started": (
        world(ECHO, refused={ECHO.id: "no image"}),
        "wait echo REV (no image)",
    ),
    "a fixed port: what is to start is prepared first": (
        world(NEW, routings=(routing(ECHO, "a"),), exclusive=frozenset({NEW.id})),
        "wait echo NEW (its image is made present before others give way to it)",
    ),
    "its image is fetched, whatever serves goes on": (
        world(NEW, routings=(routing(ECHO, "a"), routing(NEW, "w", "waiting")), exclusive=frozenset({NEW.id})),
        "fetch w (its image is made present before others give way to it)",
    ),
    "then the old one must be gone": (
        world(
            NEW,
            routings=(routing(ECHO, "a"), routing(NEW, "w", "waiting", fetched_at=NOW)),
            exclusive=frozenset({NEW.id}),
        ),
        "drain a (replaced by revision 2)",
    ),
    "an image that cannot be fetched: nothing was given up for it": (
        world(
            NEW,
            routings=(
                routing(ECHO, "a"),
                routing(NEW, "w", "waiting", outcome=Failure("image_missing", "no such image", NOW)),
            ),
            exclusive=frozenset({NEW.id}),
        ),
        "fail w (no such image)\nroll back echo (no such image)\nreset attempts echo (HEALTHY for ten minutes)",
    ),
    "back-off": (
        world(service(attempts=Attempts(ECHO.revision, 3, NOW - 1))),
        "",
    ),
    "a new revision does not wait for the old one's back-off": (
        world(replace(NEW, attempts=Attempts(OLD, 9, NOW))),
        "start echo NEW (revision 2 takes over)",
    ),
    "the first revision has arrived: it is good": (
        world(replace(ECHO, good=None), routings=(routing(ECHO, "a"),)),
        "accept echo (revision 1 is HEALTHY)",
    ),
}


@pytest.mark.parametrize("name", LOOKS)
def test_look(name: str) -> None:
    of, expected = LOOKS[name]
    assert text(of) == expected


def test_no_room_beside_the_old_revision_replaces_one_at_a_time() -> None:
    old = service("echo", resources={"cuda.device": 1})
    new = replace(old, spec=spec("echo", image="i:2", resources={"cuda.device": 1}), revision_number=2)
    waits = routing(new, "w", "waiting", fetched_at=NOW)
    made = plan(world(new, routings=(routing(old, "a"), waits), groups=ONE_GPU), NOW)
    assert [type(o).__name__ for o in made.operations] == ["Advance", "Wait", "Drain"]
    assert "requests wait at the gateway" in str(made)
    beside = world(new, routings=(routing(old, "a"), routing(service("other"), "x", "gone")), groups=TWO_CPU)
    assert not [o for o in plan(beside, NOW).operations if isinstance(o, Drain)], "to drain it would make no room"


def test_deaths_seen_in_one_look_count_once_and_wait_one_second() -> None:
    three = service(desired=3)
    dead = tuple(routing(three, name, "exited", NOW - 1) for name in "abc")
    simulator = Simulator(world(three, routings=dead))
    made = plan(simulator.world, NOW)
    for operation in made.operations:
        simulator.apply(operation, NOW)
    assert simulator.world.services[three.id].attempts.count == 1
    again = plan(simulator.world, NOW + 0.001)
    assert again.wake_at is not None
    assert NOW + 0.8 <= again.wake_at <= NOW + 1.0


def test_devices_are_reserved_by_id_and_never_twice() -> None:
    wanted = service(desired=2, resources={"cuda.device": 2})
    groups = {"default": Group("default", {"cuda.device": 4.0}, ("g0", "g1", "g2", "g3"))}
    starts = [o for o in plan(world(wanted, groups=groups), NOW).operations if isinstance(o, StartRouting)]
    assert [o.reservation.devices for o in starts] == [("g0", "g1"), ("g2", "g3")]


# --- properties -----------------------------------------------------------------------------------------------------

STATES = ["waiting", "starting", "loading", "healthy", "unhealthy", "paused", "exited", "gone"]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    services, routings = [], []
    for index in range(draw(st.integers(1, 3))):
        name = f"s{index}"
        cpu = draw(st.sampled_from([0.0, 1.0, 3.0]))
        old = service(name, desired=draw(st.integers(0, 4)), resources={"cpu": cpu})
        now = old
        if draw(st.booleans()):
            now = replace(old, spec=spec(name, image="i:2", desired=old.spec.desired, resources={"cpu": cpu}))
        if draw(st.integers(0, 9)) == 0:
            now = replace(now, removing=True)
        services.append(now)
        for number in range(draw(st.integers(0, 4))):
            of = draw(st.sampled_from([old, now]))
            state = draw(st.sampled_from(STATES))
            stopping = draw(st.sampled_from([None, None, None, NOW - 3]))
            at = NOW - draw(st.sampled_from([0.5, 20.0, 5000.0]))
            one = routing(of, f"{name}-{number}", state, at, stopping_since=stopping)
            routings.append(replace(one, busy="" if stopping else one.busy))
    groups = {"default": Group("default", {"cpu": draw(st.sampled_from([2.0, 6.0, 100.0]))})}
    orphans = draw(st.sampled_from([(), (Observed("z", "z", "z", "routing", "z", "running"),)]))
    return world(*services, routings=tuple(routings), groups=groups, orphans=orphans)


@given(worlds(), st.randoms())
def test_same_facts_same_plan(of: World, chance: Random) -> None:
    """In whatever order they were found."""
    services, routings = list(of.services.items()), list(of.routings.items())
    chance.shuffle(services)
    chance.shuffle(routings)
    assert plan(of, NOW) == plan(replace(of, services=dict(services), routings=dict(routings)), NOW) == plan(of, NOW)


def run(simulator: Simulator, *, cut: int | None = None) -> float:
    """Plan and carry out until nothing is due; `cut`: the daemon dies after so many operations, once."""
    now = NOW
    for _ in range(200):
        made = plan(simulator.world, now)
        for operation in made.operations:
            if cut == 0:
                simulator.interrupt()
                cut = None
                break
            simulator.apply(operation, now)
            cut = cut - 1 if cut is not None else None
        finished = simulator.finish(now)
        if not made.operations and not finished:
            if made.wake_at is None or made.wake_at > now + 4000:
                return now
            now = max(now, made.wake_at)
        now += 0.01
    raise AssertionError(f"does not settle:\n{plan(simulator.world, now)}")


@given(worlds(), st.one_of(st.none(), st.integers(0, 6)))
def test_it_settles_at_what_is_wanted_wherever_it_is_cut_off(of: World, cut: int | None) -> None:
    simulator = Simulator(of)
    run(simulator, cut=cut)
    end = simulator.world
    assert not end.orphans
    slots = of.groups["default"].slots["cpu"]
    held = (r.reservation.slots for r in end.routings.values() if r.reservation is not None and is_live(r))
    taken = sum(slot.get("cpu", 0.0) for slot in held)
    for one in of.services.values():
        live = [r for r in end.routings.values() if r.service_id == one.id and is_live(r)]
        if one.removing:
            assert one.id not in end.services
            continue
        if max(taken, one.spec.routing.resources["cpu"]) > slots:
            assert len(live) >= one.desired, "where a routing can never fit nothing that serves is given up for it"
            continue
        assert len(live) == one.desired
        assert {r.revision for r in live} <= {end.services[one.id].revision}


@given(worlds())
def test_never_more_slots_than_there_are(of: World) -> None:
    """Unless more were taken to begin with."""
    simulator = Simulator(of)

    def taken() -> float:
        held = (r.reservation for r in simulator.world.routings.values() if r.failure is None or r.observed)
        return sum(r.slots.get("cpu", 0.0) for r in held if r is not None)

    before = max(taken(), of.groups["default"].slots["cpu"])
    for operation in plan(simulator.world, NOW).operations:
        simulator.apply(operation, NOW)
        assert taken() <= before + 1e-6


@given(worlds())
def test_a_healthy_routing_is_drained_only_for_a_reason(of: World) -> None:
    """Of the HEALTHY ones of a service as many are kept as are wanted, but where the new revision has no room."""
    made = plan(of, NOW)
    for one in of.services.values():
        healthy = {
            r.id for r in of.routings.values() if r.service_id == one.id and routing_status(r) is RoutingStatus.HEALTHY
        }
        drained = {o.routing for o in made.operations if isinstance(o, Drain) and "no room" not in o.cause} & healthy
        assert len(healthy - drained) >= min(one.desired, len(healthy))
