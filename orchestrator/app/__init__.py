"""The composition root: the daemon put together from its parts, and run."""

from orchestrator.app.daemon import serve
from orchestrator.app.local import try_locally

__all__ = ["serve", "try_locally"]
