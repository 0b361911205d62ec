"""From folders as read to services as wanted: what appears, changes, breaks, vanishes, and is held."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import pytest
from worlds import service, spec

from orchestrator.core.catalog import Catalog, Listed, reconcile
from orchestrator.core.problems import Problem
from orchestrator.core.rollout import rolled_back
from orchestrator.core.spec import ServiceSpec
from orchestrator.core.state import Rejected, Removed, Service

NOW = 1000.0
WRONG = (Problem("error", "f", 1, 1, "models", "is wrong"),)


def listed(folder: str, *specs: ServiceSpec, digest: str = "d", problems: tuple[Problem, ...] = ()) -> Listed:
    return Listed(folder, tuple(s.name for s in specs) or (folder.rsplit("/", 1)[-1],), digest, specs, problems)


def decide(*entries: Listed, known: tuple[Service, ...] = (), now: float = NOW, **more: object) -> Catalog:
    ids = count()
    told = {"unreadable": {}, "removed": (), **more}
    return reconcile(entries, told["unreadable"], known, told["removed"], now, lambda: f"new-{next(ids)}")  # type: ignore[arg-type]


ECHO = replace(service("echo"), digest="d")


def test_a_folder_becomes_a_service() -> None:
    found = decide(listed("/models/echo", spec("echo")))
    assert [(s.name, s.source, s.folder, s.digest) for s in found.changed] == [("echo", "folder", "/models/echo", "d")]


def test_nothing_changes_while_nothing_changed() -> None:
    assert decide(listed("/models/echo", spec("echo")), known=(ECHO,)) == Catalog()


def test_an_invalid_definition_leaves_the_running_revision_alone() -> None:
    found = decide(listed("/models/echo", problems=WRONG), known=(ECHO,))
    assert [(s.spec, s.problems, s.vanished_since) for s in found.changed] == [(ECHO.spec, WRONG, None)]
    assert not found.broken


def test_an_invalid_definition_of_a_new_folder_is_shown_as_broken() -> None:
    assert [b.name for b in decide(listed("/models/new", problems=WRONG)).broken] == ["new"]


@pytest.mark.parametrize(("first", "second"), [("/a", "/b"), ("/b", "/a")])
def test_the_first_folder_by_path_gets_the_name(first: str, second: str) -> None:
    found = decide(listed(first, spec("echo")), listed(second, spec("ECHO")))
    assert [s.folder for s in found.changed] == ["/a"]
    assert [(b.folder, "/a" in b.problems[0].message) for b in found.broken] == [("/b", True)]


def test_the_running_service_keeps_its_name() -> None:
    running = replace(ECHO, folder="/z", digest="d")
    found = decide(listed("/a", spec("echo")), listed("/z", spec("echo")), known=(running,))
    assert not found.changed
    assert [b.folder for b in found.broken] == ["/a"]


def test_a_vanished_definition_ends_its_service_after_five_seconds() -> None:
    first = decide(known=(ECHO,))
    assert [(s.vanished_since, s.removing) for s in first.changed] == [(NOW, False)]
    assert first.wake_at == NOW + 5
    gone = first.changed[0]
    assert not decide(known=(gone,), now=NOW + 4.9).changed
    assert [s.removing for s in decide(known=(gone,), now=NOW + 5).changed] == [True]
    back = decide(listed("/models/echo", spec("echo")), known=(gone,), now=NOW + 4)
    assert [(s.vanished_since, s.removing) for s in back.changed] == [(None, False)]


def test_what_lies_below_an_unreadable_models_dir_is_held() -> None:
    found = decide(known=(ECHO,), unreadable={"/models": "No such file or directory"})
    assert [(s.held, s.removing) for s in found.changed] == [("cannot read /models: No such file or directory", False)]
    assert not decide(known=found.changed, unreadable={"/models": "No such file or directory"}, now=NOW + 99).changed


MASS = {
    "three of four": (4, 3, True),
    "three of six: no more than half": (6, 3, False),
    "two of two: too few to tell": (2, 2, False),
    "all of fifty": (50, 50, True),
}


@pytest.mark.parametrize("name", MASS)
def test_many_that_vanish_at_once_are_held(name: str) -> None:
    total, gone, held = MASS[name]
    known = tuple(replace(service(f"s{i:02d}"), digest="d") for i in range(total))
    entries = [listed(s.folder, s.spec) for s in known[gone:]]
    found = decide(*entries, known=known)
    assert [bool(s.held) for s in found.changed] == [held] * gone
    later = {s.id: s for s in decide(*entries, known=(*found.changed, *known[gone:]), now=NOW + 9).changed}
    assert [s.removing for s in later.values()] == ([] if held else [True] * gone)
    back = decide(*(listed(s.folder, s.spec) for s in known), known=(*found.changed, *known[gone:]), now=NOW + 9)
    assert {(s.held, s.vanished_since, s.removing) for s in back.changed} == {("", None, False)}


def test_a_service_removed_by_hand_stays_away_until_its_definition_changes() -> None:
    mark = Removed("/models/echo", "echo", "d", NOW)
    assert decide(listed("/models/echo", spec("echo")), removed=(mark,)) == Catalog()
    changed = decide(listed("/models/echo", spec("echo"), digest="e"), removed=(mark,))
    assert changed.returned == (mark,)
    assert [s.name for s in changed.changed] == ["echo"]


OVERRIDES = {"the file is as it was": (1, 3), "its own count changed": (2, None), "to what it was over": (1, 3)}


@pytest.mark.parametrize("name", OVERRIDES)
def test_an_override_ends_when_the_files_own_count_changes(name: str) -> None:
    in_file, kept = OVERRIDES[name]
    scaled = replace(ECHO, override_desired=3, override_over=1)
    found = decide(listed("/models/echo", spec("echo", desired=in_file), digest="e"), known=(scaled,))
    assert [s.override_desired for s in found.changed] == [kept]


def test_another_service_name_is_another_service() -> None:
    renamed = spec("echo").model_copy(update={"name": "other"})
    found = decide(listed("/models/echo", renamed), known=(ECHO,))
    assert {(s.name, s.id.startswith("new"), s.vanished_since) for s in found.changed} == {
        ("other", True, None),
        ("echo", False, NOW),
    }


BAD = spec("echo", image="i:bad")
REJECTED = Rejected(BAD.routing.revision, 2, "it crashed")
ROLLED_BACK = replace(ECHO, rejected=REJECTED)
REJECTIONS = {
    "the definition is as it was": (BAD, "i:1", 1, True),
    "its hot part changed": (BAD.model_copy(update={"desired": 5}), "i:1", 5, True),
    "its routing part changed": (spec("echo", image="i:3"), "i:3", 1, False),
    "it was taken back to what runs": (spec("echo"), "i:1", 1, False),
}


@pytest.mark.parametrize("name", REJECTIONS)
def test_a_definition_that_was_rolled_back_is_followed_only_in_what_is_hot(name: str) -> None:
    told, image, desired, still = REJECTIONS[name]
    found = decide(listed("/models/echo", told, digest="e"), known=(ROLLED_BACK,))
    (now,) = found.changed
    assert (now.spec.routing.image, now.spec.desired, now.digest) == (image, desired, "e")
    assert now.rejected == (REJECTED if still else None)


def test_nothing_changes_while_a_definition_that_was_rolled_back_stays() -> None:
    assert decide(listed("/models/echo", BAD), known=(ROLLED_BACK,)) == Catalog()


def test_going_back_twice_does_not_bring_the_definition_back() -> None:
    """What must not be followed is what the definition says, not the revision that was left last."""
    second, third = spec("echo", image="i:2").routing, BAD
    running = replace(ECHO, spec=third, revision_number=3)
    back = rolled_back(running, second, "by hand", NOW, by_hand=True)
    twice = rolled_back(replace(back, revision_number=4), spec("echo").routing, "by hand", NOW, by_hand=True)
    assert twice.rejected == Rejected(third.routing.revision, 3, "by hand", by_hand=True)
    assert not decide(listed("/models/echo", third), known=(twice,)).changed
    assert rolled_back(twice, third.routing, "by hand", NOW, by_hand=True).rejected is None
