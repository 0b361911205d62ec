"""Docker's errors become ours, here and once: a stable code, what could not be done, and what would mend it."""

from __future__ import annotations

import re

from docker.errors import APIError

from orchestrator.core.errors import NotFound, OrchestratorError, RuntimeFailure, Unavailable

Rule = tuple[re.Pattern[str], str, str]


def _rule(pattern: str, code: str, hint: str) -> Rule:
    return re.compile(pattern, re.IGNORECASE), code, hint


RULES: tuple[Rule, ...] = (
    _rule(
        r"pull access denied|unauthorized|^denied$|(?<!permission )denied: |authentication required|no basic auth",
        "image_denied",
        "check the image's name, or log in with `docker login` as the user that the daemon runs as",
    ),
    _rule(
        r"no such image|manifest unknown|manifest for .* not found|repository .* not found|name unknown",
        "image_missing",
        "check the image's name and tag, or load it into the engine",
    ),
    _rule(
        r"invalid reference format|invalid image",
        "image_missing",
        "an image reads like registry/name:tag, in lower case",
    ),
    _rule(r"is already in use by container", "name_taken", "remove or rename the container that holds the name"),
    _rule(
        r"bind source path does not exist|duplicate mount|invalid (mount|volume spec)|mounts? denied|error mounting",
        "mount_refused",
        "check that the mounted folders exist on the engine's host and that no two have the same target",
    ),
    _rule(r"exec format error", "exec_format", "the program or image is built for another processor architecture"),
    _rule(
        r"executable file not found|exec: .* no such file or directory|fork/exec .* no such file",
        "command_not_found",
        "check the command's spelling, and that the image has it",
    ),
    _rule(
        r"read-only file system|is marked read-only|rootfs is read-only",
        "permission",
        "it lies on a read-only file system",
    ),
    _rule(r"permission denied|operation not permitted", "permission", "check owner and mode inside the image"),
    _rule(r"no space left|quota exceeded", "no_space", "free some space on the engine's disk (`docker system df`)"),
    _rule(r"port is already allocated|address already in use", "port_taken", "stop what listens on that port"),
    _rule(
        r"unable to find (user|group)|no matching entries in (passwd|group)",
        "no_user",
        "name a user that the image has",
    ),
    _rule(
        r"could not select device driver|nvidia-container|unknown device|no such device",
        "no_device",
        "install the NVIDIA container toolkit on the engine's host",
    ),
    _rule(r"error gathering device information", "no_device", "check that the device exists on the engine's host"),
    _rule(r"address pools|non-overlapping ipv4", "no_network", "remove unused networks with `docker network prune`"),
    _rule(r"no such network|network .* not found", "no_network", "create the network, or name one that exists"),
    _rule(r"minimum memory limit|range of cpus|invalid (cpu|memory)", "bad_resources", "check the resources asked for"),
    _rule(r"not a directory", "not_a_directory", "a part of the path is a file"),
    _rule(r"argument list too long", "too_long", "the arguments or the environment are too long"),
    _rule(r"oci runtime|runc|container process|failed to create", "start_failed", "see the engine's own log"),
)
"""First match wins; the order is from the particular to the general."""


WRAPPING = re.compile(
    r"^(OCI runtime exec failed: |failed to create (shim )?task[^:]*: |OCI runtime create failed: |runc create failed: "
    r"|exec failed: |unable to start container process: )+"
)


def translate(error: Exception, doing: str) -> OrchestratorError:
    """The error that users meet when `doing` (an infinitive: `create a container`) raised `error`."""
    if isinstance(error, OrchestratorError):
        return error
    if not isinstance(error, APIError):
        return unreachable(doing, error)
    text = plain(str(error.explanation or error))
    status = error.status_code or 500
    if refused := explained(text, doing):
        return refused
    if status == 404:
        return NotFound(f"cannot {doing}: {text}")
    if status >= 500:
        return Unavailable(f"cannot {doing}: the engine failed: {text}", hint="see the engine's own log")
    return RuntimeFailure(f"cannot {doing}: {text}")


def explained(text: str, doing: str) -> RuntimeFailure | None:
    """The failure that an engine's message tells of, if it is one of those known."""
    for pattern, code, hint in RULES:
        if pattern.search(text):
            return RuntimeFailure(f"cannot {doing}: {text}", hint=hint, code=code)
    return None


def plain(text: str) -> str:
    """An engine's message without the layers it came through."""
    return WRAPPING.sub("", text.strip()).removesuffix(": unknown")


def unreachable(doing: str, error: object) -> Unavailable:
    reason = str(error).strip() or type(error).__name__
    return Unavailable(
        f"cannot {doing}: the container engine does not answer: {reason}",
        hint="start it, or name another in [docker] host (or DOCKER_HOST)",
        code="engine_unavailable",
    )
