"""Causes of `explain` produced for real by local processes: many broken services side by side under one daemon.

What a machine without an accelerator cannot produce is printed by the server instead, in the words of the real thing.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness import Daemon, echo, until

from orchestrator.core.causes import HOPELESS
from orchestrator.core.views import CauseView, ExplainView

CAUSES_WANTED = 25
"""Different codes that this file, by itself, must see told."""

OFFLINE = """
import ctypes, socket
NEW_USER_AND_NETWORK = 0x50000000
ctypes.CDLL(None).unshare(NEW_USER_AND_NETWORK)
socket.create_connection(("192.0.2.1", 443), 5)
"""
"""In a network namespace of its own, where there is nothing."""
LOOPBACK6 = """
import http.server, socket, sys
class Server(http.server.HTTPServer):
    address_family = socket.AF_INET6
Server(("::1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
HANGS_UP = """
import socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    while True:
        server.accept()[0].close()
"""
SLEEP = "import time; time.sleep(600)"
QUICK = {"initial_delay": 0, "max_wait_time": 0.5, "interval": 0.2, "max_retries": 2}
SOON = {"start_timeout": 5}
MOST_MEMORY = str(int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * 0.6))
"""Of this machine: it has it once, not twice."""


def python(code: str) -> dict[str, Any]:
    return {"start_command": ["python", "-c", code, "{port}"]}


def printing(line: str) -> dict[str, Any]:
    """A server that prints one line and gives up."""
    return python(f"import sys; sys.exit({line!r})")


def action(command: str, **more: Any) -> dict[str, Any]:
    return {"pre_start_actions": [{"action": "run_command", "args": {"command": ["sh", "-c", command]}, **more}]}


CASES: dict[str, tuple[dict[str, Any], str, str]] = {
    "other-port": (
        {"start_command": ["sh", "-c", "exec python server.py --port $(({port} ^ 1))"], "deployment": SOON},
        "health_other_port",
        "let it listen on {port} or set service.port",
    ),
    "loopback": (python(LOOPBACK6) | {"check": QUICK}, "health_loopback", "bind 0.0.0.0"),
    "silent": (python(SLEEP), "health_not_listening", "raise deployment.start_timeout if that only is slow"),
    "slow": (python(SLEEP) | {"deployment": SOON}, "start_timeout", "raise deployment.start_timeout"),
    "wrong-path": ({"check": QUICK | {"path": "/status/404"}}, "health_not_found", "health_check.path"),
    "wrong-code": (
        {"check": QUICK | {"expected_status_code": [418]}},
        "health_status",
        "health_check.expected_status_code",
    ),
    "redirect": ({"check": QUICK | {"path": "/status/301"}}, "health_redirect", "the path that it leads to"),
    "hopeless": ({"check": QUICK | {"path": "/status/302"}}, "start_hopeless", "told next"),
    "login": ({"check": QUICK | {"path": "/status/401"}}, "health_denied", "a path that needs none"),
    "stuck": ({"check": QUICK | {"path": "/slow?seconds=30"}}, "health_timeout", "max_wait_time"),
    "hangs-up": (python(HANGS_UP) | {"check": QUICK}, "health_closed", "another protocol than HTTP"),
    "no-command": ({"start_command": ["/nowhere/server", "{port}"]}, "command_not_found", "install it"),
    "not-executable": ({"start_command": ["/models/server.py", "{port}"]}, "permission", "mode"),
    "no-program": ({"start_command": ["/models/noise", "{port}"]}, "exec_format", "a script begins with #!"),
    "no-memory": (
        python("import resource as r; r.setrlimit(r.RLIMIT_AS, (1 << 28, 1 << 28)); bytearray(1 << 30)"),
        "log_host_memory",
        "deployment.resources.mem",
    ),
    "disk-full": (python("open('/dev/full', 'wb', 0).write(b'x')"), "log_no_space", "df -h"),
    "no-variable": (python("import os; os.environ['HF_TOKEN']"), "log_environ_missing", "deployment.secrets"),
    "no-module": (python("import no_such_module"), "log_module_missing", "pip install"),
    "no-file": (python("open('/models/weights.bin')"), "log_file_missing", "model_mount_destination"),
    "forbidden": (python("raise PermissionError(13, 'Permission denied', '/models/x')"), "log_permission", "mode"),
    "offline": (python(OFFLINE), "log_no_network", "DNS and proxy"),
    "arguments": (
        {"start_command": ["python", "/models/server.py", "--port", "{port}", "--max-len", "9"]},
        "log_bad_arguments",
        "--help",
    ),
    "port-in-use": (
        python("import socket, sys; a = ('127.0.0.1', int(sys.argv[1])); s = [socket.create_server(a) for _ in 'ab']"),
        "log_address_in_use",
        "start it once only",
    ),
    "no-secret": ({"deployment": {"secrets": {"API_KEY": "absent"}}}, "secret_missing", "0600"),
    "too-big": ({"deployment": {"resources": {"mem": "900t"}}}, "over_quota", "ask for less"),
    "no-room": (
        {"deployment": {"resources": {"mem": MOST_MEMORY}, "desired_routing_count": 2}},
        "no_capacity",
        "stop or shrink something",
    ),
    "bad-action": (action("exit 3"), "action_failed", "check: false"),
    "slow-action": (action("sleep 60", timeout=1), "action_timeout", "timeout"),
    "killed": (python("import os; os.kill(os.getpid(), 9)"), "exited", "SIGKILL"),
    "no-such-grant": ({"deployment": {"user": "1000"}}, "definition_invalid", ""),
    "cuda-memory": (
        printing("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB."),
        "log_cuda_out_of_memory",
        "--gpu-memory-utilization",
    ),
    "old-driver": (
        printing("RuntimeError: CUDA error: CUDA driver version is insufficient for CUDA runtime version"),
        "log_driver_too_old",
        "update the host's driver",
    ),
    "no-toolkit": (python("import ctypes; ctypes.CDLL('libcudart.so.99')"), "log_toolkit_missing", "devel"),
    "shared-memory": (
        printing("Unexpected bus error: this might be caused by insufficient shared memory (shm)."),
        "log_shared_memory",
        "deployment.resources.shm",
    ),
    "clock": (
        printing("ssl.SSLCertVerificationError: certificate verify failed: certificate is not yet valid"),
        "log_clock",
        "timedatectl",
    ),
}
"""Service to what of `echo(…)` is different, the code that explains it, and words of its hint."""


def no_driver() -> dict[str, tuple[dict[str, Any], str, str]]:
    """Where this machine has none."""
    with suppress(OSError):
        ctypes.CDLL("libcuda.so.1")
        return {}
    return {"no-driver": (python("import ctypes; ctypes.CDLL('libcuda.so.1')"), "log_no_accelerator", "doctor")}


def gated(port: int) -> dict[str, tuple[dict[str, Any], str, str]]:
    """A model that is fetched from a server that refuses it."""
    code = f"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{port}/llama/config.json')"
    return {"gated": (python(code), "log_model_download", "HF_TOKEN")}


async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    writer.close()


async def test_each_cause_is_told_with_what_mends_it(daemon: Daemon) -> None:
    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as hub:
        cases = {**CASES, **no_driver(), **gated(hub.sockets[0].getsockname()[1])}
        for name, (different, *_) in cases.items():
            folder = daemon.drop(name, echo(name, **different), {"noise": b"\x7fELF but not really"})
            (folder / "noise").chmod(0o755)
        seen = await asyncio.gather(*(cause_of(daemon, name, *cases[name][1:]) for name in cases))
        crash = await cause_of(daemon, "no-module", "crash_loop", "orchestrator retry")
    failures = [text for text in seen if isinstance(text, str)]
    assert not failures, "\n\n".join(failures)
    codes = {cause.code for cause in (*seen, crash) if not isinstance(cause, str)}
    assert len(codes) >= CAUSES_WANTED
    assert codes & HOPELESS >= {"secret_missing", "exec_format", "no_capacity", "over_quota"}
    assert codes & HOPELESS >= {"start_hopeless", "crash_loop"}
    (daemon.artifacts / "causes.txt").write_text(await everything(daemon, cases))


async def test_what_is_around_a_service_is_told_too(tmp_path: Path, artifacts: Path) -> None:
    """Its gateway has no port, its folder is gone; who asks not to wait in vain is told at once."""
    daemon = Daemon(tmp_path, artifacts)
    host, _, port = daemon.gateway_url.removeprefix("http://").partition(":")
    with socket.create_server((host, int(port))):
        async with daemon:
            daemon.drop("echo", echo())
            daemon.drop("hopeless", echo("hopeless", check=QUICK | {"path": "/status/401"}))
            for words in (("wait", "hopeless", "--fail-fast"), ("validate", "--try", str(daemon.models / "hopeless"))):
                code, out, err = await daemon.cli(*words)
                assert code not in (0, 5), out + err
                assert "a path that needs none" in out + err
            seen = await cause_of(daemon, "echo", "gateway_down", "doctor")
            assert not isinstance(seen, str), seen
            assert f"process {os.getpid()}" in seen.message, "who keeps its port"
            code, out, _ = await daemon.cli("explain", "echo")
            assert code == 0
            assert "gateway_down" in out
            daemon.remove("echo")
            gone = await cause_of(daemon, "echo", "folder_vanished", "bring it back")
            assert not isinstance(gone, str), gone


async def cause_of(daemon: Daemon, name: str, code: str, words: str) -> CauseView | str:
    """Once it is told with these words in its hint; else what was told instead."""
    try:
        cause = await until(lambda: told(daemon, name, code), 30, every=0.5, what=f"{name}: {code}")
    except AssertionError as error:
        return str(error)
    assert cause is not None
    return cause if words in cause.hint else f"{name}: {cause}"


async def told(daemon: Daemon, name: str, code: str) -> CauseView | None:
    found: ExplainView = await daemon.client.explain(name)
    assert code in [cause.code for cause in found.causes], found
    return next(cause for cause in found.causes if cause.code == code)


async def everything(daemon: Daemon, names: Any) -> str:
    """What a person reads, kept for eyes."""
    parts = []
    for name in names:
        found = await daemon.client.explain(name)
        parts.append(f"{name}: {found.status}")
        parts += [f"  {c.code}: {c.message}\n    -> {c.hint}" for c in found.causes]
    return "\n".join(parts)
