"""`write_file`: a file with a given content, written whole or not at all; `append` really appends."""

from __future__ import annotations

from orchestrator.actions.context import Context, Result, checked_path, file_bytes
from orchestrator.core.definition import WriteFileArgs


async def run(args: WriteFileArgs, context: Context) -> Result:
    path, body = checked_path(args.filename), file_bytes(args.body)
    await context.sandbox.write(path, body, mode=args.mode, append=args.append)
    return Result(detail={"path": path, "bytes": len(body), "append": args.append})
