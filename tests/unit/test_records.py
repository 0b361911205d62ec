"""Requests, counted and kept: what the gateway writes down becomes counts, entries, percentiles and series."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.core.exposition import merged
from orchestrator.core.latency import BOUNDS, SIZE, bucket, quantile
from orchestrator.core.records import FORM, Field, fields
from orchestrator.records import AccessFiles, Recorder
from orchestrator.records.entries import entry, line
from orchestrator.records.series import POINTS, STEP, Series
from orchestrator.settings import AccessLogSettings

NOW = 1_795_753_299_066


def record(number: int = 0, **changes: object) -> bytes:
    told: dict[Field, object] = dict.fromkeys(Field, 0)
    told |= {Field.FORM: FORM.decode(), Field.AT: NOW + number, Field.REQUEST: f"q{number}", Field.SERVICE: "echo"}
    told |= {Field.ROUTING: "r1", Field.TOKEN: "t1", Field.METHOD: "GET", Field.PATH: "/x", Field.STATUS: 200}
    told |= {Field.END: "--", Field.CLIENT: "::1", Field.HELD: "-", Field.STREAM: "-", Field.TRACE: "-"}
    told |= {Field[name]: value for name, value in changes.items()}
    return "\t".join(str(told[field]) for field in Field).encode("utf-8", "surrogateescape")


# --- latency --------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 700_000), min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_percentile_lies_in_the_bucket_of_the_exact_one(latencies: list[int], share: float) -> None:
    counts = [0] * SIZE
    for ms in latencies:
        counts[bucket(ms)] += 1
    exact = sorted(latencies)[max(0, -(-int(len(latencies) * share * 100) // 100) - 1)]
    found = quantile(counts, share)
    assert found is not None
    nearby = {bucket(exact), min(SIZE - 1, bucket(exact) + 1), max(0, bucket(exact) - 1)}
    last = BOUNDS[-1] / 1000
    assert found == last or any(_inside(found * 1000, one) for one in nearby) or len(latencies) < 100


def _inside(ms: float, number: int) -> bool:
    return (BOUNDS[number - 1] if number else 0) <= ms <= (BOUNDS[number] if number < len(BOUNDS) else 1e9)


@pytest.mark.parametrize(("ms", "number"), [(0, 0), (1, 0), (2, 1), (3, 2), (2047, 11), (2048, 11), (600_001, 18)])
def test_a_latency_has_its_bucket(ms: int, number: int) -> None:
    assert bucket(ms) == number


def test_nothing_has_no_percentile() -> None:
    assert quantile([0] * SIZE, 0.5) is None


# --- entries --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, {"status": 200, "path": "/x", "token_id": "t1", "token_name": 'al"ice', "client": "::1"}),
        ({"PATH": "/a\\b\\"}, {"path": "/a\\b\\"}),
        ({"STATUS": -1, "ROUTING": "<NOSRV>", "TOKEN": "-"}, {"status": None, "routing": "", "token_id": ""}),
        ({"TOTAL": 1234567, "FIRST": -1}, {"seconds": {"total": 1234.567, "first_byte": None}}),
        ({"TOTAL": 900, "HELD": 500, "QUEUE": 520}, {"seconds": {"total": 0.9, "hold": 0.5, "queue": 0.02}}),
        ({"AT": 1_700_000_000_007}, {"time": "2023-11-14T22:13:20.007000Z"}),
        ({"METHOD": "<BADREQ>", "PATH": "<BADREQ>"}, {"method": "<BADREQ>"}),
    ],
)
def test_a_record_becomes_an_entry(changes: dict[str, object], shown: dict[str, object]) -> None:
    found = fields(record(**changes))
    assert found is not None
    view = entry(line(found, b'"Echo"', json.dumps('al"ice').encode()))
    assert view is not None
    told = view.model_dump(mode="json")
    for key, value in shown.items():
        assert told[key] == (told[key] | value if isinstance(value, dict) else value)


@given(st.binary(max_size=60))
def test_what_is_no_record_is_none(data: bytes) -> None:
    assert fields(data) is None
    assert entry(data) is None


# --- counted once ---------------------------------------------------------------------------------------------------


def recorder(folder: Path, generation: int = 0, **settings: object) -> Recorder:
    made = Recorder(folder, AccessLogSettings.model_validate(settings), {"t1": "alice"}.get)
    made.begin(generation, {})
    return made


def requests(fresh: dict[tuple[int, bytes, bytes, bytes], list[int]]) -> int:
    return sum(row[0] for row in fresh.values())


def written(made: Recorder) -> list[str]:
    return [json.loads(one)["request_id"] for one in made.files.tail("echo", 1000)]


LINES = [record(i) for i in range(6)]


def test_what_was_stored_after_the_file_was_written_is_not_counted_again(tmp_path: Path) -> None:
    first = recorder(tmp_path)
    first.take("7", LINES[:3], True)
    generation, fresh, marks = first.settle()  # stored, and killed before another record came
    second = Recorder(tmp_path, AccessLogSettings(), {}.get)
    second.begin(generation, marks)
    second.take("7", LINES, True)
    assert requests(fresh) == 3
    assert requests(second.settle()[1]) == 3


@pytest.mark.parametrize("stored", [True, False], ids=["the store had it", "the store had it not"])
def test_a_killed_daemon_leaves_nothing_out_and_nothing_twice(tmp_path: Path, stored: bool) -> None:
    first = recorder(tmp_path)
    first.take("7", LINES[:2], True)
    generation, fresh, _ = first.settle()
    assert (generation, requests(fresh)) == (1, 2)
    first.take("7", LINES[2:3], False)  # and killed, with or without its transaction
    second = recorder(tmp_path, generation if stored else 0)
    second.take("7", LINES[:5], True)
    assert requests(second.settle()[1]) == (1 if stored else 3), "of the one before"
    assert written(second) == ["q0", "q1", "q2", "q3", "q4"]
    second.take("8", LINES[5:], True)
    assert requests(second.settle()[1]) == (1 if stored else 3), "what is not stored comes again, as it was"
    second.stored(second.settle()[0])
    assert requests(second.settle()[1]) == 3
    totals = second.totals()["echo"]
    assert totals.requests == sum(totals.total) == 3, "its own"


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from(["asked", "stored", "refused", "killed", "disk"]), max_size=30),
    st.sampled_from([0, 1e9]),
)
@example(["asked", "refused", "asked", "killed", "stored", "killed"], 0)
@example(["asked", "refused", "asked", "stored", "killed"], 1e9)
def test_each_is_counted_once_whatever_happens(story: list[str], pause: float) -> None:
    """`stored`, `refused`: the store takes what is settled, or does not; `disk`: it is full, and then no longer;
    `pause`: every batch is written to the file of pending counts, or the first one of each daemon alone."""
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patched:
        patched.setattr(Recorder, "keep_rows", 0)
        patched.setattr(Recorder, "keep_pause", pause)
        folder, ring, known, full = Path(place), list[bytes](), (0, dict[str, str]()), False
        total = 0

        def daemon() -> Recorder:
            made = Recorder(folder, AccessLogSettings(enabled=False), {}.get)
            made.begin(*known)
            return made

        now = daemon()
        for step in [*story, "stored", "asked", "stored"]:
            match step:
                case "asked":
                    ring.append(record(len(ring)))
                    now.take("7", ring, True)
                case "stored":
                    generation, fresh, marks = now.settle()
                    if fresh and generation > known[0]:
                        known, total = (generation, marks), total + requests(fresh)
                    now.stored(generation)
                case "refused":
                    now.settle()
                case "killed":
                    now = daemon()
                case "disk":
                    full = not full
                    draft = folder / ".records.json.new"  # a folder in its place: it cannot be written
                    draft.unlink(missing_ok=True) if full else draft.rmdir()
                    draft.mkdir() if full else None
        assert total == len(ring)


def test_a_ring_that_turned_meanwhile_is_taken_whole(tmp_path: Path) -> None:
    made = recorder(tmp_path)
    made.take("7", LINES[:2], True)
    made.take("7", LINES[4:], True)
    assert requests(made.settle()[1]) == 4


@pytest.mark.parametrize("text", ["", "{", "[]", '{"generation": 1, "settled": [[1]], "fresh": [], "marks": {}}'])
def test_a_damaged_file_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "records.json").write_text(text)
    made = recorder(tmp_path)
    made.take("7", LINES, True)
    assert requests(made.settle()[1]) == 6


def test_what_is_cut_off_or_hostile_is_left_out(tmp_path: Path) -> None:
    made = recorder(tmp_path)
    made.take("7", [record(1, TOTAL="x"), record(2)[:-9], record(3, IN="")], True)
    made.take("7", [record(4, STATUS="9e9"), record(5, SERVICE="é\udcff")], False)
    assert requests(made.settle()[1]) == 2
    assert sorted(made.totals()) == ["echo", "é\ufffd"]


def test_what_is_counted_is_seen_though_the_store_fails(tmp_path: Path) -> None:
    made = recorder(tmp_path)
    for number in range(3):
        made.take("7", LINES[number : number + 1], False)
        made.settle()  # and it is not stored
        assert made.totals()["echo"].requests == number + 1
        assert sum(made.totals()["echo"].total) == number + 1


def test_counts_by_status_and_token(tmp_path: Path) -> None:
    made = recorder(tmp_path)
    made.take("7", [record(1), record(2, STATUS=500), record(3, STATUS=-1, TOKEN="-"), record(4, STREAM=1)], True)
    made.settle()
    found = made.totals()["echo"]
    assert found.statuses == {(200, "t1"): 2, (500, "t1"): 1, (0, ""): 1}
    assert (found.requests, found.errors, found.streams) == (4, 1, 1)
    made.stored(1)
    made.know(["other"])
    assert made.totals() == {}


async def test_who_follows_hears_of_one_service(tmp_path: Path) -> None:
    made = recorder(tmp_path, enabled=False)
    queue = made.follow("ECHO")
    made.take("7", [record(1), record(2, SERVICE="other")], True)
    found = entry(await queue.get())
    assert found is not None
    assert (found.request_id, found.token_name) == ("q1", "alice")
    assert queue.empty()
    made.leave(queue)
    assert not (tmp_path / "access").exists(), "it is off"


# --- files ----------------------------------------------------------------------------------------------------------


def test_files_are_turned_and_go_by_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda now=time.time(): now)  # all in one millisecond
    files = AccessFiles(tmp_path, AccessLogSettings(size=1 << 16, total=1 << 17))
    rows = [f"{i:07d} {'x' * 90}".encode() for i in range(5000)]
    for row in rows:
        files.append("echo", row + b"\n")
    files.append("echo.1", b"another\n")
    kept = sum(path.stat().st_size for path in tmp_path.glob("echo.*log"))
    assert 1 << 15 < kept <= (1 << 16) + 200
    assert files.tail("echo", 300) == rows[-300:]
    assert files.tail("echo.1", 5) == [b"another"]
    assert files.tail("nobody", 5) == []
    assert files.tail("echo", 0) == []
    files.close()


def test_files_go_by_age(tmp_path: Path) -> None:
    files = AccessFiles(tmp_path, AccessLogSettings(age=60))
    files.append("echo", b"old\n")
    files.append("other", b"new\n")
    os.utime(tmp_path / "echo.log", (time.time() - 100,) * 2)
    files.prune()
    assert [path.name for path in tmp_path.iterdir()] == ["other.log"]
    files.append("echo", b"again\n")
    assert files.tail("echo", 5) == [b"again"]
    files.close()


def test_a_small_file_is_turned_a_day_after_its_first_entry_whoever_opened_it(tmp_path: Path) -> None:
    def written(number: int) -> bytes:
        return line(fields(record(number)) or [], b'"echo"', b'""')

    now = round(time.time() * 1000) - NOW
    for since, turned in ((now - 86_000_000, False), (now - 87_000_000, True)):
        (tmp_path / "echo.log").write_bytes(written(since))
        files = AccessFiles(tmp_path, AccessLogSettings())
        files.append("echo", written(now))
        assert (tmp_path / "echo.log").exists() is not turned
        assert len(files.tail("echo", 5)) == 2
        files.close()


def test_what_cannot_be_written_is_counted(tmp_path: Path) -> None:
    files = AccessFiles(tmp_path / "file" / "below", AccessLogSettings())
    (tmp_path / "file").write_text("")
    files.append("echo", b"12345\n")
    assert files.dropped == 6
    assert files.tail("echo", 5) == []


# --- series ---------------------------------------------------------------------------------------------------------


def test_a_series_keeps_the_last_hour() -> None:
    series = Series()
    for i in range(POINTS + 5):
        series.add(1000 + i * STEP, {"requests": i, "p50": None, "memory": 123456789 if i else None})
    points = series.points(0)
    assert len(points) == POINTS
    assert [points[0].requests, points[-1].requests] == [5, POINTS + 4]
    assert [p.time for p in points] == sorted(p.time for p in points)
    assert points[-1].p50 is None
    assert points[-1].memory == pytest.approx(123456789, rel=1e-6)
    assert len(series.points(1000 + (POINTS + 2) * STEP)) == 2


# --- metrics of routings --------------------------------------------------------------------------------------------

SOURCE = """# HELP answers Answers that were given
# TYPE answers counter
answers_total{service="its own",x="service=1"} 3
answers_total 4 1700000000000
orchestrator_services 9
haproxy_up{} 1
nonsense {
nonsense{a="b} 1
nonsense{a="b",c} 1
nonsense 1x
# TYPE took histogram
took_bucket{le="+Inf",} 2
took_count 2
"""


@pytest.mark.parametrize("twice", [False, True])
def test_metrics_of_routings_get_their_labels_and_are_declared_once(twice: bool) -> None:
    sources: Sequence[tuple[dict[str, str], str]] = [
        ({"service": 'a"b', "routing": f"r{i}"}, SOURCE) for i in range(1 + twice)
    ]
    text = merged(sources)
    assert text.count("# TYPE answers counter") == 1
    assert text.count("# HELP answers Answers that were given") == 1
    assert 'answers_total{service="a\\"b",routing="r0",exported_service="its own",x="service=1"} 3\n' in text
    assert 'answers_total{service="a\\"b",routing="r0"} 4\n' in text
    assert 'took_bucket{service="a\\"b",routing="r0",le="+Inf"} 2\n' in text
    assert "orchestrator_" not in text
    assert "haproxy_" not in text
    assert "nonsense" not in text
