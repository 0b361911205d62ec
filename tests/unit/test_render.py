"""What is written and told to HAProxy, without one: weights, what is admitted, the order of commands, the file."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.routes import Route, RouteTable, Server, Side
from orchestrator.gateway import runtime
from orchestrator.gateway.admission import Granted, admit, weights
from orchestrator.gateway.render import Sockets, maps, members, own_ports, render, structure, without_ports
from orchestrator.settings import GatewaySettings

SETTINGS = GatewaySettings()
SOCKETS = Sockets("/run/onward.sock", "/run/records.sock", "/run/metrics.sock")


def server(name: str, weight: float = 1.0, *, draining: bool = False) -> Server:
    return Server(name, "10.0.0.1", 80, weight, draining)


@pytest.mark.parametrize(
    ("asked", "equal", "given_weights"),
    [
        ([], True, []),
        ([1.0, 1.0], True, [1, 1]),
        ([0.5], True, [1]),
        ([0.0, 2.0], True, [0, 1]),
        ([0.1, 0.9], False, [28, 252]),
        ([1.0, 2.0, 3.0], False, [85, 170, 255]),
        ([5.0, 95 / 3, 95 / 3, 95 / 3], False, [39, 247, 247, 247]),
        ([0.005, 0.995], False, [1, 199]),
        ([0.0001, 1.0], False, [1, 256]),
        ([-1.0, 1.0], True, [0, 1]),
    ],
)
def test_weights_keep_the_ratios(asked: list[float], equal: bool, given_weights: list[int]) -> None:
    named = [server(f"r{i}", weight) for i, weight in enumerate(asked)]
    assert weights(named) == (equal, {f"r{i}": weight for i, weight in enumerate(given_weights)})


def test_one_that_drains_has_no_say() -> None:
    assert weights([server("a", 5.0, draining=True), server("b")]) == (True, {"a": 0, "b": 1})


@given(st.lists(st.floats(0, 1e6, allow_subnormal=False), min_size=1, max_size=6))
def test_weights_are_what_haproxy_takes(asked: list[float]) -> None:
    _, found = weights([server(f"r{i}", weight) for i, weight in enumerate(asked)])
    assert all(0 <= weight <= 256 for weight in found.values())
    assert [weight > 0 for weight in found.values()] == [weight > 0 for weight in asked]


HOSTILE = st.text(max_size=12) | st.sampled_from(["a b", "a\nbind *:1", "::1%eth0", "'x'", "-x", "#", "%[env(PATH)]"])


@given(HOSTILE, HOSTILE, HOSTILE, st.none() | HOSTILE, st.integers(-5, 70000))
def test_nothing_unexpected_reaches_the_file(name: str, routing: str, at: str, host: str | None, port: int) -> None:
    table = RouteTable((Route(name, "serving", servers=(Server(routing, at, port),), host=host, port=port),))
    routes, problems = admit(table, {})
    wanted = structure(routes, SETTINGS, ["k" * 64], SOCKETS)
    empty = render(structure((), SETTINGS, ["k" * 64], SOCKETS), {})
    extra = set(render(wanted, members(routes)).splitlines()) - set(empty.splitlines())
    assert len(extra) <= 5
    for line in extra:
        assert line.startswith(("  description ", "backend svc_", "  balance ", "  server ", "  bind "))
    assert all("\n" not in key + value for entries in maps(routes).values() for key, value in entries.items())
    assert bool(problems) == (not routes or routes[0] != table.routes[0]) or routes[0].service == name.lower()


@pytest.mark.parametrize(
    ("granted", "holder"),
    [({}, "a"), ({9000: "b"}, "b"), ({9000: "gone"}, "a"), ({9000: "c"}, "a"), ({80: "b"}, "a")],
)
def test_who_has_a_port_keeps_it_else_the_first_by_name_gets_it(granted: dict[int, str], holder: str) -> None:
    asked = RouteTable((Route("A", "serving", port=9000), Route("b", "serving", port=9000), Route("c", "serving")))
    routes, problems = admit(asked, {80: "the gateway"}, Granted(granted))
    assert [route.service for route in routes if route.port == 9000] == [holder]
    other = {"a": "b", "b": "A"}[holder]
    assert problems == {other: f"cannot listen on port 9000: service {holder} has it"}


def world(*routes: Route) -> tuple[dict[tuple[str, str], runtime.Running], dict[str, dict[str, str]]]:
    """What a worker has that was brought to these routes."""
    running = {key: runtime.Running(member, maintained=False) for key, member in members(routes).items()}
    return running, {name: dict(entries) for name, entries in maps(routes).items()}


def commands(before: Route, after: Route) -> list[str]:
    running, entries = world(before)
    return runtime.commands(running, members((after,)), entries, maps((after,)))


def test_a_routing_comes_before_another_goes() -> None:
    before = Route("echo", "serving", servers=(server("old"),))
    after = Route("echo", "serving", servers=(server("new"), server("old", draining=True)))
    assert commands(before, after) == [
        "add server svc_echo/new 10.0.0.1:80 weight 1 pool-purge-delay 1s",
        "enable server svc_echo/new",
        "set server svc_echo/old weight 0",
    ]
    gone = Route("echo", "serving", servers=(server("new"),))
    assert commands(after, gone) == ["set server svc_echo/old state maint", "del server svc_echo/old"]


def test_a_state_is_told_after_servers_came_and_before_they_go() -> None:
    up = Route("echo", "serving", open_to_public=True, servers=(server("r1"),))
    down = Route("echo", "service_stopped")
    assert [line.split()[:2] for line in commands(down, up)] == [
        ["add", "server"],
        ["enable", "server"],
        ["set", "map"],
        ["add", "map"],
    ]
    assert [line.split()[:2] for line in commands(up, down)] == [
        ["set", "map"],
        ["del", "map"],
        ["set", "server"],
        ["del", "server"],
    ]


def test_a_switch_is_one_entry_between_those_that_come_and_those_that_fade() -> None:
    def sides(side: Side, *, leaving: bool = False) -> Route:
        servers = (Server("b", "10.0.0.1", 80, draining=leaving), Server("g", "10.0.0.1", 80, side="green"))
        return Route("echo", "serving", servers=servers, side=side, two_sided=True)

    switch = "set map maps/backend.map echo green_echo"
    assert commands(sides("blue"), sides("green")) == [switch]
    assert commands(sides("blue"), sides("green", leaving=True)) == [switch, "set server svc_echo/b weight 0"]
    assert commands(Route("echo", "holding", two_sided=True), sides("green")) == [
        *("add server svc_echo/b 10.0.0.1:80 weight 1 pool-purge-delay 1s", "enable server svc_echo/b"),
        *("add server green_echo/g 10.0.0.1:80 weight 1 pool-purge-delay 1s", "enable server green_echo/g"),
        *(switch, "set map maps/state.map echo serving"),
    ]


def test_shares_of_those_that_are_there_change_before_another_comes() -> None:
    before = Route("echo", "serving", servers=(server("a"), server("b")), weighted=True)
    after = Route("echo", "serving", servers=(server("0", 0.1), server("a", 0.45), server("b", 0.45)), weighted=True)
    assert [line.split()[:3] for line in commands(before, after)] == [
        ["set", "server", "svc_echo/a"],
        ["set", "server", "svc_echo/b"],
        ["add", "server", "svc_echo/0"],
        ["enable", "server", "svc_echo/0"],
    ]


def test_maps_of_another_version_are_left_alone() -> None:
    assert runtime.entries("0x1 echo svc_echo\n0x2 a b c\n\n") == {"echo": "svc_echo", "a": "b c"}
    unknown = "Unknown map identifier. Please use #<id> or <name>.\n\n"
    assert not runtime.knows_map(unknown)
    assert runtime.entries(unknown) == {}
    up = Route("echo", "serving", servers=(server("r1"),))
    running, entries = world(Route("echo", "holding"))
    del entries["backend"]
    assert runtime.commands(running, members((up,)), entries, maps((up,)))[-1] == "set map maps/state.map echo serving"


def test_nothing_is_told_twice() -> None:
    up = Route("echo", "serving", servers=(server("r1", 0.1), server("r2", 0.9)))
    assert commands(up, up) == []


@pytest.mark.parametrize(
    ("changed", "reloads"),
    [
        (Route("echo", "no_healthy_routing"), False),
        (Route("echo", "serving", open_to_public=True, host="x.test"), False),
        (Route("echo", "serving", servers=(server("a"), server("b"))), False),
        (Route("echo", "serving", servers=(server("a", 0.1), server("b", 0.9))), True),
        (Route("echo", "serving", servers=(server("a", 0.1), server("b", 0.9)), weighted=True), True),
        (Route("echo", "holding"), False),
        (Route("echo", "serving", two_sided=True), True),
        (Route("echo", "serving", side="green"), True),
        (Route("echo", "serving", servers=(Server("g", "10.0.0.1", 80, side="green"),)), True),
        (Route("echo", "serving", retry=False), True),
        (Route("echo", "serving", port=9000), True),
        (Route("other", "serving"), True),
    ],
)
def test_only_structure_needs_a_reload(changed: Route, reloads: bool) -> None:
    def digest(route: Route) -> str:
        return structure([route], SETTINGS, ["k"], SOCKETS).digest

    assert (digest(changed) != digest(Route("echo", "serving"))) is reloads


@pytest.mark.parametrize("facts", [{"two_sided": True}, {"weighted": True}], ids=str)
def test_no_step_of_a_rollout_is_structure(facts: Any) -> None:
    green = Server("g", "10.0.0.1", 80, side="green") if "two_sided" in facts else server("g", 0.05)
    steps = [
        Route("echo", "serving", servers=(server("b"),)),
        Route("echo", "serving", servers=(server("b", 0.95), green)),
        Route("echo", "holding", servers=(green,)),
    ]
    if "two_sided" in facts:
        steps.append(Route("echo", "serving", servers=(green,), side="green"))
    assert len({structure([replace(step, **facts)], SETTINGS, ["k"], SOCKETS).digest for step in steps}) == 1


def test_keys_and_settings_are_structure() -> None:
    digests = {
        structure([], settings, keys, SOCKETS).digest
        for settings in (SETTINGS, GatewaySettings(retry_body=0))
        for keys in (["a"], ["a", "b"], [])
    }
    assert len(digests) == 6


def test_a_port_can_be_left_out_of_a_written_file() -> None:
    routes = [Route("a", "serving", port=9001), Route("b", "serving", port=9002)]
    text = render(structure(routes, SETTINGS, ["k"], SOCKETS), {})
    assert own_ports(text) == [9001, 9002]
    less = without_ports(text, [9001])
    assert own_ports(less) == [9002]
    assert "description reduced" in less


def test_the_running_state_is_read_from_what_haproxy_says() -> None:
    told = (
        "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_port\n"
        "3 svc_echo 1 r1 127.0.0.1 2 0 1 18001\n3 svc_echo 2 r2 ::1 0 1 9 18002\n2 onward 1 new - 2 0 1 0\n"
    )
    found = runtime.servers(told)
    assert {key[1]: (s.member.address, s.member.weight, s.maintained) for key, s in found.items()} == {
        "r1": ("127.0.0.1:18001", 1, False),
        "r2": ("[::1]:18002", 9, True),
    }
    assert runtime.open_on("Can't connect to the target CLI!\n") == {}
    assert runtime.open_on("# pxname,svname,qcur,scur,\nsvc_a,r1,1,2,\ngreen_a,r2,,1,\nonward,new,5,5,\n") == {
        "r1": 3,
        "r2": 1,
    }
    used = runtime.uses(
        "# table: gateway\n0x1: key=t1/::1:99 use=1 exp=599000 shard=0\n0x2: key=t2/1.2.3.4:5 use=0 exp=1000\n"
    )
    assert [(u.token, u.client, u.running, u.age) for u in used] == [
        ("t1", "::1:99", True, 0.0),
        ("t2", "1.2.3.4:5", False, 599.0),
    ]
