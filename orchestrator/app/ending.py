"""The end of an ephemeral daemon: everything it started ends, its state stays."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import structlog

from orchestrator.app.parts import Parts
from orchestrator.core.errors import OrchestratorError

LOG = structlog.get_logger("orchestrator")
GRACE = 5.0


async def end_everything(parts: Parts) -> None:
    """Stop the gateway, then all routings side by side; their records go, so that the next start begins afresh."""
    try:
        await parts.gateway.stop()
    except OrchestratorError as error:
        LOG.error("gateway.stop_failed", cause=error.message, hint=error.hint)
    try:
        units = [o.routing for o in await parts.runtime.observe()]
    except OrchestratorError as error:
        LOG.error("engine.lost", cause=error.message, hint=error.hint)
        return
    ended = await asyncio.gather(*(_end(parts, unit) for unit in units))
    with suppress(OrchestratorError):
        await parts.runtime.clear()
    for routing in list(parts.loop.facts.routings):
        await parts.loop.facts.forget_routing(routing)
    await parts.journal.emit("daemon.ended_all", "", "", f"{sum(ended)} of {len(units)} routings ended", {})


async def _end(parts: Parts, unit: str) -> bool:
    try:
        await parts.runtime.stop(unit, GRACE)
        await parts.runtime.remove(unit)
    except OrchestratorError as error:
        LOG.error("routing.stop_failed", routing=unit, cause=error.message)
        return False
    return True
