"""`wait`: for what becomes HEALTHY, is not there yet, or goes; and what it says meanwhile."""

from __future__ import annotations

import json

import pytest
from small_control import ECHO, Cli, SmallControl

from orchestrator.cli import waiting
from orchestrator.core.errors import NotFound, Unavailable
from orchestrator.core.state import ServiceStatus

STARTING = ECHO.model_copy(
    update={"status": ServiceStatus.PROVISIONING, "healthy": 0, "cause": "the model loads, 3 s of 60 s"}
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LOOK", 0.01)


def test_it_ends_when_the_service_is_healthy_and_says_once_why_it_was_not(cli: Cli, control: SmallControl) -> None:
    later = STARTING.model_copy(update={"cause": "the model loads, 4 s of 60 s"})
    control.service_view, control.later = STARTING, [STARTING, later, ECHO]
    code, out, _ = cli("wait", "echo")
    assert code == 0
    assert out.splitlines() == [
        "echo: PROVISIONING, 0 of 1 routings are HEALTHY: the model loads, 3 s of 60 s",
        "echo: HEALTHY",
    ]


def test_a_service_that_is_not_there_yet_is_waited_for(
    cli: Cli, control: SmallControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([False, False])
    known = control._known

    def comes_later(ref: str) -> object:
        if next(looks, True):
            return known(ref)
        raise NotFound("cannot find it")

    monkeypatch.setattr(control, "_known", comes_later)
    monkeypatch.setattr(control, "services", lambda: _none())
    code, out, _ = cli("wait", "echo")
    assert (code, out.splitlines()) == (0, ["echo: no such service yet", "echo: HEALTHY"])


async def _none() -> list[object]:
    return []


def test_out_of_time_it_ends_with_5_and_the_cause(cli: Cli, control: SmallControl) -> None:
    control.service_view = STARTING
    code, _, err = cli("wait", "echo", "--timeout", "0.05")
    assert code == 5
    assert "echo is not HEALTHY within 0.05 s" in err
    assert "the model loads" in err


def test_for_gone_ends_at_once_where_nothing_is(cli: Cli) -> None:
    assert cli("wait", "other", "--for", "gone")[:2] == (0, "other: gone\n")


def test_for_gone_of_what_stays_is_a_timeout(cli: Cli) -> None:
    assert cli("wait", "echo", "--for", "gone", "--timeout", "0")[0] == 5


def test_json_is_one_object_and_nothing_else(cli: Cli, control: SmallControl) -> None:
    control.service_view, control.later = STARTING, [STARTING, ECHO]
    assert json.loads(cli("wait", "echo", "-o", "json")[1])["status"] == "HEALTHY"
    assert json.loads(cli("wait", "other", "--for", "gone", "-o", "json")[1]) == {"name": "other", "status": "gone"}


def test_a_daemon_that_never_answered_is_an_error(cli: Cli) -> None:
    code, _, err = cli("wait", "echo", "--url", "http://127.0.0.1:9", "--token", "x")
    assert code == 1
    assert "nothing listens there" in err


def test_a_daemon_that_is_restarted_meanwhile_is_waited_for(
    cli: Cli, control: SmallControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    control.service_view, control.later = STARTING, [STARTING, STARTING, ECHO]
    service, calls = control.service, iter([False, True])

    async def away_once(ref: str) -> object:
        if next(calls, False):
            raise Unavailable("cannot answer: it is restarted")
        return await service(ref)

    monkeypatch.setattr(control, "service", away_once)
    assert cli("wait", "echo")[0] == 0
    monkeypatch.setattr(waiting, "SILENT", 0.0)
    control.service_view, calls = STARTING, iter([False, True, True, True, True])
    assert cli("wait", "echo", "--timeout", "5")[0] == 1
