"""The daemon's own state fails under it: what runs goes on, the error says what to do, and it recovers by itself."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from harness import Daemon, echo, environ_of, until
from traffic import Load

from orchestrator.core.errors import OrchestratorError, Unavailable
from orchestrator.core.state import ServiceStatus


@contextmanager
def disk(folder: Path, size: str) -> Iterator[None]:
    """A small disk of its own at `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


async def test_a_full_disk_stops_nothing_that_runs(tmp_path: Path, artifacts: Path) -> None:
    daemon = Daemon(tmp_path, artifacts)
    with disk(daemon.state_dir, "24m"):
        async with daemon:
            daemon.drop("echo", echo(deployment={"desired_routing_count": 2}))
            first, second = (r.id for r in (await daemon.settled("echo", 2)).routings)
            header = await daemon.header("echo")
            full = daemon.state_dir / "full"
            fill(full)
            async with Load(daemon.endpoint("echo"), header, rate=50, connections=5) as load:
                with pytest.raises(Unavailable, match="disk") as refused:
                    await daemon.client.scale("echo", 3)
                assert "free space" in refused.value.hint
                await until(lambda: store_state(daemon, "full"), 10)
                kill_routing(daemon, first)
                await until(lambda: routed(daemon, {second}), 5)
            assert not load.failures, str(load)
            code, out, _ = await daemon.cli("status")
            assert (code, "is full" in out) == (0, True), out
            assert (await daemon.client.service("echo")).healthy == 1
            full.unlink()
            await daemon.settled("echo", 2, deadline=15)
            await until(lambda: store_state(daemon, "writable"), 10)
            await daemon.client.scale("echo", 3)
            await daemon.settled("echo", 3)
            await daemon.restart()
            await daemon.settled("echo", 3)


def kill_routing(daemon: Daemon, routing: str) -> None:
    for pid, line in daemon.processes().items():
        if "supervisor" not in line and routing in environ_of(pid):
            os.kill(pid, 9)


async def routed(daemon: Daemon, wanted: set[str]) -> bool:
    return {r.id for r in await daemon.client.routings("echo") if r.status == "HEALTHY"} == wanted


async def store_state(daemon: Daemon, word: str) -> bool:
    return word in (await daemon.client.status()).store["state"]


async def test_a_locked_database_holds_up_changes_only(daemon: Daemon) -> None:
    daemon.drop("echo", echo(deployment={"desired_routing_count": 2}))
    first, _ = (r.id for r in (await daemon.settled("echo", 2)).routings)
    header = await daemon.header("echo")
    with closing(sqlite3.connect(daemon.state_dir / "orchestrator.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        async with Load(daemon.endpoint("echo"), header, rate=50, connections=5) as load:
            with pytest.raises(OrchestratorError, match="locked by another process") as refused:
                await daemon.client.scale("echo", 3)
            assert "fuser" in refused.value.hint
            kill_routing(daemon, first)
            await until(lambda: degraded(daemon), 15)
        assert not load.failures, str(load)
        other.execute("ROLLBACK")
    await daemon.settled("echo", 2, deadline=20)
    await daemon.client.scale("echo", 3)
    await daemon.settled("echo", 3)


async def degraded(daemon: Daemon) -> bool:
    (seen,) = await daemon.client.services()
    return (seen.status, seen.healthy) == (ServiceStatus.DEGRADED, 1)


async def test_a_read_only_state_directory_keeps_the_daemon_down_and_nothing_else(
    tmp_path: Path, artifacts: Path
) -> None:
    daemon = Daemon(tmp_path, artifacts)
    with disk(daemon.state_dir, "24m"):
        async with daemon:
            daemon.drop("echo", echo())
            (routing,) = (await daemon.settled("echo", 1)).routings
            header = await daemon.header("echo")
            await daemon.kill()
            with read_only(daemon.state_dir):
                code, _, err = await daemon.cli("serve", deadline=15)
                assert code == 1, err
                assert f"cannot use the state directory {daemon.state_dir}: Read-only file system" in err
                assert "state_dir" in err
                assert "Traceback" not in err
                assert (await daemon.ask("echo", header=header))[0] == 200
            await daemon.start()
            assert [r.id for r in (await daemon.settled("echo", 1)).routings] == [routing.id]


async def test_a_damaged_database_is_a_clear_end_and_a_backup_brings_all_back(daemon: Daemon) -> None:
    daemon.drop("echo", echo())
    (routing,) = (await daemon.settled("echo", 1)).routings
    header = await daemon.header("echo")
    await daemon.stop()
    database, backup = daemon.state_dir / "orchestrator.db", daemon.folder / "backup.db"
    shutil.copyfile(database, backup)
    database.write_bytes(b"this is no database" * 100)
    code, _, err = await daemon.cli("serve", deadline=15)
    assert (code, "is not a database" in err, "backup" in err) == (1, True, True), err
    assert (await daemon.ask("echo", header=header))[0] == 200, "what runs goes on"
    shutil.copyfile(backup, database)
    await daemon.start()
    assert [r.id for r in (await daemon.settled("echo", 1)).routings] == [routing.id]


LOADING = {"start_command": ["python", "-c", "import time; time.sleep(600)", "{port}"]}


@pytest.mark.parametrize("ahead", [3600.0, -3600.0], ids=["an hour ahead", "an hour back"])
async def test_a_clock_that_is_moved_an_hour_moves_nothing_else(tmp_path: Path, artifacts: Path, ahead: float) -> None:
    """Under load: while it runs, over a restart, and back."""
    async with Daemon(tmp_path, artifacts, clock=True) as daemon:
        daemon.drop("echo", echo(deployment={"desired_routing_count": 2}))
        daemon.drop("broken", echo("broken", start_command=["false", "{port}"]))
        daemon.drop("loading", echo("loading", **LOADING, deployment={"start_timeout": 1800}))
        routings = {r.id for r in (await daemon.settled("echo", 2)).routings}
        (loading,) = await daemon.client.routings("loading")
        async with Load(daemon.endpoint("echo"), await daemon.header("echo"), rate=50) as load:
            daemon.set_clock(ahead)
            told = await until(lambda: explained(daemon, "clock_moved"))
            assert f" min {'ahead' if ahead > 0 else 'back'}" in told, told
            await tried_again(daemon)
            assert [r.id for r in await daemon.client.routings("loading")] == [loading.id]
            await daemon.restart()
            await daemon.settled("echo", 2)
            daemon.set_clock(0)
            await until(lambda: explained(daemon, "clock_moved"))
            await tried_again(daemon)
            assert not await daemon.events("routing.unhealthy")
        assert not load.failures, load
        assert load.routings.keys() == routings, "nothing was started anew"


async def tried_again(daemon: Daemon) -> None:
    """What waits for its next try waits no longer than it would."""
    before = len(await daemon.events("routing.failed", "broken"))

    async def failed() -> bool:
        return len(await daemon.events("routing.failed", "broken")) > before

    await until(failed, 40)


async def explained(daemon: Daemon, code: str) -> str:
    """The message of the cause with this code; empty: there is none."""
    return "".join(c.message for c in (await daemon.client.explain("echo")).causes if c.code == code)
