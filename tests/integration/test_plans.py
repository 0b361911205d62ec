"""What folders say against what is followed: a real reader over a real store, nothing started."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Literal, cast

import pytest

from orchestrator.app.parts import Parts
from orchestrator.app.plans import PlanChanges
from orchestrator.core.errors import InvalidInput, NotFound, Unavailable
from orchestrator.core.pending import Pending, change_of
from orchestrator.core.plan_views import ApplyRequest
from orchestrator.core.rollout import rolled_back
from orchestrator.core.state import Group, Service
from orchestrator.core.views import LaunchRequest
from orchestrator.folders.candidates import choose, put_in_place, read_candidates
from orchestrator.scheduler.clock import SteadyClock
from orchestrator.scheduler.facts import Facts
from orchestrator.scheduler.journal import Journal
from orchestrator.scheduler.reader import FolderReader
from orchestrator.settings import Settings
from orchestrator.store import Store

DEFINITION = """
models:
  - name: %s
    service: {start_command: [serve, "{port}"], port: 8000}
    deployment: {image: "i:%d", desired_routing_count: %d}
"""


@dataclass
class Small:
    settings: Settings
    store: Store
    facts: Facts
    journal: Journal
    reader: FolderReader
    models: Path

    def define(self, name: str = "echo", image: int = 1, count: int = 1) -> Path:
        folder = self.models / name
        folder.mkdir(exist_ok=True)
        (folder / "model-definition.yml").write_text(DEFINITION % (name, image, count))
        return folder

    async def pending(self) -> dict[str, str]:
        await self.reader.read()
        return shown(self.reader.pending)

    async def take(self) -> None:
        said = await self.reader.said()
        for one in said.pending:
            await self.reader.take(one, said.texts.get(one.wanted.id, {}), "applied")

    def verbs(self) -> PlanChanges:
        """`apply` as the API has it, over a loop that looks at nothing."""

        async def look_now() -> None: ...

        loop = SimpleNamespace(lock=asyncio.Lock(), facts=self.facts, look_now=look_now)
        parts = SimpleNamespace(loop=loop, settings=self.settings, reader=self.reader, journal=self.journal)
        return PlanChanges(cast(Parts, parts))

    @property
    def service(self) -> Service:
        return next(iter(self.facts.services.values()))

    async def told(self, kind: str) -> list[str]:
        await self.journal.flush()
        return [e.service for e in await self.store.events(limit=1000) if e.kind == kind]


Opened = Callable[..., AbstractAsyncContextManager[Small]]


def shown(pending: tuple[Pending, ...]) -> dict[str, str]:
    return {one.wanted.name: change_of(one) for one in pending}


@pytest.fixture
def small(tmp_path: Path) -> Opened:
    """A function that opens it; the same state and folders each time."""

    @asynccontextmanager
    async def opened(apply: Literal["auto", "manual"] = "manual") -> AsyncIterator[Small]:
        models = tmp_path / "models"
        models.mkdir(exist_ok=True)
        settings = Settings(state_dir=tmp_path / "state", models_dirs=(models,), apply=apply)
        settings.state_dir.mkdir(exist_ok=True)
        clock = SteadyClock()
        store = await Store.open("", settings.state_dir)
        try:
            journal = Journal(store, clock)
            facts = Facts(store, clock, {"default": Group("default", {})}, shared_ports=False, needs_image=False)
            await facts.load()
            reader = FolderReader(settings, "memory", facts, journal, clock)
            yield Small(settings, store, facts, journal, reader, models)
        finally:
            await store.close()

    return opened


async def test_manual_compares_and_does_not_follow(small: Opened) -> None:
    async with small() as it:
        it.define()
        assert await it.pending() == await it.pending() == {"echo": "create"}
        assert (it.facts.services, await it.told("plan.pending")) == ({}, ["echo"])
        await it.take()
        assert await it.pending() == {}
        first = it.service
        it.define(image=2)
        assert await it.pending() == {"echo": "rolling"}
        it.define(count=3)
        assert await it.pending() == {"echo": "hot"}
        assert it.service.spec == first.spec
        assert await it.told("plan.pending") == ["echo"] * 3
    async with small() as it:
        assert await it.pending() == {"echo": "hot"}, "derived, hence there after a restart"
        (it.models / "echo" / "model-definition.yml").write_text("models: 1")
        assert await it.pending() == {}
        assert it.service.problems, "what is wrong with it is told all the same"


async def test_manual_holds_what_was_started_by_hand_too(small: Opened, tmp_path: Path) -> None:
    async with small() as it:
        elsewhere = it.define("hand").rename(tmp_path / "hand")
        reading, launch = await it.reader.launched(LaunchRequest(folder=str(elsewhere)), elsewhere)
        made = Service("1", "hand", "api", str(elsewhere), "hand", reading.services[0], 0, 0.0, launch=launch)
        await it.facts.put_service(made)
        assert await it.pending() == {}
        (elsewhere / "model-definition.yml").write_text(DEFINITION % ("hand", 2, 1))
        assert await it.pending() == {"hand": "rolling"}
        await it.take()
        assert it.service.spec.routing.image == "i:2"


async def test_auto_keeps_back_only_what_was_rolled_back_or_is_held(small: Opened) -> None:
    async with small("auto") as it:
        it.define()
        assert await it.pending() == {}
        first = it.service.spec.routing
        it.define(image=2)
        await it.reader.read()
        await it.facts.put_service(rolled_back(it.service, first, "it fell over", 1.0, by_hand=False))
        assert await it.pending() == {"echo": "rolling"}
        assert it.service.spec.routing == first
        await it.take()
        assert (it.service.spec.routing.image, it.service.rejected) == ("i:2", None)
        for name in ("a", "b", "c"):
            it.define(name)
        await it.reader.read()
        it.models.rename(it.models.with_name("unmounted"))
        found = await it.pending()
        assert set(found.values()) == {"remove"}
        assert all(one.held for one in it.reader.pending)


async def test_a_path_with_an_invalid_definition_changes_nothing_and_everything_leaves_it(small: Opened) -> None:
    async with small() as it:
        it.define("good")
        broken = it.define("broken")
        (broken / "model-definition.yml").write_text("models: 1")
        with pytest.raises(InvalidInput, match="cannot apply "):
            await it.verbs().apply(ApplyRequest(path=str(it.models)))
        assert not it.facts.services
        applied = await it.verbs().apply(ApplyRequest())
        assert ([t.service for t in applied.targets], applied.invalid) == (["good"], True)
        assert list(applied.left) == [str(broken)]


async def test_removals_that_are_held_are_left_but_where_they_are_meant(small: Opened) -> None:
    async with small("auto") as it:
        for name in ("a", "b", "c"):
            it.define(name)
        await it.reader.read()
        it.models.rename(it.models.with_name("unmounted"))
        applied = await it.verbs().apply(ApplyRequest())
        assert (applied.targets, applied.left.keys()) == ((), {"a", "b", "c"})
        assert not any(s.removing for s in it.facts.services.values())
        applied = await it.verbs().apply(ApplyRequest(yes=True))
        assert ([t.revision for t in applied.targets], applied.left) == ([""] * 3, {})
        assert all(s.removing for s in it.facts.services.values())


async def test_a_candidate_stands_for_the_folder_of_its_name(small: Opened, tmp_path: Path) -> None:
    async with small() as it:
        it.define()
        it.define("other")
        await it.take()
        checkout = tmp_path / "checkout" / "echo"
        checkout.mkdir(parents=True)
        (checkout / "model-definition.yaml").write_text(DEFINITION % ("echo", 7, 1))
        chosen = choose(str(checkout.parent), it.settings, set())
        readings = read_candidates(chosen, it.settings, "memory")
        said = await it.reader.said(readings)
        assert shown(said.pending) == {"echo": "rolling"}
        (checkout / "model-definition.yaml").write_text("changed since, and no definition at all")
        put_in_place(chosen, readings, it.settings)
        assert [p.name for p in (it.models / "echo").iterdir()] == ["model-definition.yml"], "under the name it had"
        after = await it.reader.said()
        assert [p.wanted.spec for p in after.pending] == [p.wanted.spec for p in said.pending], "as it was read before"
        assert said.pending[0].wanted.spec.routing.model_folder == str(it.models / "echo")


async def test_somebodys_word_for_a_removed_folder_is_followed(small: Opened) -> None:
    async with small() as it:
        folder = it.define()
        it.define("other")
        assert await it.pending() == {"echo": "create", "other": "create"}
        await it.reader.adopt(str(folder))
        assert [s.name for s in it.facts.services.values()] == ["echo"]
        assert await it.pending() == {"other": "create"}


SIDE = "deployment-config.yaml"


async def test_the_file_beside_a_candidate_goes_with_it(small: Opened, tmp_path: Path) -> None:
    async with small() as it:
        folder = it.define()
        (folder / SIDE).write_text("environ: {A: old}\n")
        checkout = tmp_path / "echo"
        checkout.mkdir()
        (checkout / "model-definition.yml").write_text(DEFINITION % ("echo", 1, 1))
        for toml in (None, "[environ]\nA = 'new'\n"):
            if toml is not None:
                (checkout / "service-definition.toml").write_text(toml)
            chosen = choose(str(checkout / "model-definition.yml"), it.settings, set())
            readings = read_candidates(chosen, it.settings, "memory")
            before = await it.reader.said(readings)
            put_in_place(chosen, readings, it.settings)
            after = await it.reader.said()
            assert before.pending[0].wanted.spec == after.pending[0].wanted.spec
            assert after.pending[0].wanted.spec.routing.environ == {"A": "old" if toml is None else "new"}


async def test_paths_that_mean_nothing_are_refused(small: Opened, tmp_path: Path) -> None:
    async with small() as it:
        (tmp_path / "empty").mkdir()
        for text, kind in {
            "./relative": InvalidInput,
            "/a\0b": InvalidInput,
            "/nowhere/at/all": NotFound,
            str(tmp_path / "empty"): NotFound,
        }.items():
            with pytest.raises(kind):
                choose(text, it.settings, set())
        below = choose(str(it.models / "gone" / "model-definition.yml"), it.settings, set())
        assert below.has(str(it.models / "gone"))
        assert not below.has(str(it.models / "gone2"))


async def test_a_folder_that_cannot_be_written_is_said(small: Opened, tmp_path: Path) -> None:
    async with small() as it:
        checkout = tmp_path / "echo"
        checkout.mkdir()
        (checkout / "model-definition.yml").write_text(DEFINITION % ("echo", 1, 1))
        settings = it.settings.model_copy(update={"models_dirs": (Path("/proc/self"),)})
        chosen = choose(str(checkout), settings, set())
        with pytest.raises(Unavailable, match="cannot write to /proc/self/echo"):
            put_in_place(chosen, read_candidates(chosen, settings, "memory"), settings)
        assert replace(choose("Echo", it.settings, set())).has("", "echo"), "a name means a service"


async def test_nothing_is_written_or_run_where_a_link_leads_out(small: Opened, tmp_path: Path) -> None:
    """Whoever may write into a models_dir, or made the checkout, gets nothing of the host by a link."""
    async with small() as it:
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / SIDE).write_text("environ: {A: b}\n")
        (it.models / "echo").symlink_to(outside)
        checkout = tmp_path / "checkout" / "echo"
        checkout.mkdir(parents=True)
        (checkout / "model-definition.yml").write_text(DEFINITION % ("echo", 1, 1))
        chosen = choose(str(checkout), it.settings, set())
        readings = read_candidates(chosen, it.settings, "memory")
        assert "leads out" in readings[str(it.models / "echo")].problems[0].message
        (it.models / "echo").unlink()
        readings = read_candidates(chosen, it.settings, "memory")
        (it.models / "echo").symlink_to(outside)
        with pytest.raises(Unavailable, match="leads out"):
            put_in_place(chosen, readings, it.settings)
        assert [p.name for p in outside.iterdir()] == [SIDE]
        (it.models / "echo").unlink()
        secret = tmp_path / "shadow.yaml"
        secret.write_text("root:hash:1\n")
        for name in ("model-definition.yml", SIDE):
            (checkout / name).unlink(missing_ok=True)
            (checkout / name).symlink_to(secret)
            told = str(read_candidates(chosen, it.settings, "memory"))
            assert "leads out" in told
            assert "hash" not in told
            (checkout / name).unlink()
            (checkout / "model-definition.yml").write_text(DEFINITION % ("echo", 1, 1))
        (checkout / "model-definition.yml").unlink()
        gone = read_candidates(chosen, it.settings, "memory")[str(it.models / "echo")]
        assert gone.problems, "a file that is gone since is no wish to remove the service"
        with pytest.raises(InvalidInput, match="not a model definition"):
            choose("/etc/passwd", it.settings, set())


async def test_what_is_written_has_the_permissions_of_what_it_replaces(small: Opened, tmp_path: Path) -> None:
    async with small() as it:
        checkout = tmp_path / "echo"
        checkout.mkdir()
        file, written = checkout / "model-definition.yml", it.models / "echo" / "model-definition.yml"
        file.write_text(DEFINITION % ("echo", 1, 1))
        for given, expected in ((0o600, 0o600), (0o666, 0o600), (0o600, 0o660)):
            file.chmod(given)
            if expected == 0o660:
                written.chmod(0o660)
            chosen = choose(str(file), it.settings, set())
            put_in_place(chosen, read_candidates(chosen, it.settings, "memory"), it.settings)
            assert written.stat().st_mode & 0o777 == expected
