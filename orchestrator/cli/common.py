"""What all verbs share: the common options, declared once and understood before and after the verb; exit codes."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from orchestrator.core.errors import InvalidInput, NotAuthorised, OrchestratorError, Throttled

if TYPE_CHECKING:
    from pydantic import BaseModel

    from orchestrator.client import Client, Daemon

Value = TypeVar("Value")
Body = TypeVar("Body", bound="BaseModel")

OK, ERROR, INVALID, FAILED, TIMEOUT, NOT_AUTHORISED, INTERRUPTED = 0, 1, 2, 4, 5, 7, 130
CANNOT_EXECUTE, NO_COMMAND = 126, 127
"""Of `exec` only, which ends as its command does."""


class Output(StrEnum):
    TABLE = "table"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Common:
    """The common options. None: not given."""

    config: Path | None = None
    url: str | None = None
    token: str | None = None
    context: str | None = None
    ca: str | None = None
    output: Output | None = None

    @property
    def json(self) -> bool:
        return self.output is Output.JSON


def _contexts(ctx: typer.Context, incomplete: str) -> list[str]:
    from orchestrator.cli.completion import context_names

    return context_names(ctx, incomplete)


OPTIONS: dict[str, Any] = {
    "config": Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Configuration file of the daemon.")
    ],
    "url": Annotated[str | None, typer.Option("--url", help="Address of the daemon's API.")],
    "token": Annotated[str | None, typer.Option("--token", help="Token of the API; default: state_dir/admin.token.")],
    "context": Annotated[
        str | None,
        typer.Option(
            "--context",
            metavar="NAME",
            help="Daemon by its name; see: orchestrator context.",
            autocompletion=_contexts,
        ),
    ],
    "ca": Annotated[
        str | None, typer.Option("--ca", metavar="FILE", help="Certificates that an https address is checked by.")
    ],
    "output": Annotated[Output | None, typer.Option("-o", "--output", help="Form of the output.")],
}


def with_common(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` as a command with the common options added. It gets them as `common: Common` where it declares that;
    one that declares an option of the same name keeps its own declaration and gets what was given before the verb too.
    """
    own = inspect.signature(function, eval_str=True).parameters
    declared = [p.replace(kind=p.KEYWORD_ONLY) for p in own.values() if p.name not in ("common", "ctx")]
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in OPTIONS.items()
        if name not in own
    ]
    context = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)

    @functools.wraps(function)
    def command(ctx: typer.Context, **given: Any) -> Any:
        before = ctx.obj if isinstance(ctx.obj, Common) else Common()
        after = {name: given.get(name) for name in OPTIONS}
        common = replace(before, **{name: value for name, value in after.items() if value is not None})
        ctx.obj = common
        for parameter in added:
            given.pop(parameter.name)
        for name in OPTIONS.keys() & own.keys():
            given[name] = getattr(common, name) if given[name] is None else given[name]
        extra = {"common": common, "ctx": ctx}
        return function(**given, **{name: value for name, value in extra.items() if name in own})

    signature = inspect.Signature([context, *declared, *added])
    command.__signature__ = signature  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
    return command


def exit_code(error: OrchestratorError) -> int:
    if error.code in ("timeout", "failed"):
        return TIMEOUT if error.code == "timeout" else FAILED
    match error:
        case InvalidInput():
            return INVALID
        case NotAuthorised() | Throttled():
            return NOT_AUTHORISED
        case _:
            return ERROR


def found_daemon(common: Common) -> Daemon:
    """Raises what `find_daemon` does."""
    from orchestrator.client import find_daemon

    return find_daemon(url=common.url, token=common.token, config=common.config, context=common.context, ca=common.ca)


def connect(common: Common) -> Client:
    """To be entered by `async with`. Raises what `find_daemon` does."""
    from orchestrator.client import Client

    daemon = found_daemon(common)
    return Client(daemon.url, daemon.token, trust=daemon.trust)


def ask(common: Common, call: Callable[[Client], Awaitable[Value]]) -> Value:
    """One call to the daemon (or several, in `call`), from a command that is not asynchronous."""
    import asyncio

    async def asked() -> Value:
        async with connect(common) as client:
            return await call(client)

    return asyncio.run(asked())


def each(
    common: Common, stream: Callable[[Client], AsyncGenerator[Value, None]], show: Callable[[Value], None]
) -> None:
    """Show each item of a stream as it comes; Ctrl-C ends it."""
    from contextlib import aclosing

    async def read(client: Client) -> None:
        async with aclosing(stream(client)) as items:
            async for item in items:
                show(item)

    ask(common, read)


def requested(model: type[Body], /, **values: object) -> Body:
    """A request's model from what was typed. Raises `InvalidInput`."""
    from orchestrator.core.error_views import checked

    return checked(model, values)


def pairs(options: Sequence[str], option: str) -> dict[str, str]:
    """KEY=VALUE options as a map. Raises `InvalidInput`."""
    split = [text.partition("=") for text in options]
    for key, sign, _ in split:
        if not key or not sign:
            raise InvalidInput(f"cannot read {f'{option} {key}'.strip()}: it is not KEY=VALUE")
    return {key: value for key, _, value in split}
