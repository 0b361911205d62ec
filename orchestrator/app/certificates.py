"""The certificates of API and gateway: opened at the start, and looked at again and again for renewed ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from orchestrator.auth import Certificate, open_certificate
from orchestrator.settings import Settings

LOG = structlog.get_logger("orchestrator")
LOOK = 2.0
"""Seconds between looks; a renewed file counts at the second look that finds it."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """None: plain http."""

    api: Certificate | None
    gateway: Certificate | None

    @classmethod
    def open(cls, settings: Settings) -> Certificates:
        """Raises `InvalidInput` naming the file that cannot be used."""
        api = open_certificate(settings.api.tls_certificate, settings.api.tls_key)
        gateway = open_certificate(settings.gateway.tls_certificate, settings.gateway.tls_key)
        for warning in [one.warning for one in (api, gateway) if one is not None and one.warning]:
            LOG.warning("certificate.ends", cause=warning, hint="renew it; the new files are taken up by themselves")
        return cls(api, gateway)

    async def watch(self, renewed: Callable[[], None]) -> None:
        """For ever; `renewed` when the gateway has another one to bring to its process."""
        while self.api is not None or self.gateway is not None:
            await asyncio.sleep(LOOK)
            if self.api is not None:
                await asyncio.to_thread(self.api.look)
            if self.gateway is not None and await asyncio.to_thread(self.gateway.look):
                renewed()
        await asyncio.Event().wait()
