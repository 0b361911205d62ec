"""`support-bundle`: it has what is needed, and none of the secrets that are planted everywhere."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
from small_control import ADMIN, ECHO, SPEC, Cli, SmallControl

from orchestrator.auth import KeyRing
from orchestrator.core.hiding import hidden, hidden_text
from orchestrator.core.state import ServiceStatus
from orchestrator.core.views import CauseView, ExplainView

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJlLW9mLWl0"
PLANTED = (
    JWT,
    "value-of-a-secret",
    "in-the-defaults",
    "of-the-store",
    "bearer-text-1",
    "sk-0123456789abcdef",
    "pw-in-url",
)


@pytest.fixture
def planted(tmp_path: Path, control: SmallControl, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A daemon whose configuration, logs, causes and files hold secrets."""
    state = tmp_path / "state"
    KeyRing.open(state)
    (state / "admin.token").write_text("the-local-admin-token-of-this-host-0")
    (state / "secrets").mkdir()
    (state / "secrets/hf").write_text("value-of-a-secret\n")
    (tmp_path / "config.toml").write_text(
        'state_dir = "state"\n[store]\nurl = "sqlite://u:of-the-store@/x.db"\n'
        '[defaults.environ]\nPLAIN = "in-the-defaults"\n'
    )
    control.log = [
        f"token {JWT}",
        "Authorization: Bearer bearer-text-1",
        "it read value-of-a-secret",
        "OPENAI_API_KEY=sk-0123456789abcdef",
        "pull https://me:pw-in-url@registry.example/x",
        "this line is harmless",
    ]
    monkeypatch.setitem(SPEC, "environ", {"PLAIN": "in-the-defaults"})
    monkeypatch.setitem(SPEC, "command", ["serve", "--api-key", "bearer-text-1", "--port", "8000"])
    control.service_view = ECHO.model_copy(update={"cause": "password: pw-in-url"})
    return state


def parts(archive: Path) -> dict[str, str]:
    with tarfile.open(archive) as tar:
        return {m.name.removeprefix("support/"): file.read().decode() for m in tar if (file := tar.extractfile(m))}


def test_it_holds_what_is_needed_and_no_secret(planted: Path, cli: Cli, tmp_path: Path) -> None:
    code, out, err = cli("support-bundle", "s.tar.gz")
    assert code == 0, err
    assert (tmp_path / "s.tar.gz").stat().st_mode & 0o777 == 0o600
    found = parts(tmp_path / "s.tar.gz")
    assert {
        *("status.json", "doctor.json", "services.json", "routings.json", "plan.json", "events.json", "config.json"),
        *("versions.json", "services/echo.json", "logs/echo.log", "left-out.json"),
    } == found.keys()
    assert "this line is harmless" in found["logs/echo.log"]
    assert "8000" in found["services/echo.json"]
    keys = [key.secret for key in KeyRing.open(planted).signing_keys()]
    everything = "".join(found.values()) + out + err
    for secret in (*PLANTED, *keys, ADMIN, "the-local-admin-token-of-this-host-0"):
        assert secret not in everything, secret


def test_without_a_daemon_it_says_what_is_left_out(planted: Path, cli: Cli, tmp_path: Path) -> None:
    assert planted.exists()
    code, _, err = cli("support-bundle", "s.tar.gz", "--url", "http://127.0.0.1:9")
    assert code == 0
    assert "left out: daemon: cannot reach the daemon" in err
    found = parts(tmp_path / "s.tar.gz")
    assert found.keys() == {"config.json", "versions.json", "doctor.json", "left-out.json"}
    assert not any(secret in text for secret in PLANTED for text in found.values())


def test_one_question_that_fails_costs_its_part_only(
    cli: Cli, control: SmallControl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(ref: str) -> ExplainView:
        cause = CauseView(code="x", message=ref * 10**5)
        return ExplainView(service="echo", status=ServiceStatus.HEALTHY, causes=(cause,) * 100)

    monkeypatch.setattr(control, "explain", broken)
    monkeypatch.setattr(control, "doctor", lambda: (_ for _ in ()).throw(RuntimeError("of a test")))
    assert cli("support-bundle", "s.tar.gz")[0] == 0
    left = json.loads(parts(tmp_path / "s.tar.gz")["left-out.json"])
    assert set(left) == {"doctor.json"}


def test_a_file_that_is_there_is_not_written_over(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "s.tar.gz").write_text("mine")
    assert cli("support-bundle", "s.tar.gz")[0] == 2
    assert cli("support-bundle", "nowhere/s.tar.gz")[0] == 1
    assert (tmp_path / "s.tar.gz").read_text() == "mine"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("HF_TOKEN=hf_abcdef", "HF_TOKEN=***"),
        ('"password": "abc def"', '"password": "***"'),
        ("curl -H 'Authorization: BackendAI abc.def.ghi'", "curl -H 'Authorization: *** ***'"),
        ("serve --api-key abc --port 80", "serve --api-key *** --port 80"),
        ("postgres://u:p@db/x", "postgres://***@db/x"),
        ("max tokens reached after 30 s", "max tokens reached after 30 s"),
    ],
)
def test_what_looks_like_a_secret_is_hidden(text: str, shown: str) -> None:
    assert hidden_text(text, ()) == shown


def test_of_an_environment_the_names_alone_are_shown() -> None:
    plan = {"path": "deployment.environ.A", "from": None, "to": "x1y2", "class": "rolling"}
    assert hidden(plan, ()) == plan | {"to": "***"}
    assert hidden({"environ": {"A": "b"}, "n": [1, None, True]}, ()) == {"environ": {"A": "***"}, "n": [1, None, True]}
