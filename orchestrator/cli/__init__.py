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
from orchestrator.cli.help import Verb, Verbs, is_typed_wrongly, print_typed_wrongly
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
    ),
    "Services": (
        ("ls", services.ls),
        ("ps", services.ps),
        ("describe", services.describe),
        ("start", starting.start),
        ("modify", starting.modify),
        ("reset", starting.reset),
        ("scale", services.scale),
        ("retry", services.retry),
        ("sync", services.sync),
        ("wait", waiting.wait),
        ("ask", asking.ask_service),
        ("rm", services.rm),
        ("rm-routing", services.rm_routing),
    ),
    "Why, and how much": (
        ("status", daemon.status),
        ("explain", services.explain),
        ("errors", services.errors),
        ("logs", streams.logs),
        ("events", streams.events),
        ("top", observing.top),
        ("access", observing.access),
        ("usage", observing.usage),
    ),
    "Changes": (
        ("plan", plan.plan),
        ("apply", apply.apply),
        ("history", revisions.history),
        ("diff", revisions.diff),
        ("rollback", rollouts.rollback),
        ("promote", rollouts.promote),
        ("abort", rollouts.abort),
        ("ratio", rollouts.ratio),
        ("confirm-removal", services.confirm_removal),
    ),
    "Inside": (
        ("exec", executing.execute),
        ("cp", copying.cp),
    ),
    "Who may, and who did": (
        ("whoami", access.whoami),
        ("audit", access.audit),
    ),
    "Daemon": (
        ("config", access.config),
        ("log-level", observing.log_level),
        ("gateway-config", daemon.gateway_config),
        ("backup", backup.backup),
        ("restore", backup.restore),
        ("support-bundle", bundle.support_bundle),
        ("open", opening.open_page),
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
    """Model folders become healthy, load-balanced, token-guarded endpoints."""


def _tokens() -> None:
    """Make, list, check and revoke tokens of the endpoints, and their signing keys."""


def _contexts() -> None:
    """Name daemons elsewhere, so that no address or token needs to be typed."""


def build_app() -> typer.Typer:
    settings: dict[str, Any] = {
        "cls": Verbs,
        "no_args_is_help": True,
        "add_completion": False,  # the verb does it, for every shell alike
        "context_settings": {"help_option_names": ["-h", "--help"]},
    }
    app = typer.Typer(name="orchestrator", pretty_exceptions_enable=False, **settings)
    app.callback()(with_common(_root))
    for panel, verbs in VERBS.items():
        for name, function in verbs:
            kind = getattr(function, "command_class", Verb)
            app.command(name, cls=kind, rich_help_panel=panel)(with_common(function))
    for group, panel, said, verbs in (
        ("models", "Services", models.models, MODEL_VERBS),
        ("token", "Who may, and who did", _tokens, TOKEN_VERBS),
        ("context", "Daemon", _contexts, CONTEXT_VERBS),
    ):
        alone = said is models.models  # without a verb it lists
        below = typer.Typer(**settings | {"no_args_is_help": not alone, "invoke_without_command": alone})
        below.callback()(with_common(said))
        for name, function in verbs:
            below.command(name, cls=Verb)(with_common(function))
        app.add_typer(below, name=group, rich_help_panel=panel)
    return app


def main() -> None:
    """Ends the process with one of the documented exit codes; expected errors never show a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what a model prints need not be text in our encoding
    try:
        _complete()
        code = build_app()(prog_name="orchestrator", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
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
    except Exception as error:
        if not is_typed_wrongly(error):
            raise
        sys.exit(print_typed_wrongly(error))


def _complete() -> None:
    """Where a shell asks for words: tell Typer of all shells."""
    if completion.VARIABLE in os.environ:
        from typer.completion import completion_init  # type: ignore[attr-defined]

        completion_init()
