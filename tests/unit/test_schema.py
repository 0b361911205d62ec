"""The JSON Schemas: those kept in `schemas/` are the generated ones, and they say what the loader says."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from orchestrator.cli.schema import Which, text_of
from orchestrator.core.loading import load
from orchestrator.core.schema import definition_schema

ROOT = Path(__file__).parents[2]
FILES = {Which.DEFINITION: "model-definition.schema.json", Which.CONFIG: "config.schema.json"}
DEFINITIONS = sorted((ROOT / "tests/unit/data/backendai").iterdir()) + sorted(
    (ROOT / "examples/model-definitions").glob("*/*.y*ml")
)


@pytest.fixture(scope="module")
def definition() -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator(definition_schema())


@pytest.mark.parametrize("which", FILES)
def test_the_kept_schema_is_the_generated_one(which: Which) -> None:
    kept = (ROOT / "schemas" / FILES[which]).read_text(encoding="utf-8")
    assert kept == text_of(which), f"run: orchestrator schema {which} > schemas/{FILES[which]}"


@pytest.mark.parametrize("which", FILES)
def test_the_schemas_are_schemas(which: Which) -> None:
    jsonschema.Draft7Validator.check_schema(json.loads(text_of(which)))


@pytest.mark.parametrize("file", DEFINITIONS, ids=lambda f: f"{f.parent.name}/{f.name}")
def test_valid_definitions_pass(file: Path, definition: jsonschema.Draft7Validator) -> None:
    text = file.read_text(encoding="utf-8")
    assert load(text.encode(), file.name).definition
    definition.validate(json.loads(json.dumps(yaml.safe_load(text), default=str)))


ACCEPTED = [
    {"models": [{"name": "m", "model-path": "/m", "x-a": 1, "service": {"port": 1, "command": "a"}}], "x-b": {}},
    {"models": [{"name": "m", "service": {"port": 1, "health_check": {"expected_status_code": "200-299"}}}]},
    {"models": [{"name": "m", "deployment": {"replicas": 1, "expose-to-public": "yes", "user": 1000}}]},
    {"models": [{"name": "m", "deployment": {"resources": {"mem": "4g", "cuda.device": 1, "ipu": 2}}}]},
    {"models": [{"name": "m", "deployment": {"update": {"strategy": "blue-green", "promote-after": 0, "bake": None}}}]},
    {"models": [{"name": "m", "deployment": {"update": {"max_surge": "25%", "max-unavailable": 1, "x-a": []}}}]},
    {"models": [{"name": "m", "deployment": {"update": {"strategy": "canary", "steps": [1, 99], "pause": 0.5}}}]},
    {"models": [{"name": "m", "service": None, "metadata": {"any": [1]}, "deployment": {"environ": {"A": 1.5}}}]},
]
REFUSED = [
    {},
    {"models": []},
    {"models": [{}]},
    {"models": [{"name": "m", "servce": {}}]},
    {"models": [{"name": "m", "service": {"port": 0}}]},
    {"models": [{"name": "m", "service": {"port": 1, "start_command": []}}]},
    {"models": [{"name": "m", "service": {"port": 1, "pre_start_actions": [{"action": "reboot", "args": {}}]}}]},
    {"models": [{"name": "m", "service": {"port": 1, "pre_start_actions": [{"action": "mkdir", "path": "a"}]}}]},
    {"models": [{"name": "m", "deployment": {"cluster_mode": "many"}}]},
    {"models": [{"name": "m", "deployment": {"resources": {"mem": "much"}}}]},
    {"models": [{"name": "m", "model_path": "relative"}]},
    {"models": [{"name": "m", "deployment": {"update": {"strategy": "RollingUpdate"}}}]},
    {"models": [{"name": "m", "deployment": {"update": {"max_surge": "101%"}}}]},
    {"models": [{"name": "m", "deployment": {"update": {"max_surge": -1}}}]},
    {"models": [{"name": "m", "deployment": {"update": {"steps": []}}}]},
    {"models": [{"name": "m", "deployment": {"update": {"steps": [100]}}}]},
    {"models": [{"name": "m", "deployment": {"update": {"max_error_rate": 2}}}]},
    {"models": [{"name": "m", "deployment": {"update": {"maxSurge": 1}}}]},
    {"models": [{"name": "m", "deployment": {"update": "canary"}}]},
]


@pytest.mark.parametrize("tree", ACCEPTED, ids=str)
def test_schema_and_loader_accept(tree: Any, definition: jsonschema.Draft7Validator) -> None:
    definition.validate(tree)
    assert load(yaml.safe_dump(tree).encode(), "f").definition


@pytest.mark.parametrize("tree", REFUSED, ids=str)
def test_schema_and_loader_refuse(tree: Any, definition: jsonschema.Draft7Validator) -> None:
    assert not definition.is_valid(tree)
    assert load(yaml.safe_dump(tree).encode(), "f").definition is None


def test_every_key_is_described() -> None:
    schema = definition_schema()
    for name, part in schema["$defs"].items():
        for key, value in part.get("properties", {}).items():
            described = "description" in value or "$ref" in value or key in ("action", "args")
            assert described, f"{name}.{key}"


def test_the_document_names_every_key_and_its_example_is_valid() -> None:
    text = (ROOT / "docs/definition.md").read_text(encoding="utf-8")
    for name, part in definition_schema()["$defs"].items():
        for key in part.get("properties", {}):
            assert "-" in key or f"`{key}`" in text or f"{key}," in text, f"{name}.{key}"
    example = text.split("```yaml\n")[1].split("```")[0]
    assert load(example.encode(), "docs").definition


def test_the_configuration_schema() -> None:
    validator = jsonschema.Draft7Validator(json.loads(text_of(Which.CONFIG)))
    good = (
        'runtime = "process"\napply = "manual"\n[gateway]\nhold_seconds = 5\n[defaults]\nimage = ""\n'
        'resources = {mem = "4g"}\nupdate = {strategy = "canary", max_surge = "50%"}\n'
        '[resource_groups.a.slots]\nmem = "4g"'
    )
    validator.validate(tomllib.loads(good))
    for bad in ('apply = "never"', "[gateway]\nhold_requests = -1", '[defaults]\nupdate = {strategy = "none"}'):
        assert not validator.is_valid(tomllib.loads(bad))
    for bad in ('runtme = "x"', "[defaults]\nimag = 1", "[api]\nlisten = 1"):
        assert not validator.is_valid(tomllib.loads(bad))
