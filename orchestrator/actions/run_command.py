"""`run_command`: a command, executed without a shell; what it printed and how it ended is the result."""

from __future__ import annotations

import shlex

from orchestrator.actions.context import ActionError, Context, Result
from orchestrator.core.definition import RunCommandArgs
from orchestrator.core.errors import RuntimeFailure
from orchestrator.core.path_rules import text_fault
from orchestrator.core.ports import CommandResult

EXIT_CODES = {"command_not_found": 127, "permission": 126}
"""As a shell reports what it could not execute."""


async def run(args: RunCommandArgs, context: Context) -> Result:
    for word in args.command:
        if fault := text_fault(word):
            raise ActionError(f"cannot use {word!r} as an argument: {fault}")
    result = await _execute(args, context)
    values = {"[out]": _one_newline_less(result.out), "[err]": _one_newline_less(result.err)}
    values["[exit_code]"] = str(result.exit_code)
    detail = {
        "command": list(args.command),
        "out": result.out,
        "err": result.err,
        "exit_code": result.exit_code,
    }
    failed = _failure(args, result) if args.check and result.exit_code else None
    return Result(values, detail, result.out + result.err if args.echo else "", failed)


async def _execute(args: RunCommandArgs, context: Context) -> CommandResult:
    """With `check: false` a command that is not there is an exit code like any other, so that it can be asked for."""
    try:
        return await context.sandbox.run(args.command, timeout=context.timeout)
    except RuntimeFailure as error:
        if args.check or error.code not in EXIT_CODES:
            raise
        return CommandResult("", f"{error.message}\n", EXIT_CODES[error.code])


def _failure(args: RunCommandArgs, result: CommandResult) -> ActionError:
    return ActionError(
        f"`{shlex.join(args.command)[:200]}` ended with exit status {result.exit_code}",
        hint="mend the command; with `check: false` its exit status would not fail the start",
        ran=result,
    )


def _one_newline_less(text: str) -> str:
    return text.removesuffix("\n")
