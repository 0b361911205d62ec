"""Where things lie inside a routing: the model folder, the model in it, and extra mounts. Part of `core.resolve`."""

from __future__ import annotations

import posixpath

from orchestrator.core.definition import Mount
from orchestrator.core.policy import Refusal
from orchestrator.core.resolving import View
from orchestrator.core.spec import ResolvedMount

MODELS = "/models"
HOME = "/home/work"
NEEDED = frozenset({"/", "/bin", "/etc", "/home", HOME, "/lib", "/lib64", "/run", "/sbin", "/usr", "/var"})
NEEDED_BELOW = ("/dev", "/proc", "/sys")


def model_places(view: View) -> tuple[str, str]:
    """Where the model folder is mounted, and the path of the model in it."""
    asked, destination = view.model.model_path, view.merged.get("model_mount_destination")
    path = normal(asked) if asked else None
    mount = normal(destination) if destination else MODELS if path is None or below(path, MODELS) else path
    if fault := _unmountable(mount):
        message, hint = f"the model folder cannot be mounted at {mount}: {fault}", f"such as {MODELS}"
        if destination:
            view.tell("error", "model_mount_destination", message, hint)
        else:
            view.tell_model("error", "model_path", message, hint)
    elif path is not None and not below(path, mount):
        message = f"{path} lies outside {mount}, where the model folder is mounted"
        view.tell_model("warning", "model_path", message, f"a path below {mount}, or leave it out")
    return mount, path or mount


def mounts(view: View, model_mount: str) -> tuple[ResolvedMount, ...]:
    """The extra mounts that are granted; the others are reported."""
    taken = {model_mount: "the model folder"}
    found: list[ResolvedMount] = []
    asked: tuple[Mount, ...] = view.merged.get("extra_mounts", ())
    for index, mount in enumerate(asked):
        key = f"extra_mounts[{index}]"
        source = view.context.mount_source(mount.source)
        target = normal(mount.target or posixpath.join(HOME, mount.source))
        if isinstance(source, Refusal):
            view.refuse(f"{key}.source", source)
        elif fault := _unmountable(target):
            view.refuse(f"{key}.target", Refusal(f"nothing can be mounted at {target}: {fault}"))
        elif target in taken:
            view.refuse(key, Refusal(f"{target} is taken by {taken[target]}", "a `target` of its own"))
        else:
            taken[target] = mount.source
            found.append(ResolvedMount(source=source, target=target, read_only=mount.read_only))
    return tuple(found)


def normal(path: str) -> str:
    """An absolute path without `.`, `..`, doubled and trailing slashes."""
    return "/" + posixpath.normpath(path).lstrip("/")


def below(path: str, folder: str) -> bool:
    """Is `path` the folder itself, or does it lie in it? Both normal."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _unmountable(target: str) -> str:
    """Why nothing may be mounted at `target`; empty where it may."""
    if target in NEEDED:
        return "the routing needs what is there"
    if any(below(target, folder) for folder in NEEDED_BELOW):
        return "the kernel's own lies there"
    return ""
