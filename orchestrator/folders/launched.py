"""A model folder as somebody starts it by hand: its definition with what was asked for laid over it. Called in a thread
by the scheduler's reader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator.core.launching import deployment_of
from orchestrator.core.loading import deployment_from_mapping
from orchestrator.core.problems import Problem
from orchestrator.folders.reading import Reading, read_folder
from orchestrator.settings import Settings


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
