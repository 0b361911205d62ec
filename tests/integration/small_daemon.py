"""A small `orchestrator.app` for the tests of `run`: the API over a SmallControl, held by a lock, ended by SIGTERM.

A child finds it in place of the daemon because `sitecustomize` (see test_run) puts it there.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Sequence

from small_control import ECHO, SmallControl

from orchestrator.api.app import build_app
from orchestrator.api.app import serve as serve_api
from orchestrator.api.door import admin_token
from orchestrator.core.errors import NotFound
from orchestrator.core.state import ServiceStatus
from orchestrator.core.views import CauseView, ExplainView, ServiceView
from orchestrator.settings import Settings
from orchestrator.store.lock import StateLock

VLLM = ECHO.model_copy(update={"id": "2", "name": "vllm", "status": ServiceStatus.PROVISIONING, "healthy": 0})
LOADING = float(os.environ.get("SMALL_DAEMON_LOADS", "0.5"))
"""Seconds until echo is HEALTHY."""


class Rising(SmallControl):
    """echo becomes HEALTHY; vllm lacks an image for ever."""

    def __init__(self) -> None:
        super().__init__()
        self.since = time.monotonic()

    async def services(self) -> Sequence[ServiceView]:
        up = time.monotonic() - self.since > LOADING
        return [ECHO if up else ECHO.model_copy(update={"status": ServiceStatus.PROVISIONING, "healthy": 0}), VLLM]

    async def explain(self, ref: str) -> ExplainView:
        if ref == ECHO.id:
            raise NotFound("cannot find it: it went")
        cause = CauseView(code="no_image", message="no image is given")
        return ExplainView(service="vllm", status=ServiceStatus.PROVISIONING, causes=(cause,))


def serve(settings: Settings, *, ephemeral: bool) -> int:
    assert ephemeral
    if text := os.environ.get("SMALL_DAEMON_REFUSES"):
        print(text)
        return 1
    with StateLock.take(settings.state_dir):
        asyncio.run(_serve(settings))
    return 0


async def _serve(settings: Settings) -> None:
    (settings.state_dir / "admin.token").write_text("small")
    app = build_app(Rising(), admin_token("small"), listen=settings.api.listen)
    runner = await serve_api(app, settings.api.listen)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await runner.cleanup()
    (settings.state_dir / "ended").touch()
