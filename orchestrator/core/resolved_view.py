"""What would run of one service, as text: the resolved view of `validate --show`, also of the API."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.core.definition import Action, HealthCheck
from orchestrator.core.paths import argv_to_host, host_paths
from orchestrator.core.spec import RoutingSpec, ServiceSpec
from orchestrator.core.templates import Commandline, render_action, render_command
from orchestrator.core.units import size_text
from orchestrator.core.updating import COMMON, policy

OWN_HOME = "HOME"
"""Stands for the host folder that the process runtime makes for each routing's /home/work."""
SIZES = frozenset({"mem", "shm"})
SECONDS = frozenset({"min_ready", "progress_deadline", "bake", "promote_after", "pause"})


def resolved_view(service: ServiceSpec) -> str:
    """Lines of text. References that only a running routing can fill in stay as they are."""
    routing = service.routing
    values = {
        "model_path": routing.model_path,
        "port": str(routing.port),
        "ports[0]": str(routing.port),
        "service_name": service.name,
    }
    rows = [*_command(routing, values), *_places(routing), *_amounts(service), *_addresses(service)]
    actions = [("action", f"{i}. {_action(a, values)}") for i, a in enumerate(routing.actions)]
    lines = [f"  {title:<11} {text}" for title, text in [*rows, *actions]]
    return "\n".join([f"  service {service.name}, revision {routing.revision}", *lines])


def _command(routing: RoutingSpec, values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    command = render_command(routing.command, values)
    yield "image", routing.image or "none given"
    yield "command", _written(command, routing.shell)
    argv = command if isinstance(command, tuple) else ("sh", "-c", command) if command else ()
    translated = argv_to_host(argv, host_paths(routing, OWN_HOME))
    if translated != argv:
        plain = shlex.join(translated) if isinstance(command, tuple) else translated[2]
        yield "", f"process runtime: {plain}"
    yield "port", str(routing.port)


def _written(command: Commandline, shell: str | None) -> str:
    match command:
        case None:
            return "the image's own"
        case str() if shell is None:
            return f"{command} (split into words)"
        case str():
            return f"{command} (by {'/bin/bash, else /bin/sh' if shell == 'default' else shell})"
    return shlex.join(command)


def _places(routing: RoutingSpec) -> Iterator[tuple[str, str]]:
    yield "directory", routing.model_path
    own = (routing.model_folder, routing.model_mount, routing.model_read_only)
    for source, target, read_only in (own, *((m.source, m.target, m.read_only) for m in routing.mounts)):
        yield "mount", f"{source} → {target}{' (read-only)' if read_only else ''}"


def _amounts(service: ServiceSpec) -> Iterator[tuple[str, str]]:
    routing = service.routing
    amounts = [
        f"{name} {size_text(amount) if name in SIZES else f'{amount:g}'}" for name, amount in routing.resources.items()
    ]
    yield "resources", f"{', '.join(amounts) or 'no limits'} (group {routing.resource_group})"
    yield "routings", str(service.desired)
    yield from _policy(policy(service))
    for name, value in sorted(routing.environ.items()):
        yield "environ", f"{name}={value}"
    for name, secret in sorted(routing.secrets.items()):
        yield "secret", f"{name} from {secret}"
    for title in ("user", "network", "hostname"):
        if value := getattr(routing, title):
            yield title, value


def _policy(keys: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The strategy with its own keys, then those of every strategy."""
    own = [f"{name} {_key(name, value)}" for name, value in keys.items() if name not in ("strategy", *COMMON)]
    yield "update", f"{keys['strategy']}: {', '.join(own)}" if own else keys["strategy"]
    yield "", ", ".join(f"{name} {_key(name, keys[name])}" for name in COMMON)


def _key(name: str, value: object) -> str:
    match value:
        case None:
            return "never (`orchestrator promote` does it)"
        case bool():
            return "yes" if value else "no"
        case tuple():
            return ", ".join(f"{step} %" for step in value)
        case int() | float():
            return f"{value:g} s" if name in SECONDS else f"{value:g}"
    return str(value)


def _addresses(service: ServiceSpec) -> Iterator[tuple[str, str]]:
    yield "health", _health(service.routing.health)
    public = "without a token" if service.open_to_public else "with a token"
    yield "endpoint", f"/inference/{service.name} ({public})"
    if service.endpoint.port or service.endpoint.host:
        yield "", " ".join(f"{k} {v}" for k, v in service.endpoint if v is not None)


def _health(check: HealthCheck | None) -> str:
    if check is None:
        return "its port accepts a connection"
    codes = ", ".join(f"{low}" if low == high else f"{low}-{high}" for low, high in check.expected_status_code)
    return (
        f"GET {check.path} gives {codes}, every {check.interval:g} s; UNHEALTHY after {check.max_retries + 1} failures"
    )


def _action(action: Action, values: Mapping[str, str]) -> str:
    args = dict(render_action(action, values).args)
    words = []
    for name, value in args.items():
        match value:
            case tuple() if name == "command":
                words.append(shlex.join(value))
            case tuple():
                words.append(f"{name}: {len(value)} lines")
            case int() if name == "mode":
                words.append(f"mode: {value:o}")
            case bool():
                words += [name] if value else []
            case _:
                words.append(f"{name}: {_short(str(value))}")
    return f"{action.action} {', '.join(words)}" + (f" → {action.ref}" if action.ref else "")


def _short(text: str) -> str:
    line = text.splitlines()[0] if text else ""
    return line[:60] + ("…" if line != text or len(line) > 60 else "")
