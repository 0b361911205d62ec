"""`orchestrator validate`: all that is wrong in definitions, without a daemon; with --try, one of them really run.

The verb's signature only: what it does is imported when it is done, so that other verbs start fast.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.common import Common, pairs
from orchestrator.core.errors import InvalidInput


def validate(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH…", help="Files, model folders, or folders of model folders; - reads standard input."
        ),
    ],
    show: Annotated[bool, typer.Option("--show", help="Also show what would run.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings make a definition invalid too.")] = False,
    try_: Annotated[bool, typer.Option("--try", help="Really run PATH once, in a scratch routing.")] = False,
    image: Annotated[str | None, typer.Option(help="Container image, with --try.")] = None,
    env: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="With --try; repeatable.")] = None,
    resource: Annotated[list[str] | None, typer.Option(metavar="SLOT=AMOUNT", help="With --try; repeatable.")] = None,
    *,
    common: Common,
) -> None:
    """Check definitions: every problem with its place. Nothing is started unless --try is given.

    Exit codes: 0 all valid, 2 something is invalid, 1 something could not be read, 4 a try failed.

    Examples:
      orchestrator validate --show models/
      orchestrator validate --try models/echo --env LOG_LEVEL=debug
    """
    if try_:
        raise typer.Exit(_try(common, paths, image, env or [], resource or []))
    from orchestrator.cli.verdicts import judge

    raise typer.Exit(judge(paths, common, show=show, strict=strict))


def _try(common: Common, paths: list[str], image: str | None, env: list[str], resource: list[str]) -> int:
    from orchestrator.cli.try_run import try_path

    if len(paths) != 1 or paths[0] == "-":
        raise InvalidInput("cannot try that: --try takes one model folder or one definition file")
    environ, resources = pairs(env, "--env"), pairs(resource, "--resource")
    return try_path(common, Path(paths[0]), image=image, environ=environ, resources=resources)
