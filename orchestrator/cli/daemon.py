"""Verbs about the daemon itself: put it up, look how it is, check what it depends on."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.common import ERROR, Common, ask
from orchestrator.cli.output import Column, dump, print_facts, print_json, print_table, span
from orchestrator.core.errors import NotAuthorised, Unavailable

if TYPE_CHECKING:
    from orchestrator.core.daemon_views import CheckView, StatusView

CHECKS = (
    Column("CHECK", lambda c: c.name),
    Column("STATE", lambda c: c.state),
    Column("FOUND", lambda c: c.message),
    Column("HINT", lambda c: c.hint),
)


def serve(
    common: Common,
    ephemeral: Annotated[bool, typer.Option("--ephemeral", help="End routings and gateway with the daemon.")] = False,
    state_dir: Annotated[Path | None, typer.Option(help="Folder of the database, admin.token and logs.")] = None,
    models_dir: Annotated[list[Path] | None, typer.Option(help="Folder of model folders; repeatable.")] = None,
    data_dir: Annotated[list[Path] | None, typer.Option(help="Folder of data folders; repeatable.")] = None,
    runtime: Annotated[str | None, typer.Option(help="docker, process, memory or auto.")] = None,
    api_listen: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Address of the API.")] = None,
    gateway_listen: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Address of the endpoints.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
) -> None:
    """Run the daemon in the foreground. SIGTERM or Ctrl-C ends it; routings and gateway stay (but see --ephemeral).

    Examples:
      orchestrator serve --config /etc/orchestrator/config.toml
      orchestrator serve --ephemeral --state-dir ./state --models-dir ./models --runtime auto
    """
    from orchestrator.app import serve as put_up
    from orchestrator.settings import load

    told: dict[str, object] = {
        "STATE_DIR": state_dir,
        "MODELS_DIRS": _listed(models_dir),
        "DATA_DIRS": _listed(data_dir),
        "RUNTIME": runtime,
        "API__LISTEN": api_listen,
        "GATEWAY__LISTEN": gateway_listen,
        "LOG__LEVEL": log_level,
    }
    options = {f"ORCHESTRATOR_{key}": str(value) for key, value in told.items() if value is not None}
    raise typer.Exit(put_up(load(common.config, os.environ | options), ephemeral=ephemeral))


def gateway_config(common: Common) -> None:
    """Prepare the gateway to run as a unit of its own: copy HAProxy beside its files, write a start configuration where
    there is none, and print the command line.

    Example:
      orchestrator gateway-config --config /etc/orchestrator/config.toml
    """
    from orchestrator.auth import open_certificate
    from orchestrator.gateway import command, write_initial
    from orchestrator.settings import load

    settings = load(common.config, os.environ)
    argv = command(settings.gateway, settings.state_dir)
    certificate = open_certificate(settings.gateway.tls_certificate, settings.gateway.tls_key)
    write_initial(settings.gateway, settings.state_dir, lambda: (), certificate)  # the daemon brings keys, and services
    if common.json:
        print_json({"command": argv})
    else:
        print(shlex.join(argv))


def _listed(paths: list[Path] | None) -> str | None:
    return json.dumps([str(path.absolute()) for path in paths]) if paths else None


def status(common: Common) -> None:
    """Show the state of the daemon, its runtime, its gateway and its store.

    Examples:
      orchestrator status
    """
    view = ask(common, lambda client: client.status())
    if common.json:
        print_json(dump(view))
    else:
        print_facts(status_facts(view))


def status_facts(view: StatusView) -> dict[str, str]:
    def told(facts: object) -> str:
        return ", ".join(f"{k} {v}" for k, v in facts.items()) if isinstance(facts, dict) else ""

    return {
        "daemon": f"{view.version}, pid {view.pid}, up {span(view.uptime)}",
        "runtime": f"{view.runtime} {view.runtime_version}".strip()
        + (f" ({view.runtime_reason})" if view.runtime_reason else ""),
        "observed": "" if view.observed_ok else "the runtime does not answer: what is shown is the last that was seen",
        "gateway": told(dict(view.gateway)),
        "store": told(dict(view.store)),
        "state_dir": view.state_dir,
        "services": told(dict(view.services)) or "none",
        "routings": told(dict(view.routings)) or "none",
        "pending": f"{told(dict(view.pending))} (see: orchestrator plan)" if view.pending else "",
        "held removals": ", ".join(view.held) + " (see: orchestrator confirm-removal)" if view.held else "",
    }


def doctor(common: Common) -> None:
    """Check what the daemon depends on: engine, HAProxy, ports, disk, limits. Works without a daemon.

    Exit code 1: a check failed.

    Examples:
      orchestrator doctor
    """
    checks = _checks(common)
    if common.json:
        print_json([dump(check) for check in checks])
    else:
        print_table(CHECKS, checks, nothing="")
    if any(check.state == "fail" for check in checks):
        raise typer.Exit(ERROR)


def _checks(common: Common) -> list[CheckView]:
    """The daemon's own where one answers: it knows its settings and what it may do; else what this process finds."""
    from orchestrator.core.daemon_views import CheckView

    try:
        found = ask(common, lambda client: client.doctor())
        return [CheckView(name="daemon", state="ok", message="answers"), *found]
    except (Unavailable, NotAuthorised) as error:
        from orchestrator.api.doctor import host_checks
        from orchestrator.settings import load

        silent = CheckView(name="daemon", state="warn", message=error.message, hint=error.hint)
        return [silent, *host_checks(load(common.config), running=isinstance(error, NotAuthorised))]
