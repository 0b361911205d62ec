"""`ask`: one request to a service's endpoint through the daemon, its answer as it comes."""

from __future__ import annotations

import sys
from codecs import getincrementaldecoder
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.common import ERROR, OK, Common, ask, requested
from orchestrator.cli.output import one_line, print_json, tamed
from orchestrator.cli.services import ServiceName
from orchestrator.core.errors import InvalidInput

if TYPE_CHECKING:
    from orchestrator.client import Client
    from orchestrator.core.ask_views import AskRequest


def ask_service(
    common: Common,
    service: ServiceName,
    path: Annotated[str, typer.Argument(help="Path below the endpoint, with its query.")] = "/",
    method: Annotated[str | None, typer.Option("--method", "-X", help="Default: GET; POST with --data.")] = None,
    data: Annotated[
        str | None, typer.Option("--data", "-d", metavar="TEXT|@FILE", help="Body; @- is the standard input.")
    ] = None,
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", metavar="NAME: VALUE", help="Repeatable.")
    ] = None,
    head: Annotated[bool, typer.Option("--head", "-i", help="Show the answer's status and headers, too.")] = False,
) -> None:
    """Ask a service's endpoint, with a token that is made for it; a stream is shown as it comes.

    Exit code 1 where the endpoint answers with an error (400 and above).

    Examples:
      orchestrator ask my-model /v1/models
      orchestrator ask my-model /v1/completions -d '{"model": "my-model", "prompt": "Hi", "stream": true}'
    """
    from orchestrator.core.ask_views import AskRequest

    body, headers = _body(data), _headers(header or [])
    if body is not None and "content-type" not in {name.lower() for name in headers}:
        headers["Content-Type"] = "application/json"
    verb = (method or ("GET" if body is None else "POST")).upper()
    sent = {} if body is None else {"body_base64": _base64(body)}
    request = requested(AskRequest, method=verb, path=path, headers=headers, **sent)
    raise typer.Exit(ask(common, lambda client: _show(client, service, request, head=head, json=common.json)))


async def _show(client: Client, service: str, request: AskRequest, *, head: bool, json: bool) -> int:
    async with client.ask_endpoint(service, request) as answer:
        code = OK if answer.status < 400 else ERROR
        if json:
            text = b"".join([some async for some in answer.body]).decode("utf-8", "replace")
            print_json({"status": answer.status, "headers": dict(answer.headers), "body": text})
            return code
        if head:
            print(answer.status)
            for name, value in answer.headers.items():
                print(f"{name}: {one_line(value)}")
            print()
        decoder, terminal = getincrementaldecoder("utf-8")("replace"), sys.stdout.isatty()
        sys.stdout.flush()
        async for some in answer.body:
            if terminal:  # what a model says must not steer it
                print(tamed(decoder.decode(some)), end="", flush=True)
            else:
                sys.stdout.buffer.write(some)
                sys.stdout.buffer.flush()
        if terminal:
            print()
        if code:
            print(f"error: {service} answered {answer.status}", file=sys.stderr)
        return code


def _body(data: str | None) -> bytes | None:
    if data is None or not data.startswith("@"):
        return None if data is None else data.encode()
    if data == "@-":
        return sys.stdin.buffer.read()
    try:
        return Path(data[1:]).read_bytes()
    except OSError as error:
        raise InvalidInput(f"cannot read {data[1:]}: {error.strerror}", hint="@FILE names a file") from None


def _headers(texts: list[str]) -> dict[str, str]:
    split = [text.partition(":") for text in texts]
    if wrong := next((name for name, colon, _ in split if not colon or not name.strip()), None):
        raise InvalidInput(f"cannot read --header {wrong}", hint="'Name: value'")
    return {name.strip(): value.strip() for name, _, value in split}


def _base64(body: bytes) -> str:
    from base64 import b64encode

    return b64encode(body).decode()
