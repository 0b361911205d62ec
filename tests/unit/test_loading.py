"""What the loader reads out of definitions: the key gives a value its type, and every problem has its place."""

from __future__ import annotations

import textwrap
import time
from pathlib import Path

import pytest

from orchestrator.core.definition import Deployment, Service, Update, WriteFile
from orchestrator.core.loading import Loaded, deployment_from_mapping, load, load_mapping
from orchestrator.core.problems import Problem

DATA = Path(__file__).parent / "data" / "backendai"


def read(text: str) -> Loaded:
    return load(textwrap.dedent(text).encode(), "f.yml")


def service(text: str) -> Service:
    """The service of a definition whose service has these keys."""
    loaded = read("models:\n- name: m\n  service:\n    port: 80\n" + textwrap.indent(textwrap.dedent(text), "    "))
    assert loaded.definition, "\n".join(map(str, loaded.problems))
    assert loaded.definition.models[0].service
    return loaded.definition.models[0].service


def deployment(text: str) -> Deployment:
    loaded = read("models:\n- name: m\n  deployment:\n" + textwrap.indent(textwrap.dedent(text), "    "))
    assert loaded.definition, "\n".join(map(str, loaded.problems))
    return loaded.definition.models[0].deployment


def wrote(value: str) -> WriteFile:
    action = service(f"pre_start_actions: [{{action: write_file, args: {{filename: f, body: a, {value}}}}}]")
    first = action.pre_start_actions[0]
    assert isinstance(first, WriteFile)
    return first


def test_the_documented_definition_of_backendai() -> None:
    loaded = load((DATA / "simple-http-server.yml").read_bytes(), "f.yml")
    assert loaded.problems == ()
    assert loaded.definition
    [model] = loaded.definition.models
    assert (model.name, model.model_path) == ("simple-http-server", "/models")
    assert model.service
    assert model.service.start_command == ("python", "-m", "http.server", "--directory", "/home/work", "8000")
    assert model.service.health_check
    assert (model.service.health_check.path, model.service.health_check.max_retries) == ("/", 5)


RUN_COMMAND = "an exit status other than 0 fails the start"
TEMPLATE = "is read as a Backend.AI template"
NOTES = {
    "simple-http-server": [],
    "vllm": [],
    "nim": [],
    "huggingface-tgi": [],
    "sglang": [],
    "modular-max": [],
    "llama-cpp": [],
    "custom-with-actions": [TEMPLATE, TEMPLATE, "appends to the file", RUN_COMMAND],
    "listed-only": [],
}


def test_every_backendai_definition_is_in_the_table() -> None:
    assert {file.stem for file in DATA.iterdir()} == NOTES.keys()


@pytest.mark.parametrize("name", NOTES)
def test_backendai_definitions_are_valid_with_a_note_for_each_difference(name: str) -> None:
    loaded = load((DATA / f"{name}.yml").read_bytes(), name)
    assert loaded.definition
    assert [p.severity for p in loaded.problems] == ["note"] * len(NOTES[name])
    for problem, begins in zip(loaded.problems, NOTES[name], strict=True):
        assert problem.message.startswith(begins)


def test_metadata_keeps_what_it_knows_by_rule_and_the_rest_as_written() -> None:
    loaded = load((DATA / "vllm.yml").read_bytes(), "vllm")
    assert loaded.definition
    metadata = loaded.definition.models[0].metadata
    assert metadata["version"] == "1.0"
    assert metadata["created"] == "2024-04-18"
    assert metadata["last_modified"] == "2024-05-01"
    assert metadata["framework"] == ("vllm", "pytorch")
    assert metadata["min_resource"] == {"cpu": 4, "mem": "32g", "cuda.shares": 1.5}
    assert metadata["languages"] == ["en", "de"]


# --- the key gives the type -----------------------------------------------------------------------------------------

TEXTS = ["1.10", "on", "no", "2024-01-01", "0777", "1e3", "null", "~", "true", "12:30:45", ".inf", "0x1F"]


@pytest.mark.parametrize("text", TEXTS)
def test_text_keys_keep_the_text(text: str) -> None:
    assert deployment(f"environ: {{A: {text}}}").environ == {"A": text}
    assert service(f"start_command: [serve, {text}]").start_command == ("serve", text)


@pytest.mark.parametrize("mode", ["644", "0644", '"644"', "'0644'", "0o644", "00644"])
def test_modes_are_octal_digits(mode: str) -> None:
    assert wrote(f"mode: {mode}").args.mode == 0o644


@pytest.mark.parametrize(
    ("text", "value"), [("yes", True), ("On", True), ("TRUE", True), ("no", False), ("off", False)]
)
def test_switches(text: str, value: bool) -> None:
    assert deployment(f"retry: {text}").retry is value


@pytest.mark.parametrize(
    ("text", "ranges"),
    [("204", ((204, 204),)), ("200-299", ((200, 299),)), ("[200, 300-302]", ((200, 200), (300, 302)))],
)
def test_expected_status(text: str, ranges: object) -> None:
    check = service(f"health_check: {{expected_status_code: {text}}}").health_check
    assert check
    assert check.expected_status_code == ranges


@pytest.mark.parametrize(
    ("text", "shell"), [("", "default"), ("shell: null", None), ("shell: ~", None), ("shell: sh", "sh")]
)
def test_a_null_shell_is_another_thing_than_none_given(text: str, shell: str | None) -> None:
    assert service(text).shell == shell


@pytest.mark.parametrize("text", ["health_check:", "health_check: null", "health_check: {}"])
def test_an_empty_health_check_is_off(text: str) -> None:
    assert service(text).health_check is None


@pytest.mark.parametrize("key", ["port", "pre_start_actions", "start_command", "health_check"])
def test_null_is_the_same_as_left_out_but_for_what_is_required(key: str) -> None:
    text = "models: [{name: m, service: {" + ("" if key == "port" else "port: 80, ") + f"{key}: null}}}}]"
    assert bool(read(text).definition) == (key != "port")


def test_every_name_of_a_key() -> None:
    for name in ("desired_routing_count", "desired-routing-count", "replicas", "desired_session_count"):
        assert deployment(f"{name}: 3").desired_routing_count == 3
    assert deployment("expose-to-public: yes").open_to_public is True
    assert service("command: serve").start_command == "serve"
    assert service("start-command: [serve]").start_command == ("serve",)


def test_x_keys_are_ignored_everywhere() -> None:
    text = (
        "x-a: &a {A: 1}\nmodels: [{x-b: 1, name: m, service: {port: 80, x-c: [1]}, deployment: {x-d: 2, environ: *a}}]"
    )
    loaded = read(text)
    assert loaded.problems == ()
    assert loaded.definition


def test_anchors_and_merge_keys() -> None:
    text = """
        x-base: &base {port: 80, shell: sh}
        x-more: &more {shell: bash, start_command: serve}
        models:
        - {name: one, service: {<<: *base, port: 81}}
        - {name: two, service: {<<: [*base, *more]}}
    """
    definition = read(text).definition
    assert definition
    one, two = (m.service for m in definition.models)
    assert one
    assert two
    assert (one.port, one.shell) == (81, "sh")
    assert (two.port, two.shell, two.start_command) == (80, "sh", "serve")


def test_lists_of_lines_and_text_stay_apart() -> None:
    action = service('pre_start_actions: [{action: write_file, args: {filename: f, body: [a, "", 1, ~]}}]')
    assert (
        action.pre_start_actions[0].args
        == WriteFile.model_validate(
            {"action": "write_file", "args": {"filename": "f", "body": ("a", "", "1", "~")}}
        ).args
    )


@pytest.mark.parametrize(
    ("text", "slots"),
    [
        ("{cpu: 0.5, mem: 512m}", {"cpu": 0.5, "mem": 512 << 20}),
        ("{mem: 4g, shm: 1GiB}", {"mem": 4 << 30, "shm": 1 << 30}),
        ("{mem: 8589934592}", {"mem": 8 << 30}),
        ("{cuda.device: 2}", {"cuda.device": 2}),
        ("{cuda.shares: 0.5, rocm.device: 1, x-why: test}", {"cuda.shares": 0.5, "rocm.device": 1}),
        ("{mem: 1.5g, ipu.memory: 2g}", {"mem": 3 << 29, "ipu.memory": 2 << 30}),
    ],
)
def test_resources(text: str, slots: object) -> None:
    assert deployment(f"resources: {text}").resources == slots


# --- places ---------------------------------------------------------------------------------------------------------


POLICIES: dict[str, dict[str, object]] = {
    "max_surge: 25%": {"max_surge": "25%"},
    "max_surge: ' 5% '": {"max_surge": "5%"},
    'max-surge: "2"': {"max_surge": 2},
    "max-surge: 0": {"max_surge": 0},
    "max_unavailable: 00%": {"max_unavailable": "0%"},
    "strategy: blue-green": {"strategy": "blue_green"},
    "strategy: Blue_Green": {"strategy": "blue_green"},
    "strategy: Recreate": {"strategy": "recreate"},
    "steps: [1, '99']": {"steps": (1, 99)},
    "auto-rollback: no": {"auto_rollback": False},
    "promote_after: 0": {"promote_after": 0},
    "promote_after: null": {"promote_after": None},
    "bake: ~": {},
    "max_error_rate: 1e-3": {"max_error_rate": 0.001},
    "x-why: 1": {},
}


@pytest.mark.parametrize("text", POLICIES)
def test_update_policies_as_numbers_or_text(text: str) -> None:
    update = deployment(f"update: {{{text}}}").update
    assert update == Update.model_validate(POLICIES[text])
    assert update.model_fields_set == POLICIES[text].keys()


def test_places_of_values() -> None:
    loaded = read("models:\n  - name: m\n    service:\n      port: 80\n      start-command: [a, b]\n")
    assert loaded.at("models[0].service.port") == (4, 13)
    assert loaded.at("models[0].service.start_command[1]") == (5, 26)
    assert loaded.at("models[0].service.health_check.path") == loaded.at("models[0].service") == (4, 7)
    assert loaded.at("nothing") == (1, 1)


def test_a_byte_order_mark_moves_nothing() -> None:
    assert load(b"\xef\xbb\xbfmodels: [{name: m}]", "f").at("models[0].name") == (1, 17)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_places_with_any_newline(newline: str) -> None:
    text = newline.join(["models:", "  - name: m", "    port: 80", ""])
    [problem] = load(text.encode(), "f").problems
    assert (problem.line, problem.column) == (3, 5)
    assert load(text.encode(), "f").lines[2] == "    port: 80"


def test_all_problems_at_once_and_in_file_order() -> None:
    text = """
        model: 1
        models:
        - name: a/b
          service: {port: 0, healthcheck: 1}
          deployment: {resources: {mem: 1g, shm: 1g}, service_name: -x}
    """
    found = [(p.line, p.path) for p in read(text).problems]
    assert found == [
        (2, "model"),
        (4, "models[0].name"),
        (5, "models[0].service.port"),
        (5, "models[0].service.healthcheck"),
        (6, "models[0].deployment.resources.shm"),
        (6, "models[0].deployment.service_name"),
    ]


# --- other sources --------------------------------------------------------------------------------------------------


def test_a_side_file_takes_both_names_of_keys() -> None:
    text = b"environment: {image: 'a:1'}\nresource_slots: {cpu: 2, mem: 8g}\nresource_opts: {shmem: 1g}\nreplicas: 2\n"
    found, problems = load_mapping(text, "deployment-config.yaml")
    assert problems == ()
    assert found
    assert found.image == "a:1"
    assert found.resources == {"cpu": 2, "mem": 8 << 30, "shm": 1 << 30}
    assert found.desired_routing_count == 2


def test_a_side_file_of_runtime_variants() -> None:
    vllm = {"environment": {"image": "v:1", "architecture": "x86_64"}, "environ": {"A": True, "B": 1.5}}
    found, problems = deployment_from_mapping({"vllm": vllm}, "service-definition.toml")
    assert found
    assert (found.image, found.environ) == ("v:1", {"A": "true", "B": "1.5"})
    assert [p.severity for p in problems] == ["note"]


@pytest.mark.parametrize(
    ("mapping", "path"),
    [
        ({"imag": "x"}, "defaults.imag"),
        ({"resources": {"mem": 4}}, "defaults.resources.mem"),
        ({"stop_grace": float("inf")}, "defaults.stop_grace"),
        ({"resources": {"cpu": 1}, "resource_slots": {"cpu": 2}}, "defaults.resource_slots.cpu"),
        ({"resource_opts": {"shm_size": "1g"}}, "defaults.resource_opts.shm_size"),
        ({"labels": 10**5000}, "defaults"),
    ],
)
def test_plain_mappings_obey_the_same_rules(mapping: dict[str, object], path: str) -> None:
    found, problems = deployment_from_mapping(mapping, "config.toml", "defaults")
    assert found is None
    assert [(p.path, p.line) for p in problems] == [(path, 0)]


# --- cost -----------------------------------------------------------------------------------------------------------

HOSTILE = {
    "deep flow": b"[" * 50_000,
    "deep block": b"- " * 50_000,
    "deep keys": b"? " * 50_000,
    "alias bomb": b"a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
    + b"".join(b"a%d: &a%d [%s]\n" % (i, i, b",".join([b"*a%d" % (i - 1)] * 10)) for i in range(1, 12)),
    "merge bomb": b"a0: &a0 {x: 1}\n"
    + b"".join(b"a%d: &a%d {<<: [%s]}\n" % (i, i, b",".join([b"*a%d" % (i - 1)] * 10)) for i in range(1, 12)),
    "many items": b"models: [" + b"a," * 520_000 + b"]",
    "many keys": b"".join(b"k%d: 1\n" % i for i in range(90_000)),
    "same keys": b"k: 1\n" * 200_000,
    "long line": b"models: " + b"x" * 1_000_000,
    "many quotes": b'"' * 1_000_000,
    "too large": b"#" * ((1 << 20) + 1),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_end_soon_with_few_problems(name: str) -> None:
    begin = time.process_time()
    loaded = load(HOSTILE[name], "f")
    assert time.process_time() - begin < 3
    assert loaded.definition is None
    assert 0 < len(loaded.problems) <= 201


def test_many_definitions_are_read_fast() -> None:
    data = (DATA / "custom-with-actions.yml").read_bytes()
    begin = time.process_time()
    for _ in range(200):
        load(data, "f")
    assert time.process_time() - begin < 1.0


def test_a_cut_list_of_problems_says_so() -> None:
    last: Problem = load(HOSTILE["many keys"], "f").problems[-1]
    assert "more than 200 problems" in last.message
