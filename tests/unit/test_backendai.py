"""Bodies of Backend.AI's `POST /services`: every spelling, and what is refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from orchestrator.core.backendai import CreateRequest
from orchestrator.core.errors import InvalidInput
from orchestrator.core.views import LaunchRequest

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


@pytest.mark.parametrize(
    ("body", "config", "named"),
    [
        ({"tag": "t"}, {}, "tag"),
        ({"startupCommand": "x"}, {}, "startup_command"),
        ({"group": "research"}, {}, "group"),
        ({"clusterSize": 2}, {}, "cluster_size"),
        ({"cluster_mode": "MULTI_NODE"}, {}, "cluster_mode"),
        ({"runtime_variant": "vllm"}, {}, "runtime_variant"),
        ({}, {"scalingGroup": "gpu"}, "scaling_group"),
        ({}, {"vfolder_subpath": "a"}, "vfolder_subpath"),
        ({}, {"resource_opts": {"odd": 1}}, "resource_opts.odd"),
        ({}, {"extra_mounts": {"a:b": {}}}, "extra_mounts.a:b"),
        ({}, {"extra_mounts": {"a": {"permission": "x"}}}, "extra_mounts.a"),
    ],
)
def test_what_cannot_be_granted_is_named(body: dict[str, Any], config: dict[str, Any], named: str) -> None:
    asked = {"name": "s", "replicas": 1, **body, "config": {"model": "m", **config}}
    with pytest.raises(InvalidInput, match=named):
        CreateRequest.model_validate(asked).launch("/f")


@pytest.mark.parametrize("more", [{"name": "t"}, {"odd": 1}, {"replicas": -1}])
def test_a_key_that_is_unknown_or_given_twice_is_refused(more: dict[str, Any]) -> None:
    asked = {"service_name": "s", "desired_session_count": 1, "config": {"model": "m"}, **more}
    with pytest.raises(ValidationError):
        CreateRequest.model_validate(asked)
