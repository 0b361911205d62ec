"""Every cause that `explain` knows by its code: what it means, what mends it, and whether waiting does.

One row a cause. `core.explain`, tries and `run` look hints up here; docs/operations.md shows all of them, which a test
compares. What logs and probes betray has its rows in `core.symptoms`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from orchestrator.core.symptoms import LOG_SYMPTOMS, PROBE_SYMPTOMS


class Known(NamedTuple):
    """`hint`: what to do where whoever tells of it gives no more exact one. `hopeless`: time does not mend it."""

    meaning: str
    hint: str
    hopeless: bool = False


EVENTS = "it goes on by itself; `orchestrator events -f` shows each step"
REPLACED = "it is replaced by itself; to end a service use `orchestrator rm` or `scale … 0`"
ENGINE_LOG = "see the engine's own log"
PATHS = "check the paths in the definition: each is one inside the routing"

SERVICE: Mapping[str, Known] = {
    "definition_invalid": Known("the definition has errors", "`orchestrator validate FOLDER` shows where", True),
    "folder_vanished": Known("the model folder, or its definition, is gone", "bring it back"),
    "removal_held": Known(
        "its folder is gone along with many others, so its removal is held",
        "bring the folder back (is its disk mounted?), or let the service go: `orchestrator confirm-removal`",
    ),
    "engine_down": Known(
        "the container engine does not answer",
        "start the container engine; routings that run go on; `orchestrator doctor` shows what it lacks",
    ),
    "gateway_down": Known(
        "the gateway does not run, or does not take what is wanted; what it had is served for as long as it runs",
        "it is started again by itself; `orchestrator doctor` shows what keeps it down",
    ),
    "endpoint_taken": Known(
        "the gateway cannot grant a port or host name",
        "free the port or name, or choose another under deployment.endpoint",
    ),
    "clock_moved": Known(
        "the system's clock was set since the daemon started, or the machine slept",
        "tokens are judged by it: check it with `timedatectl`; once it is right, restart the daemon",
    ),
    "stopped": Known("no routing is wanted, or a container was stopped by hand", "`orchestrator scale SERVICE 1`"),
    "removed": Known("the service, or a container, was removed", REPLACED),
    "pending": Known("nothing was tried yet", "it is looked at within seconds; `orchestrator events -f` shows it"),
    "rolling_over": Known("a revision takes over from another", "`orchestrator ps SERVICE` shows both"),
    "rolled_back": Known("a revision failed or was given up", "change the definition, or `orchestrator apply SERVICE`"),
    "back_off": Known("the next start waits a little", "mend the cause; `orchestrator retry SERVICE` tries at once"),
    "crash_loop": Known(
        "five starts or more in a row failed", "mend the cause; `orchestrator retry SERVICE` tries at once", True
    ),
}
"""Of the service, and what is around it."""

WAY: Mapping[str, Known] = {
    "waiting": Known("a routing waits for its turn", EVENTS),
    "no_capacity": Known(
        "no room in the resource group",
        "stop or shrink something, ask for less, or declare more under [resource_groups] in config.toml",
        True,
    ),
    "over_quota": Known(
        "it asks for more than its resource group has in all",
        "ask for less under deployment.resources, or declare more under [resource_groups] in config.toml",
        True,
    ),
    "creating": Known("the image is fetched and the container made", EVENTS),
    "preparing": Known("pre-start actions run", EVENTS),
    "loading": Known("it started and has not passed a probe yet", "see its log: `orchestrator logs SERVICE -f`"),
    "paused": Known("its container is paused", "resume it with the engine's `unpause`"),
    "unhealthy": Known(
        "probes fail", "see the log around that time; if it would recover, raise deployment.unhealthy_timeout"
    ),
    "start_timeout": Known(
        "it was not HEALTHY within deployment.start_timeout",
        "raise deployment.start_timeout if loading only is slow; else see the log",
    ),
    "start_hopeless": Known(
        "its grace is over, and what its probes see does not change with time",
        "mend what is told next; a server that does so only while it loads needs a longer health_check.initial_delay",
        True,
    ),
}
"""Where on its way a routing stands."""

FAILED: Mapping[str, Known] = {
    "exited": Known("the start command ended", "the end of its log says why; a server stays in the foreground"),
    "oom_killed": Known(
        "it took more memory than it was given",
        "raise deployment.resources.mem, or use a smaller model or fewer workers",
    ),
    "no_image": Known(
        "no image is named",
        "set deployment.image in the definition, or image under [defaults] in config.toml",
        True,
    ),
    "image_missing": Known(
        "there is no such image",
        "check its name; load it onto this host, or let [docker] pull fetch it",
        True,
    ),
    "image_denied": Known(
        "the registry refuses the image",
        "log this host in to the registry (docker login), or list the image under [docker] allowed_images",
        True,
    ),
    "image_unreachable": Known(
        "the registry does not answer", "check the host's network and DNS, or load the image onto the host"
    ),
    "action_failed": Known(
        "a pre-start action failed",
        "mend that action; `orchestrator validate --try FOLDER` runs it alone and shows what it prints",
    ),
    "action_timeout": Known(
        "a pre-start action took too long", "raise the action's `timeout`, or find out what it waits for"
    ),
    "secret_missing": Known(
        "a secret cannot be read", "write its value to the file of that name in the secrets folder (mode 0600)", True
    ),
    "command_not_found": Known(
        "there is no such command",
        "the image has no such command: check start_command and PATH, or use another image",
        True,
    ),
    "no_command": Known("neither definition nor image names a command", "set service.start_command", True),
    "exec_format": Known(
        "the program cannot be executed here",
        "the file was built for another kind of processor, or is a script without #! line",
        True,
    ),
    "permission": Known(
        "it may not be executed, read or written",
        "the start command is not executable, or deployment.user may not read it",
        True,
    ),
    "no_shell": Known("the image has no shell", "give start_command as a list, and leave out run_command", True),
    "no_user": Known("the image has no such user", "set deployment.user to one that it has, or to a number", True),
    "no_device": Known(
        "the host has no such device, or the engine no toolkit for it",
        "install the NVIDIA driver and container toolkit on the engine's host; `orchestrator doctor` shows what it has",
        True,
    ),
    "no_network": Known("the network is not there, or none is left", "see `docker network ls`; [docker] network"),
    "no_space": Known("a disk is full", "free space on the host's disk (`df -h`, `docker system df`)"),
    "no_memory": Known("the host has no memory left", "free some, or stop something"),
    "bad_resources": Known("the engine refuses the resources", "check deployment.resources", True),
    "too_many_files": Known("the daemon has too many files open", "raise LimitNOFILE of its unit"),
    "too_many_processes": Known("the host runs too many processes", "raise TasksMax, or `ulimit -u`"),
    "port_taken": Known(
        "the port is in use", "another program holds that port on this host: end it, or choose another"
    ),
    "name_taken": Known("another container has its name", "remove or rename the container that holds the name"),
    "mount_refused": Known(
        "a host folder cannot be mounted",
        "check that it exists, and list it under [docker] allowed_mounts in config.toml",
        True,
    ),
    "unsupported": Known("the runtime does not grant it", "leave it out, or use the Docker runtime", True),
    "invalid_input": Known("the definition asks for what cannot be", "`orchestrator validate FOLDER`", True),
    "not_a_directory": Known("a part of a path is a file", PATHS),
    "is_a_directory": Known("a path is a folder where a file is wanted", PATHS),
    "not_found": Known("a file, or the container, is not there", PATHS),
    "name_too_long": Known("a path is too long", "use a shorter path"),
    "outside_sandbox": Known("a path leads out of the routing", PATHS),
    "too_large": Known("a file is larger than is read", "use a smaller file, or a mount"),
    "too_long": Known("arguments or environment are too long", "put long values into files"),
    "start_failed": Known("the engine could not start it", ENGINE_LOG),
    "runtime_failure": Known("the engine refused it", ENGINE_LOG),
    "conflict": Known("it runs already", EVENTS),
    "not_running": Known("a command was to run in a routing that does not run", "see why it ended, here or in its log"),
    "engine_unavailable": Known(
        "the engine did not answer during the start",
        "start the container engine; `orchestrator doctor` shows what it lacks",
    ),
    "engine_lost": Known("it ended with the engine", "it is started again by itself as soon as the engine answers"),
    "internal": Known("an error of the daemon itself", "its log has the whole of it; `orchestrator retry SERVICE`"),
    "interrupted": Known("the daemon ended during its start", "it is started again by itself"),
}
"""How a routing ends, or fails to begin."""

CAUSES: Mapping[str, Known] = {**SERVICE, **WAY, **FAILED}
UNMENDED = frozenset({"health_loopback", "health_redirect", "health_denied"})
"""What probes betray that no time mends; a server that still loads may well answer 404, or listen on an inner port."""
HOPELESS = frozenset(code for code, known in CAUSES.items() if known.hopeless)
"""A service with one of these is not waited for. What is `UNMENDED` becomes `start_hopeless` once it is sure."""


def hint_of(code: str) -> str:
    """Empty for a code that is not known."""
    return CAUSES[code].hint if code in CAUSES else ""


def all_causes() -> Iterator[tuple[str, str, str, bool]]:
    """Code, meaning, hint and whether waiting is useless, of everything that can be told."""
    for code, known in CAUSES.items():
        yield code, known.meaning, known.hint, known.hopeless
    for symptom in (*PROBE_SYMPTOMS, *LOG_SYMPTOMS):
        meaning = symptom.message.format("…").removesuffix(": …")
        yield symptom.code, meaning, symptom.hint.format("…"), False
