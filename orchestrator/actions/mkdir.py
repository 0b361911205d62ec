"""`mkdir`: a folder with its parents; one that exists is fine."""

from __future__ import annotations

from orchestrator.actions.context import Context, Result, checked_path
from orchestrator.core.definition import MkdirArgs


async def run(args: MkdirArgs, context: Context) -> Result:
    path = checked_path(args.path, folder=True)
    await context.sandbox.mkdir(path)
    return Result(detail={"path": path})
