"""The proxies that `gateway` compares: each started on a free port, in front of the same backends, and ended."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.lib import free_port
from orchestrator.auth import KeyRing
from orchestrator.core.routes import Route, RouteTable, Server
from orchestrator.core.state import Token
from orchestrator.gateway import HAProxyGateway
from orchestrator.settings import GatewaySettings

BODY = '{"text":"' + "x" * 500 + '"}'
NGINX = """daemon off; worker_processes {workers}; pid {folder}/pid; error_log {folder}/error.log;
worker_rlimit_nofile 16384;
events {{ worker_connections 8192; }}
http {{ access_log off; keepalive_requests 100000000; client_body_temp_path {folder}; proxy_temp_path {folder};
fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
{inside} }}
"""
TOKENS = """
local requests, turn = {}, 0
function init()
  for _, token in ipairs({TOKENS}) do
    table.insert(requests, wrk.format(nil, nil, {Authorization = token}))
  end
end
function request()
  turn = turn % #requests + 1
  return requests[turn]
end
"""
CADDYFILE = """{{
  admin off
  auto_https off
}}
http://127.0.0.1:{port} {{
  reverse_proxy {backends} {{
    lb_policy least_conn
  }}
}}
"""


@dataclass(frozen=True)
class Proxy:
    """`url` answers with the backends' answer; `tokens` are sent in turn, one a request. `pid`: whose CPU it costs,
    with its children's; 0: nobody's."""

    name: str
    url: str
    pid: int = 0
    tokens: Sequence[str] = ()

    def cpu(self) -> float:
        """Seconds spent so far."""
        if not self.pid:
            return 0.0
        own = psutil.Process(self.pid)
        return sum(sum(one.cpu_times()[:2]) for one in (own, *own.children(recursive=True)))

    @property
    def script(self) -> str:
        """For wrk: its requests are made once, then sent in turn."""
        if not self.tokens:
            return ""
        told = ", ".join(f'"Bearer {token}"' for token in self.tokens)
        return TOKENS.replace("TOKENS", told)


@contextmanager
def running(argv: Sequence[str], folder: Path, port: int, environ: Mapping[str, str] | None = None) -> Iterator[int]:
    """Pid of a program in a session of its own, listening on `port`; ended afterwards."""
    with (folder / "out").open("wb") as out:
        told = {**os.environ, **(environ or {})}
        process = subprocess.Popen(argv, stdout=out, stderr=out, start_new_session=True, env=told)
    try:
        while not _accepts(port):
            assert process.poll() is None, f"{argv[0]} ended:\n{(folder / 'out').read_text()}"
            time.sleep(0.02)
        yield process.pid
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def backends(folder: Path, count: int = 2) -> Iterator[list[int]]:
    """Ports of an nginx with one worker that answers half a KiB of JSON on each."""
    ports = [free_port() for _ in range(count)]
    listen = "".join(f"listen 127.0.0.1:{port} backlog=4096;" for port in ports)
    inside = f"server {{ {listen} default_type application/json; location / {{ return 200 '{BODY}'; }} }}"
    with _nginx(folder, inside, ports[0], workers=1):
        yield ports


@contextmanager
def nginx(folder: Path, ports: Sequence[int], *, kept: bool) -> Iterator[Proxy]:
    """`kept`: its connections to the backends are kept open, which takes three directives; else as it comes."""
    own = free_port()
    servers = "".join(f"server 127.0.0.1:{port};" for port in ports)
    pool, reuse = ("keepalive 256;", 'proxy_http_version 1.1; proxy_set_header Connection "";') if kept else ("", "")
    inside = (
        f"upstream u {{ least_conn; {servers} {pool} }}"
        f"server {{ listen 127.0.0.1:{own} backlog=4096; location / {{ proxy_pass http://u; {reuse} }} }}"
    )
    with _nginx(folder, inside, own, workers=os.cpu_count() or 1) as pid:
        how = "connections to backends kept" if kept else "as it comes"
        yield Proxy(f"nginx, no auth, {how}", f"http://127.0.0.1:{own}/", pid)


@contextmanager
def _nginx(folder: Path, inside: str, port: int, *, workers: int) -> Iterator[int]:
    folder.mkdir(parents=True)
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, inside=inside, workers=workers))
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") or "nginx"
    with running([program, "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")], folder, port) as pid:
        yield pid


@contextmanager
def traefik(folder: Path, ports: Sequence[int], programs: Path) -> Iterator[Proxy]:
    folder.mkdir()
    own = free_port()
    servers = [{"url": f"http://127.0.0.1:{port}"} for port in ports]
    rules = {
        "http": {
            "routers": {"r": {"rule": "PathPrefix(`/`)", "service": "s", "entryPoints": ["web"]}},
            "services": {"s": {"loadBalancer": {"servers": servers}}},
        }
    }
    (folder / "rules.yml").write_text(json.dumps(rules))
    options = {"entryPoints.web.address": f"127.0.0.1:{own}", "providers.file.filename": str(folder / "rules.yml")}
    quiet = {"global.checkNewVersion": "false", "global.sendAnonymousUsage": "false", "log.level": "ERROR"}
    argv = [str(programs / "traefik"), *(f"--{key}={value}" for key, value in {**options, **quiet}.items())]
    with running(argv, folder, own) as pid:
        yield Proxy("Traefik, no auth", f"http://127.0.0.1:{own}/", pid)


@contextmanager
def caddy(folder: Path, ports: Sequence[int], programs: Path) -> Iterator[Proxy]:
    folder.mkdir()
    own = free_port()
    upstreams = " ".join(f"127.0.0.1:{port}" for port in ports)
    (folder / "Caddyfile").write_text(CADDYFILE.format(port=own, backends=upstreams))
    environ = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    argv = [str(programs / "caddy"), "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
    with running(argv, folder, own, environ) as pid:
        yield Proxy("Caddy, no auth", f"http://127.0.0.1:{own}/", pid)


class Gateway:
    """Ours, with one service behind a token and one that is open to the public."""

    def __init__(self, folder: Path) -> None:
        self._keys = KeyRing.open(folder)
        self._listen = f"127.0.0.1:{free_port()}"
        self.gateway = HAProxyGateway(GatewaySettings(listen=self._listen), folder, self._keys.signing_keys)

    async def start(self, ports: Sequence[int]) -> list[Proxy]:
        servers = tuple(Server(f"r{port}", "127.0.0.1", port) for port in ports)
        routes = (
            Route("open", "serving", open_to_public=True, servers=servers),
            Route("shut", "serving", servers=servers),
        )
        await self.gateway.start()
        await self.gateway.publish(RouteTable(routes))
        now = time.time()
        records = [Token(f"t{i}", "shut", "benchmark", "infer", now, now + 86400) for i in range(2)]
        tokens = [self._keys.issue(record, now) for record in records]
        where, pid = f"http://{self._listen}/inference", int((await self.gateway.check())["pid"])
        return [
            Proxy("orchestrator, JWT", f"{where}/shut/", pid, tokens[:1]),
            Proxy("orchestrator, JWT, another one each time", f"{where}/shut/", pid, tokens),
            Proxy("orchestrator, public service", f"{where}/open/", pid),
        ]

    async def stop(self) -> None:
        await self.gateway.stop()
