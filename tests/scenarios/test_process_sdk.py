"""Programs that were written for Backend.AI's SDK run against a daemon as they are in docs/sdk.md."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from harness import Daemon, echo, until

from orchestrator.client.config import APIConfig
from orchestrator.client.session import AsyncSession, Session
from orchestrator.core.errors import Conflict, InvalidInput, NotFound, Unavailable

ROOT = Path(__file__).parents[2]
SAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "docs/sdk.md").read_text("utf-8"), re.DOTALL)
ROOM = '{"default": {"slots": {"cpu": 8, "mem": "64g", "cuda.device": 2}}}'
ARGUMENTS = re.search(r"Service\.create\(\n(.*?)\n    \)", SAMPLES[3], re.DOTALL)


def model(name: str = "llama") -> dict[str, object]:
    """A model whose folder serves nothing by itself."""
    return echo(name, deployment={"desired_routing_count": 0})


async def run(daemon: Daemon, *samples: str) -> tuple[str, str]:
    """Out and err of the programs, one after the other; any warning and any loop left behind would be in err."""
    files = []
    for number, sample in enumerate(samples):
        file = daemon.folder / f"sample{number}.py"
        assert ARGUMENTS is not None
        file.write_text(sample.replace("http://127.0.0.1:8090", daemon.url).replace("...", ARGUMENTS[1]))
        files.append(str(file))
    program = (
        "import runpy, sys\nfor file in sys.argv[1:]: print(runpy.run_path(file, run_name='__main__').get('resp'))"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-X", "dev", "-W", "error", "-c", program, *files),
        env=daemon.environ | {"ORCHESTRATOR_URL": daemon.url, "ORCHESTRATOR_TOKEN": daemon.admin_token},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 80)
    return out.decode(), err.decode()


def config(daemon: Daemon) -> APIConfig:
    return APIConfig(daemon.url, token=daemon.admin_token, timeout=10)


async def test_the_samples_run_as_they_are(daemons: Callable[..., Awaitable[Daemon]]) -> None:
    daemon = await daemons(environ={"ORCHESTRATOR_RESOURCE_GROUPS": ROOM})
    daemon.drop("Llama2-70B", model())
    out, err = await run(daemon, *SAMPLES[:4])
    assert err == ""
    assert out.count("'manager': ") == 3, out
    assert (await daemon.settled("Llama2-service")).desired_routing_count == 1
    await daemon.client.remove("Llama2-service")
    await until(lambda: gone(daemon, "Llama2-service"))
    out, err = await run(daemon, SAMPLES[4])
    assert err == ""
    assert "<Response [200]>" in out
    _, err = await run(daemon, SAMPLES[3])
    assert "Conflict: cannot start Llama2-service: the name is taken" in err


async def gone(daemon: Daemon, name: str) -> bool:
    return name not in {s.name for s in await daemon.client.services()}


async def test_a_service_from_its_creation_to_its_end(daemons: Callable[..., Awaitable[Daemon]]) -> None:
    daemon = await daemons(environ={"ORCHESTRATOR_RESOURCE_GROUPS": ROOM})
    daemon.drop("one", model("by-name"))
    async with AsyncSession(config(daemon)) as session:
        assert await session.System.get_versions() == session.System.get_versions()
        await until(lambda: session.Service.detail("by-name"))
        waits = await session.Service.create(None, "one", 1, resources={"cuda.shares": 3}, max_wait=0.5)
        info = await waits.info()
        assert (info["url"], info.service_endpoint, info.status) == (None, None, "PROVISIONING")
        assert "no capacity" in info.cause
        assert (await waits.generate_api_token("never"))["token"].count(".") == 2
        made = await session.Service.create(None, "by-name", service_name="made", expose_to_public=True)
        info = await made.info()
        assert info.url == info["service_endpoint"] == daemon.endpoint("made", "")
        assert (await daemon.ask("made", "/v1/models"))[0] == 200
        route = info.active_routes[0]["route_id"]
        assert await made.update_traffic_ratio(route, 0.5) == {"success": True}
        assert (await made.info()).active_routes[0]["traffic_ratio"] == 0.5
        assert await made.scale(2) == {"current_route_count": 1, "target_count": 2}
        assert await made.wait()
        assert {s.name for s in await session.Service.list()} == {"by-name", "made", waits["name"]}
        assert (await made.errors()).errors == []
        await made.clear_error()
        await made.delete()
        assert await made.wait("gone")
        with pytest.raises(NotFound):
            await made.info()
        with pytest.raises(InvalidInput, match=r"cuda\.shares"):
            await session.Service.create(None, "one", resources={"cuda.shares": 0.5}, max_wait=0)
        daemon.drop("two", model("by-name") | {"x-other": 1})
        with pytest.raises(NotFound):
            await session.Service.create(None, "nothing", max_wait=0)
        await session.Service("by-name").delete()
    with Session(config(daemon)) as blocking:  # also where a loop runs already
        assert blocking.Service(waits.id).info()["name"] == waits["name"]
        with pytest.raises(Conflict):
            blocking.Service.create(None, "one", service_name=waits["name"], max_wait=0)


def test_where_nothing_listens_and_what_is_not_known_is_told() -> None:
    with pytest.raises(Unavailable, match="nothing listens"), Session(APIConfig("http://127.0.0.1:9", token="x")):
        pass
    with pytest.raises(InvalidInput, match="group"):
        APIConfig("http://127.0.0.1:9", group="research")


def test_a_local_token_goes_to_no_other_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "admin.token").write_text("local")
    monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("ORCHESTRATOR_API__LISTEN", "127.0.0.1:8099")
    monkeypatch.delenv("ORCHESTRATOR_TOKEN", raising=False)
    monkeypatch.setenv("BACKEND_ENDPOINT", "http://elsewhere.example")
    monkeypatch.delenv("ORCHESTRATOR_URL", raising=False)
    assert (APIConfig().endpoint, APIConfig().token) == ("http://elsewhere.example", "")
    assert APIConfig("http://127.0.0.1:8099").token == "local"


def test_a_typed_program_passes_strict_mypy(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "from orchestrator.client.session import AsyncSession, Session\n"
        "def main() -> str:\n"
        "    with Session() as session:\n"
        "        made = session.Service.create('i', 'm', 1, service_name='n', resources={'cpu': 1})\n"
        "        made.wait('healthy', 1)\n"
        "        reveal_type(made)\n"
        "        return str(made.info()['url'])\n"
        "async def later() -> str:\n"
        "    async with AsyncSession() as session:\n"
        "        made = await session.Service.create('i', 'm', open_to_public=True)\n"
        "        reveal_type(made)\n"
        "        return str((await made.info()).url)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", str(program)], cwd=ROOT, capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stdout
    assert re.findall(r'type is "[\w.]*?(\w+)"', done.stdout) == ["Service", "AsyncService"]
