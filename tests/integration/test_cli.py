"""The `orchestrator` command as users meet it: output, JSON keys, exit codes, against an API on a real socket."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from small_control import ADMIN, ECHO, PLAN, Cli, SmallControl

from orchestrator.api.doctor import host_checks
from orchestrator.cli import rollouts
from orchestrator.core.ask_views import AskRequest
from orchestrator.core.daemon_views import TryRequest
from orchestrator.core.errors import InvalidInput, RuntimeFailure, Unavailable
from orchestrator.core.plan_views import ApplyRequest, PlanRequest, ProgressState
from orchestrator.core.token_views import TokenRequest
from orchestrator.core.views import LaunchRequest, RolloutView
from orchestrator.settings import GatewaySettings, Settings


def spawned(url: str, *args: str, **options: Any) -> subprocess.Popen[str]:
    environ = os.environ | {"ORCHESTRATOR_URL": url, "ORCHESTRATOR_TOKEN": ADMIN}
    command = [sys.executable, "-m", "orchestrator", *args]
    return subprocess.Popen(command, env=environ, text=True, stderr=subprocess.PIPE, **options)


# --- what scripts rely on -------------------------------------------------------------------------------------------

KEYS = {
    "ls": "id name status desired_routing_count healthy revision endpoint source problems open_to_public",
    "ps": "id service revision status address runtime_id created_at healthy_since cause",
    "ps echo": "id service revision status address runtime_id created_at healthy_since cause",
    "token create echo": "id token service name expires_at",
    "token ls": "id service name expires_at revoked_at last_used_at",
    "explain echo": "service status causes",
    "history echo": "number revision at what cause by state outcome outcome_at image",
    "history echo 2": "number spec definition files",
    "history echo --show": "number spec definition files",
    "top": "service status desired healthy requests_per_second p50 p95 p99 open queued bytes_per_second cpu memory",
    "usage": "day service token_id token_name requests errors bytes_in bytes_out seconds",
    "access echo": "time request_id service routing token_id token_name method path status seconds bytes_in client",
    "log-level": "level",
    "plan": "service change fields operations fits downtime",
    "apply": "services left",
    "diff echo": "service before after fields texts",
    "rollback echo": "id name status revision rollout rejected",
    "promote echo": "id name status revision rollout rejected",
    "abort echo": "id name status revision rollout rejected",
    "ratio r1 2": "id service traffic_ratio",
    "describe echo": "id name spec routings events problems endpoints",
    "status": "version runtime uptime gateway store observed_ok",
    "doctor": "name state message hint",
    "scale echo 2": "id name desired_routing_count override_desired desired_in_file",
    "rm echo --yes": "removed",
    "audit": "seq time who token_id access action method path service status before after request",
    "config": "file keys",
    "whoami": "access name token_id expires_at",
    "models": "name folder definition valid problems services status modified_at writable shadowed_by",
    "models ls": "name folder definition valid problems services status modified_at writable shadowed_by",
    "models show echo": "name folder definition valid problems services status modified_at writable shadowed_by",
    "models create new": "name folder definition valid problems services status",
    "models files echo": "path kind size modified_at",
    "models rm echo --yes": "removed",
}
ARRAYS = {"audit", "ls", "ps", "ps echo", "token ls", "doctor", "history echo", "plan"}
ARRAYS |= {"models", "models ls", "models files echo"}
ARRAYS |= {"top", "usage"}


@pytest.mark.parametrize("command", KEYS)
def test_json_has_the_keys_of_the_contract(command: str, cli: Cli) -> None:
    _, out, _ = cli(*command.split(), "-o", "json")
    told = json.loads(out)
    assert isinstance(told, list) == (command in ARRAYS)
    first = told[0] if isinstance(told, list) else told
    assert set(KEYS[command].split()) <= first.keys()


def test_listed_tokens_have_no_text(cli: Cli) -> None:
    assert "token" not in json.loads(cli("-o", "json", "token", "ls")[1])[0]


def test_times_are_rfc_3339_in_utc(cli: Cli) -> None:
    assert json.loads(cli("ps", "-o", "json")[1])[0]["created_at"] == "2023-11-14T22:13:20Z"


def test_events_are_one_object_a_line(cli: Cli) -> None:
    keys = {"time", "kind", "service", "routing", "cause", "detail"}
    lines = cli("events", "-o", "json")[1].splitlines()
    assert [keys <= json.loads(line).keys() for line in lines] == [True] * 3


@pytest.mark.parametrize("where", range(4))
def test_common_options_are_understood_before_and_after_the_verb(
    where: int, cli: Cli, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ORCHESTRATOR_URL")
    monkeypatch.delenv("ORCHESTRATOR_TOKEN")
    options = ["--url", url, "--token", ADMIN, "-o", "json"]
    words = ["token", "ls"]
    split = [*words[:where], *options, *words[where:]] if where < 3 else [*options[:2], *words, *options[2:]]
    code, out, err = cli(*split)
    assert (code, err) == (0, "")
    assert json.loads(out)[0]["id"] == "t1"


def test_after_the_verb_wins(cli: Cli) -> None:
    assert cli("-o", "json", "ls", "-o", "table")[1].startswith("NAME")


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("ls",), 0),
        (("modify", "echo"), 2),
        (("ask", "echo", "/../x"), 2),
        (("ask", "echo", "/", "-H", "nothing"), 2),
        (("ask", "echo", "/", "-d", "@nothing"), 2),
        (("ask", "echo", "/"), 1),
        (("modify", "echo", "--unset", "nothing.X"), 2),
        (("modify", "echo", "--cluster-mode", "both"), 2),
        (("modify", "nobody", "--count", "1"), 1),
        (("describe", "nobody"), 1),
        (("scale", "echo"), 2),
        (("scale", "echo", "2", "--reset"), 2),
        (("scale", "echo", "many"), 2),
        (("scale", "echo", "-1"), 2),
        (("history", "nobody"), 1),
        (("history", "echo", "7"), 1),
        (("history", "echo", "0"), 2),
        (("diff", "echo", "1", "7"), 1),
        (("diff", "echo", "1", "1"), 0),
        (("rollback", "echo", "x"), 2),
        (("rollback", "nobody"), 1),
        (("rollback", "echo", "--wait"), 0),
        (("ratio", "r1", "1001"), 2),
        (("ratio", "r1", "nan"), 2),
        (("nonsense",), 2),
        (("ls", "--nonsense"), 2),
        (("start", "/m", "--env", "NOVALUE"), 2),
        (("start", "/m", "--env", "=x"), 2),
        (("logs", "echo", "--since", "yesterday"), 2),
        (("ls", "--token", "wrong"), 7),
        (("ls", "--url", "http://127.0.0.1:1"), 1),
        (("ls", "--url", "ftp://x"), 2),
        (("rm", "echo"), 2),
        (("confirm-removal",), 2),
        (("models",), 0),
        (("models", "show", "nobody"), 1),
        (("models", "rm", "echo"), 2),
        (("models", "upload", "echo", "nothing-there"), 2),
        (("models", "nonsense"), 2),
        (("token", "inspect", "good"), 0),
        (("token", "inspect", "bad"), 1),
        (("doctor",), 1),
        (("--version",), 0),
    ],
)
def test_exit_codes(args: tuple[str, ...], code: int, cli: Cli) -> None:
    assert cli(*args)[0] == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidInput("cannot x: y", hint="do z"), 2),
        (RuntimeFailure("cannot x: y", hint="do z"), 1),
        (Unavailable("cannot x: y", hint="do z"), 1),
        (Unavailable("cannot x: y", hint="do z", code="timeout"), 5),
    ],
)
def test_an_expected_error_is_two_lines_and_no_traceback(
    error: Exception, code: int, cli: Cli, control: SmallControl
) -> None:
    control.raises = error
    assert cli("ls") == (code, "", "error: cannot x: y\nhint: do z\n")


# --- what the daemon is asked ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "asked"),
    [
        ("scale echo 0", ("scale", "echo", 0)),
        ("scale echo --reset", ("scale", "echo", None)),
        ("retry echo", ("retry", "echo")),
        ("modify echo --count 2 --private", ("modify", "echo", {"count": 2, "public": False})),
        ("modify echo --unset image --mem 1g --edit", ("modify", "echo", {"image": None, "mem": "1g", "edit": True})),
        ("reset echo public count", ("reset", "echo", ("public", "count"))),
        ("reset echo", ("reset", "echo", None)),
        ("errors echo", ("errors", "echo")),
        ("sync echo", ("sync", "echo")),
        ("errors echo --clear", ("retry", "echo")),
        ("rm-routing r1 --replace", ("remove_routing", "r1", True)),
        ("apply echo --no-wait --yes", ("apply", ApplyRequest(path="echo", yes=True))),
        ("history ECHO", ("revisions", "ECHO")),
        ("history echo 2", ("revision", "echo", 2)),
        ("rollback echo", ("rollback", "echo", None)),
        ("rollback echo 2", ("rollback", "echo", 2)),
        ("promote echo", ("promote", "echo")),
        ("abort echo", ("abort", "echo")),
        ("ratio r1 0.5", ("set_ratio", "r1", 0.5)),
        ("rm echo -y", ("remove", "echo")),
        ("confirm-removal echo --yes", ("confirm_removal", "echo")),
        ("models create new", ("create_model", "new")),
        ("models files echo a/b/", ("model_files", "echo", "a/b")),
        ("models rm echo -y --force", ("remove_model", "echo", True)),
        ("models rm echo a/b -y", ("remove_model_file", "echo", "a/b")),
        ("token revoke t1 --now", ("token_revoke", "t1", True)),
        ("token drop-key k1", ("drop_key", "k1")),
        ("top", ("top",)),
        ("usage --service echo --by alice --days 3", ("usage", "echo", "alice", 3)),
        ("access echo --tail 5", ("access", "echo", 5, False)),
        ("log-level debug", ("set_log_level", "debug")),
        ("events --service echo --tail 7", ("events", 0, "echo", 7, False)),
        (
            "token create echo --name n --expires 3d",
            ("token_create", TokenRequest(service="echo", name="n", expires="3d")),
        ),
        ("audit --service echo --tail 3 --after 2", ("audit", 2, "echo", 3)),
        ("start echo", ("start", LaunchRequest(folder="echo"))),
        (
            "start /m --name n --image i --count 0 --public --cpu 1.5 --mem 1g --shm 64m --resource cuda.device=1 "
            "--env A=b=c --env E= --mount data:/d:ro --definition d.yml --destination /x",
            (
                "start",
                LaunchRequest(
                    folder="/m",
                    name="n",
                    image="i",
                    count=0,
                    public=True,
                    cpu=1.5,
                    mem="1g",
                    shm="64m",
                    resources={"cuda.device": "1"},
                    environ={"A": "b=c", "E": ""},
                    mounts=("data:/d:ro",),
                    definition="d.yml",
                    destination="/x",
                ),
            ),
        ),
    ],
)
def test_a_verb_asks_for_what_was_typed(args: str, asked: tuple[object, ...], cli: Cli, control: SmallControl) -> None:
    assert cli(*args.split())[0] == 0
    assert control.asked == [asked]


def test_a_folder_that_is_here_is_sent_whole(cli: Cli, control: SmallControl, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    cli("start", "mine")
    assert control.asked == [("start", LaunchRequest(folder=str(tmp_path / "mine")))]


def test_a_plan_is_text_for_people_and_a_file_for_apply(cli: Cli, control: SmallControl, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    code, out, _ = cli("plan", "mine", "--save", "kept.json")
    assert (code, control.asked) == (3, [("plan", PlanRequest(path=str(tmp_path / "mine")))])
    assert out.splitlines() == [
        "~ echo: rolling, revision 2",
        "  ~ deployment.image  i:1 -> i:2  (rolling)",
        "  ~ service.pre_start_actions[0].args.body  (rolling)",
        "      @@ -1,2 +1,2 @@",
        "       a",
        "      -b",
        "      +c",
        "  operations:",
        "    1. start routing 1 of 1 on revision 2",
        "  downtime: none",
        "  fits: no: no capacity: needs 1 cuda.device, 0 free",
        "",
        "1 to change; it does not fit",
    ]
    assert (tmp_path / "kept.json").stat().st_mode & 0o777 == 0o600
    assert cli("apply", "--plan", "kept.json")[0] == 0
    told = PLAN.model_copy(update={"services": ()})
    assert control.asked[1] == ("apply", ApplyRequest(plan=told)), "what it was made from, not what people read"
    assert cli("apply", "mine", "--plan", "kept.json")[0] == 2
    assert cli("apply", "mine", "-f", "mine")[0] == 2
    assert cli("apply", "-f", "mine", "--no-wait")[0] == 0
    assert control.asked.pop() == ("apply", ApplyRequest(path=str(tmp_path / "mine")))
    (tmp_path / "kept.json").write_text("{")
    assert cli("apply", "--plan", "kept.json")[0] == 2


@pytest.mark.parametrize(
    ("valid", "change", "code"), [(True, "rolling", 3), (True, "none", 0), (False, "none", 2), (False, "rolling", 2)]
)
def test_exit_codes_of_a_plan(valid: bool, change: str, code: int, cli: Cli, control: SmallControl) -> None:
    one = PLAN.services[0].model_copy(update={"change": change})
    control.plan_view = PLAN.model_copy(update={"valid": valid, "services": (one,)})
    assert cli("plan")[0] == code


@pytest.mark.parametrize(
    ("state", "code"), [("done", 0), ("waits", 0), ("rolled_back", 4), ("superseded", 1), ("under_way", 5)]
)
def test_apply_waits_and_ends_as_the_rollout_does(
    state: ProgressState, code: int, cli: Cli, control: SmallControl
) -> None:
    control.comes_to = [("under_way", "0 of 1 are HEALTHY"), (state, "so it is")]
    found, out, err = cli("apply", "--timeout", "1")
    assert found == code
    assert "~ echo: rolling, revision 2\necho: 0 of 1 are HEALTHY\n" in out
    assert "so it is" in out + err


# --- what people see ------------------------------------------------------------------------------------------------


def test_a_piped_table_is_aligned_text(cli: Cli) -> None:
    assert cli("ls")[1].splitlines() == [
        "NAME  STATUS   ROUTINGS  REVISION      ENDPOINT                              CAUSE",
        "echo  HEALTHY       1/1  0123456789ab  http://127.0.0.1:8080/inference/echo",
    ]


def test_an_override_says_what_the_file_says(cli: Cli, control: SmallControl) -> None:
    control.service_view = ECHO.model_copy(update={"desired_routing_count": 3, "override_desired": 3})
    assert "1/3 (file says 1)" in cli("ls")[1]


ROLLOUT = RolloutView(
    revision=4, strategy="canary", phase="judging", said="revision 4 (canary): step 2 of 3, 25 % of the requests"
)
UNDER_WAY = ECHO.model_copy(update={"rollout": ROLLOUT, "rejected": "revision 3 was rolled back: it ended"})


def test_a_rollout_under_way_is_one_plain_line(cli: Cli, control: SmallControl) -> None:
    control.service_view = UNDER_WAY
    assert cli("ls")[1].splitlines()[1].endswith("  " + ROLLOUT.said)
    told = cli("describe", "echo")[1].splitlines()
    assert [line.split(":", 1)[1].strip() for line in told if line.startswith(("rollout:", "rolled back:"))] == [
        ROLLOUT.said,
        UNDER_WAY.rejected,
    ]


def test_a_history_is_newest_first_with_what_became_of_each(cli: Cli) -> None:
    lines = [" ".join(line.split()) for line in cli("history", "echo")[1].splitlines()]
    assert lines[0] == "REVISION AGE WHAT CAUSE OUTCOME"
    assert lines[1].endswith("image i:2 → i:3 folder watch: its definition changed serving")
    assert [line.split()[0] for line in lines[1:]] == ["3", "2", "1"]
    assert lines[2].endswith("rolled back: it ended with exit code 1")


def test_one_revision_shows_its_texts_and_nothing_in_them_steers_the_terminal(cli: Cli) -> None:
    out = cli("history", "echo", "3")[1]
    assert "as read from model-definition.yml:\n  models:\n  - 3\n" in out
    assert "written to /x:\n  3\N{REPLACEMENT CHARACTER}[2J\n" in out
    assert "image: i:3" in out
    assert "\x1b" not in out


DIFFS = {
    "the running one and the one before": ([], 2, 3, ["deployment.image"], ["model-definition.yml"]),
    "to the running one": (["1"], 1, 3, ["deployment.image", "deployment.environ.KEY"], ["/x"]),
    "the other way": (["3", "1"], 3, 1, ["deployment.image", "deployment.environ.KEY"], ["/x"]),
    "with itself": (["3", "3"], 3, 3, [], []),
}


@pytest.mark.parametrize("name", DIFFS)
def test_a_diff_has_fields_and_the_texts_that_both_know(name: str, cli: Cli) -> None:
    args, before, after, paths, texts = DIFFS[name]
    told = json.loads(cli("diff", "echo", *args, "-o", "json")[1])
    assert (told["before"], told["after"]) == (before, after)
    assert [field["path"] for field in told["fields"]] == paths
    assert [text["name"] for text in told["texts"]] == texts


def test_a_diff_reads_as_a_diff(cli: Cli) -> None:
    out = cli("diff", "echo", "2", "3")[1]
    assert "echo: revision 2 to revision 3\n  deployment.image: i:2 → i:3  [rolling]\n" in out
    assert "--- model-definition.yml (revision 2)\n+++ model-definition.yml (revision 3)\n" in out
    assert "\n-- 2\n+- 3\n" in out
    assert "nothing differs" in cli("diff", "echo", "3", "3")[1]


AFTERWARDS = {
    "it arrives": ([UNDER_WAY, UNDER_WAY, ECHO], 0),
    "another revision takes over": ([UNDER_WAY, ECHO.model_copy(update={"revision": "5"})], 4),
    "it takes too long": ([UNDER_WAY], 5),
}


@pytest.mark.parametrize("name", AFTERWARDS)
def test_a_rollback_is_waited_for_to_its_end(
    name: str, cli: Cli, control: SmallControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollouts, "LOOK", 0.01)
    views, code = AFTERWARDS[name]
    control.later = [view.model_copy() for view in views]
    assert cli("rollback", "echo", "--wait", "--timeout", "0.3" if code == 5 else "20")[0] == code


def test_a_token_alone_goes_to_standard_output(cli: Cli) -> None:
    code, out, err = cli("token", "create", "echo")
    assert (code, out) == (0, "secret-text\n")
    assert "t1 for echo" in err


def test_times_of_a_token_are_told_as_people_read_them(cli: Cli) -> None:
    out = cli("token", "inspect", "good")[1]
    assert re.search(r"^exp: +5 \(19\d\d-\d\d-\d\d ", out, re.MULTILINE)
    assert re.search(r"^iat: +1e\+300$", out, re.MULTILINE)


def test_an_answer_is_shown_as_it_came(cli: Cli, control: SmallControl, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b'{"a": "\xc3\xa4"}')
    code, out, err = cli("ask", "echo", "/v1?x=1", "-d", f"@{tmp_path}/body", "-H", "X-A: b", "-i")
    assert (code, out) == (1, '418\ncontent-type: text/plain\n\none, {"a": "\N{LATIN SMALL LETTER A WITH DIAERESIS}"}')
    assert err == "error: echo answered 418\n"
    _, _, request = control.asked[0]
    assert isinstance(request, AskRequest)
    assert (request.method, request.path) == ("POST", "/v1?x=1")
    assert request.sent == {"X-A": "b", "Content-Type": "application/json"}
    assert json.loads(cli("ask", "echo", "-o", "json")[1])["body"] == "one, "


def test_nothing_in_a_log_tail_steers_the_terminal(cli: Cli) -> None:
    out = cli("explain", "echo")[1]
    assert "| boom\N{REPLACEMENT CHARACTER}[2J" in out
    assert "\x1b" not in out
    assert "hint: see the log" in out


def test_every_verb_has_help(cli: Cli) -> None:
    verbs = [
        "",
        "run",
        "serve",
        "status",
        "ls",
        "ps",
        "describe",
        "logs",
        "events",
        "explain",
        "history",
        "diff",
        "rollback",
        "promote",
        "abort",
        "ratio",
        "scale",
        "retry",
        "start",
    ]
    for verb in [
        *verbs,
        "rm",
        "confirm-removal",
        "doctor",
        "validate",
        "schema",
        "token",
        "token create",
        "models",
        "models upload",
        "init",
    ]:
        code, out, _ = cli(*verb.split(), "--help")
        assert (code, "--output" in out) == (0, True), verb


@pytest.mark.parametrize(("verdict", "code"), [("passed", 0), ("failed", 4), ("info", 1)])
def test_a_try_ends_as_its_last_step_did(
    verdict: str, code: int, cli: Cli, control: SmallControl, tmp_path: Path
) -> None:
    control.verdict = verdict
    (tmp_path / "m").mkdir()
    assert cli("validate", "--try", "m", "--image", "i", "--env", "A=1", "--resource", "cpu=2")[0] == code
    wanted = TryRequest(folder=str(tmp_path / "m"), image="i", environ={"A": "1"}, resources={"cpu": "2"})
    assert control.asked == [("try_run", wanted)]


def test_a_terminal_gets_colours_unless_it_wants_none_and_whole_addresses(url: str) -> None:
    def seen(**environ: str) -> bytes:
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator", "ls"],
            env={"PATH": os.environ["PATH"], "TERM": "xterm", "ORCHESTRATOR_URL": url, "ORCHESTRATOR_TOKEN": ADMIN}
            | environ,
            stdout=theirs,
        )
        os.close(theirs)
        text = b""
        while select.select([ours], [], [], 20)[0]:
            try:
                text += os.read(ours, 4096)
            except OSError:
                break
        os.close(ours)
        assert process.wait(20) == 0
        return text

    assert b"\x1b[32mHEALTHY" in seen()
    assert b"\x1b[32m" not in seen(NO_COLOR="1")
    for columns in ("30", "90", "110"):
        assert b"http://127.0.0.1:8080/inference/echo" in seen(COLUMNS=columns)


def test_ctrl_c_ends_a_stream_with_130_and_no_traceback(url: str, control: SmallControl) -> None:
    with spawned(url, "logs", "-f", "echo", stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "first\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert process.stderr.read() == ""
    deadline = time.monotonic() + 5
    while not control.closed.is_set():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_reader_that_leaves_is_no_error(url: str, control: SmallControl) -> None:
    control.log = ["x" * 1000] * 1000
    with spawned(url, "logs", "echo", stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(20) == 1
        assert process.stderr.read() == ""


def test_a_narrow_encoding_is_no_traceback(url: str) -> None:
    environ = os.environ | {"ORCHESTRATOR_URL": url, "ORCHESTRATOR_TOKEN": ADMIN, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "orchestrator", "logs", "echo"]
    told = subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=20)
    assert (told.stdout, told.stderr) == ("first\nsecond \\u2603\n", "")


def test_help_and_validate_import_nothing_heavy() -> None:
    code = "import sys, orchestrator.cli, orchestrator.cli.verdicts; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"aiohttp", "sqlalchemy", "docker", "jwt", "apscheduler"} & set(loaded)


# --- without a daemon -----------------------------------------------------------------------------------------------


def test_doctor_works_without_a_daemon(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    told = {"STATE_DIR": str(tmp_path), "RUNTIME": "process", "API__LISTEN": f"127.0.0.1:{free_port()}"}
    for key, value in (told | {"GATEWAY__LISTEN": f"127.0.0.1:{free_port()}", "MODELS_DIRS": "[]"}).items():
        monkeypatch.setenv(f"ORCHESTRATOR_{key}", value)
    code, out, _ = cli("doctor", "--url", "http://127.0.0.1:1", "-o", "json")
    states = {check["name"]: check["state"] for check in json.loads(out)}
    assert code == 0, out
    assert states.pop("daemon") == "warn"
    assert set(states.values()) <= {"ok", "warn"}
    assert {"python", "clock", "disk", "open files", "engine", "haproxy", "api port", "gateway port"} <= states.keys()


def test_doctor_names_a_port_that_is_held(cli: Cli, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("ORCHESTRATOR_API__LISTEN", url.removeprefix("http://"))
    code, out, _ = cli("doctor", "--url", "http://127.0.0.1:1", "-o", "json")
    held = next(check for check in json.loads(out) if check["name"] == "api port")
    assert (code, held["state"]) == (1, "fail")
    assert "has it" in held["message"], "by whom"
    assert "[api] listen" in held["hint"]


@pytest.mark.parametrize("running", [True, False], ids=["daemon", "no daemon"])
def test_doctor_knows_a_gateway_from_another_program(running: bool) -> None:
    def gateway_port(listen: str) -> tuple[str, str]:
        settings = Settings(runtime="process", gateway=GatewaySettings(listen=listen))
        found = next(check for check in host_checks(settings, running=running) if check.name == "gateway port")
        return found.state, found.message

    with gateway_that_says(b'{"healthy":true}') as ours, gateway_that_says(b"<html>") as other:
        assert gateway_port(ours) == ("ok", f"{ours}, held by the gateway")
        assert gateway_port(other)[0] == "fail"


@contextmanager
def gateway_that_says(body: bytes) -> Iterator[str]:
    """The address of a server that gives this to whoever asks."""

    class Says(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Says) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
