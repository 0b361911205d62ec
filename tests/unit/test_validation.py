"""Every rule of a definition, broken once: what is said, and where."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.loading import load
from orchestrator.core.problems import Problem, is_valid
from orchestrator.core.resolve import Context, resolve

DATA = Path(__file__).parent / "data" / "backendai"
MODEL = "models: [{name: m, service: {port: 80, %s}}]"
ACTION = "models: [{name: m, service: {port: 80, pre_start_actions: [%s]}}]"
DEPLOY = "models: [{name: m, service: {port: 80}, deployment: {%s}}]"
UPDATE = "models: [{name: m, service: {port: 80}, deployment: {update: {%s}}}]"
CHECK = "models: [{name: m, service: {port: 80, health_check: {%s}}}]"


def only(text: str | bytes) -> Problem:
    [problem] = load(text.encode() if isinstance(text, str) else text, "f.yml").problems
    return problem


# --- the file itself ------------------------------------------------------------------------------------------------

FILES: dict[str, tuple[bytes, tuple[int, int], str, str]] = {
    "empty": (b"", (1, 1), "the file is empty", ""),
    "only comments": (b"# nothing\n", (1, 1), "the file is empty", ""),
    "a list": (b"- name: m\n", (1, 1), "a definition is a map", "models:"),
    "a word": (b"models\n", (1, 1), "a definition is a map", "models:"),
    "tab": (b"models:\n\t- name: m\n", (2, 1), "not valid YAML", "spaces"),
    "indentation": (b"models:\n  - name: m\n model_path: /m\n", (3, 2), "not valid YAML", "indentation"),
    "colon": (b"models:\n  - name: a: b\n", (2, 12), "not valid YAML", "quotes"),
    "open quote": (b'models:\n  - name: "a\n', (3, 1), "not valid YAML", "close the quote"),
    "open bracket": (b"models: [{name: a\n", (2, 1), "not valid YAML", "bracket"),
    "tag": (b"models: !!python/object/apply:os.system [ls]", (1, 9), "!!python/object/apply:os.system", "remove it"),
    "plain tag": (b"models: [{name: !!str 1}]", (1, 17), "tag `!!str`", "key gives the type"),
    "two documents": (b"models: []\n---\nmodels: []\n", (2, 1), "second document", "one file holds one"),
    "not UTF-8": (b"models:\n  - name: caf\xe9\n", (2, 14), "byte 0xe9", "UTF-8"),
    "UTF-16": ("models: []".encode("utf-16"), (1, 1), "UTF-16", "UTF-8"),
    "NUL": (b"models: a\0b", (1, 10), "U+0000", "remove"),
    "escape": (b"models: \x1b[2J", (1, 9), "U+001B", "remove"),
    "unknown alias": (b"models: *a", (1, 9), "no anchor", ""),
    "recursive": (b"models: &a [*a]", (1, 13), "contains itself", ""),
    "merge of text": (b"models: [{<<: a}]", (1, 11), "merges only maps", "alias"),
    "key that is a list": (b"? [a]\n: 1\n", (1, 3), "a key must be plain text", "quote"),
    "duplicate": (b"models:\n- name: a\n  x-y: 1\n  name: b\n", (4, 3), "lines 2 and 4", "keep one"),
    "too large": (b"#" * ((1 << 20) + 1), (1, 1), "1048577 bytes", "1 MiB"),
    "too deep": (b"models: " + b"[" * 70, (1, 72), "deeper than 64", ""),
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_cannot_be_read(name: str) -> None:
    data, place, message, hint = FILES[name]
    problem = only(data)
    assert (problem.line, problem.column) == place, problem
    assert message in problem.message
    assert hint in problem.hint


def test_depth_counts_through_aliases() -> None:
    text = "x-a: &a " + "[" * 40 + "]" * 40 + "\nx-b: " + "[" * 30 + "*a" + "]" * 30
    assert "deeper than 64" in only(text).message


def test_aliases_up_to_the_limit_are_fine() -> None:
    words = ", ".join(["a"] * 99)
    text = "x-a: &a [" + words + "]\nx-b: [" + ", ".join(["*a"] * 100) + "]\nmodels: [{name: m}]"
    assert load(text.encode(), "f").definition
    assert "more than 10000" in only(text.replace("*a", "*a, *a", 1)).message


# --- keys -----------------------------------------------------------------------------------------------------------

KEYS = {
    "models: []": ("models", "is an empty list", "at least one"),
    "x-a: 1": ("models", "is missing", ""),
    "models: {}": ("models", "is a map", "a list"),
    "models: [a]": ("models[0]", "is a single value", "a map"),
    "models: [{}]": ("models[0].name", "is missing", ""),
    "models: [{name: }]": ("models[0].name", "is empty", ""),
    "models: [{name: ''}]": ("models[0].name", "is empty", ""),
    "models: [{name: a/b}]": ("models[0].name", "contains a `/`", ""),
    'models: [{name: "a\\nb"}]': ("models[0].name", "cannot be printed", ""),
    'models: [{name: "a\\0b"}]': ("models[0].name", "NUL", ""),
    f"models: [{{name: {'a' * 129}}}]": ("models[0].name", "129 characters", "at most 128"),
    "models: [{name: a}, {name: a}]": ("models[1].name", "models[0]", "of its own"),
    "models: [{name: a, model_path: models}]": ("models[0].model_path", "not an absolute path", "/models"),
    "models: [{name: a, model_path: /a/../b}]": ("models[0].model_path", "climbs out", ""),
    "models: [{name: a, port: 1}]": ("models[0].port", "unknown key", "belongs under"),
    "models: [{name: a, health_check: {}}]": ("models[0].health_check", "unknown key", "under `service`"),
    "models: [{name: a, deploymnet: {}}]": ("models[0].deploymnet", "unknown key", "`deployment`?"),
    "models: [{name: a, service: {port: 1, image: x}}]": ("models[0].service.image", "unknown key", "`deployment`"),
    "models: [{name: a, modelPath: /a}]": ("models[0].modelPath", "unknown key", "`model_path`?"),
    "models: [{name: a, model-path: /a, model_path: /a}]": ("models[0].model_path", "given twice", "keep"),
    "models: [{name: a}]\nmodel: 1": ("model", "unknown key", "`models`?"),
    "models: [{name: a, service: {}}]": ("models[0].service.port", "is missing", ""),
    "models: [{name: a, metadata: {framework: vllm}}]": ("models[0].metadata.framework", "single value", "[vllm]"),
    MODEL % "start_command: []": ("models[0].service.start_command", "empty list", "image's own"),
    MODEL % "start_command: ''": ("models[0].service.start_command", "is empty", "image's own"),
    MODEL % "start_command: {a: 1}": ("models[0].service.start_command", "is a map", "list"),
    MODEL % "shell: null, start_command: a 'b": ("models[0].service.start_command", "no closing quotation", "`shell`"),
    MODEL % "shell: ''": ("models[0].service.shell", "is empty", ""),
    MODEL % "healthcheck: {}": ("models[0].service.healthcheck", "unknown key", "`health_check`?"),
    "models: [{name: m, service: {port: 70000}}]": ("models[0].service.port", "70000 is out of range", "1 to 65535"),
    "models: [{name: m, service: {port: 8000/tcp}}]": ("models[0].service.port", "not a whole number", "1 to 65535"),
    "models: [{name: m, service: {port: [80]}}]": ("models[0].service.port", "is a list", ""),
    CHECK % "path: health": ("models[0].service.health_check.path", "", "begins with `/`"),
    CHECK % "path: '/a b'": ("models[0].service.health_check.path", "", "%-encoded"),
    CHECK % "interval: 0.05": ("models[0].service.health_check.interval", "out of range", "at least 0.1"),
    CHECK % "interval: 10s": ("models[0].service.health_check.interval", "", "in seconds: 10"),
    CHECK % "initial_delay: 5m": ("models[0].service.health_check.initial_delay", "", "in seconds: 300"),
    CHECK % "max_retries: -1": ("models[0].service.health_check.max_retries", "out of range", ""),
    CHECK % "max_retries: 1.5": ("models[0].service.health_check.max_retries", "not a whole number", ""),
    CHECK % "max_wait_time: .inf": ("models[0].service.health_check.max_wait_time", "not a number", "seconds"),
    CHECK % "expected_status_code: 20": ("models[0].service.health_check.expected_status_code[0]", "not an HTTP", ""),
    CHECK % "expected_status_code: 299-200": (
        "models[0].service.health_check.expected_status_code[0]",
        "out of range",
        "",
    ),
    CHECK % "enable: maybe": ("models[0].service.health_check.enable", "neither true nor false", ""),
    ACTION % "{args: {}}": ("models[0].service.pre_start_actions[0].action", "is missing", "write_file"),
    ACTION % "{action: writefile}": ("models[0].service.pre_start_actions[0].action", "not an action", "`write_file`?"),
    ACTION % "{action: reboot}": ("models[0].service.pre_start_actions[0].action", "not an action", "one of"),
    ACTION % "{action: mkdir}": ("models[0].service.pre_start_actions[0].args.path", "is missing", ""),
    ACTION % "{action: mkdir, arg: {path: a}}": ("models[0].service.pre_start_actions[0].arg", "unknown", "`args`"),
    ACTION % "{action: mkdir, path: a}": ("models[0].service.pre_start_actions[0].path", "unknown", "under `args`"),
    ACTION % "{action: log, arg/message: a}": (
        "models[0].service.pre_start_actions[0]['arg/message']",
        "unknown",
        "move `message` under `args`",
    ),
    ACTION % "{action: mkdir, args: {path: a, mode: 755}}": (
        "models[0].service.pre_start_actions[0].args.mode",
        "unknown key",
        "known: path",
    ),
    ACTION % "{action: mkdir, args: {path: a/../../b}}": (
        "models[0].service.pre_start_actions[0].args.path",
        "`..`",
        "",
    ),
    ACTION % "{action: write_file, args: {filename: ../b, body: a}}": (
        "models[0].service.pre_start_actions[0].args.filename",
        "`..`",
        "",
    ),
    ACTION % "{action: write_file, args: {filename: a/, body: a}}": (
        "models[0].service.pre_start_actions[0].args.filename",
        "names a folder",
        "",
    ),
    ACTION % "{action: write_file, args: {filename: a, body: a, mode: 888}}": (
        "models[0].service.pre_start_actions[0].args.mode",
        "not a file mode",
        "octal",
    ),
    ACTION % "{action: write_file, args: {filename: a, body: a, mode: rwx}}": (
        "models[0].service.pre_start_actions[0].args.mode",
        "not a file mode",
        "octal",
    ),
    ACTION % "{action: run_command, args: {command: ls -l, check: true}}": (
        "models[0].service.pre_start_actions[0].args.command",
        "is a single value",
        "[ls, -l]",
    ),
    ACTION % "{action: run_command, args: {command: [], check: true}}": (
        "models[0].service.pre_start_actions[0].args.command",
        "is an empty list",
        "",
    ),
    ACTION % "{action: log, timeout: 0, args: {message: a}}": (
        "models[0].service.pre_start_actions[0].timeout",
        "out of range",
        "more than 0",
    ),
    ACTION % "{action: write_tempfile, ref: a b, args: {body: a}}": (
        "models[0].service.pre_start_actions[0].ref",
        "not an identifier",
        "",
    ),
    ACTION % "{action: write_tempfile, ref: port, args: {body: a}}": (
        "models[0].service.pre_start_actions[0].ref",
        "would hide",
        "another name",
    ),
    ACTION % "{action: log, args: {message: '{c}'}}, {action: write_tempfile, ref: c, args: {body: a}}": (
        "models[0].service.pre_start_actions[0].args.message",
        "cannot be filled in",
        "only later",
    ),
    DEPLOY % "imag: x": ("models[0].deployment.imag", "unknown key", "`image`?"),
    DEPLOY % "service_name: a b": ("models[0].deployment.service_name", "not a service name", "letters"),
    DEPLOY % "service_name: -a": ("models[0].deployment.service_name", "not a service name", "letters"),
    DEPLOY % f"service_name: {'a' * 64}": ("models[0].deployment.service_name", "64 characters", "63"),
    DEPLOY % "image: 'a b'": ("models[0].deployment.image", "not a container image", ""),
    DEPLOY % "replicas: -1": ("models[0].deployment.desired_routing_count", "out of range", ""),
    DEPLOY % "replicas: 1, desired_routing_count: 1": ("models[0].deployment.desired_routing_count", "given twice", ""),
    DEPLOY % "environ: [A=1]": ("models[0].deployment.environ", "is a list", "a map"),
    DEPLOY % "environ: {A=B: 1}": ("models[0].deployment.environ['A=B']", "contains `=`", ""),
    DEPLOY % "environ: {A: [1]}": ("models[0].deployment.environ.A", "is a list", "text"),
    DEPLOY % "secrets: {A: ../b}": ("models[0].deployment.secrets.A", "not a secret's name", ""),
    DEPLOY % "environ: {A: 1}, secrets: {A: b}": ("models[0].deployment.secrets.A", "also given", "keep one"),
    DEPLOY % "environ: {PORT: 1}": ("models[0].deployment.environ.PORT", "set by the orchestrator", "remove"),
    DEPLOY % "resources: {mem: 4}": ("models[0].deployment.resources.mem", "4 bytes", "give a unit: 4g"),
    DEPLOY % "resources: {mem: 512}": ("models[0].deployment.resources.mem", "512 bytes", "give a unit: 512m"),
    DEPLOY % "resources: {shm: 1024}": ("models[0].deployment.resources.shm", "1024 bytes", "give a unit"),
    DEPLOY % "resources: {mem: 1m}": ("models[0].deployment.resources.mem", "less than", "at least 6m"),
    DEPLOY % "resources: {mem: -1g}": ("models[0].deployment.resources.mem", "not a size", "512m"),
    DEPLOY % "resources: {mem: .nan}": ("models[0].deployment.resources.mem", "not a size", ""),
    DEPLOY % "resources: {mem: 1g, shm: 1g}": ("models[0].deployment.resources.shm", "must be smaller", ""),
    DEPLOY % "resources: {cpu: 0}": ("models[0].deployment.resources.cpu", "out of range", ""),
    DEPLOY % "resources: {cpu: .inf}": ("models[0].deployment.resources.cpu", "not a number", ""),
    DEPLOY % "resources: {cpu: 500m}": ("models[0].deployment.resources.cpu", "not a number", "write 0.5"),
    DEPLOY % "resources: {cuda.device: 0.5}": ("models[0].deployment.resources.cuda.device", "not a whole number", ""),
    DEPLOY % "resources: {cuda.shares: -1}": ("models[0].deployment.resources.cuda.shares", "out of range", ""),
    DEPLOY % "resources: {'a b': 1}": ("models[0].deployment.resources['a b']", "not a slot's name", ""),
    DEPLOY % "cluster_mode: many": ("models[0].deployment.cluster_mode", "not known", "`multi-node`"),
    DEPLOY % "cluster_size: 0": ("models[0].deployment.cluster_size", "out of range", ""),
    DEPLOY % "model_mount_destination: m": ("models[0].deployment.model_mount_destination", "not an absolute", ""),
    DEPLOY % "extra_mounts: [{source: a/b}]": ("models[0].deployment.extra_mounts[0].source", "neither", ""),
    DEPLOY % "extra_mounts: [{source: /a/../etc, target: /x}]": (
        "models[0].deployment.extra_mounts[0].source",
        "climbs out",
        "",
    ),
    DEPLOY % "extra_mounts: [{source: /a}]": ("models[0].deployment.extra_mounts[0].target", "is missing", ""),
    DEPLOY % "extra_mounts: [{target: /a}]": ("models[0].deployment.extra_mounts[0].source", "is missing", ""),
    DEPLOY % "hostname: a_b": ("models[0].deployment.hostname", "not a host name", ""),
    DEPLOY % "labels: {orchestrator.kind: x}": ("models[0].deployment.labels.orchestrator.kind", "belongs to", ""),
    DEPLOY % "capabilities: [sys_admin]": ("models[0].deployment.capabilities[0]", "not a capability", "SYS_PTRACE"),
    DEPLOY % "endpoint: {port: 0}": ("models[0].deployment.endpoint.port", "out of range", ""),
    DEPLOY % "endpoint: {host: 'a b'}": ("models[0].deployment.endpoint.host", "not a host name", ""),
    DEPLOY % "start_timeout: 0": ("models[0].deployment.start_timeout", "out of range", "more than 0"),
    DEPLOY % "stop_grace: -1": ("models[0].deployment.stop_grace", "out of range", "at least 0"),
    DEPLOY % "stop_grace: 1e12": ("models[0].deployment.stop_grace", "out of range", ""),
    UPDATE % "strategy: bluegreen": ("models[0].deployment.update.strategy", "not known", "`blue_green`?"),
    UPDATE % "strategy: BlueGreen": ("models[0].deployment.update.strategy", "not known", "`blue_green`?"),
    UPDATE % "strategy: RollingUpdate": ("models[0].deployment.update.strategy", "not known", "`rolling`?"),
    UPDATE % "strategy: ramped": ("models[0].deployment.update.strategy", "not known", "`recreate` or `blue_green`"),
    UPDATE % "maxSurge: 1": ("models[0].deployment.update.maxSurge", "unknown key", "`max_surge`?"),
    UPDATE % "max-unavailble: 1": ("models[0].deployment.update.max-unavailble", "unknown key", "`max_unavailable`?"),
    UPDATE % "minReadySeconds: 1": ("models[0].deployment.update.minReadySeconds", "unknown key", "`min_ready`?"),
    UPDATE % "type: Recreate": ("models[0].deployment.update.type", "unknown key", "`strategy`?"),
    UPDATE % "max_surge: 1, max-surge: 1": ("models[0].deployment.update.max_surge", "given twice", "keep"),
    UPDATE % "max_surge: -1": ("models[0].deployment.update.max_surge", "neither a count nor a", "1 or 25%"),
    UPDATE % "max_surge: 0.25": ("models[0].deployment.update.max_surge", "neither a count nor a", "1 or 25%"),
    UPDATE % "max_surge: 101%": ("models[0].deployment.update.max_surge", "neither a count nor a", "1 or 25%"),
    UPDATE % "max_surge: 10001": ("models[0].deployment.update.max_surge", "neither a count nor a", ""),
    UPDATE % "max_unavailable: [1]": ("models[0].deployment.update.max_unavailable", "is a list", "count or a perc"),
    UPDATE % "steps: []": ("models[0].deployment.update.steps", "is an empty list", "leave it out"),
    UPDATE % "steps: 5": ("models[0].deployment.update.steps", "is a single value", "[5]"),
    UPDATE % "steps: [0]": ("models[0].deployment.update.steps[0]", "out of range", "1 to 99"),
    UPDATE % "steps: [5, 100]": ("models[0].deployment.update.steps[1]", "out of range", "1 to 99"),
    UPDATE % "steps: [5%]": ("models[0].deployment.update.steps[0]", "not a whole number", "1 to 99"),
    UPDATE % "steps: [5, 50, 50]": ("models[0].deployment.update.steps[2]", "does not rise above the 50 %", "rising"),
    UPDATE % "steps: [5, 4]": ("models[0].deployment.update.steps[1]", "does not rise above the 5 %", "rising"),
    UPDATE % "pause: 5m": ("models[0].deployment.update.pause", "", "in seconds: 300"),
    UPDATE % "progress_deadline: 0": ("models[0].deployment.update.progress_deadline", "out of range", "more than 0"),
    UPDATE % "bake: -1": ("models[0].deployment.update.bake", "out of range", "at least 0"),
    UPDATE % "auto_rollback: never": ("models[0].deployment.update.auto_rollback", "neither true nor", ""),
    UPDATE % "min_requests: 1.5": ("models[0].deployment.update.min_requests", "not a whole number", ""),
    UPDATE % "max_error_rate: 5": ("models[0].deployment.update.max_error_rate", "out of range", "from 0 to 1"),
    UPDATE % "max_error_rate: 1%": ("models[0].deployment.update.max_error_rate", "not a plain number", "write 0.01"),
    UPDATE % "max_latency: 0.5": ("models[0].deployment.update.max_latency", "out of range", "from 1 to 1000"),
    DEPLOY % "update: canary": ("models[0].deployment.update", "is a single value", "a map"),
    DEPLOY % "strategy: canary": ("models[0].deployment.strategy", "unknown key", "under `update`"),
    DEPLOY % "max_surge: 1": ("models[0].deployment.max_surge", "unknown key", "under `update`"),
    DEPLOY % "update_config: {}": ("models[0].deployment.update_config", "unknown key", "`update`?"),
    MODEL % "update: {}": ("models[0].service.update", "unknown key", "under `deployment`"),
    DEPLOY % "retry: 2": ("models[0].deployment.retry", "neither true nor false", ""),
}


@pytest.mark.parametrize("text", KEYS)
def test_each_rule_broken_once(text: str) -> None:
    path, message, hint = KEYS[text]
    problem = only(text)
    assert problem.path == path
    assert message in problem.message
    assert hint in problem.hint
    assert is_valid((problem,)) is (problem.severity != "error")


WARNED = [
    ACTION % "{action: mkdir, ref: a, args: {path: a}}",
    ACTION % "{action: log, ref: a, args: {message: a}}",
    DEPLOY % "secrets: {BACKEND_MODEL_PATH: a}",
]


@pytest.mark.parametrize("text", WARNED)
def test_warnings_leave_a_definition_valid(text: str) -> None:
    loaded = load(text.encode(), "f")
    assert loaded.definition
    assert [p.severity for p in loaded.problems] == ["warning"]
    assert not is_valid(loaded.problems, strict=True)


# --- properties -----------------------------------------------------------------------------------------------------

SEEDS = [file.read_bytes() for file in sorted(DATA.iterdir())]


def holds_together(data: bytes) -> None:
    """What is true of every load."""
    loaded = load(data, "f")
    assert loaded == load(data, "f")
    assert (loaded.definition is None) == (not is_valid(loaded.problems))
    assert list(loaded.problems) == sorted(loaded.problems, key=lambda p: (p.line, p.column))
    for problem in loaded.problems:
        assert problem.message
        if loaded.lines:
            assert 1 <= problem.line <= len(loaded.lines)
            assert 1 <= problem.column <= len(loaded.lines[problem.line - 1]) + 1
    if loaded.readable is not None:  # whatever is right in it can be resolved
        found = resolve(loaded.readable, Context(folder="/srv/m"), "f", loaded.at).problems
        more = list(loaded.beyond(found))
        assert more == list(found) if loaded.definition else {p.severity for p in more} <= {"error"}
    for line, column in loaded.positions.values():
        assert 1 <= line <= len(loaded.lines)
        assert 1 <= column <= len(loaded.lines[line - 1]) + 1


@settings(max_examples=150)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda t: t.encode("utf-8", "surrogatepass"))))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    holds_together(data)


@settings(max_examples=150)
@given(st.text(alphabet="abm: \n-[]{}&*<>!|'\"?%#,\t1.~\u2028\x85\ufeff", max_size=120))
def test_any_yaml_punctuation_is_read_or_refused(text: str) -> None:
    holds_together(text.encode())


@settings(max_examples=200)
@given(st.sampled_from(SEEDS), st.data())
def test_a_valid_file_with_any_damage_is_read_or_refused(seed: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(seed)))
    cut = data.draw(st.integers(0, 12))
    new = data.draw(
        st.one_of(st.binary(max_size=6), st.sampled_from([b"\n", b"  ", b": ", b"- ", b"&a ", b"*a", b"{", b"~"]))
    )
    holds_together(seed[:at] + new + seed[at + cut :])


KNOWN = """models name model_path service port health_check path deployment resources mem environ args action command
pre_start_actions body metadata endpoint extra_mounts x-a start-command update strategy steps max_surge"""
keys = st.sampled_from(KNOWN.split())
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(string.printable, max_size=8), st.just("write_file")
)
trees: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=4)),
    max_leaves=12,
)


@settings(max_examples=150)
@given(trees, trees, trees)
def test_any_tree_of_known_keys_is_read_or_refused(service: Any, deployment: Any, more: Any) -> None:
    tree = {"models": [{"name": "m", "service": service, "deployment": deployment}, more]}
    holds_together(yaml.safe_dump(tree).encode())
