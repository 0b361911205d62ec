"""Causes of `explain` produced for real by an engine: broken services side by side under one daemon."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from docker_host import DockerDaemon
from harness import echo, until

from orchestrator.core.views import CauseView

pytestmark = pytest.mark.docker

LOOPBACK = ["python", "-m", "http.server", "--bind", "127.0.0.1", "{port}"]
SHARED = "dd if=/dev/zero of=/dev/shm/x bs=1M count=8"
"""More than it was given."""
HUNGRY = "python -c 'x = []\nwhile True: x.append(bytearray(1 << 20))'"
DENIED = b'{"errors": [{"code": "DENIED", "message": "requested access to the resource is denied"}]}'


def python(code: str, **deployment: Any) -> dict[str, Any]:
    return {"start_command": ["python", "-c", code], "deployment": deployment}


CASES: dict[str, tuple[dict[str, Any], str, str]] = {
    "no-image": ({"deployment": {"image": "orchestrator/nothing:1"}}, "image_missing", "[docker] pull"),
    "format": ({"start_command": ["/models/noise"]}, "exec_format", "another kind of processor"),
    "no-command": ({"start_command": ["/nowhere/server"]}, "command_not_found", ""),
    "not-executable": ({"start_command": ["/models/server.py"]}, "permission", ""),
    "no-shell-word": ({"start_command": "nowhere-server --port 8000", "shell": "/bin/sh"}, "command_not_found", "PATH"),
    "memory": (
        python("x = []\nwhile True: x.append(bytearray(1 << 20))", resources={"mem": "32m"}),
        "oom_killed",
        "now 32 MiB",
    ),
    "shm": (
        {"start_command": ["sh", "-c", SHARED], "deployment": {"resources": {"shm": "1m"}}},
        "log_shared_memory",
        "deployment.resources.shm",
    ),
    "loopback": ({"start_command": LOOPBACK}, "health_loopback", "bind 0.0.0.0"),
    "other-port": ({"start_command": ["python", "server.py", "--port", "8001"]}, "health_other_port", "{port}"),
    "silent": (python("import time; time.sleep(600)"), "health_not_listening", "start_timeout"),
    "device": ({"deployment": {"resources": {"cuda.device": 1}}}, "no_device", "NVIDIA"),
    "two-devices": ({"deployment": {"resources": {"cuda.device": 2}}}, "over_quota", "[resource_groups]"),
    "full": ({"start_command": ["sh", "-c", "cat server.py > /dev/full; exit 1"]}, "log_no_space", "df -h"),
    "unreadable": (
        {"start_command": ["cat", "/etc/shadow"], "deployment": {"user": "1000"}},
        "log_permission",
        "deployment.user",
    ),
    "offline": (
        python("import urllib.request; urllib.request.urlopen('http://model.invalid/x')"),
        "log_no_network",
        "DNS and proxy",
    ),
    "killed-child": (
        {
            "start_command": ["sh", "-c", HUNGRY + "; sleep 600"],
            "deployment": {"resources": {"mem": "32m"}},
        },
        "log_killed",
        "deployment.resources.mem",
    ),
    "user": ({"deployment": {"user": "nobody-here"}}, "no_user", "number"),
    "closed": ({"deployment": {"extra_mounts": [{"source": "/etc", "target": "/x"}]}}, "definition_invalid", "allowed"),
}
"""Service to what of `echo(…)` is different, the code that explains it, and words of its hint."""


async def test_each_cause_is_told_with_what_mends_it(
    docker_daemons: Callable[..., Awaitable[DockerDaemon]], tmp_path: Path
) -> None:
    (tmp_path / "shared").mkdir()
    daemon = await docker_daemons(
        docker__allowed_mounts=str(tmp_path),
        docker__allowed_users="*",
        resource_groups={"default": {"slots": {"cpu": 4, "mem": "8g", "cuda.device": 1}}},
    )
    mount = {"extra_mounts": [{"source": str(tmp_path / "shared"), "target": "/data"}], "desired_routing_count": 0}
    cases = {**CASES, "mount": ({"deployment": mount}, "mount_refused", "exist")}
    for name, (different, *_) in cases.items():
        folder = daemon.drop(name, echo(name, **different), {"noise": b"\x7fELF but not really"})
        (folder / "noise").chmod(0o755)
    await until(lambda: told(daemon, "mount", "stopped"))
    (tmp_path / "shared").rmdir()
    await daemon.client.scale("mount", 1)
    seen = dict(
        zip(cases, await asyncio.gather(*(cause_of(daemon, name, *cases[name][1:]) for name in cases)), strict=True)
    )
    failures = [text for text in seen.values() if isinstance(text, str)]
    assert not failures, "\n\n".join(failures)
    assert "127.0.0.1:8000 only" in str(seen["loopback"])


async def test_images_that_the_registry_refuses_or_that_nobody_has(
    docker_daemons: Callable[..., Awaitable[DockerDaemon]],
) -> None:
    daemon = await docker_daemons(docker__pull="missing")
    async with await asyncio.start_server(deny, "127.0.0.1", 0) as registry:
        port = registry.sockets[0].getsockname()[1]
        daemon.drop("denied", echo("denied", deployment={"image": f"127.0.0.1:{port}/denied:1"}))
        cause = await until(lambda: told(daemon, "denied", "image_denied"))
    assert cause is not None
    assert "docker login" in cause.hint
    daemon.drop("away", echo("away", deployment={"image": "127.0.0.1:9/away:1"}))
    away = await until(lambda: told(daemon, "away", "image_unreachable"))
    assert away is not None
    assert "reaches its registry" in away.hint


async def deny(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A registry that has nothing for us; the engine tries TLS first."""
    try:
        asked = await reader.readline()
        if asked.startswith((b"GET ", b"HEAD ")):
            status, body = (b"200 OK", b"{}") if asked.split()[1] == b"/v2/" else (b"403 Forbidden", DENIED)
            head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
            writer.write(head % (status, len(body)) + (b"" if asked.startswith(b"HEAD ") else body))
    finally:
        writer.close()


async def cause_of(daemon: DockerDaemon, name: str, code: str, words: str) -> CauseView | str:
    """Once it is told with these words in its hint; else what was told instead."""
    try:
        cause = await until(lambda: told(daemon, name, code), 30, every=0.5, what=f"{name}: {code}")
    except AssertionError as error:
        return str(error)
    assert cause is not None
    return cause if words in cause.hint else f"{name}: {cause}"


async def told(daemon: DockerDaemon, name: str, code: str) -> CauseView | None:
    found = await daemon.client.explain(name)
    assert code in [cause.code for cause in found.causes], found
    return next(cause for cause in found.causes if cause.code == code)
