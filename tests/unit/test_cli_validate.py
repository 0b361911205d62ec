"""`orchestrator validate` and `schema`: what is printed, where the caret stands, and the exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from orchestrator.cli.common import with_common
from orchestrator.cli.render_problems import excerpt, rendered
from orchestrator.cli.schema import schema
from orchestrator.cli.validate import validate
from orchestrator.core.problems import Problem

DATA = Path(__file__).parent / "data" / "backendai"
SEED = DATA / "simple-http-server.yml"
BAD = "models:\n  - name: m\n    service:\n      port: 70000\n      healthcheck: {}\n"
WARNED = "models: [{name: m, service: {port: 80, pre_start_actions: [{action: log, ref: a, args: {message: x}}]}}]\n"

app = typer.Typer()
app.command("validate")(with_common(validate))
app.command("schema")(with_common(schema))


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [n for n in os.environ if n.startswith("ORCHESTRATOR_")]:
        monkeypatch.delenv(name)


def run(*words: str, stdin: str | bytes = "") -> Result:
    return CliRunner().invoke(app, ["validate", *words], input=stdin)


def model(name: str, text: str | bytes, file: str = "model-definition.yml") -> Path:
    folder = Path(name)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


# --- exit codes and forms -------------------------------------------------------------------------------------------


def test_the_documented_definition_of_backendai_is_ok() -> None:
    model("m", SEED.read_bytes())
    result = run("m")
    assert result.exit_code == 0
    assert result.stdout.startswith("m/model-definition.yml: OK\n")


def test_every_problem_is_shown_with_its_line_and_a_caret() -> None:
    model("m", BAD)
    result = run("m/model-definition.yml")
    assert result.exit_code == 2
    assert result.stdout.splitlines() == [
        "m/model-definition.yml:4:13: models[0].service.port: 70000 is out of range (a whole number from 1 to 65535)",
        "    4 |       port: 70000",
        "      |             ^",
        "m/model-definition.yml:5:7: models[0].service.healthcheck: unknown key `healthcheck` "
        "(did you mean `health_check`?)",
        "    5 |       healthcheck: {}",
        "      |       ^",
    ]


BESIDE: dict[str, tuple[str, list[str]]] = {
    "a key and what is not granted": (
        "deployment: {imag: x, user: root, devices: [/dev/a], resources: {cpu: -1, foo: 1}}",
        ["deployment.imag", "deployment.user", "deployment.devices", "deployment.resources.cpu"],
    ),
    "rules between keys": (
        "deployment: {resources: {mem: 1g, shm: 2g}, cluster_size: 2}",
        ["deployment.resources.shm", "deployment.cluster_size"],
    ),
    "a group that may be another": (
        "deployment: {resource_group: [], resources: {foo: 1}}",
        ["deployment.resource_group"],
    ),
    "a name that may be another": (
        "deployment: {service_name: a b}}, {name: m2, service: {port: 80}",
        ["deployment.service_name"],
    ),
    "a part that is no part": ("deployment: [], metadata: 5", ["deployment", "metadata"]),
    "nothing but reading": ("service: {port: x, start_command: []}", ["service.port", "service.start_command"]),
    "what else is wrong": (
        "service: {port: x}, deployment: {network: host}",
        ["service.port", "deployment.network"],
    ),
}


@pytest.mark.parametrize(("keys", "paths"), BESIDE.values(), ids=BESIDE.keys())
def test_a_wrong_key_hides_nothing_else_and_nothing_follows_from_it(keys: str, paths: list[str]) -> None:
    service = "" if keys.startswith("service") else "service: {port: 80, start_command: [a, '{port}']}, "
    model("m", f"models: [{{name: m, {service}{keys}}}]")
    (told,) = json.loads(run("m", "-o", "json").stdout)
    assert [problem["path"].removeprefix("models[0].") for problem in told["problems"]] == paths


def test_warnings_count_only_with_strict() -> None:
    model("m", WARNED)
    assert run("m").exit_code == 0
    place = f"m/model-definition.yml:1:{WARNED.index('ref: a') + 6}"
    assert f"{place}: models[0].service.pre_start_actions[0].ref: warning: " in run("m").stdout
    assert run("m", "--strict").exit_code == 2
    assert "OK" not in run("m", "--strict").stdout


def test_a_directory_of_model_folders_and_a_summary() -> None:
    model("models/b", BAD)
    model("models/a", SEED.read_bytes(), "model-definition.yaml")
    model("models/none", "x", "README.md")
    result = run("models")
    assert result.exit_code == 2
    assert result.stdout.startswith("models/a/model-definition.yaml: OK\n")
    assert result.stdout.endswith("2 files: 1 valid, 1 invalid\n")


def test_standard_input() -> None:
    assert run("-", stdin=SEED.read_bytes()).stdout.startswith("<stdin>: OK")
    broken = run("-", stdin="models: []")
    assert broken.exit_code == 2
    assert broken.stdout.startswith("<stdin>:1:9: models: is an empty list")


@pytest.mark.parametrize("path", ["nowhere", "nowhere/model-definition.yml", "empty", "a\udcff"])
def test_what_cannot_be_read_is_an_error_after_the_rest_is_shown(path: str) -> None:
    model("bad", BAD)
    Path("empty").mkdir()
    result = run(path, "bad")
    assert result.exit_code == 1
    assert "70000 is out of range" in result.stdout
    assert result.stdout.endswith("2 files: 0 valid, 1 invalid, 1 not read\n")
    assert result.stderr.startswith("error: cannot ")


def test_a_definition_that_is_a_folder() -> None:
    Path("m/model-definition.yml").mkdir(parents=True)
    assert run("m").exit_code == 1
    assert "cannot read m/model-definition.yml: " in run("m").stderr


def test_a_pipe_and_a_loop_of_links_do_not_hang() -> None:
    os.mkfifo("pipe")
    Path("loop").symlink_to("loop")
    assert run("pipe", "loop").exit_code == 1


def test_json() -> None:
    model("m", BAD)
    model("n", SEED.read_bytes())
    result = run("m", "n", "nowhere", "-o", "json")
    assert result.exit_code == 1
    bad, good, unread = json.loads(result.stdout)
    assert (bad["file"], bad["valid"]) == ("m/model-definition.yml", False)
    assert {"severity", "line", "column", "path", "message", "hint"} <= bad["problems"][0].keys()
    assert (bad["problems"][0]["line"], bad["problems"][0]["column"]) == (4, 13)
    assert good["valid"] is True
    assert unread["problems"][0]["message"].startswith("cannot read nowhere")


def test_the_configuration_decides_what_is_allowed() -> None:
    model("m", "models: [{name: m, service: {port: 80}, deployment: {image: a/b}}]")
    Path("config.toml").write_text('[docker]\nallowed_images = ["ok/*"]\n')
    assert run("m").exit_code == 2
    Path("other.toml").write_text("")
    assert run("m", "--config", "other.toml").exit_code == 0


def test_what_would_run() -> None:
    text = """
        models:
        - name: m
          model_path: /models
          service:
            pre_start_actions:
            - {action: write_tempfile, ref: cfg, args: {body: "port={port}"}}
            start_command: [serve, --model, /models/a b, --port, "{port}", "{cfg}"]
            port: 9000
            health_check: {path: /up, expected_status_code: 200-299}
          deployment: {image: "a:1", replicas: 2, resources: {cpu: 2, mem: 4g}, environ: {A: 1}, secrets: {B: c}}
    """
    model("m", text)
    shown = run("m", "--show").stdout
    folder = Path("m").resolve()
    for words in (
        "service m, revision ",
        "image       a:1",
        "serve --model '/models/a b' --port 9000 '{cfg}'",
        f"process runtime: serve --model '{folder}/a b' --port 9000 '{{cfg}}'",
        f"{folder} → /models",
        "cpu 2, mem 4 GiB (group default)",
        "routings    2",
        "A=1",
        "B from c",
        "GET /up gives 200-299",
        "update      rolling: max_surge 25%, max_unavailable 0\n",
        "            min_ready 0 s, progress_deadline 1800 s, auto_rollback yes, bake 0 s\n",
        "0. write_tempfile body: port=9000, mode: 644 → cfg",
    ):
        assert words in shown
    [one] = json.loads(run("m", "--show", "-o", "json").stdout)
    assert one["services"][0]["routing"]["port"] == 9000


POLICIES = {
    "{strategy: recreate, bake: 9}": ("update      recreate\n", "bake 9 s\n"),
    "{strategy: blue-green}": ("blue_green: promote_after never (`orchestrator promote` does it)\n",),
    "{strategy: blue_green, promote_after: 30}": ("blue_green: promote_after 30 s\n",),
    "{strategy: canary, max_surge: 1}": ("canary: steps 5 %, 25 %, 50 %, pause 60 s, min_requests 20, max_error_rate",),
}


@pytest.mark.parametrize("update", POLICIES)
def test_the_update_policy_is_shown_with_the_keys_that_count(update: str) -> None:
    model("m", f"models: [{{name: m, service: {{port: 9}}, deployment: {{image: a, update: {update}}}}}]")
    shown = run("m", "--show").stdout
    assert all(words in shown for words in POLICIES[update]), shown
    [one] = json.loads(run("m", "--show", "-o", "json").stdout)
    strategy = one["services"][0]["update"].pop("strategy")
    assert ("steps" in one["services"][0]["update"]) is (strategy == "canary")
    assert one["services"][0]["update"]["progress_deadline"] == 1800


def test_text_of_a_file_cannot_steer_the_terminal() -> None:
    model("m", 'models: [{name: "\\e[2J/", x: \u202e}]')
    assert "\x1b" not in run("m").stdout
    assert "\u202e" not in run("m").stdout


# --- the caret ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "column", "shown", "indent"),
    [
        ("  port: 1", 9, "  port: 1", 8),
        ("\tport: 1", 2, "    port: 1", 4),
        ("模型: 1", 5, "模型: 1", 6),
        ("e\u0301: 1", 5, "e\u0301: 1", 3),
        ("abc", 4, "abc", 3),
        ("", 1, "", 0),
        ("\x1bx", 2, "\N{REPLACEMENT CHARACTER}x", 1),
    ],
)
def test_the_caret_stands_below_its_character(line: str, column: int, shown: str, indent: int) -> None:
    assert excerpt(line, column) == (shown, indent)


@pytest.mark.parametrize("column", [1, 50, 500, 999_999])
def test_long_lines_are_cut_around_the_place(column: int) -> None:
    line = "".join(chr(97 + i % 26) for i in range(1_000_000))
    shown, indent = excerpt(line, column, width=60)
    assert len(shown) <= 62
    assert shown[indent] == line[column - 1]


def test_colours_only_where_asked_for() -> None:
    problem = Problem("error", "f", 1, 1, "a", "is wrong")
    assert next(rendered([problem], ["x"], colour=True)).startswith("\x1b[31m")
    assert "\x1b" not in "".join(rendered([problem], ["x"]))


# --- speed ----------------------------------------------------------------------------------------------------------


def test_a_thousand_definitions_in_three_seconds() -> None:
    text = (DATA / "vllm.yml").read_text()
    for index in range(1000):
        model(f"models/m{index}", text.replace("Llama-3-8B", f"m{index}"))
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "validate", "models"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    took = time.monotonic() - begin
    assert done.stdout.endswith("1000 files: 1000 valid, 0 invalid\n"), done.stderr
    assert took < 10, "3 s on an idle core; here others run beside it"


# --- schema ---------------------------------------------------------------------------------------------------------


def test_schema_prints_json() -> None:
    for which in ("definition", "config"):
        result = CliRunner().invoke(app, ["schema", which])
        assert result.exit_code == 0
        assert "$schema" in json.loads(result.stdout)
