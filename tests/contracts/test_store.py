"""What the store promises: every fact comes back equal, names are one without regard to case, nothing is half-kept."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.core.audit import AuditEntry
from orchestrator.core.errors import Conflict, InvalidInput, NotFound, Unavailable
from orchestrator.core.events import Event
from orchestrator.core.routes import Traffic
from orchestrator.core.spec import RoutingSpec, ServiceSpec
from orchestrator.core.state import (
    Attempts,
    Failure,
    Good,
    Observed,
    ProbeState,
    Rejected,
    Removed,
    Reservation,
    Rollout,
    Routing,
    Service,
    Token,
)
from orchestrator.core.traffic_views import UsageView
from orchestrator.store import Outcome, Store, Texts
from orchestrator.store.codec import EVENT, ROUTING, SERVICE, SPEC
from orchestrator.store.sql import KEPT_TEXT

FLEETING = {"observed", "busy", "outcome", "lost_with_engine", "sessions"}
STORED = tuple(field.name for field in fields(Routing) if field.name not in FLEETING)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open("", tmp_path)
    yield opened
    await opened.close()


def spec(name: str = "echo", **routing: object) -> ServiceSpec:
    base = {"model_name": "m", "model_folder": "/m", "model_path": "/models", "model_mount": "/models", "port": 80}
    return ServiceSpec(name=name, model_name="m", routing=RoutingSpec.model_validate(base | routing))


def service(id: str = "s1", name: str = "echo", **more: object) -> Service:
    told = Service(id, name, "folder", f"/srv/models/{name}", "m", spec(name), revision_number=1, created_at=1.25)
    return replace(told, **more)  # type: ignore[arg-type]


def routing(id: str = "r1", **more: object) -> Routing:
    return replace(Routing(id, "s1", "echo", "abc", 2.5), **more)  # type: ignore[arg-type]


def token(id: str = "t1", service: str = "echo", **more: object) -> Token:
    return replace(Token(id, service, "laptop", "infer", 1.0, 100.0, "k1"), **more)  # type: ignore[arg-type]


# --- every fact comes back equal: any value of the types --------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
maps = st.dictionaries(st.text(max_size=5), json_values, max_size=3)
finite = st.floats(allow_nan=False)
st.register_type_strategy(float, finite)
st.register_type_strategy(int, st.integers(-(2**53), 2**53))
slots = st.dictionaries(st.text(max_size=5), finite, max_size=3)
texts = st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3)
actions = st.lists(
    st.fixed_dictionaries(
        {
            "action": st.just("write_file"),
            "args": st.fixed_dictionaries({"filename": st.text(), "body": st.text() | st.lists(st.text(), max_size=2)}),
        }
    )
    | st.fixed_dictionaries(
        {
            "action": st.just("run_command"),
            "ref": st.none() | st.text(),
            "args": st.fixed_dictionaries({"command": st.lists(st.text(), max_size=2), "check": st.booleans()}),
        }
    ),
    max_size=3,
)
specs = st.builds(
    lambda more, **routing: spec("echo", **routing).model_copy(update=more),
    more=st.fixed_dictionaries(
        {"metadata": maps, "start_timeout": finite, "desired": st.integers(0, 9), "open_to_public": st.booleans()}
    ),
    command=st.none() | st.text() | st.lists(st.text(), max_size=3),
    shell=st.none() | st.text(),
    actions=actions,
    environ=texts,
    secrets=texts,
    resources=slots,
    image=st.none() | st.text(),
    mounts=st.lists(st.fixed_dictionaries({"source": st.text(), "target": st.text()}), max_size=2),
)
reservations = st.builds(Reservation, slots=slots, devices=st.lists(st.text(), max_size=2).map(tuple))
failures = st.builds(Failure, log_tail=st.lists(st.text(), max_size=2).map(tuple))
traffic = st.dictionaries(st.text(max_size=5), st.from_type(Traffic), max_size=2)
services = st.builds(
    Service,
    spec=specs,
    launch=st.none() | maps,
    good=st.none() | st.builds(Good, routing=specs.map(lambda one: one.routing)),
    rejected=st.none() | st.from_type(Rejected),
    rollout=st.none()
    | st.builds(Rollout, base=traffic, phase_since=finite, progress_at=finite, step=st.integers(0, 9)),
    side=st.sampled_from(["blue", "green"]),
)
routings = st.builds(
    Routing,
    traffic_ratio=finite,
    side=st.sampled_from(["blue", "green"]),
    reservation=st.none() | reservations,
    failure=st.none() | failures,
    **{name: st.just(getattr(Routing("", "", "", "", 0.0), name)) for name in FLEETING},
)
few = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@few
@given(specs)
def test_a_spec_comes_back_with_the_same_hash(wanted: ServiceSpec) -> None:
    back = SPEC.decode(SPEC.encode(wanted.routing))
    assert back == wanted.routing
    assert back.revision == wanted.routing.revision


@few
@given(services, routings, st.builds(Event, detail=maps, seq=st.just(0)))
def test_every_fact_comes_back_equal(told: Service, tried: Routing, happened: Event) -> None:
    assert SERVICE.decode(SERVICE.encode(told)) == told
    assert ROUTING.decode(ROUTING.encode(tried)) == tried
    assert EVENT.decode(EVENT.encode(happened)) == happened


def test_infinity_and_undecodable_names_survive() -> None:
    odd = service(folder="/srv/models/caf\udce9", spec=spec(resources={"cpu": math.inf}))
    assert SERVICE.decode(SERVICE.encode(odd)) == odd


def test_what_json_has_no_word_for_is_kept_as_text() -> None:
    detail = {"path": Path("/x"), "raw": b"\xff", "items": {1}, "by number": {1: "one"}}
    back = EVENT.decode(EVENT.encode(Event(1.0, "odd", detail=detail)))
    assert back.detail == {"path": "/x", "raw": r"b'\xff'", "items": [1], "by number": {"1": "one"}}


def test_records_of_other_versions_decode() -> None:
    written = json.loads(SERVICE.encode(service()))
    written["of_tomorrow"] = written["spec"]["of_tomorrow"] = written["spec"]["routing"]["of_tomorrow"] = 1
    del written["owner"], written["spec"]["retry"], written["spec"]["routing"]["labels"]
    assert SERVICE.decode(json.dumps(written)) == service()


# --- services, routings, removed --------------------------------------------------------------------------------------


async def test_only_stored_facts_of_a_routing_come_back(store: Store) -> None:
    kept = routing(probe=ProbeState(passed_once=True, healthy=True), reservation=Reservation(slots={"cpu": 1.0}))
    seen = Observed("r1", "s1", "abc", "routing", "c1", "running")
    await store.put_service(service())
    await store.put_routing(replace(kept, observed=seen, busy="start", sessions=3, lost_with_engine=True))
    assert (await store.load()).routings == (kept,)
    assert set(STORED) == set(json.loads(ROUTING.encode(kept)))


async def test_facts_replace_those_before_and_are_there_after_reopening(tmp_path: Path) -> None:
    store = await Store.open("", tmp_path)
    gone = Removed("/srv/models/a", "m", "d1", 3.0)
    await store.put_service(service())
    await store.put_service(service(override_desired=3))
    await store.put_routings([routing("r1"), routing("r2")])
    await store.put_routing(routing("r2", stopping_since=9.0))
    await store.put_removed(replace(gone, digest="d0"))
    await store.put_removed(gone)
    before, installation = await store.load(), store.installation
    await store.close()

    again = await Store.open("", tmp_path)
    assert await again.load() == before
    assert before.services == (service(override_desired=3),)
    assert before.routings == (routing("r1"), routing("r2", stopping_since=9.0))
    assert before.removed == (gone,)
    assert again.installation == installation
    await again.delete_removed(gone.folder, gone.model)
    await again.delete_routing("r1")
    await again.delete_service("s1")
    after = await again.load()
    assert (after.services, after.routings, after.removed) == ((), (), ())
    await again.close()


async def test_a_name_is_one_without_regard_to_case(store: Store) -> None:
    await store.put_service(service("s1", "Echo"))
    with pytest.raises(Conflict, match="the name is taken by s1"):
        await store.put_service(service("s2", "eCHO"))
    await store.put_service(service("s1", "echo"))
    await store.put_service(service("s1", "other"))
    await store.put_service(service("s2", "eCHO"))
    assert [s.name for s in (await store.load()).services] == ["other", "eCHO"]


async def test_routings_are_kept_all_or_none(store: Store) -> None:
    await store.put_service(service())
    with pytest.raises(NotFound, match="service s9 is not stored"):
        await store.put_routings([routing("r1"), routing("r2", service_id="s9")])
    assert (await store.load()).routings == ()


async def test_a_record_that_does_not_decode_is_no_empty_world(store: Store) -> None:
    await store.put_service(service())
    other = sqlite3.connect(store.path)
    other.execute("UPDATE services SET record = '{}'")
    other.commit()
    other.close()
    with pytest.raises(Unavailable, match="a Service record does not decode"):
        await store.load()


# --- revisions --------------------------------------------------------------------------------------------------------


async def test_a_revision_is_a_record_that_nothing_changes(store: Store) -> None:
    first, second = spec(image="a").routing, spec(image="b").routing
    texts = {"model-definition.yml": "models: []\n", "service-definition.toml": "\udce9"}
    told = [
        (first, "created", {"by": "folder watch", "definition": texts}),
        (first, "the same again", {"by": "somebody else", "definition": {"model-definition.yml": "other"}}),
        (second, "changed", {}),
        (first, "changed back", {}),
    ]
    numbers = [
        await store.add_revision("s1", routing, cause, float(at), **more)  # type: ignore[arg-type]
        for at, (routing, cause, more) in enumerate(told)
    ]
    assert numbers == [1, 1, 2, 3]
    assert await store.add_revision("s2", second, "created", 9.0) == 1
    found = await store.revisions("s1")
    assert [(r.number, r.hash, r.cause, r.at, r.routing, r.by) for r in found] == [
        (3, first.revision, "changed back", 3.0, first, ""),
        (2, second.revision, "changed", 2.0, second, ""),
        (1, first.revision, "created", 0.0, first, "folder watch"),
    ]
    assert await store.numbers("s1") == {first.revision: 3, second.revision: 2}
    assert await store.texts("s1", 1) == Texts(texts, None)
    assert await store.texts("s1", 2) == Texts({}, None)
    assert await store.texts("s1", 3) == Texts(texts, None), "it is read from what the equal one was read from"
    assert await store.texts("s1", 4) is None
    await store.delete_service("s1")
    assert await store.revisions("s1") == []


async def test_only_the_first_routing_says_what_a_revision_ran_and_wrote(store: Store) -> None:
    first, second = spec(image="a").routing, spec(image="b").routing
    for routing in (first, second, first):
        await store.add_revision("s1", routing, "changed", 1.0)
    await store.set_ran("s1", first.revision, "sha256:1", {"/x": "\N{SNOWMAN}"})
    await store.set_ran("s1", first.revision, "sha256:2", {"/y": "later"})
    await store.set_ran("s1", second.revision, "", {})
    await store.set_ran("s1", second.revision, "sha256:3", {"/z": "later"})
    await store.set_ran("s9", second.revision, "sha256:4", {})
    assert [r.image for r in await store.revisions("s1")] == ["sha256:1", "", ""]
    files = [texts.files for n in (3, 2, 1) if (texts := await store.texts("s1", n))]
    assert files == [{"/x": "\N{SNOWMAN}"}, {}, None], "the newest of those that are equal is the one that runs"


async def test_an_outcome_keeps_the_time_when_it_was_first_told(store: Store) -> None:
    for image in "ab":
        await store.add_revision("s1", spec(image=image).routing, "changed", 1.0)
    for outcome in ((1, "good", 2.0), (1, "good", 3.0), (2, "rolled back: it crashed", 4.0), (7, "good", 5.0)):
        await store.put_service(service(), Outcome(*outcome))
    told = [(r.number, r.outcome, r.outcome_at) for r in await store.revisions("s1")]
    assert told == [(2, "rolled back: it crashed", 4.0), (1, "good", 2.0)]


async def test_only_the_newest_revisions_and_the_good_one_are_kept(store: Store) -> None:
    for n in range(103):
        await store.add_revision("s1", spec(image=str(n)).routing, "changed", float(n), good=2 if n > 1 else None)
    assert [r.number for r in await store.revisions("s1")] == [*range(103, 3, -1), 2]


async def test_texts_of_a_definition_that_changes_for_ever_do_not_fill_the_disk(store: Store) -> None:
    long = {"model-definition.yml": "x" * (KEPT_TEXT // 4 - 100)}
    for n in range(9):
        await store.add_revision("s1", spec(image=str(n)).routing, "changed", 1.0, definition=long, good=2)
    kept = [n for n in range(1, 10) if (texts := await store.texts("s1", n)) and texts.definition == long]
    assert kept == [2, 6, 7, 8, 9], "the newest, and the good one"
    assert len(await store.revisions("s1")) == 9


async def test_a_store_of_the_version_before_is_taken_over(tmp_path: Path) -> None:
    """With its rows: what ran goes on, and its history is there as far as it was kept."""
    raw = sqlite3.connect(tmp_path / "orchestrator.db")
    raw.executescript((Path(__file__).parent / "data" / "store-0001.sql").read_text())
    raw.execute("INSERT INTO revisions VALUES ('s2', 1, 'x', 'odd', 1.0, 'no json')")
    raw.commit()
    raw.close()
    first, second = spec(image="a", resources={"cpu": math.inf}), spec(image="b", environ={"K": "\N{SNOWMAN}"})
    told = service(
        spec=second.model_copy(update={"desired": 2}),
        revision_number=2,
        override_desired=3,
        attempts=Attempts(second.routing.revision, 1, 3.0),
    )
    for _ in range(2):
        store = await Store.open("", tmp_path)
        found = await store.load()
        assert found.services == (told,)
        assert [(r.id, r.traffic_ratio, r.side) for r in found.routings] == [("r1", 1.0, "blue")]
        await store.close()
    store = await Store.open("", tmp_path)
    kept = [(r.number, r.hash, r.at, r.routing, r.by, r.outcome, r.image) for r in await store.revisions("s1")]
    assert kept == [
        (2, "26f1fb376fbe", 2.5, second.routing, "", "", ""),
        (1, "4202a40aee36", 1.5, first.routing, "", "", ""),
    ]
    assert [r.routing.revision for r in await store.revisions("s1")] == ["26f1fb376fbe", "4202a40aee36"]
    assert await store.texts("s1", 2) == Texts({}, None)
    assert await store.add_revision("s1", first.routing, "changed back", 9.0) == 3
    await store.close()


# --- events -----------------------------------------------------------------------------------------------------------


async def test_events_are_found_in_order(store: Store) -> None:
    made = await store.append_events([Event(float(n), "k", service=("a", "B")[n % 2]) for n in range(10)])
    first = made[0].seq
    assert [event.seq for event in made] == list(range(first, first + 10))
    assert await store.events() == made
    assert await store.events(after=made[6].seq) == made[7:]
    assert await store.events(limit=3) == made[:3]
    assert await store.events(limit=3, newest=True) == made[-3:]
    assert await store.events(service="b") == made[1::2]
    assert await store.events(service="b", limit=2, newest=True) == made[7::2]


@pytest.mark.parametrize(
    ("keep", "before", "left"), [(100, 0.0, 10), (4, 0.0, 4), (100, 7.0, 3), (4, 8.0, 2), (0, 0.0, 0)]
)
async def test_pruned_events_never_give_their_numbers_away(store: Store, keep: int, before: float, left: int) -> None:
    made = await store.append_events([Event(float(n), "k") for n in range(10)])
    assert await store.prune_events(keep, before) == 10 - left
    assert await store.events() == made[10 - left :]
    assert (await store.append_events([Event(99.0, "k")]))[0].seq == made[-1].seq + 1


# --- tokens -----------------------------------------------------------------------------------------------------------


async def test_tokens_are_listed_revoked_and_forgotten(store: Store) -> None:
    mine, other, every = (
        token("t1"),
        token("t2", "other", issued_at=2.0),
        token("t3", "*", issued_at=3.0, expires_at=None),
    )
    for issued in (mine, other, every):
        await store.add_token(issued)
    assert await store.tokens() == [mine, other, every]
    assert await store.tokens("ECHO") == [mine]
    assert await store.token("t2") == other
    assert await store.token("t9") is None
    with pytest.raises(Conflict, match="its id is taken"):
        await store.add_token(mine)

    assert await store.revoke_token("t1", 10.0) == replace(mine, revoked_at=10.0)
    assert (await store.revoke_token("t1", 20.0)).revoked_at == 10.0
    with pytest.raises(NotFound, match="cannot revoke token t9"):
        await store.revoke_token("t9", 10.0)
    await store.touch_tokens({"t2": 5.0, "t3": 5.0, "t9": 5.0})
    await store.touch_tokens({"t2": 4.0, "t3": 6.0})
    assert [t.last_used_at for t in await store.tokens()] == [None, 5.0, 6.0]
    assert await store.drop_expired_tokens(100.5) == 2
    assert [t.id for t in await store.tokens()] == ["t3"]


async def test_usage_adds_up_with_its_marks(tmp_path: Path) -> None:
    row = UsageView(day="2026-01-31", service="Echo", token_id="t1", requests=2, errors=1, bytes_in=2**40, seconds=0.5)
    named = row.model_copy(update={"token_name": "alice"})
    store = await Store.open("", tmp_path)
    await store.add_usage([row, row.model_copy(update={"token_id": ""})], 1, {"7": "a\udcff"})
    for _ in range(2):  # the second time it is there already
        await store.add_usage([named, row.model_copy(update={"day": "2026-02-01"})], 2, {"7": "b"})
    await store.close()
    store = await Store.open("", tmp_path)
    sums = {"requests": 4, "errors": 2, "bytes_in": 2**41, "seconds": 1.0}
    assert await store.usage(service="ECHO", token="alice") == [named.model_copy(update=sums)]
    assert [found.token_id for found in await store.usage()] == ["", "t1", "t1"]
    assert [found.day for found in await store.usage(since="2026-02-01", token="t1")] == ["2026-02-01"]
    assert await store.usage(service="other") == []
    assert await store.record_marks() == (2, {"7": "b"})
    assert await store.prune_usage("2026-02-01") == 2
    await store.close()


async def test_removing_a_service_revokes_only_its_own_tokens(store: Store) -> None:
    for issued in (
        token("t1"),
        token("t2", "Echo"),
        token("t3", "echo2"),
        token("t4", "*"),
        token("t5", revoked_at=2.0),
    ):
        await store.add_token(issued)
    gone = await store.revoke_tokens_of("echo", 9.0)
    assert gone == [token("t1", revoked_at=9.0), token("t2", "Echo", revoked_at=9.0)]
    assert {t.id: t.revoked_at for t in await store.tokens()} == {
        "t1": 9.0,
        "t2": 9.0,
        "t3": None,
        "t4": None,
        "t5": 2.0,
    }


async def test_words_from_anywhere_are_kept(store: Store) -> None:
    for odd in ("\udce9", "\x00", "'; DROP TABLE tokens; --", "x" * 100_000):
        await store.put_removed(Removed(odd, odd, "d", 1.0))
        await store.delete_removed(odd, odd)
        await store.append_events([Event(1.0, odd, service=odd, routing=odd, cause=odd)])
        assert (await store.events(service=odd))[-1].cause == odd
        await store.add_token(token(str(hash(odd)), odd, name=odd))
    assert (await store.load()).removed == ()


# --- where it lies ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["postgresql://db/x", "sqlite://", "sqlite:///:memory:", "nonsense", "mysql://u:secret@h/x"]
)
async def test_only_a_sqlite_file_is_supported(tmp_path: Path, url: str) -> None:
    with pytest.raises(InvalidInput, match=r"cannot use store\.url") as caught:
        await Store.open(url, tmp_path)
    assert "secret" not in str(caught.value)


async def test_the_file_is_private_and_may_lie_elsewhere(tmp_path: Path) -> None:
    store = await Store.open(f"sqlite:///{tmp_path}/deep/er%2520/x%20y.db", tmp_path)
    await store.append_events([Event(1.0, "k")])
    assert store.path.parent == tmp_path / "deep" / "er%20"
    assert [(p.name, p.stat().st_mode & 0o777) for p in sorted(store.path.parent.iterdir())] == [
        (name, 0o600) for name in ("x y.db", "x y.db-shm", "x y.db-wal")
    ]
    await store.close()


async def test_after_close_a_call_says_so(tmp_path: Path) -> None:
    store = await Store.open("", tmp_path)
    await store.close()
    await store.close()
    with pytest.raises(Unavailable, match="cannot read the store: it is closed"):
        await store.load()


# --- the audit log --------------------------------------------------------------------------------------------------


def entry(number: int, **more: Any) -> AuditEntry:
    return AuditEntry(float(number), "Set", "PUT", "/x", **{"access": "admin", "service": "Echo", **more})


async def test_an_entry_is_completed_in_its_place(store: Store) -> None:
    first = await store.put_audit(entry(1, before={"a": [1, None]}, request={"ü": "\udcff"}))
    second = await store.put_audit(entry(2, service="other"))
    assert (first.seq, second.seq) == (1, 2)
    await store.put_audit(replace(first, status=200, after={"a": 2}))
    assert await store.audit() == [replace(first, status=200, after={"a": 2}), second]
    assert [one.seq for one in await store.audit(service="ECHO")] == [1]
    assert [one.seq for one in await store.audit(after=1)] == [2]
    assert [one.seq for one in await store.audit(limit=1)] == [2]


async def test_the_audit_log_is_bounded_and_who_may_nothing_pushes_nobody_out(store: Store) -> None:
    for number in range(1, 21):
        await store.put_audit(entry(number, access="admin" if number <= 5 else "read" if number <= 10 else "public"))
    every = [10, 10, 1 << 20, 0.0]
    assert await store.prune_audit(*every) == 5  # type: ignore[arg-type]
    assert [one.seq for one in await store.audit()] == [1, 2, 3, 4, 5, *range(11, 21)]
    assert await store.prune_audit(3, 10, 1 << 20, 0.0) == 2
    assert await store.prune_audit(3, 10, 1 << 20, 4.0) == 1
    assert [one.seq for one in await store.audit()][:2] == [4, 5]
    large = await store.put_audit(entry(30, request="x" * 5000))
    assert await store.prune_audit(10, 10, 6000, 0.0) > 0
    assert (await store.audit())[-1].seq == large.seq
    assert await store.prune_audit(10, 10, 100, 0.0) > 0
    assert await store.audit() == []
