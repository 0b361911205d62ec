"""`man`: the manual page, made from the same help texts that `--help` shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from orchestrator.cli.common import OPTIONS
from orchestrator.cli.help import CODES, metavar, paragraphs, value_of

ENVIRONMENT = {
    "ORCHESTRATOR_URL, ORCHESTRATOR_TOKEN": "Address of the daemon's API and what opens it.",
    "ORCHESTRATOR_CONTEXT": "Name of the context that is used.",
    "ORCHESTRATOR_CONFIG": "Configuration file of the daemon.",
}


def man() -> None:
    """Print the manual page of all commands.

    Examples:
      orchestrator man > orchestrator.1
      orchestrator man | man -l -
    """
    import typer.main

    from orchestrator import __version__
    from orchestrator.cli import build_app

    print("\n".join(page(typer.main.get_command(build_app()), __version__)))


def page(root: Any, version: str) -> Iterator[str]:
    """Lines of roff for a command tree, whose names, options and texts they are made of."""
    yield f'.TH ORCHESTRATOR 1 "" "orchestrator {escaped(version)}" "User Commands"'
    first, *more = paragraphs(root.help)
    yield from (".SH NAME", rf"orchestrator \- {escaped(first[0])}")
    yield from (".SH SYNOPSIS", r".B orchestrator", r"[\fIOPTIONS\fR] \fICOMMAND\fR [\fIARGUMENTS\fR]")
    if more:
        yield ".SH DESCRIPTION"
        yield from _text(more)
    yield ".SH OPTIONS"
    yield from _options(root, known=())
    yield ".SH COMMANDS"
    yield from _commands(root, "")
    yield ".SH EXIT STATUS"
    for code, said in CODES:
        yield from (".TP", rf"\fB{escaped(code)}\fR", escaped(said))
    yield ".SH ENVIRONMENT"
    for name, said in ENVIRONMENT.items():
        yield from (".TP", rf"\fB{escaped(name)}\fR", escaped(said))


def _commands(group: Any, above: str) -> Iterator[str]:
    """Each command with its arguments and options; those that all have are told once, at the top."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{above}{name} ")
            continue
        arguments = [p for p in command.params if p.param_type_name == "argument"]
        shown = " ".join(rf"\fI{escaped(metavar(p))}\fR" for p in arguments)
        yield f".SS {escaped(above + name)} {shown}".rstrip()
        yield from _text(paragraphs(command.help))
        for argument in arguments:
            yield from (".TP", rf"\fI{escaped(metavar(argument))}\fR", escaped(argument.help or ""))
        yield from _options(command, known=tuple(OPTIONS))


def _options(command: Any, known: Sequence[str]) -> Iterator[str]:
    for option in command.params:
        if option.param_type_name != "option" or option.name in known or not option.help:
            continue
        names = ", ".join(rf"\fB{escaped(name)}\fR" for name in [*option.opts, *option.secondary_opts])
        value = rf" \fI{escaped(shown)}\fR" if (shown := value_of(option)) else ""
        yield from (".TP", names + value, escaped(option.help))


def _text(paragraphs: Sequence[Sequence[str]]) -> Iterator[str]:
    """Running text is filled; what is indented (examples) stays as it is."""
    for block in paragraphs:
        indented = [line for line in block if line.startswith("  ")]
        yield ".PP"
        yield from (escaped(line) for line in block if line not in indented)
        if indented:
            yield from (".RS 2", ".nf", *(escaped(line.strip()) for line in indented), ".fi", ".RE")


def escaped(text: str) -> str:
    """Text that roff takes as it is: no escape in it, no request at its beginning, one line."""
    line = " ".join(text.split()).replace("\\", r"\e").replace("-", r"\-")
    line = "".join(c if c.isascii() else f"\\[u{ord(c):04X}]" for c in line)
    return rf"\&{line}" if line.startswith((".", "'")) else line
