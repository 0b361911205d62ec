"""The pure parts of the CLI: where the daemon is, how times and tables read, when `run` has waited enough."""

from __future__ import annotations

import json
import os
import socket
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.cli.common import pairs
from orchestrator.cli.embedded import embed
from orchestrator.cli.observing import GIVE_WAY, TOP, fitting, latency, rate, size, summed
from orchestrator.cli.observing import told as entry_line
from orchestrator.cli.output import age, aligned, clean, span, stacked, tamed
from orchestrator.cli.plan import text
from orchestrator.cli.progress import TRIES, Picture, branches, headline, plain
from orchestrator.cli.run import call_lines
from orchestrator.cli.streams import since_seconds
from orchestrator.cli.trees import Branch, drawn, fitted
from orchestrator.client import Daemon, find_daemon
from orchestrator.core.errors import Conflict, InvalidInput, NotAuthorised
from orchestrator.core.plan_views import FieldView, PlanView, ServicePlan
from orchestrator.core.state import RoutingStatus, ServiceStatus
from orchestrator.core.traffic_views import AccessEntry, AccessSeconds, TopView, UsageView
from orchestrator.core.views import CauseView, ExplainView, FetchView, RoutingView, ServiceView, instant
from orchestrator.store.lock import StateLock

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

LONG = "serve --model /models " + "--flag " * 10


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ("1", "2", ["  ~ deployment.x  1 -> 2  (rolling)"]),
        (
            LONG + "--a",
            LONG + "--b",
            ["  ~ deployment.x  (rolling)", f"      -{LONG}--a", f"      +{LONG}--b"],
        ),
        (None, LONG, [f"  + deployment.x  {LONG[:59]}\N{HORIZONTAL ELLIPSIS}  (rolling)"]),
    ],
)
def test_a_plan_shows_what_differs_also_at_the_end_of_a_long_value(
    before: str | None, after: str, lines: list[str]
) -> None:
    field = FieldView(path="deployment.x", before=before, after=after, kind="rolling")
    view = PlanView(made_at=NOW, services=(ServicePlan(service="echo", change="rolling", fields=(field,)),))
    assert list(text(view))[1:-4] == lines


# --- where the daemon is --------------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory with a state directory `state` that has a token."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "admin.token").write_text("of-state\n")
    return tmp_path


CONFIG = 'state_dir = "state"\n[api]\nlisten = "127.0.0.1:9000"\n'


def test_options_win_over_environment_and_file(place: Path) -> None:
    (place / "config.toml").write_text(CONFIG)
    environ = {"ORCHESTRATOR_URL": "http://env", "ORCHESTRATOR_TOKEN": "env"}
    assert find_daemon(url="http://option", token="option", environ=environ) == Daemon("http://option", "option")
    assert find_daemon(url="http://option", environ=environ) == Daemon("http://option", "env")
    assert find_daemon(environ=environ) == Daemon("http://env", "env")
    assert find_daemon(environ={}) == Daemon("http://127.0.0.1:9000", "of-state")


def test_the_given_file_wins_over_the_one_here(place: Path) -> None:
    (place / "config.toml").write_text('state_dir = "nowhere"\n')
    other = place / "etc" / "other.toml"
    other.parent.mkdir()
    other.write_text(CONFIG.replace('"state"', '"../state"'))
    expected = Daemon("http://127.0.0.1:9000", "of-state")
    assert find_daemon(config=other, environ={}) == expected
    assert find_daemon(environ={"ORCHESTRATOR_CONFIG": str(other)}) == expected


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("0.0.0.0:81", "http://127.0.0.1:81"),
        ("[::]:81", "http://[::1]:81"),
        ("[::1]:81", "http://[::1]:81"),
        ("box:81", "http://box:81"),
    ],
)
@pytest.mark.usefixtures("place")
def test_an_address_to_listen_on_becomes_one_to_call(listen: str, url: str) -> None:
    told = {"ORCHESTRATOR_API__LISTEN": listen, "ORCHESTRATOR_STATE_DIR": "state"}
    assert find_daemon(environ=told) == Daemon(url, "of-state")


def test_no_token_yet_is_left_to_the_daemon_to_refuse(place: Path) -> None:
    assert find_daemon(environ={"ORCHESTRATOR_STATE_DIR": str(place / "none")}).token == ""


@pytest.mark.parametrize("text", ["[", "a = [" + "[" * 5000, "\x00", 'x = "\xff"'])
def test_a_file_that_cannot_be_read_is_named(text: str, place: Path) -> None:
    (place / "bad.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidInput, match=r"bad\.toml"):
        find_daemon(config=place / "bad.toml", environ={})


@pytest.mark.usefixtures("place")
def test_the_token_is_not_in_the_repr() -> None:
    assert "of-state" not in repr(find_daemon(environ={"ORCHESTRATOR_STATE_DIR": "state"}))


def test_a_token_that_may_not_be_read_says_who_may(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", denied)
    with pytest.raises(NotAuthorised, match=r"admin\.token"):
        find_daemon(environ={"ORCHESTRATOR_STATE_DIR": str(place / "state")})


# --- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (3599, "59m"), (3600, "1h"), (86399, "23h"), (90000, "1d")],
)
def test_spans(seconds: float, text: str) -> None:
    assert span(seconds) == text
    assert age(NOW - timedelta(seconds=seconds), NOW) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [("10s", -10), ("1.5m", -90), ("2h", -7200), ("1w", -604800), ("2026-01-02T03:04:00Z", -5)],
)
def test_since(text: str, expected: float) -> None:
    assert since_seconds(text, NOW) == NOW.timestamp() + expected


@pytest.mark.parametrize("text", ["", "10", "10y", "soon", "2026-13-01", "-5m", "1e9s"])
def test_since_that_is_none(text: str) -> None:
    with pytest.raises(InvalidInput, match="--since"):
        since_seconds(text, NOW)


def test_pairs() -> None:
    assert pairs(["A=1", "B=", "C=x=y"], "--env") == {"A": "1", "B": "", "C": "x=y"}
    for wrong in ("A", "=x", ""):
        with pytest.raises(InvalidInput, match="KEY=VALUE"):
            pairs([wrong], "--env")


@given(st.text())
@settings(max_examples=50)
def test_cleaned_text_has_no_control_characters(text: str) -> None:
    assert all(c in "\t\n" or ord(c) >= 32 for c in clean(text))
    assert "\x9b" not in clean(text)


def test_a_log_line_keeps_its_colours_and_nothing_else() -> None:
    assert tamed("\x1b[31mred\x1b[0m \x1b[2J\x1b]0;title\x07") == "\x1b[31mred\x1b[0m �[2J�]0;title�"


@given(st.lists(st.tuples(*[st.text("abc", max_size=5)] * 3), min_size=1, max_size=5))
@settings(max_examples=50)
def test_columns_begin_under_each_other(rows: list[tuple[str, str, str]]) -> None:
    cells = [[f"<{cell}" for cell in row] for row in rows]
    lines = aligned(cells, [False, False, False])
    assert len({tuple(i for i, c in enumerate(line) if c == "<") for line in lines}) == 1


def test_rows_that_are_too_wide_go_on_below() -> None:
    cells = [
        ["NAME", "N", "ENDPOINT", "CAUSE"],
        ["a", "10", "http://host/a", ""],
        ["bcd", "1", "http://host/bcd", "why"],
    ]
    assert stacked(cells, [False, True, False, False], 24) == [
        "NAME   N",
        "    ENDPOINT",
        "    CAUSE",
        "a     10",
        "    http://host/a",
        "bcd    1",
        "    http://host/bcd",
        "    why",
    ]
    told = [["NAME", "CAUSE"], ["a-long-name", "no room: needs 2 cuda.device, 0 free"]]
    assert stacked(told, [False, False], 24)[2:] == ["a-long-name", "    no room: needs 2", "    cuda.device, 0 free"]
    assert stacked(cells, [False, True, False, False], 25)[:2] == ["NAME   N  ENDPOINT", "    CAUSE"]


# --- when `run` has waited enough -----------------------------------------------------------------------------------


def service(name: str, status: str) -> ServiceView:
    return ServiceView(
        id=f"id-{name}",
        name=name,
        status=ServiceStatus(status),
        desired_routing_count=1,
        healthy=int(status == "HEALTHY"),
        revision="r",
        endpoint=f"http://gw/inference/{name}",
        source="folder",
    )


def routing(name: str, status: str, number: int = 0) -> RoutingView:
    return RoutingView(
        id=f"{name}{number}", service=name, revision="r", status=RoutingStatus(status), created_at=instant(0)
    )


def told(name: str, status: str, *codes: str) -> dict[str, ExplainView]:
    causes = tuple(CauseView(code=code, message=f"because of {code}") for code in codes)
    return {name: ExplainView(service=name, status=ServiceStatus(status), causes=causes)}


@pytest.mark.parametrize(
    ("status", "codes", "failed", "out"),
    [
        ("HEALTHY", (), 0, False),
        ("PROVISIONING", (), 0, False),
        ("PROVISIONING", ("loading",), 0, False),
        ("PROVISIONING", ("no_image",), 0, True),
        ("PROVISIONING", ("waiting", "no_capacity"), 0, True),
        ("UNHEALTHY", ("image_missing", "back_off"), 1, True),
        ("UNHEALTHY", ("exited", "back_off"), 1, False),
        ("UNHEALTHY", ("exited", "back_off"), TRIES, True),
        ("UNHEALTHY", ("exited", "crash_loop"), 1, True),
        ("PROVISIONING", ("loading", "health_redirect"), 0, False),
        ("UNHEALTHY", ("start_hopeless", "health_redirect"), 1, True),
        ("DEGRADED", ("loading",), 0, False),
        ("DEGRADED", ("no_capacity",), 0, True),
        ("INVALID", ("definition_invalid",), 0, True),
        ("INVALID", (), 0, True),
        ("STOPPED", ("stopped",), 0, True),
    ],
)
def test_which_services_are_not_waited_for(status: str, codes: tuple[str, ...], failed: int, out: bool) -> None:
    routings = [routing("a", "FAILED_TO_START", n) for n in range(failed)]
    picture = Picture((service("a", status), service("b", "HEALTHY")), routings, told("a", status, *codes))
    assert ("a" in picture.left_out()) == out
    assert picture.settled() == (out or status == "HEALTHY")


def test_who_is_left_out_is_told_what_the_log_says_where_it_says_something() -> None:
    routings = [routing("a", "FAILED_TO_START", n) for n in range(TRIES)]
    codes = ("exited", "log_module_missing", "back_off")
    (cause,) = Picture((service("a", "UNHEALTHY"),), routings, told("a", "UNHEALTHY", *codes)).left_out().values()
    assert cause is not None
    assert cause.code == "log_module_missing"


@pytest.mark.parametrize(
    ("codes", "said"),
    [
        (("start_hopeless", "health_loopback", "back_off"), "health_loopback"),
        (("exited", "log_environ_missing", "crash_loop"), "log_environ_missing"),
        (("exited", "crash_loop"), "exited"),
    ],
)
def test_who_is_not_waited_for_is_told_what_is_wrong_not_that_it_is(codes: tuple[str, ...], said: str) -> None:
    (cause,) = Picture((service("a", "UNHEALTHY"),), (), told("a", "UNHEALTHY", *codes)).left_out().values()
    assert cause is not None
    assert cause.code == said


def test_progress_names_services_routings_and_causes(capsys: pytest.CaptureFixture[str]) -> None:
    views = (service("a", "PROVISIONING"), service("b", "HEALTHY"))
    picture = Picture(views, (routing("a", "PROVISIONING"),), told("a", "PROVISIONING", "loading"))
    plain()(picture)
    assert capsys.readouterr().out.splitlines() == ["a: PROVISIONING (loading)", "b: HEALTHY"]
    tree = drawn(headline(picture, 72), branches(picture, NOW), 20)
    assert str(tree.label) == "1 of 2 services HEALTHY, 72s"
    assert [str(branch.label) for branch in tree.children] == ["a  PROVISIONING  because of loading", "b  HEALTHY"]
    assert str(tree.children[0].children[0].label).startswith("a0  PROVISIONING  ")


def test_a_download_is_told_when_it_begins_and_then_once_in_a_while(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("orchestrator.cli.progress.time.monotonic", lambda: now)
    show = plain()
    for share in range(6):
        fetch = FetchView(routing="a0", image="i", said=f"fetching i: {share} %")
        fetched = routing("a", "PROVISIONING").model_copy(update={"fetching": fetch})
        show(Picture((service("a", "PROVISIONING"),), (fetched,), told("a", "PROVISIONING", "creating")))
        now += 5
    assert capsys.readouterr().out.splitlines() == [
        f"a: PROVISIONING (creating): fetching i: {share} %" for share in (0, 3)
    ]


def test_a_tree_never_has_more_lines_than_there_is_room_for() -> None:
    def branch(number: int, *, over: bool) -> Branch:
        return Branch(((f"s{number}", ""),), [((f"r{n}", ""),) for n in range(3)], over)

    many = [branch(n, over=n % 2 == 0) for n in range(40)]
    for room in (2, 5, 24, 50, 200):
        lines = list(fitted(many, room))
        assert sum(1 + len(leaves) for _, leaves in lines) <= room
    first, *_, last = fitted(many, 24)
    assert (first[0][0][0], len(first[1])) == ("s1", 3), "what is waited for comes first, with its routings"
    assert last[0][0][0] == "… 34 more, 20 of them done"
    assert list(fitted(many[:2], 8)) == [(one.line, one.leaves) for one in many[:2]]


def test_what_to_paste() -> None:
    assert call_lines(service("a", "HEALTHY"), "TT")[-1] == (
        "  curl -i -H 'Authorization: BackendAI TT' 'http://gw/inference/a/'"
    )
    assert call_lines(service("a", "HEALTHY"), None)[-1] == "  curl -i 'http://gw/inference/a/'"


# --- the embedded daemon's settings ---------------------------------------------------------------------------------


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models" / "echo"
    folder.mkdir(parents=True)
    (folder / "model-definition.yml").write_text("models: []\n")
    return folder.parent


def listening(port: int) -> socket.socket:
    holder = socket.socket()
    holder.bind(("127.0.0.1", port))
    holder.listen(1)
    return holder


def test_embedded_defaults(models: Path, tmp_path: Path, free_port: Callable[[], int]) -> None:
    told = {"ORCHESTRATOR_API__LISTEN": f"127.0.0.1:{free_port()}", "ORCHESTRATOR_GATEWAY__LISTEN": "127.0.0.1:0"}
    told["ORCHESTRATOR_DOCKER__HOST"] = "unix:///nowhere.sock"
    made = embed([models, models / "echo"], state_dir=tmp_path / "state", runtime=None, config=None, environ=told)
    assert (made.settings.runtime, made.settings.docker.pull) == ("auto", "never")
    assert (made.settings.models_dirs, made.folders, made.notes) == ((models,), (models / "echo",), ())
    written = tomllib.loads(made.config.read_text())
    assert written["api"]["listen"] == told["ORCHESTRATOR_API__LISTEN"]
    assert find_daemon(config=made.config, environ={}).url == f"http://{made.settings.api.listen}"
    assert json.loads(made.environ["ORCHESTRATOR_MODELS_DIRS"]) == [str(models)]


def test_a_taken_port_is_replaced_and_said(models: Path, tmp_path: Path, free_port: Callable[[], int]) -> None:
    with listening(port := free_port()):
        told = {"ORCHESTRATOR_API__LISTEN": f"127.0.0.1:{port}", "ORCHESTRATOR_GATEWAY__LISTEN": "127.0.0.1:0"}
        made = embed([models], state_dir=tmp_path / "state", runtime="process", config=None, environ=told)
    assert made.settings.api.listen != f"127.0.0.1:{port}"
    assert made.notes == (f"127.0.0.1:{port} is taken: the API listens on {made.settings.api.listen}",)
    assert made.settings.runtime == "process"


def test_a_held_state_directory_is_refused_with_the_holder(models: Path, tmp_path: Path) -> None:
    with StateLock.take(tmp_path / "state"), pytest.raises(Conflict, match=f"process {os.getpid()}"):
        embed([models], state_dir=tmp_path / "state", runtime=None, config=None, environ={})


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="not a folder"):
        embed([tmp_path / "none"], state_dir=tmp_path / "state", runtime=None, config=None, environ={})


# --- requests -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (size(None), "-"),
        (size(0), "0B"),
        (size(999), "999B"),
        (size(1536), "1.5K"),
        (size(20 << 20), "20M"),
        (size(3 << 40), "3072G"),
        (rate(0.04), "0.0"),
        (rate(12345.6), "12,346"),
        (latency(None), "-"),
        (latency(0.0004), "0.4 ms"),
        (latency(0.25), "250 ms"),
        (latency(9.94), "9.9 s"),
        (latency(85.4), "85 s"),
    ],
)
def test_numbers_are_short(shown: str, expected: str) -> None:
    assert shown == expected


@pytest.mark.parametrize("room", [40, 60, 80, 100, 200])
def test_a_narrow_terminal_shows_whole_columns(room: int) -> None:
    busy = TopView(service="a-model", status="HEALTHY", desired=2, healthy=2, requests_per_second=20000, p99=1.5)
    shown = [column.title for column in fitting(TOP, [busy], room)]
    assert shown[:3] == ["SERVICE", "STATUS", "ROUTINGS"]
    assert "REQ/S" in shown
    assert set(GIVE_WAY) - set(shown) == set(GIVE_WAY[: len(TOP) - len(shown)])
    assert (len(shown) == len(TOP)) == (room >= 100)


def test_an_entry_is_one_line_that_steers_nothing() -> None:
    times = AccessSeconds(total=2.5, hold=1.25, first_byte=0.3)
    entry = AccessEntry(time=NOW, service="echo", method="GET", path="/\x1b[2J", token_name="a\nb", seconds=times)
    line = entry_line(entry)
    assert "gone  GET /\N{REPLACEMENT CHARACTER}[2J  2.5 s +1.2 s ~300 ms  0B>0B  a b  -" in line
    assert "\n" not in line


def test_usage_of_several_days_adds_up() -> None:
    rows = [UsageView(day=f"2026-01-0{d}", service="echo", token_id="t1", requests=d, seconds=0.5) for d in (2, 1)]
    rows += [UsageView(day="2026-01-01", service="echo", requests=5)]
    found = {row.token_id: (row.day, row.requests, row.seconds) for row in summed(rows)}
    assert found == {"t1": ("2026-01-01..2026-01-02", 3, 1.0), "": ("2026-01-01", 5, 0.0)}
