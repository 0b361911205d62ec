"""`token …`: tokens of the endpoints and the keys that sign them."""

from __future__ import annotations

import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Literal

import typer

from orchestrator.cli.common import Common, ask, requested
from orchestrator.cli.completion import key_ids, service_names, token_ids
from orchestrator.cli.output import Column, dump, one_line, paint, print_facts, print_json, print_table, when

TOKENS = (
    Column("ID", lambda t: t.id),
    Column("SERVICE", lambda t: t.service),
    Column("NAME", lambda t: t.name),
    Column("SCOPE", lambda t: t.scope),
    Column("EXPIRES", lambda t: when(t.expires_at)),
    Column("LAST USED", lambda t: when(t.last_used_at)),
    Column("REVOKED", lambda t: when(t.revoked_at)),
)
KEYS = (
    Column("KID", lambda k: k.kid),
    Column("SIGNS", lambda k: "yes" if k.signs else ""),
    Column("CREATED", lambda k: when(k.created_at)),
)


def create(
    common: Common,
    service: Annotated[
        str, typer.Argument(metavar="SERVICE", help="Name of a service, or * for all.", autocompletion=service_names)
    ],
    name: Annotated[str, typer.Option(help="What it is for.")] = "",
    expires: Annotated[
        str | None, typer.Option(help="3600s, 15m, 2h, 3d, 1w, 2mo, 1yr or a date; default 30d.")
    ] = None,
    scope: Annotated[
        Literal["infer", "read", "admin"],
        typer.Option(help="infer opens the service; read and admin open the API, and their SERVICE is *."),
    ] = "infer",
) -> None:
    """Create a token. Its text alone goes to standard output, and is never shown again.

    Examples:
      orchestrator token create my-model --name laptop --expires 3d
      TOKEN=$(orchestrator token create my-model)
      orchestrator token create '*' --scope read --name prometheus --expires 1yr
    """
    from orchestrator.core.token_views import TokenRequest

    request = requested(TokenRequest, service=service, name=name, expires=expires, scope=scope)
    token = ask(common, lambda client: client.token_create(request))
    if common.json:
        print_json(dump(token))
        return
    print(token.token)
    until = f", valid until {when(token.expires_at)}" if token.expires_at else ""
    print(f"token {token.id} for {token.service}{until}", file=sys.stderr)


def ls(
    common: Common,
    service: Annotated[
        str | None, typer.Argument(metavar="SERVICE", help="Of this one only.", autocompletion=service_names)
    ] = None,
) -> None:
    """List tokens, never their text.

    Examples:
      orchestrator token ls
      orchestrator token ls my-model
    """
    tokens = ask(common, lambda client: client.tokens(service))
    if common.json:
        print_json([dump(token, exclude=("token",)) for token in tokens])
    else:
        print_table(TOKENS, tokens, nothing="no tokens")


def revoke(
    common: Common,
    token_id: Annotated[
        str, typer.Argument(metavar="ID", help="See: orchestrator token ls.", autocompletion=token_ids)
    ],
    now: Annotated[bool, typer.Option("--now", help="Also end requests that run with it.")] = False,
) -> None:
    """Revoke a token: new requests are refused at once.

    Examples:
      orchestrator token revoke 5b1f0c9e4d27a863
      orchestrator token revoke 5b1f0c9e4d27a863 --now
    """
    token = ask(common, lambda client: client.token_revoke(token_id, now=now))
    if common.json:
        print_json(dump(token, exclude=("token",)))
    else:
        print(f"token {token.id} for {token.service} is revoked")


def inspect(
    common: Common, text: Annotated[str, typer.Argument(metavar="TEXT", help="The token; - reads standard input.")]
) -> None:
    """Say what a token holds and whether it is accepted now. Exit code 1: it is not.

    Examples:
      orchestrator token inspect - < my.token
    """
    given = sys.stdin.read().strip() if text == "-" else text
    check = ask(common, lambda client: client.token_inspect(given))
    if common.json:
        print_json({**dump(check, exclude=("token",)), "token": check.token and dump(check.token, exclude=("token",))})
    else:
        print(paint("ok" if check.valid else "fail"), one_line(check.reason or "valid"))
        print_facts({str(name): _claim(str(name), value) for name, value in check.claims.items()})
    raise typer.Exit(0 if check.valid else 1)


def _claim(name: str, value: object) -> str:
    """Points in time also as people read them. Claims are anybody's text."""
    moment = None
    if name in ("iat", "nbf", "exp") and isinstance(value, int | float):
        with suppress(ValueError, OverflowError, OSError):
            moment = datetime.fromtimestamp(value, UTC)
    return f"{value} ({when(moment)})" if moment else str(value)


def rotate_key(common: Common) -> None:
    """Make a new signing key. Tokens of the old one stay valid until it is dropped.

    Examples:
      orchestrator token rotate-key
    """
    key = ask(common, lambda client: client.rotate_key())
    if common.json:
        print_json(dump(key))
    else:
        print(f"new tokens are signed with key {key.kid}; drop the old one with: orchestrator token drop-key KID")


def drop_key(
    common: Common,
    kid: Annotated[str, typer.Argument(metavar="KID", help="See: orchestrator token keys.", autocompletion=key_ids)],
) -> None:
    """Drop a signing key: all tokens that it signed are refused from now on.

    Examples:
      orchestrator token drop-key 3317465b
    """
    key = ask(common, lambda client: client.drop_key(kid))
    if common.json:
        print_json(dump(key))
    else:
        print(f"key {key.kid} is dropped")


def keys(common: Common) -> None:
    """List signing keys, never the keys themselves.

    Examples:
      orchestrator token keys
    """
    found = ask(common, lambda client: client.keys())
    if common.json:
        print_json([dump(key) for key in found])
    else:
        print_table(KEYS, found, nothing="no keys: the gateway is closed")
