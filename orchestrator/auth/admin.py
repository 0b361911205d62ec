"""The admin token: made at the first start, read by the CLI on the same host. Whoever has it may do everything."""

from __future__ import annotations

import secrets
from pathlib import Path

from orchestrator.auth import private
from orchestrator.core.errors import Unavailable

FILE = "admin.token"


def admin_token(state_dir: Path) -> str:
    """The token in `state_dir`/admin.token (0600); made where there is none. Raises `Unavailable`."""
    path = state_dir / FILE
    text = (private.read(path) or private.create(path, secrets.token_urlsafe(32) + "\n")).strip()
    if len(text) < 32:
        raise Unavailable(
            f"cannot use {path}: it holds no token of at least 32 characters",
            hint="remove the file; the next start makes a new one",
        )
    return text
