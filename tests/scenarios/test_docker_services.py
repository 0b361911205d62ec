"""Model folders on a real engine: what reaches HEALTHY and how it looks inside, and what is said where nothing can."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from docker_host import BUSYBOX, DockerDaemon
from harness import EXAMPLES, echo, until

from orchestrator.core.state import ServiceStatus

pytestmark = pytest.mark.docker


async def told(daemon: DockerDaemon, service: str, word: str) -> str:
    """What `explain` says, once it has `word` in it."""

    async def look() -> str | None:
        found = await daemon.client.explain(service)
        text = "\n".join(f"{c.code}: {c.message} ({c.hint})\n" + "\n".join(c.log_tail) for c in found.causes)
        assert word in text, text
        return text

    return await until(look)  # type: ignore[return-value]


async def test_the_seeds_definition_as_it_is(docker_daemon: DockerDaemon) -> None:
    shutil.copytree(EXAMPLES / "simple-http-server", docker_daemon.models / "m")
    (docker_daemon.models / "m" / "weights.bin").write_bytes(b"12345")
    found = await docker_daemon.settled("simple-http-server", 1)
    assert found.routings[0].address.endswith(":8000")
    assert (await docker_daemon.ask("simple-http-server"))[0] == 401
    status, page = await docker_daemon.ask(
        "simple-http-server", header=await docker_daemon.header("simple-http-server")
    )
    assert status == 200
    assert "Directory listing" in page
    routing, container = await docker_daemon.container("simple-http-server")
    look = "echo $BACKEND_MODEL_NAME $BACKEND_MODEL_PATH $PORT $ORCHESTRATOR_SERVICE $ORCHESTRATOR_ROUTING"
    look += "; pwd; cat /models/weights.bin; echo; touch /home/work/mine && echo writable"
    asked = docker_daemon.engine.exec_create(container, ["sh", "-c", look])
    out = docker_daemon.engine.exec_start(asked["Id"]).decode().splitlines()
    name = "simple-http-server"
    assert out == [f"{name} /models 8000 {name} {routing}", "/models", "12345", "writable"]


async def test_every_action_makes_what_is_served(docker_daemon: DockerDaemon) -> None:
    shutil.copytree(EXAMPLES / "every-action", docker_daemon.models / "m")
    await docker_daemon.settled("every-action", 1)
    header = await docker_daemon.header("every-action")
    assert (await docker_daemon.ask("every-action", "/index.html", header=header))[1].count("every-action") == 1
    assert (await docker_daemon.ask("every-action", "/info.json", header=header))[1]["model_path"] == "/models"
    assert (await docker_daemon.ask("every-action", "/python.txt", header=header))[1].startswith("Python 3.")
    done = list(await docker_daemon.events("action.finished", "every-action"))
    assert [e.detail["action"] for e in done] == [
        *(
            "mkdir",
            "write_file",
            "write_file",
            "write_file",
            "write_tempfile",
            "run_command",
            "write_file",
            "log",
            "log",
        )
    ]
    assert all(e.detail["duration"] >= 0 for e in done)
    code, out, err = await docker_daemon.cli("logs", "every-action")
    assert code == 0, err
    assert "listens on port 8000 with Python 3." in out


async def test_a_command_made_of_results_runs_behind_the_gate(docker_daemon: DockerDaemon) -> None:
    actions = [
        {"action": "run_command", "ref": "where", "args": {"command": ["cat", "/models/where"]}},
        {"action": "write_tempfile", "ref": "page", "args": {"body": "served by a result\n"}},
        {"action": "run_command", "args": {"command": ["cp", "{page}", "/home/work/page"]}},
    ]
    command = ["busybox", "httpd", "-f", "-p", "{port}", "-h", "{where[out]}"]
    served = echo("gate", start_command=command, pre_start_actions=actions, check={"path": "/page"})
    served["models"][0]["deployment"]["image"] = BUSYBOX
    docker_daemon.drop("gate", served, {"where": "/home/work\n"})
    await docker_daemon.settled("gate", 1)
    assert (await docker_daemon.ask("gate", "/page", header=await docker_daemon.header("gate"))) == (
        200,
        "served by a result\n",
    )
    top = await docker_daemon.on_engine(docker_daemon.engine.top, (await docker_daemon.container("gate"))[1])
    lines = [p[-1] for p in top["Processes"] if "docker-init" not in p[-1]]
    assert lines == ["busybox httpd -f -p 8000 -h /home/work"], "the gate gave its place to the start command"


async def test_what_has_no_image_is_said(docker_daemons: Callable[..., Awaitable[DockerDaemon]]) -> None:
    daemon = await docker_daemons(defaults={}, docker__pull="missing")
    daemon.drop("none", echo("none"))
    daemon.drop("far", echo("far", deployment={"image": "registry.invalid:5000/far:1"}))
    daemon.drop("denied", echo("denied", deployment={"image": "127.0.0.1:9/denied:1"}))
    await until(lambda: told(daemon, "none", "no image"))
    seen = await daemon.service("none")
    assert (seen.status, seen.cause) == (ServiceStatus.PROVISIONING, "no image")
    for name in ("far", "denied"):
        text = await told(daemon, name, "cannot fetch image")
        assert "registry" in text, text
    assert daemon.containers() == {}


async def test_an_image_that_is_never_fetched_is_named(docker_daemon: DockerDaemon) -> None:
    docker_daemon.drop("m", echo("m", deployment={"image": "orchestrator/nothing:1"}))
    text = await told(docker_daemon, "m", "image_missing")
    assert "orchestrator/nothing:1" in text
    assert "never fetched" in text
    assert "[docker] pull" in text


ENDS: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "zero": ("print('bye', flush=True)", {}, ["exit code 0", "bye"]),
    "one": ("raise SystemExit('no such model')", {}, ["exit code 1", "no such model"]),
    "memory": ("x = []\nwhile True: x.append(bytearray(1 << 20))", {"resources": {"mem": "32m"}}, ["memory", "oom"]),
    "flood": (
        "import os\nfor _ in range(1600): os.write(1, b'x' * 65535 + b'\\n')\n"
        "os.write(1, b'the last line\\n')\nraise SystemExit(3)",
        {},
        ["exit code 3", "the last line"],
    ),
}


async def test_ends_before_the_first_pass_are_explained(docker_daemon: DockerDaemon) -> None:
    for name, (code, deployment, _) in ENDS.items():
        docker_daemon.drop(
            name, echo(name, start_command=["python", "/models/x.py"], deployment=deployment), {"x.py": code}
        )
    for name, (_, _, words) in ENDS.items():
        await asyncio.gather(*(told(docker_daemon, name, word) for word in words))
    for name in ENDS:
        await docker_daemon.client.scale(name, 0)
    await until(lambda: not docker_daemon.containers())


async def test_one_that_ignores_sigterm_ends_within_its_grace(docker_daemon: DockerDaemon) -> None:
    code = "import signal, runpy\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    code += "signal.signal = lambda *a: None\nrunpy.run_path('/models/server.py', run_name='__main__')"
    served = echo("m", start_command=["python", "/models/x.py"], deployment={"stop_grace": 2})
    docker_daemon.drop("m", served, {"x.py": code})
    await docker_daemon.settled("m", 1)
    began = asyncio.get_running_loop().time()
    await docker_daemon.client.scale("m", 0)
    await until(lambda: not docker_daemon.containers())
    assert 1.8 < asyncio.get_running_loop().time() - began < 4


async def test_resources_are_what_the_engine_enforces(docker_daemons: Callable[..., Awaitable[DockerDaemon]]) -> None:
    daemon = await docker_daemons(resource_groups={"default": {"slots": {"cpu": 4, "mem": "8g", "tpu": 1}}})
    asked = {"cpu": 0.5, "mem": "96m", "shm": "16m", "tpu": 1}
    daemon.drop("first", echo("first", deployment={"resources": asked}))
    host = (await daemon.inspected("first"))["HostConfig"]
    assert (host["NanoCpus"], host["Memory"], host["ShmSize"]) == (500_000_000, 96 << 20, 16 << 20)
    daemon.drop("second", echo("second", deployment={"resources": {"tpu": 1}}))
    await told(daemon, "second", "no capacity: needs 1 tpu, 0 free")
    assert (await daemon.service("second")).status is ServiceStatus.PROVISIONING
    await daemon.client.scale("first", 0)
    await daemon.settled("second", 1)


async def test_devices_are_passed_by_the_ids_that_were_reserved(
    docker_daemons: Callable[..., Awaitable[DockerDaemon]],
) -> None:
    """No accelerator here: the engine's refusal is the proof that it was asked, and says what is missing."""
    daemon = await docker_daemons(resource_groups={"default": {"slots": {"cuda.device": 2}}})
    daemon.drop("m", echo("m", deployment={"resources": {"cuda.device": 1}}))
    text = await told(daemon, "m", "NVIDIA")
    assert "no_device" in text


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "mount": ({"extra_mounts": [{"source": "/etc", "target": "/x"}]}, "docker.allowed_mounts"),
    "device": ({"devices": ["/dev/kmsg"]}, "docker.allowed_devices"),
    "user": ({"user": "1000"}, "docker.allowed_users"),
    "network": ({"network": "host"}, "docker.allowed_networks"),
    "capability": ({"capabilities": ["SYS_ADMIN"]}, "docker.allowed_capabilities"),
    "image": ({"image": "somewhere/else:1"}, "docker.allowed_images"),
}


async def test_what_is_not_opened_is_refused_by_the_key_that_would(
    docker_daemons: Callable[..., Awaitable[DockerDaemon]],
) -> None:
    daemon = await docker_daemons(docker__allowed_images="orchestrator/*")
    for name, (deployment, _) in REFUSED.items():
        daemon.drop(name, echo(name, deployment=deployment))
    await until(lambda: counted(daemon, len(REFUSED)))
    for name, (_, key) in REFUSED.items():
        await told(daemon, name, key)
    assert daemon.containers() == {}


async def counted(daemon: DockerDaemon, wanted: int) -> bool:
    found = await daemon.client.services()
    return len(found) == wanted and all(s.status is ServiceStatus.INVALID for s in found)


async def test_what_is_opened_is_granted(
    docker_daemons: Callable[..., Awaitable[DockerDaemon]], tmp_path: Path
) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "x").write_text("shared")
    daemon = await docker_daemons(docker__allowed_mounts=str(tmp_path), docker__allowed_users="1000")
    mount = {"source": str(tmp_path / "shared"), "target": "/data"}
    asked = {"extra_mounts": [mount], "user": "1000", "hostname": "here"}
    daemon.drop("m", echo("m", deployment={**asked, "labels": {"team": "a"}}))
    facts = await daemon.inspected("m")
    assert (facts["Config"]["User"], facts["Config"]["Hostname"]) == ("1000", "here")
    assert facts["Config"]["Labels"]["team"] == "a"
    assert [m["RW"] for m in facts["Mounts"] if m["Destination"] == "/data"] == [False]


SECRET = "s3cret-Value-9f2b"


async def test_a_secret_reaches_the_routing_and_nothing_else(docker_daemon: DockerDaemon) -> None:
    secrets = docker_daemon.state_dir / "secrets"
    secrets.mkdir(exist_ok=True)
    (secrets / "key").write_text(SECRET + "\n")
    show = ["sh", "-c", 'echo key is $KEY; echo key is $KEY >&2; [ -n "$KEY" ] && echo $KEY >/home/work/k']
    actions = [{"action": "run_command", "ref": "r", "args": {"command": show, "echo": True}}]
    docker_daemon.drop("m", echo("m", pre_start_actions=actions, deployment={"secrets": {"KEY": "key"}}))
    bad = [*actions, {"action": "run_command", "args": {"command": ["sh", "-c", "echo $KEY; exit 1"]}}]
    docker_daemon.drop("bad", echo("bad", pre_start_actions=bad, deployment={"secrets": {"KEY": "key"}}))
    code = "import os\nraise SystemExit('cannot use ' + os.environ['KEY'])"
    dies = echo("dies", start_command=["python", "/models/x.py"], deployment={"secrets": {"KEY": "key"}})
    docker_daemon.drop("dies", dies, {"x.py": code})
    facts = await docker_daemon.inspected("m")
    assert f"KEY={SECRET}" in facts["Config"]["Env"]
    texts = [await told(docker_daemon, "bad", "action"), await told(docker_daemon, "dies", "cannot use ***")]
    for arguments in (
        ("events",),
        ("describe", "m", "-o", "json"),
        ("explain", "bad"),
        ("logs", "m"),
        ("ps", "-o", "json"),
    ):
        _, out, err = await docker_daemon.cli(*arguments)
        texts += [out, err]
    texts.append(json.dumps([e.model_dump(mode="json") for e in await docker_daemon.events()]))
    assert "key is ***" in texts[-1]
    assert not [t for t in texts if SECRET in t]
    await docker_daemon.stop()
    kept = [p for p in docker_daemon.folder.rglob("*") if p.is_file() and p.parent != secrets]
    assert not [p for p in kept if SECRET.encode() in p.read_bytes()]


async def test_try_tells_each_step_and_leaves_nothing(docker_daemon: DockerDaemon) -> None:
    await docker_daemon.client.services()
    good = docker_daemon.folder / "good"
    shutil.copytree(EXAMPLES / "every-action", good)
    code, out, err = await docker_daemon.cli("validate", "--try", str(good))
    assert code == 0, out + err
    assert "run_command" in out + err
    bad = docker_daemon.folder / "bad"
    bad.mkdir()
    (bad / "model-definition.yml").write_text(
        json.dumps(echo("bad", start_command=["python", "-c", "exit('broken here')"]))
    )
    code, out, err = await docker_daemon.cli("validate", "--try", str(bad))
    assert code == 4, out + err
    assert "broken here" in out + err
    assert docker_daemon.containers() == {}


@pytest.mark.parametrize("code", ["input()", "import time; time.sleep(100)"])
async def test_try_cleans_up_on_ctrl_c(docker_daemon: DockerDaemon, code: str) -> None:
    """Whether the try itself is at its end just then or goes on."""
    slow = docker_daemon.folder / "slow"
    slow.mkdir()
    (slow / "model-definition.yml").write_text(json.dumps(echo("slow", start_command=["python", "-c", code])))
    trying = asyncio.create_task(docker_daemon.cli("validate", "--try", str(slow)))
    await until(lambda: [c for c in docker_daemon.containers().values() if c["State"] == "running"])
    (pid,) = [p for p, line in docker_daemon.processes().items() if "--try" in line]
    os.kill(pid, signal.SIGINT)
    status, _, _ = await trying
    assert status == 130
    await until(lambda: not docker_daemon.containers())


async def test_two_installations_on_one_engine_leave_each_other_alone(
    docker_daemons: Callable[..., Awaitable[DockerDaemon]],
) -> None:
    one, other = await docker_daemons(name="one"), await docker_daemons(name="other")
    one.drop("m", echo("m"))
    other.drop("m", echo("m"))
    mine, theirs = await one.container("m"), await other.container("m")
    assert set(one.containers()) == {mine[0]}
    one.remove("m")
    await until(lambda: not one.containers())
    assert await other.container("m") == theirs
    assert one.networks() != other.networks()
