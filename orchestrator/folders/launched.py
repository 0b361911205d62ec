"""A model folder as somebody starts it by hand: its definition with what was asked for laid over it. Called in a thread
by the scheduler's reader."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator.core.launching import deployment_of
from orchestrator.core.loading import deployment_from_mapping
from orchestrator.core.problems import Problem
from orchestrator.folders.reading import Place, Reading, locate, read_folder, refused
from orchestrator.settings import Settings


def misnamed(folder: Path, definition: str, settings: Settings, *, file: Path | None = None) -> str:
    """Why a folder that somebody names must not be used with this `definition` (or `file`, its path); empty: it may.

    Whoever may ask the API must not thereby get any folder of this host mounted, or any file of it shown in an error.
    So beside the folders of models_dirs only those will do that somebody made model folders, on this host: their
    definition, which nobody brings there from outside, lies directly in them and is YAML by its name.
    """
    name = Path(definition)
    if ".." in folder.parts:  # behind a link it means another folder than its text says
        return "its path has `..` in it: give the folder's own path"
    if why := _in_reach(folder, settings):
        return why
    if file is not None:
        place, real = locate(folder, settings), Path(os.path.realpath(file))
        if place.root is not None and not real.is_relative_to(place.root):
            return f"{file.name} is a link that leads out of {place.root}"
        name = Path(real.name)
    listed = Path(os.path.normpath(folder.absolute())).parent in settings.models_dirs
    if listed or name == Path() or (len(name.parts) == 1 and name.suffix in (".yml", ".yaml")):
        return ""
    return f"{name} cannot be its definition: outside of models_dirs that is a .yml or .yaml directly in the folder"


def _in_reach(folder: Path, settings: Settings) -> str:
    """Why the folder could be swapped for a link, to `/` for one, between this look and its mount: it lies in what
    routings have mounted and may write to, a model folder or a data folder. Empty: it does not."""
    real = Path(os.path.realpath(folder))
    bases = [Path(os.path.realpath(top)) for top in (*settings.models_dirs, *settings.data_dirs)]
    for base in bases if real.parent not in bases else ():
        if len(real.parts) > len(base.parts) + 1 and real.is_relative_to(base):
            return f"it lies in {base / real.parts[len(base.parts)]}, which routings may write to: name that folder"
    return ""


def read_launched(folder: Path, launch: Mapping[str, Any], settings: Settings, runtime: str) -> Reading:
    """`launch`: a `core.views.LaunchRequest` without what is default. Raises `InvalidInput` for a mount that cannot be
    read; all else that is wrong is in the reading's problems."""
    deployment, problems = deployment_from_mapping(deployment_of(launch), "start")
    definition = launch.get("definition")
    if why := misnamed(folder, definition or "", settings):
        return refused(Place(folder, folder, None, why))
    reading = read_folder(folder, settings, runtime=runtime, launch=deployment, definition=definition)
    if problems:
        reading = replace(reading, problems=(*reading.problems, *problems), services=())
    if reading.file is None and not reading.problems:
        gone = Problem("error", str(folder), 0, 0, "", "there is no model-definition.yml in it")
        reading = replace(reading, problems=(gone,))
    return reading
