"""Bodies of Backend.AI's `POST /services`: every spelling, and what is refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from orchestrator.core.backendai import CreateRequest, Modification
from orchestrator.core.backendai_tasks import Progress
from orchestrator.core.daemon_views import TryEvent
from orchestrator.core.errors import InvalidInput
from orchestrator.core.views import LaunchRequest, instant

CONFIG: dict[str, Any] = {
    "model": "m",
    "modelMountDestination": "/m",
    "extra_mounts": {"data": {"mount_destination": "/data", "permission": "ro"}, "more": {}},
    "environ": {"A": "1"},
    "resources": {"cpu": 8, "mem": "64g", "cuda.shares": 2},
    "resource_opts": {"shmem": "1g"},
}
LAUNCH = LaunchRequest(
    folder="/f",
    name="s",
    image="i",
    count=2,
    public=True,
    resources={"cpu": "8", "mem": "64g", "cuda.shares": "2", "shm": "1g"},
    environ={"A": "1"},
    mounts=("data:/data:ro", "more"),
    destination="/m",
)


@pytest.mark.parametrize(
    "body",
    [
        {"name": "s", "desired_session_count": 2, "image": "i", "open_to_public": True},
        {"service_name": "s", "replicas": 2, "lang": "i", "expose_to_public": True, "groupName": "default"},
        {"clientSessionToken": "s", "desiredSessionCount": 2, "image": "i", "open_to_public": True, "arch": "x86_64"},
    ],
)
def test_each_spelling_is_the_same_launch(body: dict[str, Any]) -> None:
    assert CreateRequest.model_validate({**body, "config": CONFIG}).launch("/f") == LAUNCH


def test_where_its_nodes_are_is_passed_on() -> None:
    asked = {"name": "s", "replicas": 1, "clusterMode": "MULTI_NODE", "clusterSize": 2}
    launch = CreateRequest.model_validate({**asked, "config": {"model": "m", "scalingGroup": "gpu"}}).launch("/f")
    assert (launch.cluster_mode, launch.cluster_size, launch.resource_group) == ("multi-node", 2, "gpu")


MODIFIED = {
    "nothing": ({}, {}),
    "a count, under any name": ({"replicas": 3}, {"count": 3}),
    "a null": ({"image": None}, {"image": None}),
    "resources are the whole of them": (
        {"resource_slots": {"cpu": 2, "cuda.shares": 1}},
        {"cpu": 2.0, "mem": None, "resources": {"cuda.shares": "1"}},
    ),
    "inside config": (
        {"open_to_public": True, "config": {"environ": {"A": "1"}, "resource_opts": {"shmem": "1g"}}},
        {"public": True, "environ": {"A": "1"}, "shm": "1g"},
    ),
    "a cluster": (
        {"cluster_mode": "SINGLE_NODE", "clusterSize": 1},
        {"cluster_mode": "single-node", "cluster_size": 1},
    ),
    "mounts": ({"extra_mounts": {"data": {"permission": "rw"}}}, {"mounts": ("data::rw",)}),
}


@pytest.mark.parametrize("name", MODIFIED)
def test_a_modification_says_what_was_given_and_no_more(name: str) -> None:
    given, wanted = MODIFIED[name]
    found = Modification.model_validate(given).modification()
    assert found.model_dump(exclude_unset=True) == wanted


@pytest.mark.parametrize(
    "given",
    [{"runtime_variant": "vllm"}, {"cluster_mode": "x"}, {"resources": {"cpu": "many"}}],
)
def test_a_modification_that_cannot_be_is_named(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        Modification.model_validate(given).modification()


STEPS = [
    ("definition", "passed", "session_enqueued", 1),
    ("image", "passed", "session_prepared", 2),
    ("create", "passed", "session_creating", 3),
    ("start", "passed", "session_started", 4),
    ("log", "info", "session_log", 4),
    ("probe", "info", "model_service_status_updated", 4),
    ("probe", "passed", "model_service_status_updated", 5),
    ("cleanup", "passed", "session_terminated", 5),
]


@pytest.mark.parametrize(
    ("state", "code", "kind"),
    [("passed", "", "bgtask_done"), ("failed", "exited", "bgtask_failed"), ("failed", "cancelled", "bgtask_cancelled")],
)
def test_steps_of_a_try_are_the_events_of_a_task(state: str, code: str, kind: str) -> None:
    progress, seen = Progress("t"), []
    for step, how, _, _ in STEPS:
        of, event = progress.event(TryEvent.model_validate({"step": step, "state": how, "at": instant(1)}))
        assert of == "bgtask_updated"
        seen.append((step, how, json.loads(event.message)["event"], event.current_progress))
    assert seen == STEPS
    last = {"step": "result", "state": state, "message": "so it is", "detail": {"code": code}, "at": instant(1)}
    of, event = progress.event(TryEvent.model_validate(last))
    assert (of, event.message, event.task_id, event.total_progress) == (kind, "so it is", "t", 5)


@pytest.mark.parametrize(
    ("body", "config", "named"),
    [
        ({"tag": "t"}, {}, "tag"),
        ({"startupCommand": "x"}, {}, "startup_command"),
        ({"group": "research"}, {}, "group"),
        ({"cluster_mode": "BOTH"}, {}, "cluster_mode"),
        ({"runtime_variant": "vllm"}, {}, "runtime_variant"),
        ({}, {"vfolder_subpath": "a"}, "vfolder_subpath"),
        ({}, {"extra_mounts": {"a:b": {}}}, "extra_mounts.a:b"),
        ({}, {"extra_mounts": {"a": {"permission": "x"}}}, "extra_mounts.a"),
    ],
)
def test_what_cannot_be_granted_is_named(body: dict[str, Any], config: dict[str, Any], named: str) -> None:
    asked = {"name": "s", "replicas": 1, **body, "config": {"model": "m", **config}}
    with pytest.raises(InvalidInput, match=named):
        CreateRequest.model_validate(asked).launch("/f")


@pytest.mark.parametrize(
    "more",
    [
        {"name": "t"},
        {"odd": 1},
        {"replicas": -1},
        {"config": {"model": "m", "resource_opts": {"odd": 1}}},
    ],
)
def test_a_key_that_is_unknown_or_given_twice_is_refused(more: dict[str, Any]) -> None:
    asked = {"service_name": "s", "desired_session_count": 1, "config": {"model": "m"}, **more}
    with pytest.raises(ValidationError):
        CreateRequest.model_validate(asked)
