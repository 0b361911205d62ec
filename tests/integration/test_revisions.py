"""Revisions over a real store and the real loop, with runtime and gateway in memory: what is kept, and going back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import web
from test_loop import Small, small

from orchestrator.app.parts import Parts
from orchestrator.app.rollouts import Rollouts
from orchestrator.core.errors import Conflict, NotFound, OrchestratorError, Unavailable
from orchestrator.core.spec import ResolvedMount
from orchestrator.core.state import Good, Rejected, Rollout, RoutingStatus
from orchestrator.core.status import routing_status
from orchestrator.executor import Pulls
from orchestrator.runtimes.memory import Program
from orchestrator.scheduler.clock import SteadyClock
from orchestrator.settings import Settings

SECRET = "a-secret-value"
DEFINITION = """
models:
  - name: echo
    service:
      pre_start_actions:
        - {action: write_file, args: {filename: a.txt, body: "image %(image)s, key a-secret-value\\n"}}
        - {action: write_tempfile, ref: t, args: {body: ["1"]}}
        - {action: write_file, args: {filename: /b, body: "uses {t}"}}
        - {action: write_file, args: {filename: /b, body: ", twice", append: true}}
        - {action: write_file, args: {filename: big, body: "%(big)s"}}
      start_command: [serve]
      port: 8000
    deployment:
      image: "i:%(image)s"
      secrets: {KEY: key}
      desired_routing_count: %(count)d
      update: {strategy: %(strategy)s, promote_after: %(after)s}
"""


class World:
    """A small daemon with the verbs about revisions."""

    def __init__(self, one: Small) -> None:
        self.one = one
        clock = SteadyClock()
        told = {
            "journal": one.loop._journal,
            "reader": SimpleNamespace(pending=()),
            "pulls": Pulls(clock, one.loop._journal.emit),
        }
        parts = SimpleNamespace(loop=one.loop, store=one.store, clock=clock, **told)
        parts.gateway_url = "http://gateway"
        parts.settings = Settings(models_dirs=(one.folder.parent,))
        self.verbs = Rollouts(cast(Parts, parts))

    def define(self, image: int, *, count: int = 1, strategy: str = "rolling", big: int = 1, after: str = "60") -> None:
        self.one.folder.mkdir(exist_ok=True)
        told = {"image": image, "count": count, "strategy": strategy, "big": "x" * big, "after": after}
        text = DEFINITION % told
        if strategy != "blue_green":
            text = text.replace(f", promote_after: {after}", "")
        (self.one.folder / "model-definition.yml").write_text(text)
        self.one.loop.rescan()

    @property
    def image(self) -> str | None:
        return self.one.service.spec.routing.image

    def running(self) -> set[str]:
        """Images of what serves."""
        engine = self.one.engine
        up = [r for r in self.one.routings() if routing_status(r) is RoutingStatus.HEALTHY]
        return {str(engine.member(r.id).unit.spec.image) for r in up}

    async def good(self, image: int, **more: Any) -> None:
        """Define it and wait until it is good."""
        self.define(image, **more)
        await self.until(lambda: self._is_good(f"i:{image}"))

    def _is_good(self, image: str) -> bool:
        if not self.one.facts.services:
            return False
        service = self.one.service
        good = service.good.routing.image if service.good else None
        return good == image and service.rollout is None and self.running() == {image}

    async def until(self, what: Callable[[], bool]) -> None:
        await self.one.until(what)

    async def outcomes(self) -> list[tuple[int, str]]:
        return [(r.number, r.outcome) for r in await self.verbs.revisions("echo")]


@pytest.fixture
async def address() -> AsyncIterator[tuple[str, int]]:
    """A model server that is always well."""

    async def ok(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_get("/health", ok)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0]
    await runner.cleanup()


@asynccontextmanager
async def opened(tmp_path: Path, address: tuple[str, int]) -> AsyncIterator[World]:
    (tmp_path / "secrets").mkdir(exist_ok=True)
    (tmp_path / "secrets" / "key").write_text(SECRET)
    async with small(tmp_path) as one:
        one.engine.addresses["echo"] = address
        yield World(one)


@pytest.fixture
async def world(tmp_path: Path, address: tuple[str, int]) -> AsyncIterator[World]:
    async with opened(tmp_path, address) as found:
        yield found


# --- what is kept -----------------------------------------------------------------------------------------------------


async def test_a_revision_keeps_what_it_was_read_from_ran_and_wrote(world: World) -> None:
    await world.good(1, big=100_000)
    (one,) = await world.verbs.revisions("echo")
    assert (one.number, one.state, one.what, one.by) == (1, "serving", "first", "folder watch")
    assert one.image == "memory:i:1"
    assert one.cause.startswith("its definition appeared in ")
    detail = await world.verbs.revision("ECHO", 1)
    definition = (world.one.folder / "model-definition.yml").read_text()
    assert detail.definition == {"model-definition.yml": definition}
    assert detail.files is not None
    files = dict(detail.files)
    big = files.pop("big")
    assert files == {
        "a.txt": "image 1, key ***\n",
        "/home/work/.tmp/tempfile-1.py": "1\n",
        "/b": "uses /home/work/.tmp/tempfile-1.py, twice",
    }
    assert big == "x" * 65536 + "\n… cut: 34464 more bytes\n"


async def test_later_routings_and_hot_changes_leave_a_revision_as_it_is(world: World) -> None:
    await world.good(1)
    before = await world.verbs.revision("echo", 1)
    world.define(1, count=3)
    await world.until(lambda: len(world.one.routings()) == 3 and world._is_good("i:1"))
    assert await world.verbs.revision("echo", 1) == before
    assert len(await world.verbs.revisions("echo")) == 1


async def test_what_differs_is_said_in_short(world: World) -> None:
    await world.good(1)
    await world.good(2)
    newest, first = await world.verbs.revisions("echo")
    assert "image i:1 → i:2" in newest.what
    assert (newest.state, first.state) == ("serving", "good")


async def test_a_revision_that_another_overtook_was_superseded(world: World) -> None:
    await world.good(1)
    world.one.engine.by_service["echo"] = Program(start_delay=30)
    world.define(2)
    await world.until(lambda: world.image == "i:2")
    assert await world.outcomes() == [(2, "rolling out"), (1, "good")]
    world.one.engine.by_service.clear()
    await world.good(3)
    assert await world.outcomes() == [(3, "serving"), (2, "superseded"), (1, "good")]


# --- going back -------------------------------------------------------------------------------------------------------


async def test_a_rollback_by_hand_is_a_new_revision_and_holds_until_the_definition_changes(world: World) -> None:
    await world.good(1)
    await world.good(2)
    view = await world.verbs.rollback("echo", None)
    assert (view.revision, view.rollout is not None) == ("3", True)
    assert view.rejected == "revision 2 was rolled back: by hand, back to revision 1"
    await world.until(lambda: world._is_good("i:1"))
    world.define(2, count=2)
    await world.until(lambda: len(world.one.routings()) == 2 and world.running() == {"i:1"})
    assert await world.outcomes() == [
        (3, "serving"),
        (2, "rolled back: by hand, back to revision 1"),
        (1, "good"),
    ]
    three = (await world.verbs.revisions("echo"))[0]
    assert (three.cause, three.by) == ("back to revision 1, by hand", "api")
    assert (await world.verbs.revision("echo", 3)).definition == (await world.verbs.revision("echo", 1)).definition
    await world.verbs.retry("echo")
    await world.one.loop.look()
    assert world.image == "i:1", "what was left by hand is not tried again by clearing errors"
    await world.good(3)
    assert world.one.service.rejected is None


async def test_a_rollback_goes_past_what_was_never_good(world: World) -> None:
    await world.good(1)
    await world.good(2)
    await world.good(3)
    await world.verbs.rollback("echo", None)
    await world.until(lambda: world._is_good("i:2"))
    await world.verbs.rollback("echo", None)
    await world.until(lambda: world._is_good("i:1"))
    await world.verbs.rollback("echo", 3)
    await world.until(lambda: world._is_good("i:3"))
    assert world.one.service.rejected is None, "the definition says the same again"
    assert [number for number, _ in await world.outcomes()] == [6, 5, 4, 3, 2, 1]


@pytest.mark.parametrize("verb", ["rollback", "abort"])
async def test_a_rollout_under_way_is_given_up(verb: str, world: World) -> None:
    await world.good(1)
    world.one.engine.by_service["echo"] = Program(start_delay=30)
    world.define(2)
    await world.until(lambda: world.one.service.rollout is not None)
    await (world.verbs.rollback("echo", None) if verb == "rollback" else world.verbs.abort("echo"))
    await world.until(lambda: world._is_good("i:1") and len(world.one.routings()) == 1)
    assert [number for number, _ in await world.outcomes()] == [3, 2, 1]
    assert (await world.outcomes())[1][1].startswith("rolled back: ")


@pytest.mark.parametrize("cut_off_at", ["add_revision", "put_service"])
async def test_a_rollback_that_is_cut_off_can_be_repeated(
    cut_off_at: str, tmp_path: Path, address: tuple[str, int]
) -> None:
    async def killed(*_: Any, **__: Any) -> None:
        raise Unavailable("killed here")

    async with opened(tmp_path, address) as world:
        await world.good(1)
        await world.good(2)
        setattr(world.one.store, cut_off_at, killed)
        with pytest.raises(Unavailable, match="killed here"):
            await world.verbs.rollback("echo", 1)
    async with opened(tmp_path, address) as world:
        await world.one.loop.look()
        assert world.image == "i:2"
        assert (await world.outcomes())[-2:] == [(2, "serving"), (1, "good")], "what did not happen is not told"
        assert [r.outcome for r in await world.one.store.revisions(world.one.service.id)][-2:] == ["good", "good"]
        assert (await world.verbs.rollback("echo", 1)).revision == "3"
        assert [number for number, _ in await world.outcomes()] == [3, 2, 1]


async def test_a_failure_that_was_rolled_back_is_tried_again_by_clearing_errors(world: World) -> None:
    await world.good(1)
    world.define(2)
    await world.until(lambda: world.image == "i:2")
    service = world.one.service
    assert service.good is not None
    back = service.spec.model_copy(update={"routing": service.good.routing})
    rejected = Rejected(service.revision, 2, "it ended")
    await world.one.facts.put_service(replace(service, spec=back, rejected=rejected, rollout=None))
    world.one.loop.rescan()
    await world.one.loop.look()
    assert world.image == "i:1"
    assert (await world.verbs.retry("echo")).rejected == ""
    await world.until(lambda: world._is_good("i:2"))


@pytest.mark.parametrize("closed", ["image", "mount", "folder"])
async def test_a_rollback_does_not_reopen_what_was_closed_since(closed: str, world: World, tmp_path: Path) -> None:
    """An administrator closes what a revision used; going back to it by hand is refused, and says what would open."""
    await world.good(1)
    data, parts = tmp_path / "data", cast(Any, world.verbs._parts)
    data.mkdir()
    service = world.one.service
    spec = service.spec.routing.model_copy(update={"mounts": (ResolvedMount(source=str(data), target="/data"),)})
    with_mount = await world.one.store.add_revision(service.id, spec, "it had a mount", 1.0)
    outside = spec.model_copy(update={"mounts": (), "model_folder": "/etc"})
    elsewhere = await world.one.store.add_revision(service.id, outside, "a link led there", 1.0)
    await world.good(2)
    models = parts.settings.models_dirs
    parts.settings = Settings(models_dirs=models, docker={"allowed_images": ["other:*"]})
    number = {"image": 1, "mount": with_mount, "folder": elsewhere}[closed]
    told = {"image": "the image i:1 is not allowed", "mount": "the mount of", "folder": "model folder /etc"}[closed]
    with pytest.raises(Conflict, match=told) as caught:
        await world.verbs.rollback("echo", number)
    assert "config.toml" in caught.value.hint
    assert world.image == "i:2"
    parts.settings = Settings(models_dirs=models, docker={"allowed_mounts": [str(data), "/etc"]})
    await world.verbs.rollback("echo", number)
    assert world.image == "i:1"


# --- what is refused --------------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[Callable[[Rollouts], Any], type[OrchestratorError], str]] = {
    "the running one": (lambda v: v.rollback("echo", 2), Conflict, "revision 2 is what runs"),
    "one that is not known": (lambda v: v.rollback("echo", 9), NotFound, "no revision 9|known are 2, 1"),
    "a service that is not known": (lambda v: v.rollback("nobody", 1), NotFound, "nobody"),
    "no revision of that number": (lambda v: v.revision("echo", 9), NotFound, "known are 2, 1"),
    "promote without a rollout": (lambda v: v.promote("echo"), Conflict, "no rollout is under way"),
    "abort without a rollout": (lambda v: v.abort("echo"), Conflict, "no rollout is under way"),
    "a routing that is not known": (lambda v: v.set_ratio("r9", 1.0), NotFound, "orchestrator ps"),
}


async def test_what_makes_no_sense_is_refused_with_what_would(world: World) -> None:
    await world.good(1)
    with pytest.raises(Conflict, match="no revision before 1 was good"):
        await world.verbs.rollback("echo", None)
    await world.good(2)
    for call, kind, words in REFUSED.values():
        with pytest.raises(kind) as caught:
            await call(world.verbs)
        said = f"{caught.value.message}|{caught.value.hint}"
        assert all(word in said for word in words.split("|"))
        assert caught.value.hint
    assert [number for number, _ in await world.outcomes()] == [2, 1]
    service = world.one.service
    world.one.facts.services[service.id] = replace(service, removing=True)
    with pytest.raises(Conflict, match="it is being removed"):
        await world.verbs.rollback("echo", 1)


ROLLOUTS: dict[str, tuple[dict[str, Any], str]] = {
    "blue-green that is ready": ({"strategy": "blue_green", "phase": "ready"}, ""),
    "blue-green that is not ready yet": ({"strategy": "blue_green"}, ""),
    "canary in a step": ({"strategy": "canary", "phase": "judging", "step": 2}, ""),
    "canary after its steps": ({"strategy": "canary", "step": 3}, "passed all steps"),
    "rolling": ({"strategy": "rolling"}, "goes on by itself"),
    "recreate": ({"strategy": "recreate"}, "goes on by itself"),
    "watched": ({"strategy": "blue_green", "phase": "baking"}, "gets all requests already"),
    "going back": ({"strategy": "rolling", "phase": "returning"}, "going back to the last good revision"),
}


@pytest.mark.parametrize("name", ROLLOUTS)
async def test_only_what_waits_is_promoted(name: str, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    told, why = ROLLOUTS[name]
    await world.good(1)

    async def nothing() -> None:
        pass

    monkeypatch.setattr(world.one.loop, "look", nothing)
    service = world.one.service
    rollout = Rollout(service.revision, cause="", began_at=1.0, **told)
    await world.one.facts.put_service(replace(service, rollout=rollout, good=Good(1, service.spec.routing)))
    if why:
        with pytest.raises(Conflict, match=why):
            await world.verbs.promote("echo")
    else:
        await world.verbs.promote("echo")
        await world.verbs.promote("echo")
    now = world.one.service.rollout
    assert now is not None
    assert now.promoted is not bool(why)


async def test_blue_green_waits_for_the_word(world: World) -> None:
    await world.good(1, strategy="blue_green", after="null")
    world.define(2, strategy="blue_green", after="null")
    await world.until(lambda: world.one.service.rollout is not None and world.one.service.rollout.phase == "ready")
    view = world.verbs._view(world.one.service)
    assert view.rollout is not None
    assert view.rollout.said == (
        "revision 2 (blue-green): both sides are HEALTHY; `orchestrator promote echo` switches to it, "
        "`abort` gives it up"
    )
    await world.verbs.promote("echo")
    await world.until(lambda: world._is_good("i:2"))


async def test_a_ratio_reaches_the_gateway_and_survives_a_restart(tmp_path: Path, address: tuple[str, int]) -> None:
    async with opened(tmp_path, address) as world:
        await world.good(1, count=2)
        await world.until(lambda: len(world.one.gateway.published[-1].routes[0].servers) == 2)
        first, second = sorted(r.id for r in world.one.routings())
        assert (await world.verbs.set_ratio(second, 0.25)).traffic_ratio == 0.25
        assert [s.weight for s in world.one.gateway.published[-1].routes[0].servers] == [1.0, 0.25]
    async with opened(tmp_path, address) as world:
        assert {r.id: r.traffic_ratio for r in world.one.routings()} == {first: 1.0, second: 0.25}
