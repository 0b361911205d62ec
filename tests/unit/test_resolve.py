"""From definition to what would run: layers, defaults, places, and what is refused with which key to open."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest
import yaml

from orchestrator.core.definition import Deployment, Update
from orchestrator.core.layers import Layer
from orchestrator.core.loading import Loaded, deployment_from_mapping, load
from orchestrator.core.policy import Policy, Refusal
from orchestrator.core.resolve import Context, Resolved, resolve
from orchestrator.core.spec import ServiceSpec
from orchestrator.core.state import Strategy
from orchestrator.core.updating import COMMON, OWN, policy

FILE = "model-definition.yml"
CONTEXT = Context(folder="/srv/models/m", runtime="docker", slots={"default": frozenset({"cuda.device", "licence"})})


def model(name: str = "m", **deployment: Any) -> dict[str, Any]:
    service = {"start_command": ["serve", "{port}"], "port": 8000}
    return {"name": name, "service": service, "deployment": {"image": "img", **deployment}}


def loaded(*models: dict[str, Any]) -> Loaded:
    result = load(yaml.safe_dump({"models": list(models)}, sort_keys=False).encode(), FILE)
    assert result.definition is not None, result.problems
    return result


def run(*models: dict[str, Any], **changes: Any) -> Resolved:
    read = loaded(*models)
    assert read.definition is not None
    return resolve(read.definition, replace(CONTEXT, **changes), FILE, read.at)


def only(*models: dict[str, Any], **changes: Any) -> ServiceSpec:
    result = run(*models, **changes)
    assert [p for p in result.problems if p.severity == "error"] == []
    (service,) = result.services
    return service


def layer(file: str, *, trusted: bool = False, **keys: Any) -> Layer:
    deployment, problems = deployment_from_mapping(keys, file)
    assert deployment is not None, problems
    return Layer(deployment, file, trusted=trusted)


# --- what comes out -------------------------------------------------------------------------------------------------


def test_the_least_definition_gets_all_defaults() -> None:
    service = only({"name": "m", "service": {"port": 1}, "deployment": {"image": "img"}})
    assert (service.name, service.desired, service.open_to_public, service.routing.health) == ("m", 1, False, None)
    assert (service.start_timeout, service.unhealthy_timeout, service.stop_grace, service.retry) == (1800, 60, 30, True)
    assert service.routing.model_folder == "/srv/models/m"
    assert service.routing.command is None


def test_a_model_without_a_service_is_no_service() -> None:
    assert run({"name": "m"}) == Resolved()


def test_a_check_that_is_switched_off_is_none() -> None:
    off = model()
    off["service"]["health_check"] = {"enable": False}
    assert only(off).routing.health is None


def test_later_layers_win_and_maps_are_merged() -> None:
    launch = layer("start", environ={"B": "launch"}, desired_routing_count=3)
    service = only(
        model(environ={"A": "definition", "B": "definition"}, resources={"mem": "1g"}),
        below=(
            layer("config.toml", trusted=True, environ={"A": "default", "C": "default"}, stop_grace=5, image="default"),
            layer("service-definition.toml", environ={"C": "side"}, resource_slots={"cpu": 2, "mem": "8g"}),
        ),
        launch=launch,
    )
    assert service.routing.environ == {"A": "definition", "B": "launch", "C": "side"}
    assert service.routing.resources == {"cpu": 2, "mem": 1 << 30}
    assert (service.routing.image, service.desired, service.stop_grace) == ("img", 3, 5)


def test_update_policies_are_merged_key_by_key() -> None:
    policy = only(
        model(update={"bake": 5, "steps": [10], "promote_after": None}),
        below=(
            layer("config.toml", trusted=True, update={"strategy": "canary", "bake": 60, "pause": 1, "steps": [1, 2]}),
            layer("deployment-config.yaml", update={"max_surge": "50%", "pause": 2}),
        ),
        launch=layer("start", update={"max-surge": 1}),
    ).update
    assert policy.model_dump(exclude_unset=True) == {
        "strategy": "canary",
        "bake": 5,
        "pause": 2,
        "steps": (10,),
        "max_surge": 1,
    }


def test_the_update_policy_is_no_part_of_the_revision() -> None:
    changed = only(model(update={"strategy": "recreate"}))
    assert changed.routing.revision == only(model()).routing.revision


CANARY = {"strategy": "canary"}
POLICIES: dict[str, tuple[dict[str, Any], list[tuple[str, str, str]]]] = {
    "left out": ({}, []),
    "only unavailable": ({"max_surge": 0, "max_unavailable": 1}, []),
    "no surge": ({"max_surge": 0}, [("error", "max_surge", "raise max_surge")]),
    "both 0": ({"max_surge": "0%", "max_unavailable": 0}, [("error", "max_surge", "both 0")]),
    "both 0 after the steps": (CANARY | {"max_surge": "0%"}, [("error", "max_surge", "both 0")]),
    "0 where nothing surges": (
        {"strategy": "recreate", "max_surge": 0},
        [("warning", "max_surge", "a key of rolling or canary, and the strategy is recreate")],
    ),
    "steps of a rolling update": ({"steps": [5]}, [("warning", "steps", "a key of canary")]),
    "a promotion of a canary": (CANARY | {"promote_after": 1}, [("warning", "promote_after", "choose blue_green")]),
    "every key of a canary": (
        CANARY | {"steps": [5], "pause": 1, "min_requests": 1, "max_error_rate": 0, "max_latency": 1, "max_surge": 1},
        [],
    ),
    "a deadline before it can be ready": (
        {"min_ready": 10, "progress_deadline": 10},
        [("error", "progress_deadline", "min_ready (10 s)")],
    ),
    "a deadline before it must have started": (
        {"progress_deadline": 10},
        [("note", "progress_deadline", "1800 s to start")],
    ),
    "a deadline after it": ({"progress_deadline": 1800}, []),
}


@pytest.mark.parametrize("case", POLICIES)
def test_rules_between_the_keys_of_a_policy(case: str) -> None:
    keys, expected = POLICIES[case]
    problems = run(model(update=keys)).problems
    assert [(p.severity, p.path.removeprefix("models[0].deployment.update.")) for p in problems] == [
        (severity, key) for severity, key, _ in expected
    ]
    for problem, (_, _, text) in zip(problems, expected, strict=True):
        assert text in str(problem)
        assert problem.line > 1


def test_every_key_of_a_policy_counts_under_some_strategy() -> None:
    assert {"strategy", *COMMON, *(key for own in OWN.values() for key in own)} == Update.model_fields.keys()
    assert set(OWN) == set(get_args(Strategy))


def test_a_policy_is_judged_over_all_layers_and_placed_in_the_one_that_gave_the_key() -> None:
    defaults = layer("config.toml", trusted=True, update={"steps": [5], "max_unavailable": 0})
    assert run(model(), below=(defaults,)).problems == (), "they wait for services that choose canary"
    (problem,) = run(model(update={"max_surge": 0}), below=(defaults,)).problems
    assert (problem.file, problem.severity) == (FILE, "error")
    chosen = layer("config.toml", trusted=True, update={"strategy": "rolling", "steps": [5]})
    side = layer("deployment-config.yaml", update={"promote_after": 5})
    assert [(p.file, p.path) for p in run(model(), below=(chosen, side)).problems] == [
        ("deployment-config.yaml", "update.promote_after"),
        ("config.toml", "update.steps"),
    ]
    assert [p.path for p in run(model(update=CANARY), below=(chosen,)).problems] == []


def test_the_policy_that_holds_has_only_what_counts() -> None:
    shown = policy(only(model(start_timeout=100, update={"strategy": "blue_green", "min_ready": 5})))
    assert shown == {
        "strategy": "blue_green",
        "promote_after": None,
        "min_ready": 5,
        "progress_deadline": 105,
        "auto_rollback": True,
        "bake": 0,
    }
    assert policy(only(model(update={"strategy": "canary", "progress_deadline": 7})))["progress_deadline"] == 7


PLACES = {
    "nothing": (None, None, "/models", "/models"),
    "the default": ("/models", None, "/models", "/models"),
    "below the default": ("/models/llama", None, "/models", "/models/llama"),
    "not below": ("/models2", None, "/models2", "/models2"),
    "elsewhere": ("/data/llama/", None, "/data/llama", "/data/llama"),
    "destination only": (None, "/srv/x", "/srv/x", "/srv/x"),
    "both": ("/srv/x/y", "/srv/x", "/srv/x", "/srv/x/y"),
    "doubled slashes": ("//models//a/./b", None, "/models", "/models/a/b"),
}


@pytest.mark.parametrize("case", PLACES)
def test_where_the_model_lies(case: str) -> None:
    path, destination, mount, model_path = PLACES[case]
    given = model(**({"model_mount_destination": destination} if destination else {}))
    routing = only({**given, **({"model_path": path} if path else {})}).routing
    assert (routing.model_mount, routing.model_path) == (mount, model_path)


def test_a_whole_share_is_a_device() -> None:
    assert only(model(resources={"cuda.shares": 2})).routing.resources == {"cuda.device": 2}
    assert only(model(resources={"cuda.shares": 0})).routing.resources == {}


def test_the_revision_follows_what_runs_and_nothing_else() -> None:
    same = only(model()).routing.revision
    assert only(model(desired_routing_count=4, stop_grace=1, retry=False)).routing.revision == same
    assert only(model(environ={"A": "1"})).routing.revision != same


# --- images ---------------------------------------------------------------------------------------------------------


def test_no_image_is_a_note_on_container_runtimes_only() -> None:
    bare = {"name": "m", "service": {"port": 1, "start_command": "serve"}}
    (note,) = run(bare).problems
    assert (note.severity, note.path, note.line) == ("note", "models[0]", 2)
    assert "no image" in note.message
    assert run(bare).services
    assert not any("image" in p.message for p in run(bare, runtime="process").problems)


def test_aliases_apply_and_permit() -> None:
    policy = Policy(images=("ours/*",))
    service = only(model(image="python:3.6"), image_aliases={"python:3.6": "python:3.12"}, policy=policy)
    assert service.routing.image == "python:3.12"


def test_the_administrators_own_defaults_need_no_permission() -> None:
    default = layer("config.toml", trusted=True, image="any", user="root", network="host")
    bare = {"name": "m", "service": {"port": 1}}
    routing = only(bare, below=(default,), policy=Policy(images=())).routing
    assert (routing.image, routing.user, routing.network) == ("any", "root", "host")


# --- what is refused ------------------------------------------------------------------------------------------------

OPEN = Policy(devices=("*",), networks=("*",), capabilities=("*",), users=("10*",))
REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "image": ({"image": "evil"}, {"policy": Policy(images=("ours/*",))}, "image", "docker.allowed_images"),
    "user": ({"user": "root"}, {}, "user", "docker.allowed_users"),
    "another user": ({"user": "0"}, {"policy": OPEN}, "user", "docker.allowed_users"),
    "network": ({"network": "lan"}, {}, "network", "docker.allowed_networks"),
    "the host's network": ({"network": "host"}, {"policy": OPEN}, "network", "docker.allowed_networks"),
    "devices": ({"devices": ["/dev/fuse"]}, {}, "devices", "docker.allowed_devices"),
    "devices, allowed": ({"devices": ["/dev/fuse"]}, {"policy": OPEN}, "devices", "not supported yet"),
    "capabilities": ({"capabilities": ["SYS_ADMIN"]}, {}, "capabilities", "docker.allowed_capabilities"),
    "capabilities, allowed": ({"capabilities": ["CAP_SYS_ADMIN"]}, {"policy": OPEN}, "capabilities", "not supported"),
    "nodes": ({"cluster_size": 2, "cluster_mode": "multi-node"}, {}, "cluster_size", "2 nodes is not supported yet"),
    "half a device": ({"resources": {"cuda.shares": 0.5}}, {}, "resources.cuda.shares", "not supported yet"),
    "shares and devices": (
        {"resources": {"cuda.shares": 1, "cuda.device": 1}},
        {},
        "resources.cuda.shares",
        "leave one of them out",
    ),
    "undeclared slot": ({"resources": {"tpu": 1}}, {}, "resources.tpu", "resource_groups.default.slots"),
    "undeclared in its group": (
        {"resources": {"cuda.shares": 1}, "resource_group": "small"},
        {"slots": {"default": frozenset(), "small": frozenset()}},
        "resources.cuda.shares",
        "resource_groups.small.slots",
    ),
    "group": ({"resource_group": "big"}, {}, "resource_group", "[resource_groups.big]"),
    "port of the gateway": (
        {"endpoint": {"port": 8080}},
        {"taken_ports": {8080: "the gateway"}},
        "endpoint.port",
        "port 8080 is taken by the gateway",
    ),
    "name of the gateway": (
        {"endpoint": {"host": "Models.Example.org"}},
        {"taken_hosts": {"models.example.org": "the gateway"}},
        "endpoint.host",
        "host models.example.org is taken by the gateway",
    ),
    "address of the gateway": ({"endpoint": {"host": "127.0.0.1"}}, {}, "endpoint.host", "an address, not a name"),
    "no such folder": ({"extra_mounts": [{"source": "nope"}]}, {}, "extra_mounts[0].source", "no folder nope"),
    "mount onto the system": (
        {"extra_mounts": [{"source": "data", "target": "/proc/sys"}]},
        {"mount_source": lambda s: f"/d/{s}"},
        "extra_mounts[0].target",
        "nothing can be mounted at /proc/sys",
    ),
    "mount onto the model": (
        {"extra_mounts": [{"source": "data", "target": "/models/"}]},
        {"mount_source": lambda s: f"/d/{s}"},
        "extra_mounts[0]",
        "taken by the model folder",
    ),
    "model onto the system": ({"model_mount_destination": "/etc"}, {}, "model_mount_destination", "cannot be mounted"),
    "model onto work": ({"model_mount_destination": "/home/work"}, {}, "model_mount_destination", "cannot be mounted"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_and_what_would_open_it(case: str) -> None:
    keys, changes, path, text = REFUSED[case]
    result = run(model(**keys), **changes)
    errors = [p for p in result.problems if p.severity == "error"]
    assert [p.path for p in errors] == [f"models[0].deployment.{path}"]
    assert text in str(errors[0])
    assert errors[0].line > 1
    assert result.services == ()
    assert result.names == ("m",)


def test_a_refusal_is_placed_in_the_layer_that_asked() -> None:
    side = layer("service-definition.toml", user="root", resource_slots={"tpu": 1})
    problems = run(model(), below=(side,), launch=layer("start", cluster_size=2)).problems
    assert {(p.file, p.path) for p in problems} == {
        ("service-definition.toml", "user"),
        ("service-definition.toml", "resources.tpu"),
        ("start", "cluster_size"),
    }


def test_layers_that_are_wrong_only_together() -> None:
    side = layer("service-definition.toml", resource_opts={"shmem": "2g"}, environ={"KEY": "x"})
    problems = run(model(resources={"mem": "1g"}, secrets={"KEY": "key"}), below=(side,)).problems
    assert {p.path for p in problems} == {"resources.shm", "models[0].deployment.secrets.KEY"}


def test_extra_mounts() -> None:
    asked = [{"source": "data"}, {"source": "/host/x", "target": "/x", "read_only": False}]

    def source(name: str) -> str | Refusal:
        return f"/real{name}" if name.startswith("/") else f"/data/{name}"

    first, second = only(model(extra_mounts=asked), mount_source=source).routing.mounts
    assert (first.source, first.target, first.read_only) == ("/data/data", "/home/work/data", True)
    assert (second.source, second.target, second.read_only) == ("/real/host/x", "/x", False)


# --- names ----------------------------------------------------------------------------------------------------------


def test_a_name_that_is_not_url_safe_becomes_a_slug_with_a_warning() -> None:
    result = run(model("my model"))
    assert [s.name for s in result.services] == ["my-model"]
    assert [(p.severity, p.path) for p in result.problems] == [("warning", "models[0].name")]
    assert run(model("my model", service_name="mine")).problems == ()


@pytest.mark.parametrize("second", ["M", "m"])
def test_two_models_with_one_service_name(second: str) -> None:
    result = run(model("m"), model("other", service_name=second))
    (problem,) = result.problems
    assert problem.path == "models[1].deployment.service_name"
    assert "models[0]" in problem.message


def test_two_models_with_one_slug() -> None:
    problems = run(model("my model"), model("my/model".replace("/", "?"))).problems
    assert [p.path for p in problems if p.severity == "error"] == ["models[1].name"]


def test_two_models_with_one_endpoint() -> None:
    endpoint = {"port": 9000, "host": "a.example.org"}
    problems = run(model("a", endpoint=endpoint), model("b", endpoint={"port": 9000, "host": "A.example.org"})).problems
    assert [p.path for p in problems] == [f"models[1].deployment.endpoint.{key}" for key in ("port", "host")]
    assert all("the service a" in p.message for p in problems)


def test_a_launch_cannot_name_two_services_alike() -> None:
    problems = run(model("a"), model("b"), launch=Layer(Deployment(service_name="x"), "start")).problems
    assert any(p.file == "start" and "2 services" in p.message for p in problems)


# --- the process runtime --------------------------------------------------------------------------------------------


def service(command: object, count: int = 1) -> dict[str, Any]:
    return {
        "name": "m",
        "service": {"start_command": command, "port": 8000},
        "deployment": {"desired_routing_count": count},
    }


@pytest.mark.parametrize(
    ("command", "count", "path"),
    [
        (None, 1, "models[0].service"),
        (["serve", "8000"], 2, "models[0].service.start_command"),
        (["serve", "{ports[0]}"], 1, ""),
        (["serve", "{port}"], 2, ""),
        ("serve --port $PORT", 2, ""),
    ],
)
def test_what_local_processes_cannot_do(command: object, count: int, path: str) -> None:
    assert [p.path for p in run(service(command, count), runtime="process").problems] == ([path] if path else [])
    assert not [p for p in run(service(command, count)).problems if p.severity != "note"]


@pytest.mark.parametrize("strategy", ["rolling", "blue_green", "canary", "recreate"])
def test_a_port_that_is_written_in_is_swapped_with_the_requests_held(strategy: str) -> None:
    fixed = service(["serve", "8000"])
    fixed["deployment"]["update"] = {"strategy": strategy}
    noted = [(p.severity, p.path) for p in run(fixed, runtime="process").problems]
    assert noted == ([] if strategy == "recreate" else [("note", "models[0].service.start_command")])


def test_what_has_no_effect_there_is_noted() -> None:
    result = run(model(user="1000", hostname="h"), runtime="process", policy=OPEN)
    assert [(p.severity, p.path.rpartition(".")[2]) for p in result.problems] == [
        ("note", "hostname"),
        ("note", "user"),
    ]
    assert result.services
