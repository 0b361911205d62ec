"""What Schemathesis does not know: how a tar archive is sent, and what goes on for ever."""

from __future__ import annotations

import io
import tarfile
from typing import Any

import schemathesis


@schemathesis.serializer("application/x-tar")
def tar(_: Any, value: Any) -> dict[str, bytes]:
    data, out = value if isinstance(value, bytes) else str(value).encode("utf-8", "replace"), io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        member = tarfile.TarInfo("file")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return {"data": out.getvalue()}


@schemathesis.hook
def before_call(_: Any, case: Any, __: dict[str, Any]) -> None:
    """What would never end is not followed: scenarios of their own do."""
    if str((case.query or {}).get("follow")).lower() in ("true", "1", "yes", "on", "t", "y"):
        case.query["follow"] = "false"
