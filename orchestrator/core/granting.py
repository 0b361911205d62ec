"""What a routing is given of the host: image, user, network, resources. Part of `core.resolve`.

What the administrator's own layers ask for needs no permission.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from orchestrator.core.policy import Refusal
from orchestrator.core.resolving import View

CONTAINER_RUNTIMES = frozenset({"docker"})
ALWAYS = frozenset({"cpu", "mem", "shm"})
"""Resources that every group has, declared or not."""


def image(view: View) -> str | None:
    """The image that runs, aliases applied. An alias is the administrator's word, hence a permission."""
    asked: str | None = view.merged.get("image")
    if asked is None:
        if view.context.runtime in CONTAINER_RUNTIMES:
            hint = "set deployment.image, or image under [defaults] in config.toml"
            view.tell_model("note", "", "no image: the model is listed and not started", hint)
        return None
    if asked in view.context.image_aliases:
        return view.context.image_aliases[asked]
    _granted(view, "image", view.context.policy.image)
    return asked


def check_permissions(view: View) -> None:
    """What `[docker] allowed_…` does not list is refused; what is not built yet, even where it is listed."""
    policy = view.context.policy
    _granted(view, "user", policy.user)
    _granted(view, "network", policy.network)
    for key, asks in (("devices", policy.device), ("capabilities", policy.capability)):
        if _granted(view, key, asks) and view.merged.get(key):
            view.refuse(key, Refusal(f"{key} are not supported yet", "leave it out"))
    if (size := view.merged.get("cluster_size", 1)) > 1:
        message = f"a routing over {size} nodes is not supported yet by the {view.context.runtime} runtime"
        view.refuse("cluster_size", Refusal(message, "cluster_size: 1, and more routings where one is not enough"))


def check_environ(view: View) -> None:
    """One layer's variable must not silently win over another's secret."""
    environ: Mapping[str, str] = view.merged.get("environ", {})
    secrets: Mapping[str, str] = view.merged.get("secrets", {})
    for name in sorted(environ.keys() & secrets.keys()):
        view.refuse(f"secrets.{name}", Refusal(f"{name} is given under environ too", "leave one of them out"))


def resources(view: View) -> dict[str, float]:
    """Slot to amount, whole shares as devices. Slots that the group does not have are reported."""
    asked: dict[str, float] = dict(view.merged.get("resources", {}))
    group: str = view.merged.get("resource_group", "default")
    if group not in view.context.slots:
        declared = ", ".join(sorted(view.context.slots))
        hint = f"declared: {declared}; others by [resource_groups.{group}] in config.toml"
        view.refuse("resource_group", Refusal(f"there is no resource group {group}", hint))
        return asked
    if "shm" in asked and "mem" in asked and asked["shm"] >= asked["mem"]:
        view.refuse("resources.shm", Refusal("shm is part of mem and must be smaller", "raise mem or lower shm"))
    known = view.context.slots[group] | ALWAYS
    for slot in sorted(asked):
        if (slot if slot != "cuda.shares" else "cuda.device") not in known:
            hint = f"declare it under resource_groups.{group}.slots in config.toml"
            view.refuse(f"resources.{slot}", Refusal(f"resource group {group} has no slot {slot}", hint))
    return _without_shares(view, asked)


def _without_shares(view: View, asked: dict[str, float]) -> dict[str, float]:
    """A whole share is a whole device."""
    shares = asked.pop("cuda.shares", 0.0)
    if shares != int(shares):
        message = f"{shares:g} is a part of a device, and sharing one is not supported yet"
        view.refuse("resources.cuda.shares", Refusal(message, "a whole number"))
    elif shares and asked.get("cuda.device"):
        view.refuse("resources.cuda.shares", Refusal("cuda.device is given too", "leave one of them out"))
    elif shares:
        asked["cuda.device"] = shares
    return asked


def _granted(view: View, key: str, asks: Callable[[str], Refusal | None]) -> bool:
    """Is everything that `key` asks for granted? Reports what is not."""
    value: str | tuple[str, ...] = view.merged.get(key, ())
    names = (value,) if isinstance(value, str) else value
    refusals = [r for name in names if view.merged.untrusted(key) and (r := asks(name))]
    for refusal in refusals:
        view.refuse(key, refusal)
    return not refusals
