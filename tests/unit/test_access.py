"""How often an address may be wrong, and what is kept of a change; pure."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from orchestrator.core.access import FailedTries
from orchestrator.core.audit import LARGEST, difference, kept, kept_path


def test_tries_come_back_one_by_one() -> None:
    tries = FailedTries(burst=3, every=10.0)
    waits = []
    for _ in range(4):
        waits.append(tries.wait("a", 100.0))
        tries.failed("a", 100.0)
    assert waits == [0, 0, 0, 10.0]
    assert tries.wait("b", 100.0) == 0
    assert tries.wait("a", 120.0) == 0
    assert tries.wait("a", 119.0) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("", "192.0.2.1", False),
    ],
)
def test_one_host_is_one_address(one: str, other: str, same: bool) -> None:
    tries = FailedTries(burst=1, every=10.0)
    tries.failed(one, 0.0)
    assert (tries.wait(other, 0.0) > 0) is same


def test_many_addresses_take_no_more_memory() -> None:
    tries = FailedTries(most=100)
    for number in range(10_000):
        tries.failed(f"10.0.{number // 256}.{number % 256}", float(number))
    assert len(tries) == 100


@pytest.mark.parametrize(
    ("before", "after", "sides"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, ({"b": 2}, {"b": 3})),
        ({"s": {"x": {"y": 1}}}, {"s": {"x": {"y": 2}}}, ({"s.x.y": 1}, {"s.x.y": 2})),
        ({"healthy": 1, "events": [1]}, {"healthy": 0, "events": []}, ({}, {})),
        (None, {"id": "1", "empty": "", "none": None}, (None, {"id": "1"})),
        ({"id": "1"}, None, ({"id": "1"}, None)),
        ({"environ": {"A": "x"}}, {"environ": {"A": "x", "B": "y"}}, ({"environ.B": None}, {"environ.B": "***"})),
    ],
)
def test_what_is_otherwise(before: Any, after: Any, sides: tuple[Any, Any]) -> None:
    assert difference(before, after) == sides


@pytest.mark.parametrize(
    "value",
    [
        {"text": "x" * 100_000},
        {str(n): "y" * 190 for n in range(10_000)},
        [["z" * 150] * 1000] * 100,
        {"k" * 100_000: 1},
        [[[[[["deep"] * 39] * 39] * 39] * 10]],
    ],
)
def test_what_is_kept_is_small(value: object) -> None:
    assert len(json.dumps(kept(value))) <= LARGEST + 200


@pytest.mark.parametrize(
    "value",
    [
        {"environ": {"A": "hunter22"}},
        {"password": "hunter22"},
        {"deep": [{"api_key": "hunter22"}]},
        {"argv": ["--token", "hunter22"]},
        {"text": "Authorization: Bearer hunter22"},
        {"url": "https://me:hunter22@example.org"},
        {"text": "-----BEGIN PRIVATE KEY-----hunter22" + "x" * 1000},
    ],
)
def test_what_is_kept_holds_no_secret(value: object) -> None:
    assert "hunter22" not in json.dumps(kept(value))


def test_what_is_kept_is_found_soon() -> None:
    began = time.monotonic()
    kept({"text": "eyJaaaaaa-" * 100_000, "more": ["eyJaaaaaa-" * 100_000] * 3})
    kept_path("/v1/x?" + "eyJaaaaaa-" * 100_000)
    assert time.monotonic() - began < 2, "it is cut before it is searched"


def test_a_path_is_kept_without_secrets_and_short() -> None:
    assert kept_path("/v1/x?token=hunter22&b=1") == "/v1/x?token=***&b=1"
    asked = "/v1/routings/r1/exec?cmd=x&cmd=--password%3Dabcd&env=A%3Db%26c&env=TOKEN%3Dabcd"
    assert kept_path(asked) == "/v1/routings/r1/exec?cmd=x&cmd=--password=***&env=A=***&env=TOKEN=***"
    assert len(kept_path("/" + "x" * 10_000)) == 512
