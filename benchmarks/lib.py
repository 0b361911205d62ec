"""What the benchmarks share: a table that prints and can be kept in README.md, medians, a daemon of its own."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import psutil

from orchestrator.client import Client, find_daemon
from orchestrator.core.errors import OrchestratorError

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "benchmarks" / "README.md"
T = TypeVar("T")

# --- tables ---------------------------------------------------------------------------------------------------------


@dataclass
class Table:
    """Rows of text under `columns`; `notes` are lines below it."""

    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, *cells: str) -> None:
        self.rows.append(cells)

    def text(self) -> str:
        """Markdown that is also readable in a terminal."""
        every = [self.columns, *self.rows]
        widths = [max(len(row[i]) for row in every) for i in range(len(self.columns))]
        lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in every]
        lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
        return "\n".join([*lines, *(f"\n{note}" for note in self.notes)])


def report(name: str, table: Table) -> None:
    """Print the table; with `--keep` on the command line also put it in README.md under `<!-- name -->`."""
    table.notes.append(machine())
    print(f"\n{table.text()}")
    if "--keep" in sys.argv[1:]:
        place = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        kept, count = place.subn(lambda m: f"{m[1]}{table.text()}\n{m[2]}", README.read_text())
        assert count == 1, f"README.md has no place for {name}"
        README.write_text(kept)


def arguments(text: str | None) -> argparse.ArgumentParser:
    """A parser with the option that all benchmarks have."""
    parser = argparse.ArgumentParser(description=(text or "").splitlines()[0])
    parser.add_argument("--keep", action="store_true", help="put the table in README.md")
    return parser


def machine() -> str:
    """When and where: date, cores, memory, system, and how busy the machine was with other things too."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    return f"{time.strftime('%F %R')}, {os.cpu_count()} cores, {memory:.0f} GiB, {system}; load at the end {load}."


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:,.{0 if seconds >= 0.1 else 1 if seconds >= 0.01 else 2}f} ms"


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of the values do not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def timed(call: Callable[[], object], repeat: int = 5) -> float:
    """Median seconds of `repeat` calls."""

    def once() -> float:
        began = time.perf_counter()
        call()
        return time.perf_counter() - began

    return statistics.median(once() for _ in range(repeat))


def calm(limit: float = 20.0) -> None:
    """Waits until nothing else keeps the machine busy, at most `limit` seconds."""
    deadline = time.monotonic() + limit
    while psutil.cpu_percent(0.5) > 10 and time.monotonic() < deadline:
        pass


# --- waiting --------------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def until(probe: Callable[[], Awaitable[T | None]], *, limit: float = 60.0, every: float = 0.005) -> T:
    """The first true answer of `probe`; raises TimeoutError after `limit` seconds."""
    async with asyncio.timeout(limit):
        while not (answer := await probe()):  # noqa: ASYNC110
            await asyncio.sleep(every)
        return answer


# --- a daemon -------------------------------------------------------------------------------------------------------


@dataclass
class Daemon:
    """`orchestrator serve --ephemeral` with a state of its own. `models` is its models_dir."""

    models: Path
    gateway: str
    process: subprocess.Popen[bytes]
    client: Client
    log: Path


@asynccontextmanager
async def daemon(
    runtime: str,
    *,
    image: str = "",
    prepare: Callable[[Path], object] = lambda _: None,
    program: Sequence[str] = ("orchestrator", "serve", "--ephemeral"),
) -> AsyncIterator[Daemon]:
    """Up and ready; ended with all that it started. `prepare` gets the models_dir before the start; `program` is the
    module that is run, with its arguments."""
    with tempfile.TemporaryDirectory(prefix="ob-") as place:
        home = Path(place)
        models, log = home / "models", home / "daemon.log"
        models.mkdir()
        prepare(models)
        gateway, config = f"127.0.0.1:{free_port()}", home / "config.toml"
        told = {"state_dir": str(home / "state"), "runtime": runtime}
        lines = [f"{key} = {json.dumps(value)}" for key, value in told.items()]
        lines += [f"models_dirs = {json.dumps([str(models)])}", f'[api]\nlisten = "127.0.0.1:{free_port()}"']
        lines += [
            f'[gateway]\nlisten = "{gateway}"',
            '[docker]\npull = "never"',
            f"[defaults]\nimage = {json.dumps(image)}",
        ]
        lines += ["[resource_groups.default]", "slots = { cpu = 100000, seat = 1 }"]
        config.write_text("\n".join(lines) + "\n")
        process = _spawn([*program, "--config", str(config)], log)
        try:
            async with await _client(config, process, log) as client:
                yield Daemon(models, f"http://{gateway}", process, client, log)
        finally:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            process.wait(120)


def _spawn(program: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-m", *program], stdout=out, stderr=out, start_new_session=True, cwd=ROOT
        )


async def _client(config: Path, process: subprocess.Popen[bytes], log: Path) -> Client:
    """Once the daemon is ready."""

    async def ready() -> Client | None:
        assert process.poll() is None, f"the daemon ended:\n{log.read_text()}"
        found = find_daemon(config=config, environ={})
        try:
            async with Client(found.url, found.token, timeout=5) as client:
                await client.ready()
        except OrchestratorError:
            return None
        return Client(found.url, found.token)

    return await until(ready, every=0.1)
