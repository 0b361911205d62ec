"""`apply`: takes over what waits (or a saved plan, or a candidate), and shows how far it is until it is done."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.common import ERROR, FAILED, INTERRUPTED, INVALID, OK, TIMEOUT, Common, connect, requested
from orchestrator.cli.output import one_line, print_error, print_json
from orchestrator.cli.plan import MARKS, What, meant, paint
from orchestrator.core.errors import InvalidInput, OrchestratorError, Unavailable

if TYPE_CHECKING:
    from orchestrator.client import Client
    from orchestrator.core.plan_views import ApplyRequest, ApplyView, PlanView, ProgressView, TargetView

LOOK = 0.3
"""Seconds between looks at how far it is."""
SILENT = 30.0
"""Seconds that the daemon may be away (it may be restarted meanwhile)."""


def apply(
    common: Common,
    what: What = None,
    file: Annotated[
        str | None, typer.Option("--file", "-f", metavar="PATH", help="The same as PATH: a definition or a folder.")
    ] = None,
    plan: Annotated[
        Path | None, typer.Option("--plan", metavar="FILE", help="Exactly what was saved by `plan --save`, or nothing.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Show how far it is, until it is done.")] = True,
    timeout: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="How long to wait; default: to the end.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Also removals that are held.")] = False,
) -> None:
    """Carry out what `plan` shows. A PATH outside of models_dirs is written to the model folders first.

    Exit codes: 0 done, 2 a definition is invalid, 4 rolled back, 5 timeout, 1 anything else (with --plan: the world has
    moved since). Ctrl-C ends the waiting, not the rollout.

    Examples:
      orchestrator apply
      orchestrator apply -f my-model/model-definition.yml
      orchestrator apply --plan change.json --timeout 600
    """
    from orchestrator.core.plan_views import ApplyRequest

    if what is not None and file is not None:
        raise InvalidInput("cannot apply: a path is given twice", hint="leave --file out")
    if file is not None:
        what = file if "/" in file else f"./{file}"
    if plan is not None and what is not None:
        raise InvalidInput("cannot apply: give a path or --plan, not both", hint="the plan knows its path")
    request = requested(ApplyRequest, path=meant(what), plan=_saved(plan) if plan is not None else None, yes=yes)
    try:
        raise typer.Exit(asyncio.run(_apply(common, request, timeout if wait else 0, wait=wait)))
    except KeyboardInterrupt:
        print("\nno longer waiting; what was taken over goes on: `orchestrator ls` shows it", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None


def _saved(path: Path) -> PlanView:
    from pydantic import ValidationError

    from orchestrator.core.plan_views import PlanView

    try:
        # what would be done with each service is for people, and may be longer than what the daemon takes
        return PlanView.model_validate_json(path.read_bytes()).model_copy(update={"services": ()})
    except OSError as error:
        hint = "a plan is made by `orchestrator plan --save FILE`"
        raise InvalidInput(f"cannot read the plan {path}: {error.strerror or error}", hint=hint) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        hint = "a plan is made by `orchestrator plan --save FILE`"
        raise InvalidInput(f"cannot read the plan {path}: {first['msg']}", hint=hint) from None


async def _apply(common: Common, request: ApplyRequest, timeout: float | None, *, wait: bool) -> int:
    async with connect(common) as client:
        applied = await client.apply(request)
        if not common.json:
            _tell(applied)
        found = await _follow(client, applied.targets, timeout, quiet=common.json) if wait else ()
    if common.json:
        print_json(_as_json(applied, found))
    return _code(applied, found, waited=wait)


def _tell(applied: ApplyView) -> None:
    for target in applied.targets:
        mark = MARKS[target.change]
        number = f", revision {target.number}" if target.revision else ""
        print(paint(mark, f"{mark} {target.service}: {target.change}{number}"), flush=True)
    for name, why in applied.left.items():
        print(f"left: {one_line(name)}: {one_line(why)}", file=sys.stderr)
    if not applied.targets and not applied.left:
        print("nothing to do")


def _as_json(applied: ApplyView, found: Sequence[ProgressView]) -> dict[str, object]:
    state = {one.id: (one.state, one.message) for one in found}
    services = [
        {"service": t.service, "change": t.change, "revision": t.number}
        | dict(zip(("state", "message"), state.get(t.id, ("under_way", "")), strict=True))
        for t in applied.targets
    ]
    return {"services": services, "left": dict(applied.left)}


def _code(applied: ApplyView, found: Sequence[ProgressView], *, waited: bool) -> int:
    states = {one.state for one in found}
    if "rolled_back" in states:
        return FAILED
    if waited and "under_way" in states:
        return TIMEOUT
    if applied.invalid:
        return INVALID
    return ERROR if applied.left or "superseded" in states else OK


# --- until it is done -----------------------------------------------------------------------------------------------


async def _follow(
    client: Client, targets: Sequence[TargetView], timeout: float | None, *, quiet: bool
) -> tuple[ProgressView, ...]:
    """Until every target came to something, or the time is over: how far each is then."""
    from orchestrator.cli.applying import shown

    if not targets:
        return ()
    began = answered = time.monotonic()
    found: tuple[ProgressView, ...] = ()
    with shown(targets, quiet=quiet) as show:
        while True:
            try:
                found = await client.applied(targets)
                answered = time.monotonic()
                show(found)
            except Unavailable:
                if time.monotonic() - answered > SILENT:
                    raise
            over = timeout is not None and time.monotonic() - began >= timeout
            if over or (found and all(one.state != "under_way" for one in found)):
                break
            await asyncio.sleep(LOOK)
    if not quiet:
        _conclude(targets, found)
    return found


def _conclude(targets: Sequence[TargetView], found: Sequence[ProgressView]) -> None:
    """The last word on each."""
    if not found:
        hint = "it goes on; `orchestrator ls` shows it once the daemon answers"
        raise OrchestratorError("cannot say how far it is: the daemon did not answer", hint=hint, code="timeout")
    for target, one in zip(targets, found, strict=True):
        message = one_line(one.message)
        match one.state:
            case "done" | "waits":
                print(f"{target.service}: {message}")
            case "rolled_back":
                hint = f"`orchestrator explain {target.service}` says more"
                print_error(OrchestratorError(f"{target.service}: {message}", hint=hint))
            case "superseded":
                print(f"error: {target.service}: {message}", file=sys.stderr)
            case "under_way":
                print(f"error: {target.service}: not done in time, and goes on: {message}", file=sys.stderr)
