"""What differs between two specs: named tables, properties, and that no field of a spec is forgotten."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core import changes
from orchestrator.core.changes import FieldChange, field_changes
from orchestrator.core.definition import Endpoint, HealthCheck, Log, LogArgs, Update, WriteFile, WriteFileArgs
from orchestrator.core.spec import ResolvedMount, RoutingSpec, ServiceSpec


def routing(**values: Any) -> RoutingSpec:
    given_too = {"model_name": "m", "model_folder": "/f", "model_path": "/models", "model_mount": "/models", "port": 80}
    return RoutingSpec(**(given_too | values))


def service(runs: RoutingSpec | None = None, **values: Any) -> ServiceSpec:
    return ServiceSpec(**({"name": "s", "model_name": "m", "routing": runs or routing()} | values))


def log(message: str, ref: str | None = None) -> Log:
    return Log(action="log", args=LogArgs(message=message), ref=ref)


def write(body: tuple[str, ...] | str, mode: int = 0o644) -> WriteFile:
    return WriteFile(action="write_file", args=WriteFileArgs(filename="a", body=body, mode=mode))


ROUTINGS: dict[str, tuple[dict[str, Any], dict[str, Any], list[tuple[str, str | None, str | None]]]] = {
    "a check is switched on": (
        {},
        {"health": HealthCheck(interval=5, expected_status_code=((200, 204), (404, 404)))},
        [
            ("service.health_check.enable", "false", "true"),
            ("service.health_check.interval", "10", "5"),
            ("service.health_check.expected_status_code", "200", "200-204, 404"),
        ],
    ),
    "a port": ({}, {"port": 81}, [("service.port", "80", "81")]),
    "a variable changes, one comes, one goes": (
        {"environ": {"A": "1", "B": "x"}},
        {"environ": {"A": "2", "C": ""}},
        [
            ("deployment.environ.A", "1", "2"),
            ("deployment.environ.B", "x", None),
            ("deployment.environ.C", None, ""),
        ],
    ),
    "sizes as the definition says them": (
        {"resources": {"mem": 512 << 20, "shm": 1 << 30}},
        {"resources": {"mem": 1536 << 20, "shm": (1 << 30) + 1, "cpu": 0.5}},
        [
            ("deployment.resources.cpu", None, "0.5"),
            ("deployment.resources.mem", "512m", "1536m"),
            ("deployment.resources.shm", "1g", "1073741825"),
        ],
    ),
    "a declared slot is a plain number": (
        {},
        {"resources": {"tpu.shm": 1024}},
        [("deployment.resources.tpu.shm", None, "1024")],
    ),
    "a secret by its name": ({}, {"secrets": {"KEY": "file"}}, [("deployment.secrets.KEY", None, "file")]),
    "a command as a list": (
        {"command": "serve --all"},
        {"command": ("serve", "--all")},
        [("service.start_command", "serve --all", '["serve", "--all"]')],
    ),
    "no shell": ({}, {"shell": None}, [("service.shell", "default", "null")]),
    "an image comes": ({}, {"image": "a:1"}, [("deployment.image", None, "a:1")]),
    "the message of the second action": (
        {"actions": (log("a"), log("b"))},
        {"actions": (log("a"), log("c"))},
        [("service.pre_start_actions[1].args.message", "b", "c")],
    ),
    "an action put between others is one change": (
        {"actions": (log("a"), log("b"))},
        {"actions": (log("a"), write(("x", "y"), 0o600), log("b"))},
        [
            ("service.pre_start_actions[1].action", None, "write_file"),
            ("service.pre_start_actions[1].args.filename", None, "a"),
            ("service.pre_start_actions[1].args.body", None, "x\ny"),
            ("service.pre_start_actions[1].args.mode", None, "600"),
        ],
    ),
    "another action in its place": (
        {"actions": (log("a", ref="r"),)},
        {"actions": (write("b"),)},
        [
            ("service.pre_start_actions[0].action", "log", "write_file"),
            ("service.pre_start_actions[0].ref", "r", None),
            ("service.pre_start_actions[0].args.filename", None, "a"),
            ("service.pre_start_actions[0].args.body", None, "b"),
            ("service.pre_start_actions[0].args.message", "a", None),
        ],
    ),
    "a body of lines that reads like a text": (
        {"actions": (write(("a", "b")),)},
        {"actions": (write("a\nb"),)},
        [("service.pre_start_actions[0].args.body", '["a", "b"]', '"a\\nb"')],
    ),
    "a mount goes": (
        {"mounts": (ResolvedMount(source="/d", target="/t"),)},
        {},
        [("deployment.extra_mounts[0].source", "/d", None), ("deployment.extra_mounts[0].target", "/t", None)],
    ),
    "a label with a strange name": (
        {},
        {"labels": {"a b/c": "1"}},
        [("deployment.labels['a b/c']", None, "1")],
    ),
    "devices": ({}, {"devices": ("/dev/fuse",)}, [("deployment.devices", "[]", '["/dev/fuse"]')]),
}

HOT: dict[str, tuple[dict[str, Any], dict[str, Any], list[tuple[str, str | None, str | None]]]] = {
    "the count": ({}, {"desired": 3}, [("deployment.desired_routing_count", "1", "3")]),
    "public": ({}, {"open_to_public": True}, [("deployment.open_to_public", "false", "true")]),
    "metadata": (
        {"metadata": {"title": "a", "label": ["x"]}},
        {"metadata": {"title": "b", "label": ["x"], "min_resource": {"cpu": 1}}},
        [("metadata.min_resource.cpu", None, "1"), ("metadata.title", "a", "b")],
    ),
    "a map that goes": ({"metadata": {"a": {"b": "c"}}}, {}, [("metadata.a.b", "c", None)]),
    "an empty map that comes": ({}, {"metadata": {"a": {}}}, [("metadata.a", None, "{}")]),
    "null that comes": ({}, {"metadata": {"a": None}}, [("metadata.a", None, "null")]),
    "a map in place of a value": (
        {"metadata": {"a": "b"}},
        {"metadata": {"a": {"b": "c"}}},
        [("metadata.a", "b", '{"b": "c"}')],
    ),
    "a port of its own": ({}, {"endpoint": Endpoint(port=9)}, [("deployment.endpoint.port", None, "9")]),
    "the policy": (
        {},
        {"update": Update(strategy="canary", steps=(10, 50), max_surge=1)},
        [
            ("deployment.update.strategy", "rolling", "canary"),
            ("deployment.update.max_surge", "25%", "1"),
            ("deployment.update.steps", "[5, 25, 50]", "[10, 50]"),
        ],
    ),
}


def told(found: tuple[FieldChange, ...]) -> list[tuple[str, str | None, str | None]]:
    return [(change.path, change.before, change.after) for change in found]


@pytest.mark.parametrize("case", ROUTINGS)
def test_what_makes_another_revision_is_rolling(case: str) -> None:
    before, after, expected = ROUTINGS[case]
    found = field_changes(service(routing(**before)), service(routing(**after)))
    assert told(found) == expected
    assert {change.kind for change in found} == {"rolling"}


@pytest.mark.parametrize("case", HOT)
def test_what_is_hot(case: str) -> None:
    before, after, expected = HOT[case]
    found = field_changes(service(**before), service(**after))
    assert told(found) == expected
    assert {change.kind for change in found} == {"hot"}


def test_the_strategy_that_will_hold_decides_how_routings_change() -> None:
    recreated = Update(strategy="recreate")
    found = field_changes(service(), service(routing(port=81), update=recreated))
    assert [(c.path, c.kind) for c in found] == [("service.port", "recreate"), ("deployment.update.strategy", "hot")]
    found = field_changes(service(update=recreated), service(routing(port=81)))
    assert found[0].kind == "rolling"


def test_another_name_is_another_service() -> None:
    found = field_changes(service(), service(routing(model_name="n"), name="t", model_name="n"))
    assert [(c.path, c.before, c.after, c.kind) for c in found] == [
        ("deployment.service_name", "s", "t", "recreate"),
        ("name", "m", "n", "recreate"),
    ]


def test_a_new_service_is_told_without_defaults_and_a_removed_one_backwards() -> None:
    spec = service(routing(environ={"A": "1"}), desired=2)
    new = field_changes(None, spec)
    assert told(new) == [
        ("deployment.service_name", None, "s"),
        ("name", None, "m"),
        ("model_folder", None, "/f"),
        ("model_path", None, "/models"),
        ("service.port", None, "80"),
        ("deployment.environ.A", None, "1"),
        ("deployment.model_mount_destination", None, "/models"),
        ("deployment.desired_routing_count", None, "2"),
    ]
    assert told(field_changes(spec, None)) == [(path, after, before) for path, before, after in told(new)]
    assert field_changes(None, None) == ()


def test_no_field_of_a_spec_is_forgotten() -> None:
    """A field that is added to a spec needs a path, or a word here why it has none."""
    told_elsewhere = {"routing", "model_name"}  # the routing has a table of its own; its model name is the service's
    assert {*changes.IDENTITY, *changes.HOT} == {*ServiceSpec.model_fields} - {"routing"}
    assert {*changes.ROUTING} == {*RoutingSpec.model_fields} - told_elsewhere


SPECS = st.builds(
    service,
    st.builds(
        routing,
        port=st.integers(1, 3),
        environ=st.dictionaries(st.sampled_from("AB"), st.sampled_from("xy")),
        actions=st.lists(st.builds(log, st.sampled_from("ab")) | st.builds(write, st.sampled_from("ab"))).map(tuple),
        command=st.sampled_from([None, "a", ("a",), ("a", "b")]),
        resources=st.dictionaries(st.sampled_from(["cpu", "mem"]), st.floats(1, 9)),
        health=st.none() | st.builds(HealthCheck, path=st.sampled_from(["/", "/h"])),
    ),
    metadata=st.dictionaries(st.sampled_from("ab"), st.sampled_from(["x", 1, None, ["x"], {"c": "d"}, {}])),
    update=st.builds(Update, strategy=st.sampled_from(["rolling", "recreate"]), steps=st.sampled_from([(1,), (2,)])),
)


@settings(max_examples=100)
@given(SPECS, SPECS)
def test_equal_specs_have_no_changes_and_others_are_told_once_both_ways(a: ServiceSpec, b: ServiceSpec) -> None:
    assert field_changes(a, a.model_copy(deep=True)) == ()
    there, back = field_changes(a, b), field_changes(b, a)
    assert bool(there) == (a != b)
    assert any(c.kind != "hot" for c in there) == (a.routing != b.routing)
    assert len({c.path for c in there}) == len(there)
    assert all(c.before != c.after for c in there)
    assert sorted((c.path, c.before, c.after) for c in there) == sorted((c.path, c.after, c.before) for c in back)
