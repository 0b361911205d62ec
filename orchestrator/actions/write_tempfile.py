"""`write_tempfile`: a Python file under a name that nothing else has; its path is the result."""

from __future__ import annotations

from uuid import uuid4

from orchestrator.actions.context import Context, Result, file_bytes
from orchestrator.core.definition import WriteTempfileArgs


async def run(args: WriteTempfileArgs, context: Context) -> Result:
    path, body = f"{context.temp_dir}/{uuid4().hex}.py", file_bytes(args.body)
    await context.sandbox.write(path, body, mode=args.mode, append=False)
    return Result(values={"": path}, detail={"path": path, "bytes": len(body)})
