"""What one look's decisions cost: `plan` and the route table, for 100, 1,000 and 10,000 routings. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from benchmarks.lib import Table, arguments, milliseconds, report, timed
from orchestrator.core.plan import plan
from orchestrator.core.state import Group, World
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
