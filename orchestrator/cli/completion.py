"""`completion`: what a shell needs to complete commands, and the names of the services while it does."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.common import OPTIONS, Common, connect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from orchestrator.client import Client
    from orchestrator.core.model_views import ModelView
    from orchestrator.core.views import ServiceView

    Named = ServiceView | ModelView

VARIABLE = "_ORCHESTRATOR_COMPLETE"
PATIENCE = 0.5
"""Seconds that a daemon is asked for names: whoever pressed the key waits."""


class Shell(StrEnum):
    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(shell: Annotated[Shell, typer.Argument(metavar="bash|zsh|fish", help="The shell.")]) -> None:
    """Print the completion script of a shell. Names of services are asked of the daemon, and left out without one.

    Examples:
      source <(orchestrator completion bash)
      orchestrator completion zsh > ~/.zfunc/_orchestrator
      orchestrator completion fish > ~/.config/fish/completions/orchestrator.fish
    """
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    print(get_completion_script(prog_name="orchestrator", complete_var=VARIABLE, shell=shell.value))


def service_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Those that begin with `incomplete`; none where the daemon does not say in time. Never an error."""
    return _names(ctx, incomplete, lambda client: client.services())


def model_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """As `service_names`, of model folders."""
    return _names(ctx, incomplete, lambda client: client.models())


def _names(ctx: typer.Context, incomplete: str, question: Callable[[Client], Awaitable[Sequence[Named]]]) -> list[str]:
    import asyncio

    async def asked() -> Sequence[Named]:
        made = connect(_common(ctx))  # imports much: not the daemon's time
        async with asyncio.timeout(PATIENCE), made as client:
            return await question(client)

    try:
        found = asyncio.run(asked())
    except Exception:  # a shell shows whatever is said here in the middle of the line that is typed
        return []
    return sorted({one.name for one in found if one.name.lower().startswith(incomplete.lower())})


def _common(ctx: Any) -> Common:
    """The common options as far as they were typed; no command has run, so none has kept them."""
    given: dict[str, Any] = {}
    while ctx is not None:
        given = {name: ctx.params[name] for name in OPTIONS if ctx.params.get(name) is not None} | given
        ctx = ctx.parent
    config = given.get("config")
    return Common(
        config=Path(config) if config else None,
        url=given.get("url"),
        token=given.get("token"),
        context=given.get("context"),
    )
