"""Programs that were written for Backend.AI's SDK run against a daemon as they are in docs/sdk.md."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from harness import Daemon, echo, until

from orchestrator.client.config import APIConfig
from orchestrator.client.request import Request
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
    slow = re.compile(r"Executing <.*> took [\d.]+ seconds\n")  # says development mode of a machine that is busy
    return out.decode(), slow.sub("", err.decode())


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
    out, err = await run(daemon, *(one for one in SAMPLES if "try_start" in one or "import Request" in one))
    assert (err, "result passed" in out, "\npassed\n" in out) == ("", True, True), out
    assert "200 False" in out
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
        assert "over quota" in info.cause
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
    with pytest.raises(RuntimeError, match="inside `with`"):
        blocking.Service.list()


async def test_everything_else_that_a_session_can_do(daemons: Callable[..., Awaitable[Daemon]]) -> None:
    """Blocking, in a thread of its own, as most programs are."""
    daemon = await daemons(environ={"ORCHESTRATOR_RESOURCE_GROUPS": ROOM})
    daemon.drop("one", model("one"))
    daemon.drop("kept", echo("kept", deployment={"desired_routing_count": 0, "environ": {"A": "file"}}))
    await asyncio.to_thread(walk, config(daemon))
    before = {t.name for t in threading.enumerate()}
    assert not [name for name in before if name.startswith("orchestrator")], "no loop is left behind"


def walk(where: APIConfig) -> None:
    with Session(where) as session:
        tried = session.Service.try_start(None, "one", service_name="maybe", resources={"cpu": 1})
        steps = [event.step for event in tried.events()]
        assert (steps[0], steps[-1], tried.wait().state) == ("definition", "result", "passed")
        made = session.Service.create(None, "one", 2, service_name="made", envs={"B": "1"})
        page = session.Service.paginated_list(["name", "replicas"], page_size=1, filter="replicas > 0", order="-name")
        assert (page.total_count, page.items) == (1, [{"name": "made", "replicas": 2}])
        with pytest.raises(InvalidInput, match="no field"):
            session.Service.paginated_list(["colour"])
        with pytest.raises(InvalidInput, match="filter"):
            session.Service.paginated_list(filter="name ~ x")
        assert made.update(open_to_public=True, envs={"B": "2"})["is_public"] is True
        assert made.wait()
        assert session.Service.detail("made").replicas == 2
        assert made.sync().success
        route = made.info().active_routes[0]["route_id"]
        assert made.downscale_single_route(route) == {"success": True}
        assert made.info().replicas == 1
        with pytest.raises(NotFound):
            made.downscale_single_route("nothing")
        assert "service.modified" in [event.kind for event in made.events(limit=1000)]
        following = made.events(follow=True, limit=1)
        assert next(following)["service"] == "made"
        following.close()
        assert all(line.routing for line in made.logs(tail=1))
        kept = session.Service("kept")
        with pytest.raises(Conflict, match=r"environ\.A.*declared in") as caught:
            kept.update(envs={"A": "else"})
        assert caught.value.code == "declared_in_file"
        kept.update(envs={"A": "else"}, edit=True)
        with Request("GET", "/services", params={"name": "made"}).fetch() as response:
            assert (response.status, response.json()[0]["name"]) == (200, "made")
        asked = Request("POST", f"/services/{made.id}/scale")
        asked.set_json({"to": 0})
        with asked.fetch() as response:
            assert response.json()["target_count"] == 0
        with pytest.raises(NotFound), Request("GET", "/services/nothing").fetch():
            pass
        made.delete()
        assert made.wait("gone")
    with pytest.raises(RuntimeError, match="inside"), Request("GET", "/version").fetch():
        pass


async def test_validation_is_told_in_backend_ai_words(daemons: Callable[..., Awaitable[Daemon]]) -> None:
    daemon = await daemons()
    daemon.drop("one", model("one"))
    body = {"name": "maybe", "desired_session_count": 1, "config": {"model": "one"}}
    async with AsyncSession(config(daemon)):
        request = Request("POST", "/services/_/try")
        request.set_json(body)
        async with request.fetch() as response:
            begun = await response.json()
        assert begun["name"] == "maybe"
        followed = Request("GET", "/events/background-task", params={"taskId": begun["task_id"]})
        async with followed.fetch() as response:
            assert response.content_type == "text/event-stream"
            told = [block.splitlines() for block in (await response.text()).split("\n\n") if block.startswith("event")]
        async with Request("GET", "/services/_/runtimes").fetch() as response:
            assert (await response.json())["runtimes"][0]["name"] == "custom"
    kinds = [lines[0].removeprefix("event: ") for lines in told]
    assert (set(kinds[:-2]), kinds[-2:]) == ({"bgtask_updated"}, ["bgtask_done", "server_close"])
    events = [json.loads(lines[2].removeprefix("data: ")) for lines in told]
    assert {event["task_id"] for event in events} == {begun["task_id"]}
    progress = [event["current_progress"] for event in events[:-1]]
    assert (progress, progress[-1]) == (sorted(progress), 5)
    words = [json.loads(event["message"])["event"] for event in events[:-2]]
    assert [w for w in words if w in ("session_enqueued", "session_started", "session_terminated")] == [
        *("session_enqueued", "session_started", "session_terminated")
    ]


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
        "from orchestrator.client.request import Request\n"
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
        "        async for line in made.logs(follow=True):\n"
        "            print(line['text'])\n"
        "        reveal_type(await session.Service.try_start('i', 'm'))\n"
        "        return str((await made.info()).url)\n"
        "def more() -> None:\n"
        "    with Session() as session:\n"
        "        service = session.Service('n')\n"
        "        service.update(image=None, desired_session_count=2, envs={'A': 'b'}, edit=True)\n"
        "        texts: list[str] = [line['text'] for line in service.logs(tail=5)]\n"
        "        page = session.Service.paginated_list(filter='replicas > 0')\n"
        "        print(page.total_count, page.items[0].name, texts, service.downscale_single_route('r'))\n"
        "        reveal_type(session.Service.try_start('i', 'm', envs={}))\n"
        "        request = Request('POST', '/services')\n"
        "        request.set_json({})\n"
        "        with request.fetch() as response:\n"
        "            reveal_type(response)\n"
        "            print(response.status, response.json()['endpoint_id'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", str(program)], cwd=ROOT, capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stdout
    kinds = re.findall(r'type is "[\w.]*?(\w+)"', done.stdout)
    assert kinds == ["Service", "AsyncService", "AsyncTry", "Try", "Response"]
