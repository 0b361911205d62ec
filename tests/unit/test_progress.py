"""How far a change is, whether the world moved since a plan, and the tree that shows it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console
from worlds import routing, service, spec

from orchestrator.cli.applying import branches, headline
from orchestrator.cli.trees import drawn
from orchestrator.core import present
from orchestrator.core.definition import Update
from orchestrator.core.fetching import Fetching, Layers
from orchestrator.core.pending import Pending
from orchestrator.core.plan_views import ProgressState, ProgressView
from orchestrator.core.ports import PullProgress
from orchestrator.core.progress import base, moved, progress
from orchestrator.core.state import Failure, Phase, Rejected, Rollout, Routing, Service

NEW = replace(service("echo", spec=spec(desired=2, image="i:2")), revision_number=2)
OLD = service("echo", spec=spec(desired=2))


def rollout(phase: Phase, **more: Any) -> Rollout:
    return Rollout(NEW.revision, "rolling", "changed", 0.0, phase=phase, **more)


def one(ident: str = "r1", state: str = "healthy", of: Service = NEW, **more: Any) -> Routing:
    return routing(of, ident, state, **more)


FAILURE = Failure("exited", "it ended with exit code 3", 5.0)
CASES: dict[str, tuple[Service | None, tuple[Routing, ...], str, ProgressState, str]] = {
    "all are there": (NEW, (one("a"), one("b")), NEW.revision, "done", "2 routings are HEALTHY on revision 2"),
    "one is missing": (NEW, (one("a"),), NEW.revision, "under_way", "1 of 2"),
    "an old one still ends": (NEW, (one("a"), one("b"), one("c", of=OLD)), NEW.revision, "under_way", "2 of 2"),
    "it is still watched": (
        replace(NEW, rollout=rollout("baking")),
        (one("a"), one("b")),
        NEW.revision,
        "under_way",
        "which is watched",
    ),
    "one waits": (NEW, (one("a", "waiting", cause="no capacity"),), NEW.revision, "under_way", "; no capacity"),
    "one failed": (NEW, (one("a", "gone", failure=FAILURE),), NEW.revision, "under_way", "the last start failed: it"),
    "it was rolled back": (
        replace(OLD, rejected=Rejected(NEW.revision, 2, "it fell over")),
        (),
        NEW.revision,
        "rolled_back",
        "revision 2 was rolled back: it fell over",
    ),
    "another came": (OLD, (), NEW.revision, "superseded", "another change took over"),
    "somebody must promote": (
        service("echo", spec=spec(update=Update(strategy="blue_green")), rollout=rollout("ready")),
        (),
        OLD.revision,
        "waits",
        "`orchestrator promote echo`",
    ),
    "it ends": (replace(NEW, removing=True), (one(),), "", "under_way", "1 routing ends"),
    "it is gone": (None, (), "", "done", "it is gone"),
    "it is gone and was to run": (None, (), NEW.revision, "superseded", "it was removed meanwhile"),
    "it ends and was to run": (replace(NEW, removing=True), (one(),), NEW.revision, "superseded", "removed meanwhile"),
    "it came back": (NEW, (), "", "superseded", "its removal was undone"),
}


@pytest.mark.parametrize("name", CASES)
def test_how_far_a_change_is(name: str) -> None:
    known, routings, revision, state, text = CASES[name]
    found = progress(known, routings, revision, exclusive=False)
    assert (found[0], text in found[1]) == (state, True), found


def test_what_failed_of_another_revision_is_not_told_of_this_one() -> None:
    found = progress(NEW, (one("a", "gone", of=OLD, failure=FAILURE),), NEW.revision, exclusive=False)
    assert found == ("under_way", "0 of 2 routings are HEALTHY on revision 2")


MOVES: dict[str, tuple[Service | None, str]] = {
    "nothing": (OLD, ""),
    "its health": (replace(OLD, problems=()), ""),
    "its revision": (NEW, "echo is at revision 2, not 1"),
    "its count": (replace(OLD, override_desired=5), "echo is to have 5 routings, not 2"),
    "something hot": (
        replace(OLD, spec=OLD.spec.model_copy(update={"open_to_public": True})),
        "echo was changed",
    ),
    "its definition": (replace(OLD, digest="new"), "the definition of echo was changed"),
    "it is gone": (None, "echo is gone"),
}


@pytest.mark.parametrize("name", MOVES)
def test_what_moved_since_a_plan_was_saved(name: str) -> None:
    now, text = MOVES[name]
    before = base([replace(OLD, digest="old")], [Pending(OLD, NEW)])
    known = [replace(now, digest=now.digest or "old")] if now else []
    found = moved(before, base(known, [Pending(OLD, NEW)]), {"echo": "1"}, {"echo": "1"})
    assert found == ([text] if text else [])


def test_what_is_wanted_must_be_the_same_too() -> None:
    assert moved({}, {}, {"a": "1", "b": "1"}, {"b": "2", "c": "1"}) == [
        "nothing is to be changed of a any more",
        "a change of c came since",
        "something else is wanted of b",
    ]


def test_the_tree_shows_services_routings_and_what_is_fetched() -> None:
    seen = PullProgress("i:2", 30 << 20, 40 << 20, layers=2, fetched=1, whole=True)
    fetching = {"r2": Fetching(seen, began=0.0, now=10.0, first=10 << 20)}
    around = present.Surroundings(now=10.0, gateway_url="http://g", fetching=fetching)
    mine = (one("r1"), one("r2", "starting"))
    routings = tuple(present.routing_view(r, around) for r in mine)
    view = ProgressView(
        id=NEW.id,
        name="echo",
        state="under_way",
        message="1 of 2 routings are HEALTHY",
        service=present.service_view(NEW, mine, around),
        routings=routings,
    )
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        found = branches([view], {NEW.id: "echo"}, datetime.fromtimestamp(10, UTC))
        console.print(drawn(headline([view], 12), found, 20))
        shown = console.export_text()
    assert "0 of 1 done, 12s" in shown
    assert "echo  under way  1 of 2 routings are HEALTHY" in shown
    assert "r1" in shown
    assert "  fetching  10s  75 %, 30 of 40 MiB, 2 MiB/s, 5s left" in shown.splitlines()[-1]
    assert routings[1].cause == routings[1].fetching.said if routings[1].fetching else False


EVENTS = [
    ("", "Pulling from x", {}, ""),
    ("a", "Pulling fs layer", {}, "fetching i"),
    ("b", "Pulling fs layer", {}, "fetching i"),
    ("c", "Already exists", {}, "fetching i"),
    ("b", "Waiting", {}, "fetching i"),
    ("a", "Downloading", {"current": 1 << 20, "total": 4 << 20}, "fetching i: 1 MiB, 1 of 3 layers"),
    ("b", "Downloading", {"current": 0, "total": 4 << 20}, "fetching i: 12 %, 1 of 8 MiB"),
    ("a", "Download complete", {}, "fetching i: 50 %, 4 of 8 MiB"),
    ("a", "Extracting", {"current": 1, "total": 4}, "fetching i: 50 %, 4 of 8 MiB"),
    ("b", "Verifying Checksum", {}, "fetching i: unpacking, 1 of 3 layers"),
    ("a", "Pull complete", {}, "fetching i: unpacking, 2 of 3 layers"),
    ("b", "Pull complete", {}, "fetching i: unpacking, 3 of 3 layers"),
]


def test_a_share_is_told_once_every_layer_is_known() -> None:
    layers, said = Layers("i"), ""
    for layer, status, detail, expected in EVENTS:
        said = str(layers.progress()) if layers.note(layer, status, detail) else said
        assert said == expected, (layer, status)


def test_an_unpacking_image_has_no_speed_and_no_time_left() -> None:
    seen = PullProgress("i", 10, 10, layers=1, fetched=1, whole=True)
    assert str(Fetching(seen, 0.0, 10.0)) == "fetching i: unpacking, 0 of 1 layers"
    assert Fetching(PullProgress("i", 5, 10), 0.0, 10.0).seconds_left is None, "not all sizes are known"
    assert Fetching(PullProgress("i", 5, 10, whole=True), 0.0, 0.5).seconds_left is None, "too early to tell"
