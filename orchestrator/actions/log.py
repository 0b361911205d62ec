"""`log`: a message for the routing's log and the event stream."""

from __future__ import annotations

from orchestrator.actions.context import Context, Result
from orchestrator.core.definition import LogArgs


async def run(args: LogArgs, context: Context) -> Result:  # noqa: ARG001 (every action has this shape)
    return Result(detail={"message": args.message, "level": "debug" if args.debug else "info"}, log=args.message)
