"""How a container ends: asked, waited for, and made to at the end of its grace."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import docker

from orchestrator.core.errors import Unavailable
from orchestrator.runtimes.docker.client import Engine

GONE, CONFLICT = 404, 409
KILL_LIMIT = 20.0
"""Seconds that the kernel may take to end what got SIGKILL."""


async def stop(engine: Engine, container: str, grace: float) -> None:
    """Seen from here, second by second: the engine's own stop would hold a thread for the whole grace."""
    doing = "stop a container"
    state = await engine.call(doing, lambda api: _state(api, container))
    if not state or not state["Running"]:
        return
    await engine.call(doing, lambda api: _signal(api, container, paused=bool(state["Paused"])))
    if await _ended(engine, container, grace):
        return
    await engine.call(doing, lambda api: _kill(api, container, "SIGKILL"))
    if not await _ended(engine, container, KILL_LIMIT):
        raise Unavailable(f"cannot {doing}: it did not end after SIGKILL", hint="see the engine's own log")


def remove(api: docker.APIClient, container: str) -> None:
    """Returns when it is gone, whoever removes it."""
    deadline = time.monotonic() + KILL_LIMIT
    while time.monotonic() < deadline:
        try:
            api.remove_container(container, force=True, v=True)
        except docker.errors.APIError as error:
            if error.status_code == GONE:
                return
            if error.status_code != CONFLICT:
                raise
            time.sleep(0.05)  # in a thread; another removal of it is in progress
    raise Unavailable("cannot remove a container: the engine still has it", hint="see the engine's own log")


def _state(api: docker.APIClient, container: str) -> Mapping[str, Any] | None:
    try:
        state: Mapping[str, Any] = api.inspect_container(container)["State"]
    except docker.errors.NotFound:
        return None
    return state


def _signal(api: docker.APIClient, container: str, *, paused: bool) -> None:
    """Its image's own stop signal; a paused container could not hear it."""
    if paused:
        api.unpause(container)
    signal = api.inspect_container(container)["Config"].get("StopSignal") or "SIGTERM"
    _kill(api, container, signal)


def _kill(api: docker.APIClient, container: str, signal: str) -> None:
    try:
        api.kill(container, signal)
    except docker.errors.APIError as error:
        if error.status_code not in (GONE, CONFLICT):  # it ended meanwhile
            raise


async def _ended(engine: Engine, container: str, limit: float) -> bool:
    deadline, pause = time.monotonic() + limit, 0.02
    while True:
        state = await engine.call("look at a container", lambda api: _state(api, container))
        if not state or not state["Running"]:
            return True
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(min(pause, max(deadline - time.monotonic(), 0.001)))
        pause = min(pause * 1.5, 0.25)
