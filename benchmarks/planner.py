"""What one look's decisions cost: `plan` and the route table, for 100, 1,000 and 10,000 routings. No I/O.

Among the worlds are services in the middle of their rollouts: every one of them, which no real day has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from benchmarks.lib import Table, arguments, milliseconds, report, timed
from orchestrator.core.definition import Update
from orchestrator.core.plan import plan
from orchestrator.core.routes import Side, Traffic
from orchestrator.core.state import Good, Group, Phase, Rollout, Routing, Service, Strategy, World
from orchestrator.core.table import routes
from tests.unit.worlds import routing, service, world

SIZES = (100, 1_000, 10_000)
NOW = 1_000.0
PER_SERVICE = 4
ROOM = {"default": Group("default", {"cpu": 1e9})}


def steady(size: int, per_service: int = PER_SERVICE) -> World:
    """All HEALTHY: nothing to do."""
    return _world(size, per_service, lambda _: "healthy")


def cold(size: int) -> World:
    """Nothing runs yet: everything is to be started."""
    services = [service(f"s{i}", desired=PER_SERVICE, resources={"cpu": 1.0}) for i in range(size // PER_SERVICE)]
    return world(*services, groups=ROOM)


def freed(size: int) -> World:
    """One service whose routings all waited, and now there is room."""
    return _world(size, size, lambda _: "waiting")


def rough(size: int) -> World:
    """One in ten has died, one in ten is UNHEALTHY, one in ten waits for capacity."""
    states = {0: "exited", 1: "unhealthy", 2: "waiting"}
    return _world(size, PER_SERVICE, lambda i: states.get(i % 10, "healthy"))


def rolling(size: int) -> World:
    """Every service has got a new revision; the old one still serves."""
    old = steady(size)
    changed = {
        i: replace(s, spec=service(s.name, desired=s.desired, image="i:2", resources={"cpu": 1.0}).spec)
        for i, s in old.services.items()
    }
    return replace(old, services=changed)


def full(size: int) -> World:
    """The same, with no slot free beside the old routings."""
    return replace(rolling(size), groups={"default": Group("default", {"cpu": 0.0})})


# --- in the middle of rollouts --------------------------------------------------------------------------------------


def surged(size: int) -> World:
    """Rolling: of each four two are replaced and serve, and the next one is still loading beside the old two."""
    return _amid(size, ("old", "old", "new", "new", "loading"), "rolling")


def swapped(size: int) -> World:
    """Rolling without room: one of each four has given way, its place is free, and the next one starts there."""
    return replace(_amid(size, ("old", "old", "new"), "rolling"), groups=_slots(size // 3 * 4))


def recreated(size: int) -> World:
    """The old ones drain, and nothing new is there yet."""
    return _amid(size, ("draining",) * 4, "recreate")


def both_sides(size: int) -> World:
    """Blue-green: four old and four new ones are HEALTHY; each service is switched at this look."""
    return _amid(size, ("old",) * 4 + ("green",) * 4, "blue_green", "ready")


def judged(size: int) -> World:
    """Canary: one of five is new and has answered something since the step began."""
    world = _amid(size, ("old",) * 4 + ("new",), "canary", "judging")
    return replace(world, traffic=dict.fromkeys(world.routings, Traffic(50, 1, 0.01)))


def failed(size: int) -> World:
    """Rolling: a new routing of each service became UNHEALTHY, so everything is rolled back at this look."""
    return _amid(size, ("old", "old", "old", "sick"), "rolling")


STATES = {"loading": "loading", "sick": "unhealthy"}


def _amid(size: int, members: tuple[str, ...], strategy: Strategy, phase: Phase = "replacing") -> World:
    """About `size` routings in services of these members, each in the same moment of its rollout."""
    services = [_changing(f"s{i}", strategy, phase) for i in range(size // len(members))]
    routings = [_member(s, f"{s.name}-{i}", kind) for s in services for i, kind in enumerate(members)]
    return world(*services, routings=tuple(routings), groups=ROOM)


def _changing(name: str, strategy: Strategy, phase: Phase) -> Service:
    update = Update(strategy=strategy, promote_after=1, steps=(10, 50), pause=3600)
    old = service(name, desired=PER_SERVICE, resources={"cpu": 1.0}, update=update)
    new = service(name, desired=PER_SERVICE, resources={"cpu": 1.0}, update=update, image="i:2")
    began = NOW - 30
    rollout = Rollout(
        new.revision, strategy, "", began, phase, phase_since=began, progress_at=began, weight=10, ready=PER_SERVICE
    )
    return replace(new, revision_number=2, good=Good(1, old.spec.routing), rollout=rollout)


def _member(of: Service, ident: str, kind: str) -> Routing:
    assert of.good is not None
    is_old = kind in ("old", "draining")
    side: Side = "green" if kind == "green" else "blue"
    one = routing(of, ident, STATES.get(kind, "healthy"), at=NOW - 20, side=side)
    if is_old:
        one = replace(one, revision=of.good.routing.revision)
    return replace(one, stopping_since=NOW - 1, sessions=3) if kind == "draining" else one


def _slots(count: int) -> dict[str, Group]:
    return {"default": Group("default", {"cpu": float(count)})}


def _world(size: int, per_service: int, state: Callable[[int], str]) -> World:
    services = [
        service(f"s{i}", desired=per_service, resources={"cpu": 1.0}) for i in range(max(1, size // per_service))
    ]
    routings = tuple(routing(services[i // per_service], f"r{i:06d}", state(i), at=NOW - 60) for i in range(size))
    return world(*services, routings=routings, groups=ROOM)


WORLDS: dict[str, Callable[[int], World]] = {
    "steady, 4 a service": steady,
    "steady, 1 a service": lambda size: steady(size, 1),
    "steady, one service": lambda size: steady(size, size),
    "cold start": cold,
    "room for one service's queue": freed,
    "deaths and waits": rough,
    "new revision everywhere": rolling,
    "the same, no room": full,
    "amid rolling": surged,
    "amid rolling, no room": swapped,
    "amid recreate": recreated,
    "amid blue-green, all switch": both_sides,
    "amid canary, judged": judged,
    "amid rolling, all roll back": failed,
}


def main() -> None:
    arguments(__doc__).parse_args()
    table = Table(
        ["world", *(f"{size:,}" for size in SIZES), "10,000 / 1,000", "operations at 10,000", "routes at 10,000"]
    )
    for name, make in WORLDS.items():
        made = {size: make(size) for size in SIZES}
        seconds = [timed(lambda w=one: plan(w, NOW), 5) for one in made.values()]  # type: ignore[misc]
        last = made[SIZES[-1]]
        shown = timed(lambda w=last: routes(w), 3)  # type: ignore[misc]
        count = len(plan(last, NOW).operations)
        table.add(
            name, *map(milliseconds, seconds), f"{seconds[2] / seconds[1]:.1f}", f"{count:,}", milliseconds(shown)
        )
    report("planner", table)


if __name__ == "__main__":
    main()
