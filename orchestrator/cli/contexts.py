"""`context …`: names for daemons elsewhere, so that no address or token needs to be typed."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.common import Common
from orchestrator.cli.completion import context_names
from orchestrator.cli.output import Column, print_json, print_table
from orchestrator.core.errors import InvalidInput

if TYPE_CHECKING:
    from orchestrator.client.contexts import Context, Contexts

ContextName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the context.", autocompletion=context_names)]

CONTEXTS = (
    Column("NAME", lambda row: row["name"]),
    Column("CURRENT", lambda row: "yes" if row["current"] else ""),
    Column("URL", lambda row: row["url"]),
    Column("TOKEN", lambda row: "yes" if row["token"] else "none"),
)


def add(
    common: Common,
    name: ContextName,
    url: Annotated[str | None, typer.Option("--url", help="Address of the daemon's API.")] = None,
    token_file: Annotated[
        str | None, typer.Option("--token-file", metavar="FILE", help="File with the token; - reads standard input.")
    ] = None,
) -> None:
    """Add a context, or change one. Its token is kept in contexts.toml, which only you may read.

    The first one that is added is used from then on. A token on the command line would be seen by every user of this
    host: give a file, or - for standard input.

    Examples:
      orchestrator context add prod --url https://models.example.org --token-file prod.token
      orchestrator context add lab --url https://10.0.0.7:8090 --ca lab.crt --token-file lab.token
      ssh server sudo cat /var/lib/orchestrator/admin.token | orchestrator context add prod --url URL --token-file -
    """
    from orchestrator.client.config import checked_url
    from orchestrator.client.contexts import NAME, Context, Contexts

    if not NAME.fullmatch(name):
        raise InvalidInput(f"cannot use {name!r} as a name: letters, digits, `.`, `_` and `-`, 63 at most")
    if not url:
        raise InvalidInput("cannot add a context without an address", hint="give it with --url")
    path, found = _read()
    before = found.known.get(name)
    kept = before.token if before and before.url == checked_url(url) else ""
    ca = str(Path(common.ca).expanduser().absolute()) if common.ca else before.ca if before else ""
    token = _token(token_file) if token_file else common.token or kept
    _write(path, Contexts({**found.known, name: Context(checked_url(url), token, ca)}, found.current or name))
    _tell(common, {"added": name, "current": found.current or name})


def _token(source: str) -> str:
    try:
        text = (sys.stdin.read() if source == "-" else Path(source).read_text("utf-8")).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise InvalidInput(f"cannot read the token from {source}: {reason}") from None
    if not re.fullmatch(r"[!-~]{1,16384}", text):
        raise InvalidInput(f"cannot read the token from {source}: it holds no token", hint="one line, without spaces")
    return text


def use(
    common: Common,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Name of the context.", autocompletion=context_names)
    ] = None,
    none: Annotated[bool, typer.Option("--none", help="None: the daemon of this host again.")] = False,
) -> None:
    """Use a context from now on, where no option or variable says otherwise.

    Examples:
      orchestrator context use prod
      orchestrator context use --none
    """
    if (name is None) != none:
        raise InvalidInput("cannot choose: give a name or --none")
    path, found = _read()
    if name is not None:
        found.find(name)
    _write(path, replace(found, current=name or ""))
    _tell(common, {"current": name or ""})


def ls(common: Common) -> None:
    """List contexts, never their tokens.

    Examples:
      orchestrator context ls
    """
    _, found = _read()
    rows = [_row(name, one, found) for name, one in sorted(found.known.items())]
    if common.json:
        print_json(rows)
    else:
        print_table(CONTEXTS, rows, nothing="no contexts: the daemon of this host is used")


def rm(common: Common, name: ContextName) -> None:
    """Remove a context and its token. Where it was the current one none is used then.

    Examples:
      orchestrator context rm prod
    """
    path, found = _read()
    found.find(name)
    known = {other: one for other, one in found.known.items() if other != name}
    _write(path, replace(found, known=known, current="" if found.current == name else found.current))
    _tell(common, {"removed": name})


def _row(name: str, one: Context, found: Contexts) -> Mapping[str, object]:
    return {"name": name, "url": one.url, "current": name == found.current, "token": bool(one.token)}


def _read() -> tuple[Path | None, Contexts]:
    from orchestrator.client.contexts import contexts_file, read_contexts

    path = contexts_file(os.environ)
    return path, read_contexts(path)


def _write(path: Path | None, contexts: Contexts) -> None:
    from orchestrator.client.contexts import write_contexts

    if path is None:
        raise InvalidInput("cannot keep a context: neither XDG_CONFIG_HOME nor HOME is set")
    write_contexts(path, contexts)


def _tell(common: Common, done: Mapping[str, str]) -> None:
    if common.json:
        print_json(dict(done))
    else:
        print("; ".join(f"{what}: {name or 'none'}" for what, name in done.items()))
