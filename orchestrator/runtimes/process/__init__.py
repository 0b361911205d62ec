"""Routings as local processes: supervised, logged and adopted by pid; see `runtime` for what a routing is here."""

from orchestrator.runtimes.process.runtime import ProcessRuntime

__all__ = ["ProcessRuntime"]
