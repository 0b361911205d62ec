"""Changes without a failed request: every strategy under load and open streams, cut off anywhere by `kill -9`.

200 requests/s on clients that never retry and 50 open streams, through changes that end well and such that are rolled
back. The moments of the kills are drawn at random; a failure names their seed.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from changing import SLOTS, WAYS, Changing
from harness import Daemon, echo, until

Daemons = Callable[..., Awaitable[Daemon]]
SEATS = {"ORCHESTRATOR_RESOURCE_GROUPS": json.dumps(SLOTS)}


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "health": ({"progress_deadline": 1.5}, "no further new routing was ready within 1.5 s"),
    "sick:0.5": ({"bake": 2}, "a new routing became UNHEALTHY: GET /health"),
}
"""Fault of a revision to what is asked for besides, and the cause it is rolled back with."""


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.timeout(180)
async def test_nobody_notices_a_change(daemons: Daemons, name: str) -> None:
    way, seed = WAYS[name], random.randrange(1 << 30)
    chance, daemon = random.Random(seed), await daemons(environ=SEATS if way.seats else {})
    async with Changing(daemon, count=way.count, update=way.update, **way.took) as service:
        seen = await service.change()
        await service.serves(1)
        killed = [await service.killed(service.edit, len(seen.events), chance)]
        await service.serves(2)
        killed += [await service.killed(lambda: service.edit(FAULT="exit"), 6, chance)]
        await service.went_back(2, "it ended with exit code 1")
        assert "there are no weights" in await last_words(daemon)
        killed += [await service.killed(lambda: daemon.client.rollback("echo"), len(seen.events), chance)]
        await service.serves(1)
        for fault in BAD if not way.seats else ["health"]:
            besides, cause = BAD[fault]
            service.update = way.update | besides
            await service.change("rollout.rolled_back", FAULT=fault)
            await service.went_back(1, cause)
    await service.check(f"seed {seed}, killed after {killed}")


async def last_words(daemon: Daemon) -> list[str]:
    """Of the routing whose record is kept."""
    records = [r for r in (await daemon.service("echo")).routings if r.status == "FAILED_TO_START"]
    assert [r.cause for r in records][-1:] == ["it ended with exit code 1 before its first pass"]
    return [line.text async for line in daemon.client.logs(records[-1].id)]


async def test_five_become_one_while_old_workers_hold_streams(daemon: Daemon) -> None:
    seed = random.randrange(1 << 30)
    async with Changing(daemon, count=5, update={}) as service:
        daemon.drop("other", echo("other"))  # reloads
        await daemon.settled("other")
        last = await service.killed(lambda: daemon.client.scale("echo", 1), 4, random.Random(seed))
        assert len((await service.serves(0)).routings) == 1
    await service.check(f"seed {seed}, killed after {last}")


async def test_blue_green_by_hand_waits_and_switches_or_gives_up(daemon: Daemon) -> None:
    seed = random.randrange(1 << 30)
    async with Changing(daemon, count=2, update={"strategy": "blue_green"}) as service:
        service.edit()
        seen = await service.reached("ready")
        green = {r.id for r in seen.routings if r.side == "green"}
        assert len(green) == 2
        await daemon.client.abort("echo")
        await service.settled()
        await service.serves(0)
        assert not green & service.load.routings.keys(), "it was asked before it was promoted"
        service.edit()
        await service.reached("ready")
        last = await service.killed(lambda: daemon.client.promote("echo"), 5, random.Random(seed))
        await service.serves(2)
    await service.check(f"seed {seed}, killed after {last}")


UNFIT = {"errors:20": " requests failed", "slow:0.1": "the first byte took "}


@pytest.mark.parametrize("fault", UNFIT)
async def test_a_canary_that_serves_badly_goes_and_hurts_no_more_than_its_share(daemon: Daemon, fault: str) -> None:
    update = {"strategy": "canary", "steps": [10, 50], "pause": 20, "min_requests": 30}
    async with Changing(daemon, count=2, update=update) as service:
        before = service.load.routings.total()
        seen = await service.change("rollout.rolled_back", FAULT=fault)
        asked = service.load.routings.total() - before
        await service.went_back(0, UNFIT[fault])
    (canary,) = {e.routing for e in seen.of("routing.starting")}
    answered, failed = service.load.routings[canary], len(service.load.failures)
    assert 0 < answered + failed < 0.12 * asked, (answered, failed, asked)
    assert failed <= answered / 19
    assert all("injected" in text and canary in text for _, text in service.load.failures), str(service.load)
    assert failed or not fault.startswith("errors")
    service.load.failures.clear()
    await service.check(fault)


async def test_a_verdict_counts_what_was_answered_over_reloads(daemon: Daemon) -> None:
    update = {"strategy": "canary", "steps": [50], "pause": 4, "min_requests": 10, "max_error_rate": 1}
    async with Changing(daemon, count=1, update=update, loaded=False) as service:
        began = await service.last()
        service.edit(FAULT="errors:10")
        await service.reached("judging")
        async with service.asked() as load:
            daemon.drop("other", echo("other"))
            await daemon.settled("other")
            await until(lambda: load.answered > 300)
        seen = await service.ended(began)
    assert any(e.detail["reloaded"] for e in await daemon.events("gateway.published"))
    (canary,) = {e.routing for e in seen.of("routing.starting")}
    failed, answered = len(load.failures), load.routings[canary]
    (verdict,) = [e.cause for e in seen.of("rollout.advanced") if "passed" in e.cause]
    assert verdict == f"step 1 passed: {failed} of {failed + answered} requests failed"


async def test_shares_are_kept_over_ten_thousand_requests(daemon: Daemon) -> None:
    update = {"strategy": "canary", "steps": [20], "pause": 60}
    async with Changing(daemon, count=2, update=update, loaded=False, open_to_public=True) as service:
        first, second = (r.id for r in (await daemon.settled("echo")).routings)
        await daemon.client.set_ratio(first, 3)
        began = await service.last()
        service.edit()
        await service.published("step 1 of 1", began)
        seen = await service.reached("judging")
        (canary,) = {r.id for r in seen.routings} - {first, second}
        async with service.asked(rate=10_000, connections=32) as load:
            await load.reaches(10_000)
    assert not load.failures, str(load)
    for routing, share in ((first, 0.6), (second, 0.2), (canary, 0.2)):
        assert load.routings[routing] == pytest.approx(share * load.answered, rel=0.02), load.routings


async def test_who_waits_longer_than_is_held_hears_so(daemons: Daemons) -> None:
    """Three may wait, for a second; the new revision takes longer to come up."""
    bounds = {"ORCHESTRATOR_GATEWAY__HOLD_SECONDS": "1", "ORCHESTRATOR_GATEWAY__HOLD_REQUESTS": "3"}
    daemon = await daemons(environ=bounds)
    async with Changing(daemon, update={"strategy": "recreate"}, loaded=False) as service:
        header, began = await daemon.header("echo"), await service.last()
        service.edit(FAULT="late:2")
        await service.published("replaced by", began)
        answers = await asyncio.gather(*(held(daemon, header) for _ in range(5)))
        codes = Counter(code for code, *_ in answers)
        assert codes == {"hold_timeout": 3, "hold_full": 2}
        for code, waited, retry_after in answers:
            assert 0.95 < waited < 3 if code == "hold_timeout" else waited < 0.9, answers
            assert int(retry_after) > 0
        assert (await until(lambda: served(daemon, header))) == 200
        await daemon.settled("echo")


async def held(daemon: Daemon, header: dict[str, str]) -> tuple[str, float, str]:
    """Code of the refusal, seconds until it came, and its Retry-After."""
    began = time.monotonic()
    async with aiohttp.ClientSession(headers=header) as session, session.get(daemon.endpoint("echo")) as answer:
        assert answer.status == 503, await answer.text()
        return (await answer.json())["error"]["code"], time.monotonic() - began, answer.headers["Retry-After"]


async def served(daemon: Daemon, header: dict[str, str]) -> int:
    status, _ = await daemon.ask("echo", header=header)
    return status if status == 200 else 0
