"""Whatever a definition or its server does wrong: the service says so in words with a hint, and nobody else suffers."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import time
from typing import Any

from harness import Daemon, echo, environ_of, free_port, until

from orchestrator.core.state import ServiceStatus
from orchestrator.core.views import ExplainView

ENDLESS = """
import socketserver, sys, time

class Endless(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(b"HTTP/1.1 200 OK\\r\\n")
        while True:
            self.request.sendall(b"X-More: and more\\r\\n" * 1000)

class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
    def handle_error(self, *_): pass

Server(("0.0.0.0", int(sys.argv[1])), Endless).serve_forever()
"""
MOODY = """
import os, server

class Moody(server.Echo):
    def reply(self, value, status=200):
        sick = self.path == "/health" and os.path.exists("sick-" + os.environ["ORCHESTRATOR_ROUTING"])
        super().reply(value, 500 if sick else status)

server.Echo = Moody
server.main()
"""
"""Its health path fails once a file says so."""
SECRET = "s3cr3t-v4lu3-of-a-key"


def python(code: str, *arguments: str) -> list[str]:
    return ["python", "-c", code, *arguments]


def checked(path: str, **deployment: Any) -> dict[str, Any]:
    """The echo server asked at `path`; failures count at once."""
    check = {"path": path, "initial_delay": 0, "max_wait_time": 0.5, "interval": 0.2, "max_retries": 2}
    return {"check": check, "deployment": deployment}


CASES: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "missing-command": (
        {"start_command": ["/nowhere/server", "{port}"]},
        "command_not_found",
        "there is no such command",
        "install it",
    ),
    "not-executable": ({"start_command": ["/models/server.py", "{port}"]}, "permission", "Permission denied", "mode"),
    "ends-at-once": (
        {"start_command": python("pass", "{port}")},
        "exited",
        "ended with exit code 0 before its first pass",
        "foreground",
    ),
    "gives-up": (
        {"start_command": python("import no_such_module", "{port}")},
        "log_module_missing",
        "no_such_module is not installed",
        "run_command",
    ),
    "killed": (
        {"start_command": python("import os; os.kill(os.getpid(), 9)", "{port}")},
        "exited",
        "exit code 137 before its first pass",
        "SIGKILL",
    ),
    "redirects": (checked("/status/302"), "health_redirect", "redirects (status 302)", "the path that it leads to"),
    "broken-health": (checked("/status/500"), "health_status", "another status than expected: 500", "log"),
    "hangs": (checked("/slow?seconds=30"), "health_timeout", "does not answer in time", "max_wait_time"),
    "endless-headers": (
        checked("/") | {"start_command": ["python", "/models/endless.py", "{port}"]},
        "unhealthy",
        "failed: its answer cannot be read: Too many headers",
        "start_timeout",
    ),
    "never-listens": (
        {"start_command": python("import time; time.sleep(600)", "{port}"), "deployment": {"start_timeout": 2}},
        "start_timeout",
        "not HEALTHY within 2 s: ",
        "start_timeout",
    ),
    "still-loading": (
        {"start_command": python("import time; time.sleep(600)", "{port}")},
        "health_not_listening",
        "the server listens on no port at all",
        "start_timeout",
    ),
    "bad-action": (
        {
            "pre_start_actions": [
                {"action": "log", "args": {"message": "first"}},
                {"action": "run_command", "args": {"command": ["sh", "-c", "echo so sorry >&2; exit 3"]}},
            ]
        },
        "action_failed",
        "3",
        "check: false",
    ),
    "no-secret": ({"deployment": {"secrets": {"API_KEY": "absent"}}}, "secret_missing", "'absent'", "0600"),
    "odd-secret": ({"deployment": {"secrets": {"API_KEY": "nul"}}}, "secret_missing", "NUL character", "0600"),
    "too-big": ({"deployment": {"resources": {"mem": "900t"}}}, "over_quota", "over quota: needs", "ask for less"),
}
"""Service to what of `echo(…)` is different, the code that explains it, words of its message and of its hint."""


async def test_each_failure_says_what_it_is_and_what_to_do(daemon: Daemon) -> None:
    (daemon.state_dir / "secrets").mkdir(mode=0o700, exist_ok=True)
    (daemon.state_dir / "secrets" / "nul").write_bytes(b"a\0b")
    for name, (different, *_) in CASES.items():
        daemon.drop(name, echo(name, **different), {"endless.py": ENDLESS})
    daemon.drop("fine", echo("fine"))
    (fine,) = (await daemon.settled("fine")).routings
    for name, (_, code, words, hint) in CASES.items():
        told = await until(lambda name=name, code=code: explained(daemon, name, code), what=f"{name}: {code}")  # type: ignore[misc]
        (cause, *_) = [c for c in told.causes if c.code == code]
        assert words in cause.message, (name, cause)
        assert hint in cause.hint, (name, cause)
        wanted = {ServiceStatus.PROVISIONING} if code == "over_quota" else {ServiceStatus.UNHEALTHY}
        assert told.status in wanted | {ServiceStatus.PROVISIONING}, told
    code, out, err = await daemon.cli("explain", "gives-up")
    assert code == 0, err
    assert "ModuleNotFoundError" in out, "the end of its log"
    code, out, _ = await daemon.cli("ls")
    assert all(name in out for name in CASES)
    assert [r.id for r in (await daemon.settled("fine")).routings] == [fine.id]
    (daemon.artifacts / "explain.txt").write_text(await all_explained(daemon))
    assert not [line for line in daemon.logged() if "text" in line], daemon.log_tail()


async def explained(daemon: Daemon, name: str, code: str) -> ExplainView | None:
    told = await daemon.client.explain(name)
    assert code in [c.code for c in told.causes], told
    return told


async def all_explained(daemon: Daemon) -> str:
    """What a person reads, kept for eyes."""
    parts = []
    for name in CASES:
        told = await daemon.client.explain(name)
        parts.append(f"{name}: {told.status}")
        parts += [
            f"  {c.code} {c.routing}: {c.message}\n    -> {c.hint}\n    | " + " | ".join(c.log_tail)
            for c in told.causes
        ]
    return "\n".join(parts)


async def test_a_crash_loop_waits_longer_each_time_and_retry_ends_it(daemon: Daemon) -> None:
    command = ["sh", "-c", "test -e mended || exit 7; exec python3 server.py --port {port}"]
    daemon.drop("echo", echo(start_command=command))
    shown = await until(lambda: attempts(daemon, 3))
    assert shown.next_try_at is not None
    events = [e.time.timestamp() for e in await daemon.events("routing.starting", "echo")]
    gaps = [after - before for before, after in itertools.pairwise(events)]
    assert 0.8 <= gaps[0] < 1.6, gaps
    assert 1.6 <= gaps[1] < 2.9, gaps
    told = await daemon.client.explain("echo")
    assert "3 starts failed; the next try is in" in " ".join(c.message for c in told.causes)
    await daemon.restart()
    assert (await daemon.service("echo")).attempts >= 3, "a restart of the daemon forgives nothing"
    (daemon.models / "echo" / "mended").touch()
    failed = await daemon.events("routing.failed", "echo")
    cli, out, err = await daemon.cli("retry", "echo")
    assert cli == 0, (out, err)
    seen = await daemon.settled("echo", 1, deadline=5)
    assert not [r for r in seen.routings if r.status == "FAILED_TO_START"], "cleared"
    kept = await daemon.events("routing.failed", "echo")
    assert len(failed) >= 3
    assert kept[: len(failed)] == failed, "events keep them"


async def attempts(daemon: Daemon, count: int) -> Any:
    seen = await daemon.service("echo")
    return seen if seen.attempts == count else None


async def test_stubborn_forking_and_talkative_servers_end_whole_and_in_time(daemon: Daemon) -> None:
    stubborn = "trap '' TERM; python3 server.py --port {port} & while :; do sleep 1; done"
    forking = "setsid sleep 600 & (setsid sh -c 'sleep 600 & sleep 600' &) ; exec python3 server.py --port {port}"
    flood = (
        "yes 'a line of sixty-four bytes, over and over and over and over again' | head -c 100000000; echo; echo done; "
    )
    grace = {"stop_grace": 1}
    daemon.drop("stubborn", echo("stubborn", start_command=["sh", "-c", stubborn], deployment=grace))
    daemon.drop("forking", echo("forking", start_command=["sh", "-c", forking], deployment=grace))
    command = ["sh", "-c", f"{flood} exec python3 server.py --port {{port}}"]
    daemon.drop("talkative", echo("talkative", start_command=command, deployment=grace))
    await daemon.settled("stubborn")
    await daemon.settled("forking")
    (talkative,) = (await daemon.settled("talkative", deadline=30)).routings
    assert len([line for line in daemon.processes().values() if "sleep 600" in line]) >= 3
    size = sum(f.stat().st_size for f in (daemon.state_dir / "routings" / talkative.id).glob("log*"))
    assert size < 25e6, "bytes of log on disk"
    lines = [entry.text async for entry in daemon.client.logs("talkative", tail=5)]
    assert "done" in lines, lines
    began = time.monotonic()
    for name in ("stubborn", "forking", "talkative"):
        await daemon.client.scale(name, 0)
    await until(lambda: not [line for line in daemon.processes().values() if "haproxy" not in line], 10)
    assert time.monotonic() - began < 5, "seconds; the grace is one"


async def test_a_foreign_listener_on_the_port_never_passes(daemon: Daemon) -> None:
    port, late = free_port(), free_port()
    with socket.socket() as foreign:
        foreign.bind(("127.0.0.1", port))
        foreign.listen(16)
        daemon.drop("taken", echo("taken", **fixed(port)))
        told = await until(lambda: explained(daemon, "taken", "port_taken"))
        assert f"port {port} is taken" in told.causes[0].message
        assert "{port}" in told.causes[0].hint
        sleeper = {"start_command": ["sh", "-c", f"sleep 600 # {late}"], "port": late}
        daemon.drop("late", echo("late", health_check={"enable": False}, **sleeper))
        await until(lambda: running(daemon, "late"))
        server = await asyncio.start_server(answer_200, "127.0.0.1", late)
        told = await until(lambda: explained(daemon, "late", "health_foreign_port"))
        assert "another program listens" in " ".join(c.message for c in told.causes)
        assert (await daemon.service("late")).healthy == 0
        server.close()
    await daemon.settled("taken")


def fixed(port: int) -> dict[str, Any]:
    return {"start_command": ["python", "/models/server.py", "--port", str(port)], "port": port}


async def answer_200(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    writer.close()


async def running(daemon: Daemon, name: str) -> bool:
    return bool(await daemon.events("routing.started", name))


async def test_an_unhealthy_routing_leaves_rotation_at_once_and_is_replaced(daemon: Daemon) -> None:
    check = {"interval": 0.2, "max_retries": 1}
    deployment = {"desired_routing_count": 2, "unhealthy_timeout": 2}
    command = ["python", "/models/moody.py", "--port", "{port}"]
    daemon.drop("echo", echo(check=check, deployment=deployment, start_command=command), {"moody.py": MOODY})
    sick, well = (r.id for r in (await daemon.settled("echo", 2)).routings)
    header = await daemon.header("echo")
    (daemon.models / "echo" / f"sick-{sick}").touch()
    await until(lambda: status(daemon, sick, "UNHEALTHY"), 3)
    assert {(await daemon.ask("echo", header=header))[1]["routing"] for _ in range(10)} == {well}
    told = await daemon.client.explain("echo")
    assert (told.status, told.causes[0].code) == (ServiceStatus.DEGRADED, "unhealthy")
    (daemon.models / "echo" / f"sick-{sick}").unlink()
    await until(lambda: status(daemon, sick, "HEALTHY"), 3)
    (daemon.models / "echo" / f"sick-{sick}").touch()
    await until(lambda: replaced(daemon, sick), 10)
    assert well in {r.id for r in (await daemon.settled("echo", 2)).routings}


async def status(daemon: Daemon, routing: str, wanted: str) -> bool:
    return [r.status for r in await daemon.client.routings("echo") if r.id == routing] == [wanted]


async def replaced(daemon: Daemon, routing: str) -> bool:
    return routing not in {r.id for r in (await daemon.settled("echo", 2, deadline=0)).routings}


async def test_a_routing_that_dies_is_out_of_rotation_and_replaced_at_once(daemon: Daemon) -> None:
    daemon.drop("echo", echo(deployment={"desired_routing_count": 2}))
    first, second = (r.id for r in (await daemon.settled("echo", 2)).routings)
    header = await daemon.header("echo")
    pids = [pid for pid, line in daemon.processes().items() if "supervisor" not in line and first in environ_of(pid)]
    began = time.monotonic()
    for pid in pids:
        os.kill(pid, 9)
    await until(lambda: gone(daemon, first), 2)
    assert time.monotonic() - began < 1.0, "seconds until it is out of rotation"
    assert {(await daemon.ask("echo", header=header))[1]["routing"] for _ in range(6)} == {second}
    await until(lambda: replaced(daemon, first), 5)


async def gone(daemon: Daemon, routing: str) -> bool:
    return routing not in {r.id for r in await daemon.client.routings("echo") if r.status == "HEALTHY"}


async def test_secrets_are_given_and_never_shown(daemon: Daemon) -> None:
    (daemon.state_dir / "secrets").mkdir(mode=0o700, exist_ok=True)
    (daemon.state_dir / "secrets" / "key").write_text(SECRET + "\n")
    show = [
        {
            "action": "run_command",
            "args": {"command": ["sh", "-c", "echo action $API_KEY; echo $API_KEY >&2"], "echo": True},
        },
        {"action": "write_file", "args": {"filename": "/home/work/key", "body": "plain"}},
    ]
    command = ["sh", "-c", "echo server $API_KEY; exec python3 server.py --port {port}"]
    secret = {"secrets": {"API_KEY": "key"}, "open_to_public": True}
    daemon.drop("echo", echo(start_command=command, pre_start_actions=show, deployment=secret))
    dies = ["sh", "-c", "echo dying with $API_KEY; exit 1 # {port}"]
    daemon.drop("dies", echo("dies", start_command=dies, deployment={"secrets": {"API_KEY": "key"}}))
    await daemon.settled("echo")
    await until(lambda: explained(daemon, "dies", "exited"))
    seen = [e.model_dump_json() for e in await daemon.events()]
    seen += [(await daemon.client.explain("dies")).model_dump_json(), (await daemon.service("echo")).model_dump_json()]
    seen += [entry.text async for entry in daemon.client.logs("echo")]
    seen += [entry.text async for entry in daemon.client.logs("dies")]
    seen += [daemon.log.read_text()]
    assert "server ***" in "\n".join(seen), "the log says that there was something"
    shown = [line for line in seen if SECRET in line]
    assert not shown, shown[0][:2000]
    for file in daemon.state_dir.glob("*.db*"):
        assert SECRET.encode() not in file.read_bytes(), file
