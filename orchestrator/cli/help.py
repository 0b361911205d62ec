"""How the command explains itself: `--help` of each verb and of the whole, for any width, and what was typed wrongly.

Everything comes from the docstrings and options that `man` is made of, too.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from shutil import get_terminal_size
from textwrap import wrap
from typing import Any

from typer.core import TyperCommand, TyperGroup

from orchestrator.cli.common import OPTIONS

WIDEST = 100
_LEFT = 26
"""Characters of the left column at most; what is longer has a line of its own."""
CODES = (
    ("0", "done"),
    ("1", "an error"),
    ("2", "invalid input or definition"),
    ("3", "changes are pending (plan)"),
    ("4", "a deployment failed"),
    ("5", "timeout"),
    ("7", "not authorised"),
    ("126, 127", "exec: the command cannot be executed, is not there"),
    ("130", "interrupted"),
)
SHORT = {
    "init": "Write a first model-definition.yml, with comments",
    "start": "Start a model folder as a service",
    "modify": "Change what a service runs with",
    "reset": "End overrides: what the file says holds again",
    "sync": "Read a service's folder again",
    "wait": "Wait until a service is HEALTHY, or gone",
    "ask": "Send a request to a service's endpoint",
    "rm-routing": "Remove one routing, or have it replaced",
    "models": "Model folders: list, make, fill, edit and remove them",
    "status": "Show the state of the daemon and what it depends on",
    "explain": "Say in words why a service is not healthy, and what to do",
    "errors": "List what failed, each with the end of its log",
    "top": "Show live how services answer and what they take",
    "access": "Show the requests that a service answered",
    "apply": "Carry out what `plan` shows, and follow it to its end",
    "abort": "Give up the rollout under way",
    "ratio": "Give one routing more or fewer of the requests",
    "confirm-removal": "Confirm removals that are held",
    "audit": "Show who changed what through the API",
    "token": "Tokens of the endpoints, and the keys that sign them",
    "config": "Show every setting, its default and where it was set",
    "backup": "Copy what the daemon keeps into one archive",
    "support-bundle": "Gather what helps to find a fault, secrets hidden",
    "open": "Open the daemon's dashboard in a browser",
    "context": "Names for daemons elsewhere",
    "models create": "Make an empty model folder",
    "models rm": "Remove a model folder, or something in it",
    "context use": "Use a context from now on",
}
"""Where the first sentence of a verb's help is more than a line of a list."""
_KINDS = {"int": "N", "float": "NUMBER", "Path": "PATH"}
Rows = Sequence[tuple[str, str]]


class Verb(TyperCommand):
    """A command whose help is of this file."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write("\n".join(_command(self, ctx, _width())))


class Verbs(TyperGroup):
    """A group of commands whose help is of this file."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        formatter.write("\n".join(_group(self, ctx, _width())))


def _width() -> int:
    return max(30, min(get_terminal_size().columns, WIDEST))


def _command(command: Any, ctx: Any, width: int) -> Iterator[str]:
    first, *more = paragraphs(command.help)
    examples = [block for block in more if block[0].startswith("Example")]
    yield from _filled(f"Usage: {ctx.command_path} {_usage(command)}", width, hanging=7)
    for block in (first, *(block for block in more if block not in examples)):
        yield ""
        yield from _filled(" ".join(block), width)
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    yield from _table("Arguments", [(metavar(p), p.help or "") for p in arguments], width)
    yield from _table("Options", [_option(p) for p in _options(command) if p.name not in OPTIONS], width)
    yield from _table("Common options", [_option(p) for p in _options(command) if p.name in OPTIONS], width)
    for block in examples:
        yield from ("", heading("Examples"), *block[1:])


def _group(group: Any, ctx: Any, width: int) -> Iterator[str]:
    first, *_ = paragraphs(group.help)
    above = "" if ctx.parent is None else f"{ctx.info_name} "
    yield from _filled(f"Usage: {ctx.command_path} [OPTIONS] COMMAND …", width, hanging=7)
    yield ""
    yield from _filled(" ".join(first), width)
    panels: dict[str, list[tuple[str, str]]] = {}
    for name, command in group.commands.items():
        panel = command.rich_help_panel if isinstance(command.rich_help_panel, str) else "Commands"
        panels.setdefault(panel, []).append((name, SHORT.get(above + name) or short(command.help)))
    left = max(len(name) for name in group.commands)
    for panel, rows in panels.items():
        yield from _table(panel, rows, width, left=left)
    yield from _table("Options", [_option(p) for p in _options(group)], width)
    if ctx.parent is None:
        yield from _table("Exit codes", CODES, width)
    yield ""
    yield from _filled(f"`{ctx.command_path} COMMAND --help` tells more, with examples.", width)


def short(text: str | None) -> str:
    """The first sentence of a help text, up to what only explains it."""
    first = " ".join(paragraphs(text)[0])
    sentence = first.split(". ")[0].removesuffix(".")
    return sentence.split(": ")[0] if len(sentence) > 60 else sentence


def paragraphs(text: str | None) -> list[list[str]]:
    """Blocks of lines between empty lines."""
    blocks = (text or "").strip().split("\n\n")
    return [[line.rstrip() for line in block.splitlines() if line.strip()] for block in blocks if block.strip()]


def metavar(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def value_of(option: Any) -> str:
    """What stands for its value; empty: it takes none."""
    if option.is_flag:
        return ""
    if option.metavar:
        return str(option.metavar)
    described = option.type_descriptor
    if described.is_choice:
        return "|".join(str(getattr(one, "value", one)) for one in described.choices)
    name = getattr(described.annotation, "__name__", str(described.annotation))
    known = next((said for kind, said in _KINDS.items() if kind in name), None)
    return known or str(option.name.upper().replace("_", "-"))


def _usage(command: Any) -> str:
    parts = [_argument(p) for p in command.params if p.param_type_name == "argument"]
    return " ".join(["[OPTIONS]", *parts])


def _argument(argument: Any) -> str:
    text = metavar(argument)
    text = text if argument.nargs == 1 or "…" in text else f"{text}…"
    return text if argument.required or text.startswith("[") else f"[{text}]"


def _options(command: Any) -> list[Any]:
    return [p for p in command.params if p.param_type_name == "option" and not p.hidden] + [_HELP]


class _Help:
    name, opts, secondary_opts, is_flag, help = "help", ["-h", "--help"], (), True, "Show this."


_HELP = _Help()


def _option(option: Any) -> tuple[str, str]:
    """`-f, --follow`, `    --tail N`, `    --public, --private`."""
    names = sorted(option.opts, key=len) + list(option.secondary_opts)
    gap = "" if len(names[0]) == 2 else "    "
    value = value_of(option)
    return gap + ", ".join(names) + (f" {value}" if value else ""), option.help or ""


def _table(title: str, rows: Rows, width: int, *, left: int = 0) -> Iterator[str]:
    if not rows:
        return
    yield from ("", heading(title))
    left = left or max((len(name) for name, _ in rows if len(name) <= _LEFT), default=_LEFT)
    for name, said in rows:
        lines = wrap(said, max(20, width - left - 4), break_long_words=False, break_on_hyphens=False) or [""]
        if len(name) > left:
            yield f"  {name}"
            yield from (f"  {' ' * left}  {line}" for line in lines)
            continue
        yield f"  {name:<{left}}  {lines[0]}".rstrip()
        yield from (f"  {' ' * left}  {line}" for line in lines[1:])


def _filled(text: str, width: int, *, hanging: int = 0) -> list[str]:
    return wrap(text, width, subsequent_indent=" " * hanging, break_long_words=False, break_on_hyphens=False)


def heading(text: str) -> str:
    wanted = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return f"\x1b[1m{text}\x1b[0m" if wanted else text


def is_typed_wrongly(error: Exception) -> bool:
    """Whether it is Typer's own, about what was typed."""
    return hasattr(error, "format_message") and hasattr(error, "exit_code")


def print_typed_wrongly(error: Any) -> int:
    """In the words that all other errors have; where nothing was typed, the help. Returns the exit code."""
    ctx = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError" and ctx is not None:
        print(ctx.get_help())
        return int(error.exit_code)
    told = str(error.format_message()).replace(": Value error, ", ": ", 1).strip().removesuffix(".")
    first, *more = told.splitlines()
    print(f"error: {first[:1].lower()}{first[1:]}{''.join(f' {line.strip()}' for line in more)}", file=sys.stderr)
    if ctx is not None:
        print(f"hint: `{ctx.command_path} --help` shows what it takes", file=sys.stderr)
    return int(error.exit_code)
