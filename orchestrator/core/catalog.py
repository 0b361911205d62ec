"""From model folders as read to services as wanted: which appear, change, become invalid, vanish. Pure.

Called at each scan with what the folders say and the services that are known; returns the services whose facts
changed and the folders that could not become services.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from orchestrator.core.problems import Problem, is_valid
from orchestrator.core.spec import ServiceSpec
from orchestrator.core.state import Removed, Service

VANISHED_AFTER = 5.0
"""Seconds after which a service whose definition is gone ends."""
MANY = 3
"""So many services that vanish at once, and more than half of all, are taken for an unmounted disk."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One model folder as read. `specs` of an invalid definition are empty; `names` of its services all the same."""

    folder: str
    names: tuple[str, ...]
    digest: str
    specs: tuple[ServiceSpec, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Broken:
    """A folder (or one model of it) that could not become a service: shown as INVALID."""

    folder: str
    name: str
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Catalog:
    """`changed`: services to be put in the store; `returned`: removal marks that a changed definition ended."""

    changed: tuple[Service, ...] = ()
    broken: tuple[Broken, ...] = ()
    returned: tuple[Removed, ...] = ()
    wake_at: float | None = None


def reconcile(
    listed: Sequence[Listed],
    unreadable: Mapping[str, str],
    services: Iterable[Service],
    removed: Sequence[Removed],
    now: float,
    new_id: Callable[[], str],
) -> Catalog:
    """`unreadable`: models_dir to why it could not be read; what lies below it is held, never removed."""
    known = sorted(services, key=lambda s: s.name)
    from_folders = [s for s in known if s.source == "folder"]
    holders = {s.name.lower(): s for s in known}
    returned = _returned(listed, removed)
    hidden = {(r.folder, r.model) for r in removed if r not in returned}
    seen: dict[str, Service] = {}
    broken: list[Broken] = []
    for entry in sorted(listed, key=lambda e: e.folder):
        if not is_valid(entry.problems) and not any(s.folder == entry.folder for s in from_folders):
            broken += [Broken(entry.folder, name, entry.problems) for name in entry.names]
        for spec in entry.specs:
            if (entry.folder, spec.model_name) in hidden:
                continue
            holder = seen.get(spec.name.lower()) or holders.get(spec.name.lower())
            if holder is None:
                seen[spec.name.lower()] = _new(entry, spec, now, new_id())
            elif _is_of(holder, entry.folder, spec.model_name):
                seen[spec.name.lower()] = update(holder, spec, entry.digest, entry.problems)
            else:
                broken.append(Broken(entry.folder, spec.name, (*entry.problems, _taken(entry, spec, holder))))
    invalid = {e.folder: e for e in listed if not e.specs and not is_valid(e.problems)}
    kept = [replace(s, problems=invalid[s.folder].problems) for s in from_folders if s.folder in invalid]
    gone = [s for s in from_folders if s.name.lower() not in seen and s.folder not in invalid and not s.removing]
    ended, wake_at = _vanish(gone, len([s for s in from_folders if not s.removing]), unreadable, now)
    before = {s.id: s for s in known}
    changed = [s for s in [*seen.values(), *(_back(k) for k in kept), *ended] if before.get(s.id) != s]
    return Catalog(tuple(changed), tuple(broken), tuple(returned), wake_at)


def update(service: Service, spec: ServiceSpec, digest: str, problems: tuple[Problem, ...]) -> Service:
    """The service with its definition as it is now; an override ends when the file's own value changes. Of a
    definition whose routing part was rolled back only the hot part is taken, until that part changes."""
    if service.removing:
        return service  # its end goes on; the folder becomes a new service after it
    kept = {name: o for name, o in service.overrides.items() if getattr(spec, name) == o.over}
    spec = spec.model_copy(update={name: o.value for name, o in kept.items()}) if kept else spec
    keeps = service.override_desired is not None and service.override_over == spec.desired
    rejected = service.rejected
    if rejected is not None and rejected.revision == spec.routing.revision:
        spec = spec.model_copy(update={"routing": service.spec.routing})
    else:
        rejected = None
    return replace(
        _back(service),
        spec=spec,
        model=spec.model_name,
        digest=digest,
        problems=problems,
        override_desired=service.override_desired if keeps else None,
        override_over=service.override_over if keeps else None,
        overrides=kept,
        rejected=rejected,
    )


def _back(service: Service) -> Service:
    return replace(service, vanished_since=None, held="")


def _is_of(service: Service, folder: str, model: str) -> bool:
    return service.source == "folder" and service.folder == folder and service.model == model


def _new(entry: Listed, spec: ServiceSpec, now: float, service_id: str) -> Service:
    return Service(
        id=service_id,
        name=spec.name,
        source="folder",
        folder=entry.folder,
        model=spec.model_name,
        spec=spec,
        revision_number=0,
        created_at=now,
        problems=entry.problems,
        digest=entry.digest,
    )


def _taken(entry: Listed, spec: ServiceSpec, holder: Service) -> Problem:
    where = f"the service of {holder.folder}" if holder.source == "folder" else "a service that was started by hand"
    message = f"the service name {spec.name!r} is taken by {where}"
    return Problem("error", entry.folder, 0, 0, "deployment.service_name", message, "give one of them another name")


def _returned(listed: Iterable[Listed], removed: Sequence[Removed]) -> list[Removed]:
    """Marks of services removed by hand whose definition has changed since; those of a folder that is gone stay."""
    digests = {e.folder: e.digest for e in listed}
    return [r for r in removed if digests.get(r.folder, r.digest) != r.digest]


def _vanish(
    gone: Sequence[Service], total: int, unreadable: Mapping[str, str], now: float
) -> tuple[list[Service], float | None]:
    """Services whose definition is gone: end after `VANISHED_AFTER`, unless it looks like an unmounted disk."""
    mass = len(gone) >= MANY and len(gone) * 2 > total
    ended: list[Service] = []
    wake_at: float | None = None
    for service in gone:
        since = service.vanished_since if service.vanished_since is not None else now
        held = _held(service, unreadable) or (f"{len(gone)} of {total} services vanished at once" if mass else "")
        held = held or service.held
        due = not held and now >= since + VANISHED_AFTER
        if not held and not due:
            wake_at = min(wake_at or since + VANISHED_AFTER, since + VANISHED_AFTER)
        ended.append(replace(service, vanished_since=since, held=held, removing=due))
    return ended, wake_at


def _held(service: Service, unreadable: Mapping[str, str]) -> str:
    for models_dir, cause in unreadable.items():
        if service.folder == models_dir or service.folder.startswith(models_dir.rstrip("/") + "/"):
            return f"cannot read {models_dir}: {cause}"
    return ""
