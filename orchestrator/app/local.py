"""A try without a daemon: the same steps, in the command's own process."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

from orchestrator.app.tries import Tries
from orchestrator.core.daemon_views import TryEvent, TryRequest
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.state import World
from orchestrator.executor import Launcher
from orchestrator.runtimes import open_runtime
from orchestrator.scheduler.clock import SteadyClock
from orchestrator.scheduler.groups import resource_groups
from orchestrator.scheduler.prober import Prober
from orchestrator.settings import Settings


async def try_locally(settings: Settings, request: TryRequest) -> AsyncGenerator[TryEvent, None]:
    """As the daemon would run it, under an installation of its own that ends with the try."""
    clock = SteadyClock()
    runtime, _ = await open_runtime(settings, f"try-{os.getpid()}", settings.state_dir)
    prober = Prober(runtime, clock, lambda _routing, _result: None)
    try:
        info = await runtime.info()
        world = World({}, {}, resource_groups(settings.resource_groups, info.capacity))
        launcher = Launcher(runtime, settings.secrets_path)
        tries = Tries(settings, runtime, launcher, prober, clock, set(), lambda: world)
        async with aclosing(tries.run(request)) as events:
            async for event in events:
                yield event
    finally:
        await prober.close()
        with suppress(OrchestratorError):
            await runtime.clear()
        await runtime.close()
