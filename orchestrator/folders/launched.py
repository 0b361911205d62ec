"""A model folder as somebody starts it by hand: its definition with what was asked for laid over it. Called in a thread
by the scheduler's reader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator.core.errors import InvalidInput
from orchestrator.core.loading import deployment_from_mapping
from orchestrator.core.problems import Problem
from orchestrator.folders.reading import Reading, read_folder
from orchestrator.settings import Settings

SAME = ("resource_group", "cluster_mode", "cluster_size", "start_timeout", "unhealthy_timeout", "stop_grace", "retry")
"""Fields that a definition has under the same name."""


def read_launched(folder: Path, launch: Mapping[str, Any], settings: Settings, runtime: str) -> Reading:
    """`launch`: a `core.views.LaunchRequest` without what is default. Raises `InvalidInput` for a mount that cannot be
    read; all else that is wrong is in the reading's problems."""
    deployment, problems = deployment_from_mapping(deployment_of(launch), "start")
    definition = launch.get("definition")
    reading = read_folder(folder, settings, runtime=runtime, launch=deployment, definition=definition)
    if problems:
        reading = replace(reading, problems=(*reading.problems, *problems), services=())
    if reading.file is None and not reading.problems:
        gone = Problem("error", str(folder), 0, 0, "", "there is no model-definition.yml in it")
        reading = replace(reading, problems=(gone,))
    return reading


def deployment_of(launch: Mapping[str, Any]) -> dict[str, Any]:
    """The launcher's fields under the names that a definition's `deployment` has."""
    names = {
        "name": "service_name",
        "image": "image",
        "count": "desired_routing_count",
        "public": "open_to_public",
        "environ": "environ",
        "destination": "model_mount_destination",
    } | {name: name for name in SAME}
    found: dict[str, Any] = {ours: launch[theirs] for theirs, ours in names.items() if theirs in launch}
    resources = {slot: launch[slot] for slot in ("cpu", "mem", "shm") if slot in launch} | launch.get("resources", {})
    if resources:
        found["resources"] = resources
    if launch.get("mounts") is not None:
        found["extra_mounts"] = [_mount(text) for text in launch["mounts"]]
    return found


def _mount(text: str) -> dict[str, Any]:
    """`SOURCE[:TARGET[:ro|rw]]`. Raises `InvalidInput`."""
    source, *rest = text.split(":")
    if len(rest) > 2 or (len(rest) == 2 and rest[1] not in ("ro", "rw")):
        raise InvalidInput(f"cannot read the mount {text!r}", hint="write SOURCE[:TARGET[:ro|rw]]")
    mount: dict[str, Any] = {"source": source}
    if rest and rest[0]:
        mount["target"] = rest[0]
    if len(rest) == 2:
        mount["read_only"] = rest[1] == "ro"
    return mount
