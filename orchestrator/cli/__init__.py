"""The `orchestrator` command. Verbs reach the daemon by the client only; `validate` and `schema` work without one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from errno import ENOSPC, EPIPE
from io import TextIOWrapper
from typing import Annotated, Any

import typer

from orchestrator.cli import (
    access,
    apply,
    asking,
    backup,
    bundle,
    completion,
    contexts,
    copying,
    daemon,
    executing,
    init,
    man,
    models,
    observing,
    opening,
    plan,
    revisions,
    rollouts,
    run,
    schema,
    services,
    starting,
    streams,
    tokens,
    validate,
    waiting,
)
from orchestrator.cli.common import ERROR, INTERRUPTED, exit_code, with_common
from orchestrator.cli.output import print_error
from orchestrator.core.errors import OrchestratorError

VERBS: dict[str, tuple[tuple[str, Callable[..., Any]], ...]] = {
    "Begin": (
        ("run", run.run),
        ("serve", daemon.serve),
        ("init", init.init),
        ("validate", validate.validate),
        ("schema", schema.schema),
        ("doctor", daemon.doctor),
        ("gateway-config", daemon.gateway_config),
    ),
    "Look": (
        ("status", daemon.status),
        ("ls", services.ls),
        ("ps", services.ps),
        ("describe", services.describe),
        ("explain", services.explain),
        ("errors", services.errors),
        ("history", revisions.history),
        ("diff", revisions.diff),
        ("logs", streams.logs),
        ("events", streams.events),
        ("audit", access.audit),
        ("config", access.config),
        ("whoami", access.whoami),
        ("exec", executing.execute),
        ("cp", copying.cp),
        ("top", observing.top),
        ("access", observing.access),
        ("usage", observing.usage),
        ("wait", waiting.wait),
        ("ask", asking.ask_service),
        ("open", opening.open_page),
    ),
    "Change": (
        ("plan", plan.plan),
        ("apply", apply.apply),
        ("start", starting.start),
        ("modify", starting.modify),
        ("reset", starting.reset),
        ("scale", services.scale),
        ("rollback", rollouts.rollback),
        ("promote", rollouts.promote),
        ("abort", rollouts.abort),
        ("ratio", rollouts.ratio),
        ("retry", services.retry),
        ("sync", services.sync),
        ("rm", services.rm),
        ("rm-routing", services.rm_routing),
        ("confirm-removal", services.confirm_removal),
        ("log-level", observing.log_level),
    ),
    "Keep": (
        ("backup", backup.backup),
        ("restore", backup.restore),
        ("support-bundle", bundle.support_bundle),
        ("completion", completion.completion),
        ("man", man.man),
    ),
}
TOKEN_VERBS: tuple[tuple[str, Callable[..., Any]], ...] = (
    ("create", tokens.create),
    ("ls", tokens.ls),
    ("revoke", tokens.revoke),
    ("inspect", tokens.inspect),
    ("keys", tokens.keys),
    ("rotate-key", tokens.rotate_key),
    ("drop-key", tokens.drop_key),
)


CONTEXT_VERBS: tuple[tuple[str, Callable[..., Any]], ...] = (
    ("add", contexts.add),
    ("use", contexts.use),
    ("ls", contexts.ls),
    ("rm", contexts.rm),
)
MODEL_VERBS: tuple[tuple[str, Callable[..., Any]], ...] = (
    ("ls", models.ls),
    ("show", models.show),
    ("create", models.create),
    ("files", models.files),
    ("upload", models.upload),
    ("download", models.download),
    ("edit", models.edit),
    ("rm", models.rm),
)


def _version(wanted: bool) -> None:
    if wanted:
        from orchestrator import __version__

        print(__version__)
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Model folders become healthy, load-balanced, token-guarded endpoints.

    Exit codes: 0 ok, 1 error, 2 invalid input, 3 changes pending (plan), 4 failed deployment (rolled back), 5 timeout,
    7 not authorised, 130 interrupted.
    """


def _tokens() -> None:
    """Make, list, check and revoke tokens of the endpoints, and their signing keys."""


def _contexts() -> None:
    """Name daemons elsewhere, so that no address or token needs to be typed."""


def build_app() -> typer.Typer:
    settings: dict[str, Any] = {"no_args_is_help": True, "context_settings": {"help_option_names": ["-h", "--help"]}}
    app = typer.Typer(name="orchestrator", pretty_exceptions_enable=False, **settings)
    app.callback()(with_common(_root))
    for panel, verbs in VERBS.items():
        for name, function in verbs:
            kind = getattr(function, "command_class", None)
            app.command(name, cls=kind, rich_help_panel=panel)(with_common(function))
    for group, panel, said, verbs in (
        ("token", "Change", _tokens, TOKEN_VERBS),
        ("models", "Change", models.models, MODEL_VERBS),
        ("context", "Keep", _contexts, CONTEXT_VERBS),
    ):
        alone = said is models.models  # without a verb it lists
        below = typer.Typer(**settings | {"no_args_is_help": not alone, "invoke_without_command": alone})
        below.callback()(with_common(said))
        for name, function in verbs:
            below.command(name)(with_common(function))
        app.add_typer(below, name=group, rich_help_panel=panel)
    return app


def main() -> None:
    """Ends the process with one of the documented exit codes; expected errors never show a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what a model prints need not be text in our encoding
    try:
        build_app()(prog_name="orchestrator")
    except OrchestratorError as error:
        print_error(error)
        sys.exit(exit_code(error))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except OSError as error:
        if error.errno not in (EPIPE, ENOSPC):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno == ENOSPC:
            print("error: cannot write the output: no space is left", file=sys.stderr)
        sys.exit(ERROR)
