"""Before HAProxy runs: a configuration that it can start with, whatever happened to the last one and around it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from orchestrator.auth import Certificate, SigningKey
from orchestrator.core.errors import Unavailable
from orchestrator.gateway import listening, process
from orchestrator.gateway.binary import binary
from orchestrator.gateway.files import Files, files
from orchestrator.gateway.render import Structure, certificate_of, own_ports, render, structure, without_ports
from orchestrator.settings import GatewaySettings, address

LOG = structlog.get_logger(__name__)


def command(settings: GatewaySettings, state_dir: Path) -> list[str]:
    """The command line for a unit of its own (`managed = false`); see `write_initial`."""
    paths = files(state_dir)
    return process.command(binary(settings.haproxy, paths.folder), paths)


def write_initial(
    settings: GatewaySettings,
    state_dir: Path,
    keys: Callable[[], Sequence[SigningKey]],
    certificate: Certificate | None = None,
) -> Path:
    """A configuration to start with, unless there is one: no services yet. So the gateway needs no daemon to start."""
    paths = files(state_dir)
    _write_missing(paths, _empty(settings, paths, [key.secret for key in keys()], certificate))
    return paths.config


def launch(
    settings: GatewaySettings, paths: Files, secrets: Sequence[str], certificate: Certificate | None = None
) -> None:
    """Start HAProxy with what was published last. Raises `Unavailable`, naming who has its port."""
    process.sweep(paths)
    program = binary(settings.haproxy, paths.folder)
    _prepare(program, settings, paths, _empty(settings, paths, secrets, certificate))
    host, port = address(settings.listen)
    if taken := listening.refused(host, [port], ()):
        raise Unavailable(
            f"cannot start the gateway on {settings.listen}: {taken[port]}",
            hint="free the port, or set [gateway] listen in config.toml",
        )
    process.launch(program, paths)


def _empty(
    settings: GatewaySettings, paths: Files, secrets: Sequence[str], certificate: Certificate | None
) -> Structure:
    return structure((), settings, secrets, paths.told, paths.write_certificate(certificate))


def _write_missing(paths: Files, empty: Structure) -> None:
    paths.complete()
    if not paths.read_config():
        paths.write_config(render(empty, {}))


def _prepare(program: Path, settings: GatewaySettings, paths: Files, empty: Structure) -> None:
    """The last configuration where it still fits these settings, without ports that were taken while it was down; else
    an empty one, until the next publish."""
    _write_missing(paths, empty)
    text = paths.read_config()
    if taken := listening.refused(address(settings.listen)[0], own_ports(text), ()):
        paths.write_config(without_ports(text, list(taken)))
    try:
        if not re.search(rf"^  bind {re.escape(empty.listen)}( ssl |$)", text, re.MULTILINE):
            raise Unavailable(f"it does not listen on {empty.listen}")
        if bool(certificate_of(text)) != bool(empty.certificate):
            raise Unavailable(f"it listens {'without' if empty.certificate else 'with'} TLS")
        process.check(program, paths, paths.config)
    except Unavailable as error:
        LOG.warning("gateway.configuration_replaced", cause=error.message)
        paths.write_config(render(empty, {}))
