"""Every example is valid on every runtime, and says where its schema is."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from orchestrator.core.port_use import uses_port
from orchestrator.core.state import Strategy
from orchestrator.folders import read_folder
from orchestrator.settings import Settings

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "model-definitions"
SEED = "simple-http-server"
SEED_TEXT = """\
models:
  - name: "simple-http-server"
    model_path: "/models"
    service:
      start_command:
        - python
        - -m
        - http.server
        - --directory
        - /home/work
        - "8000"
      port: 8000
      health_check:
        path: /
        max_retries: 5
"""
RUN_WITHOUT_IMAGE = {SEED, "echo", "every-action", "rollouts"}
"""Need nothing but a Python, which `[defaults] image` or the process runtime brings."""
STRATEGIES = {
    "update-rolling": "rolling",
    "update-recreate": "recreate",
    "update-blue-green": "blue_green",
    "update-canary": "canary",
}
"""The services of `rollouts`; every other folder has one of its own name."""
FOLDERS = sorted(f.name for f in EXAMPLES.iterdir() if f.is_dir())


def test_the_catalog_is_complete() -> None:
    engines = {"vllm", "sglang", "tgi", "llama-cpp", "triton"}
    assert set(FOLDERS) == RUN_WITHOUT_IMAGE | engines | {"voice-activity"}


@pytest.mark.parametrize("runtime", ["docker", "process"])
@pytest.mark.parametrize("name", FOLDERS)
def test_valid_without_errors_and_warnings(name: str, runtime: str) -> None:
    reading = read_folder(EXAMPLES / name, Settings(models_dirs=(EXAMPLES,)), runtime=runtime)
    assert [str(p) for p in reading.problems if p.severity != "note"] == []
    assert [s.name for s in reading.services] == (list(STRATEGIES) if name == "rollouts" else [name])
    for service in reading.services:
        assert service.routing.health is not None
        assert (service.routing.image is None) == (name in RUN_WITHOUT_IMAGE)


def test_the_seed_is_byte_for_byte() -> None:
    assert (EXAMPLES / SEED / "model-definition.yml").read_bytes() == SEED_TEXT.encode()


@pytest.mark.parametrize("name", [f for f in FOLDERS if f != SEED])
def test_editors_find_the_schema_and_any_count_can_run(name: str) -> None:
    file = EXAMPLES / name / "model-definition.yml"
    key, _, schema = file.read_text().splitlines()[0].partition("=")
    assert key == "# yaml-language-server: $schema"
    assert (file.parent / schema).resolve() == ROOT / "schemas" / "model-definition.schema.json"
    services = read_folder(file.parent, Settings(models_dirs=(EXAMPLES,)), runtime="process").services
    assert all(uses_port(service.routing) for service in services)


def test_the_rollouts_show_every_strategy_without_a_word_of_caution() -> None:
    reading = read_folder(EXAMPLES / "rollouts", Settings(models_dirs=(EXAMPLES,)), runtime="process")
    assert {s.name: s.update.strategy for s in reading.services} == STRATEGIES
    assert set(STRATEGIES.values()) == set(get_args(Strategy))
    assert reading.problems == ()
