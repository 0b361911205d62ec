"""`completion`: what a shell needs to complete commands, and the names of the services while it does."""

from __future__ import annotations

import glob
import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.common import OPTIONS, Common, connect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from orchestrator.client import Client

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
    return _known(ctx, incomplete, _services)


def targets(ctx: typer.Context, incomplete: str) -> list[str]:
    """Services and routings."""
    return _known(ctx, incomplete, _services, _routings)


def model_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Model folders."""
    return _known(ctx, incomplete, _models)


def routing_ids(ctx: typer.Context, incomplete: str) -> list[str]:
    return _known(ctx, incomplete, _routings)


def token_ids(ctx: typer.Context, incomplete: str) -> list[str]:
    """Of those that can still be revoked."""
    return _known(ctx, incomplete, _tokens)


def key_ids(ctx: typer.Context, incomplete: str) -> list[str]:
    return _known(ctx, incomplete, _keys)


def context_names(ctx: typer.Context, incomplete: str) -> list[str]:  # noqa: ARG001
    from orchestrator.client.contexts import contexts_file, read_contexts

    try:
        known = read_contexts(contexts_file(os.environ)).known
    except Exception:  # as below
        return []
    return sorted(name for name in known if name.startswith(incomplete))


def copied(ctx: typer.Context, incomplete: str) -> list[str]:
    """`SERVICE:` of either side of a copy, and files here."""
    here = [one for one in Path().glob(f"{glob.escape(incomplete)}*") if "*" not in str(one)]
    names = [f"{name}:" for name in targets(ctx, incomplete)] if incomplete and "/" not in incomplete else []
    return sorted(f"{one}/" if one.is_dir() else str(one) for one in here) + names


def _known(ctx: typer.Context, incomplete: str, *asked: Callable[[Client], Awaitable[Iterable[str]]]) -> list[str]:
    import asyncio

    async def all_known(connection: Client) -> set[str]:
        async with asyncio.timeout(PATIENCE), connection as client:
            return {name for ask in asked for name in await ask(client)}

    try:
        found = asyncio.run(all_known(connect(common_of(ctx))))
    except Exception:  # a shell shows whatever is said here in the middle of the line that is typed
        return []
    return sorted(name for name in found if name.lower().startswith(incomplete.lower()))


async def _services(client: Client) -> Iterable[str]:
    return [one.name for one in await client.services()]


async def _models(client: Client) -> Iterable[str]:
    return [one.name for one in await client.models()]


async def _routings(client: Client) -> Iterable[str]:
    return [one.id for one in await client.routings()]


async def _tokens(client: Client) -> Iterable[str]:
    return [one.id for one in await client.tokens() if one.revoked_at is None]


async def _keys(client: Client) -> Iterable[str]:
    return [one.kid for one in await client.keys()]


def common_of(ctx: Any) -> Common:
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
        ca=given.get("ca"),
    )
