"""`kill -9` of the daemon at any moment: what was wanted is reached after each, and who is served notices nothing."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import Any

import pytest
from harness import Daemon, echo, until
from traffic import Load

from orchestrator.core.errors import NotFound, OrchestratorError
from orchestrator.core.state import ServiceStatus

KILLS = 50
SPARE = 3
"""Services that come, change and go around the steady one."""


class Wanted:
    """What the model folders say, changed at random. `counts`: service name to routings; absent: it is to be gone."""

    def __init__(self, daemon: Daemon, seed: int) -> None:
        self._daemon = daemon
        self._random = random.Random(seed)
        self._version = 0
        self.counts: dict[str, int] = {}
        self.versions: dict[str, str] = {}
        self.gone: set[str] = set()

    def definition(self, name: str) -> dict[str, Any]:
        environ = {"VERSION": self.versions[name]}
        return echo(name, deployment={"desired_routing_count": self.counts[name], "environ": environ, "stop_grace": 1})

    async def change(self) -> None:
        """One change of one service. A call of the API may be cut off by what comes next."""
        name = f"s{self._random.randrange(SPARE)}"
        if name not in self.counts:
            self._version += 1
            self.counts[name], self.versions[name] = self._random.randint(1, 2), str(self._version)
            appears = self._daemon.edit if name in self.gone else self._daemon.drop
            self.gone.discard(name)
            appears(name, self.definition(name))
            return
        match self._random.choice(("count", "version", "version", "remove")):
            case "count":
                self.counts[name] = 3 - self.counts[name]
                self._daemon.edit(name, self.definition(name))
            case "version":
                self._version += 1
                self.versions[name] = str(self._version)
                self._daemon.edit(name, self.definition(name))
            case _:
                del self.counts[name]
                self.gone.add(name)
                with suppress(OrchestratorError):
                    await self._daemon.client.remove(name)

    async def reached(self) -> bool:
        """Each service runs as often as its file says, from its newest revision; nothing else of ours runs."""
        seen = {s.name: s for s in await self._daemon.client.services()}
        for name in self.gone & seen.keys():
            if seen[name].status is not ServiceStatus.DESTROYING:
                with suppress(NotFound):  # the call that was cut off
                    await self._daemon.client.remove(name)
            raise AssertionError(f"{name} is still there")
        for name, count in self.counts.items():
            service = await self._daemon.service(name)
            live = [r for r in service.routings if r.status != "FAILED_TO_START"]
            assert [(r.status, r.revision) for r in live] == [("HEALTHY", service.revision)] * count, (name, live)
            assert service.spec["routing"]["environ"]["VERSION"] == self.versions[name]
        servers = [line for line in self._daemon.processes().values() if "server.py" in line]
        assert len(servers) == sum(self.counts.values()) + 1, servers
        return True


@pytest.mark.timeout(180)
async def test_killed_at_random_points(daemon: Daemon) -> None:
    seed = random.randrange(1 << 30)
    chance, wanted = random.Random(seed), Wanted(daemon, seed)
    daemon.drop("steady", echo("steady"))
    (steady,) = (await daemon.settled("steady")).routings
    async with Load(daemon.endpoint("steady"), await daemon.header("steady"), rate=200) as load:
        kills = 0
        while kills < KILLS:
            change = asyncio.create_task(wanted.change())
            await asyncio.sleep(chance.random() ** 2 * 0.6)
            await daemon.kill()
            kills += 1
            await change
            if kills % 5 == 0:
                await wanted.change()  # what happens while it is away
            await daemon.start(ready=kills % 2 == 0)
            if kills % 2:  # again, in the midst of coming up
                await asyncio.sleep(chance.random() * 0.3)
                await daemon.kill()
                kills += 1
                await daemon.start()
            await until(wanted.reached, 20, what=f"what was wanted, seed {seed}, kill {kills}")
            assert not load.failures, f"seed {seed}, kill {kills}: {load}"
    assert load.routings.keys() == {steady.id}, "the steady service was restarted"
    assert (await daemon.settled("steady")).routings[0].id == steady.id
    assert "Traceback" not in daemon.log.read_text()
    assert not [line for line in daemon.logged() if line.get("level") == "error"], daemon.log_tail()
