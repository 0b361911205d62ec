"""What an earlier revision asks of the host, against what is granted today: it was judged when it was read, and the
administrator may have closed that since. Asked by `app.rollouts` before somebody goes back to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from orchestrator.core.policy import Refusal
from orchestrator.core.spec import RoutingSpec
from orchestrator.folders.mounts import MountSources
from orchestrator.folders.reading import locate, policy_of
from orchestrator.settings import Settings


def refusals(routing: RoutingSpec, folder: str, settings: Settings) -> tuple[Refusal, ...]:
    """Of a revision of a service that is served from `folder`. What the administrator's own defaults and aliases ask
    for needs no permission."""
    policy, own = policy_of(settings), settings.default_deployment
    images = {own.image, *settings.docker.image_aliases.values()}
    asked = (
        (_given(routing.image), images, policy.image),
        (_given(routing.user), {own.user}, policy.user),
        (_given(routing.network), {own.network}, policy.network),
        (routing.devices, own.devices or (), policy.device),
        (routing.capabilities, own.capabilities or (), policy.capability),
    )
    found = [refusal for names, trusted, asks in asked for refusal in _refused(names, trusted, asks)]
    sources = MountSources(settings)
    found += [r for mount in routing.mounts if (r := sources.refusal_of(mount.source))]
    return (*found, *_folder(routing.model_folder, folder, settings))


def _given(name: str | None) -> tuple[str, ...]:
    return () if name is None else (name,)


def _refused(
    names: Iterable[str], trusted: Iterable[str | None], asks: Callable[[str], Refusal | None]
) -> Iterator[Refusal]:
    known = set(trusted)
    return (refusal for name in names if name not in known and (refusal := asks(name)))


def _folder(mounted: str, folder: str, settings: Settings) -> Iterator[Refusal]:
    """The model folder: the one of today, or what a link of that name led to, where that is still open."""
    place = locate(Path(folder), settings)
    if not place.refusal and str(place.real) == mounted:
        return
    roots = (*settings.models_dirs, *map(Path, settings.docker.allowed_mounts))
    if not any(Path(mounted).resolve().is_relative_to(root.resolve()) for root in roots):
        hint = "opened by docker.allowed_mounts in config.toml"
        yield Refusal(f"its model folder {mounted} is no longer that of the service", hint)
