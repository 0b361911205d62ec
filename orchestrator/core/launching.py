"""What a service runs with, in the words that it is started by; and what becomes of that when some of it is modified.
Pure; used by `core.present`, `folders.launched` and `app.modifying`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Any

from orchestrator.core.errors import InvalidInput
from orchestrator.core.spec import ResolvedMount, ServiceSpec
from orchestrator.core.state import Overridden, Service
from orchestrator.core.units import written_size
from orchestrator.core.views import LaunchView, OverrideView

HOT: Mapping[str, str] = {
    "count": "desired",
    "public": "open_to_public",
    "start_timeout": "start_timeout",
    "unhealthy_timeout": "unhealthy_timeout",
    "stop_grace": "stop_grace",
    "retry": "retry",
}
"""Fields of a launch that take effect in place, with theirs in `ServiceSpec`: what may be set over a file."""
OWN_SLOTS = ("cpu", "mem", "shm")
"""Slots that are fields of their own."""
MAPS = ("environ", "resources")
KEYS: Mapping[str, str] = {
    "name": "service_name",
    "image": "image",
    "count": "desired_routing_count",
    "public": "open_to_public",
    "environ": "environ",
    "resources": "resources",
    "mounts": "extra_mounts",
    "destination": "model_mount_destination",
    **{slot: f"resources.{slot}" for slot in OWN_SLOTS},
    **{n: n for n in ("resource_group", "cluster_mode", "cluster_size")},
    **{n: n for n in ("start_timeout", "unhealthy_timeout", "stop_grace", "retry")},
}
"""Fields of a launch to the keys of a definition's `deployment`; those of the folder itself have none."""


def launch_view(
    spec: ServiceSpec, folder: str, *, count: int, definition: str = "", data_dirs: Sequence[str] = ()
) -> LaunchView:
    """`data_dirs`: where named folders of extra mounts are."""
    routing = spec.routing
    slots = {name: f"{amount:.15g}" for name, amount in routing.resources.items() if name not in OWN_SLOTS}
    sizes = {name: written_size(routing.resources[name]) for name in ("mem", "shm") if name in routing.resources}
    return LaunchView(
        folder=folder,
        name=spec.name,
        image=routing.image,
        count=count,
        public=spec.open_to_public,
        cpu=routing.resources.get("cpu"),
        mem=sizes.get("mem"),
        shm=sizes.get("shm"),
        resources=slots,
        environ=routing.environ,
        mounts=tuple(_mount(one, data_dirs) for one in routing.mounts),
        definition=definition,
        destination=routing.model_mount,
        resource_group=routing.resource_group,
        cluster_mode=routing.cluster_mode,
        cluster_size=routing.cluster_size,
        start_timeout=spec.start_timeout,
        unhealthy_timeout=spec.unhealthy_timeout,
        stop_grace=spec.stop_grace,
        retry=spec.retry,
    )


def _mount(mount: ResolvedMount, data_dirs: Sequence[str]) -> str:
    """A named folder by its name again."""
    path = PurePath(mount.source)
    source = path.name if str(path.parent) in data_dirs else mount.source
    return f"{source}:{mount.target}:{'ro' if mount.read_only else 'rw'}"


def deployment_of(launch: Mapping[str, Any]) -> dict[str, Any]:
    """A launch under the names that a definition's `deployment` has. Raises `InvalidInput` for a mount that cannot be
    read."""
    others = (*OWN_SLOTS, "resources", "mounts")
    found = {key: launch[field] for field, key in KEYS.items() if field in launch and field not in others}
    resources = {slot: launch[slot] for slot in OWN_SLOTS if slot in launch} | launch.get("resources", {})
    if resources:
        found["resources"] = resources
    if launch.get("mounts") is not None:
        found["extra_mounts"] = [_read_mount(text) for text in launch["mounts"]]
    return found


def _read_mount(text: str) -> dict[str, Any]:
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


# --- a launch that is modified --------------------------------------------------------------------------------------


def changed_only(given: Mapping[str, Any], now: LaunchView) -> dict[str, Any]:
    """Of `given` (field to value) what is not so already: a dialog may send all that it was filled in with."""
    shown = now.model_dump(mode="json")
    return {name: value for name, value in given.items() if value != shown.get(name)}


def relaunched(launch: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A launch with `given` laid over it; None takes a field out of it."""
    found = dict(launch)
    slots = dict(found.pop("resources", {}))
    own = {name: slots.pop(name) for name in OWN_SLOTS if name in slots}
    for name, value in given.items():
        if name == "resources":
            slots = dict(value or {})
        elif value is None:
            found.pop(name, None)
        else:
            found[name] = value
        own.pop(name, None)
    slots = {name: value for name, value in own.items() if name not in found} | slots
    return found | ({"resources": slots} if slots else {})


def without_defaults(launch: Mapping[str, Any], given: Mapping[str, Any], base: LaunchView) -> dict[str, Any]:
    """Of the fields that were `given`, those that are what the definition says anyway follow it."""
    plain, found = base.model_dump(mode="json"), dict(launch)
    for name in given.keys() & found.keys():
        if name in MAPS:
            found[name] = {key: value for key, value in found[name].items() if plain[name].get(key) != value}
        if found[name] == plain[name] or (name in MAPS and not found[name]):
            del found[name]
    return found


def taken_away(given: Mapping[str, Any], base: LaunchView) -> list[str]:
    """Keys of maps (`environ.KEY`) that the definition has and that are missing from the whole that was given."""
    return [
        f"{name}.{key}"
        for name in MAPS
        if given.get(name) is not None
        for key in getattr(base, name)
        if key not in given[name]
    ]


# --- overrides of what a file says ----------------------------------------------------------------------------------


def overrides_of(service: Service) -> dict[str, OverrideView]:
    """By the launch's name of each field."""
    names = {theirs: ours for ours, theirs in HOT.items()}
    found = {names[n]: OverrideView(value=o.value, in_file=o.over) for n, o in service.overrides.items() if n in names}
    if service.override_desired is not None:
        found["count"] = OverrideView(value=service.override_desired, in_file=service.spec.desired)
    return found


def overridden(service: Service, values: Mapping[str, Any], file: ServiceSpec) -> Service:
    """With hot fields (by the launch's names) set over what `file` says; a value that it says itself ends its
    override."""
    own = dict(service.overrides)
    for name in values.keys() - {"count"}:
        value, over = values[name], getattr(file, HOT[name])
        own.pop(HOT[name], None)
        if value != over:
            own[HOT[name]] = Overridden(value, over)
    spec = service.spec.model_copy(
        update={HOT[n]: own[HOT[n]].value if HOT[n] in own else getattr(file, HOT[n]) for n in values if n != "count"}
    )
    service = replace(service, spec=spec, overrides=own)
    if "count" not in values:
        return service
    count = None if values["count"] == file.desired else values["count"]
    return replace(service, override_desired=count, override_over=None if count is None else file.desired)


def reset(service: Service, names: Sequence[str]) -> Service:
    """Without the overrides of these fields."""
    own = {n: o for n, o in service.overrides.items() if n not in {HOT[name] for name in names}}
    ended = {n: o.over for n, o in service.overrides.items() if n not in own}
    service = replace(service, spec=service.spec.model_copy(update=ended), overrides=own)
    return replace(service, override_desired=None, override_over=None) if "count" in names else service
