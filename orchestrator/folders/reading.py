"""One model folder as it is now: its definition, what would run, and all that is wrong. Called by `folders.scanner`,
`validate` and the API; nothing here raises for what is on the disk.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from orchestrator.core.definition import Deployment
from orchestrator.core.layers import Layer
from orchestrator.core.loading import Loaded
from orchestrator.core.naming import slug
from orchestrator.core.policy import Policy
from orchestrator.core.problems import Problem, is_valid
from orchestrator.core.resolve import Context, resolve
from orchestrator.core.spec import ServiceSpec
from orchestrator.folders.files import cause, shown
from orchestrator.folders.mounts import MountSources
from orchestrator.folders.sources import Sources, gather, gather_text
from orchestrator.settings import Settings, address, own_hosts


@dataclass(frozen=True, slots=True)
class Reading:
    """What a model folder says. `digest` is of the definition with its side files.

    `file` None: it has no definition, hence is not a model folder; with problems: that could not be found out.
    `services` is empty where anything is an error: an invalid file changes nothing.
    """

    folder: str
    """Absolute path, as listed."""
    file: Path | None
    digest: str
    loaded: Loaded | None
    services: tuple[ServiceSpec, ...] = ()
    problems: tuple[Problem, ...] = ()
    names: tuple[str, ...] = ()
    """Of its services, as far as they are known; else what the folder's own name gives."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """Of the definition and the file beside it, by their names."""

    @property
    def valid(self) -> bool:
        return is_valid(self.problems)


def read_folder(
    path: Path,
    settings: Settings,
    *,
    runtime: str = "docker",
    file: Path | None = None,
    data: bytes | None = None,
    launch: Deployment | None = None,
    definition: str | None = None,
) -> Reading:
    """Read the model folder at `path`. `file`: read this definition in place of the folder's own; `data`: its text,
    where it comes from elsewhere; `definition`: its name in the folder; `launch`: laid over what it says."""
    place = locate(path, settings)
    if data is not None:
        sources = gather_text(place.real, place.root, data, file)
    elif file is not None or not place.refusal:
        sources = gather(path, place.root, definition or definition_name(path, settings), file)
    else:
        return refused(place)
    return finish(place, sources, context_of(settings, runtime), launch)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model folder is. `root`: what links in it must not lead out of; `refusal`: why it must not be read."""

    listed: Path
    real: Path
    root: Path | None = None
    refusal: str = ""


def locate(path: Path, settings: Settings) -> Place:
    """A model folder that is itself a link must lead to a folder below a models_dir or `docker.allowed_mounts`:
    whoever may write into a models_dir must not thereby get any folder of the host mounted."""
    listed = Path(os.path.normpath(path.absolute()))
    try:
        real = path.resolve(strict=True)
        if shown(str(real)) != str(real):
            return Place(listed, real, None, "its path is not UTF-8 text: rename it")
        if not path.is_symlink() or listed.parent not in settings.models_dirs:
            return Place(listed, real, real.parent)
        roots = [d.resolve() for d in (*settings.models_dirs, *map(Path, settings.docker.allowed_mounts))]
    except (OSError, RuntimeError, ValueError) as error:
        return Place(listed, listed, None, f"cannot look into it: {cause(error)}")
    for root in roots:
        if real != root and real.is_relative_to(root):
            return Place(listed, real, root)
    return Place(listed, real, None, f"it is a link that leads out of {listed.parent}, to {real}")


def finish(place: Place, sources: Sources, context: Context, launch: Deployment | None = None) -> Reading:
    """Resolve what `sources` say."""
    names: tuple[str, ...] = (slug(place.listed.name),)
    services: tuple[ServiceSpec, ...] = ()
    problems, loaded = list(sources.problems), sources.loaded
    if loaded is not None:
        problems += loaded.problems
    if loaded is not None and loaded.readable is not None:
        below = (*context.below, *sources.below)
        above = Layer(launch, "start") if launch else None
        context = replace(context, folder=str(place.real), below=below, launch=above)
        resolved = resolve(loaded.readable, context, str(sources.file), loaded.at)
        problems += loaded.beyond(resolved.problems)
        services = resolved.services
        names = resolved.names if loaded.definition else names
    ordered = _in_order([_shown(problem) for problem in problems], str(sources.file))
    valid = is_valid(ordered)
    services = services if valid else ()
    folder = str(place.listed)
    return Reading(folder, sources.file, sources.digest, loaded, services, ordered, names, sources.texts)


def refused(place: Place) -> Reading:
    """A folder that must not be read."""
    folder = shown(str(place.listed))
    hint = "opened by docker.allowed_mounts in config.toml" if place.real != place.listed else ""
    problem = _shown(Problem("error", folder, 0, 0, "", place.refusal, hint))
    return Reading(folder, None, "", None, (), (problem,), (slug(place.listed.name),))


def definition_name(path: Path, settings: Settings) -> str:
    """What `[folders."NAME"] definition` says; empty: the usual names."""
    own = settings.folders.get(path.absolute().name)
    return own.definition if own else ""


def context_of(settings: Settings, runtime: str) -> Context:
    """What every definition of this installation is resolved against; the folder is filled in later."""
    docker = settings.docker
    groups = {name: frozenset(group.slots) for name, group in settings.resource_groups.items()}
    ports = {address(settings.gateway.listen)[1]: "the gateway", address(settings.api.listen)[1]: "the API"}
    return Context(
        folder="",
        runtime=runtime,
        below=(Layer(settings.default_deployment, "config.toml", "defaults", trusted=True),),
        policy=policy_of(settings),
        image_aliases=docker.image_aliases,
        slots=groups | {"default": groups.get("default", frozenset()) | {"cuda.device"}},
        taken_ports=ports,
        taken_hosts=dict.fromkeys(own_hosts(settings.gateway), "the gateway"),
        mount_source=MountSources(settings).find,
    )


def policy_of(settings: Settings) -> Policy:
    docker = settings.docker
    return Policy(
        images=docker.allowed_images,
        devices=docker.allowed_devices,
        networks=docker.allowed_networks,
        capabilities=docker.allowed_capabilities,
        users=docker.allowed_users,
    )


def _shown(problem: Problem) -> Problem:
    return replace(problem, file=shown(problem.file), message=shown(problem.message), hint=shown(problem.hint))


def _in_order(problems: list[Problem], file: str) -> tuple[Problem, ...]:
    """Those of the definition first, in its order; then those of other files."""
    return tuple(sorted(problems, key=lambda p: (p.file != file, p.file, p.line, p.column)))
