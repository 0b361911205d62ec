"""The store when its disk, its file or its neighbours fail: it says what to do, loses nothing, and works again after.

Run as a script it is the process that is killed, or that lives on a small or read-only disk of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from orchestrator.core.errors import Conflict, OrchestratorError, Unavailable
from orchestrator.core.events import Event
from orchestrator.core.spec import RoutingSpec, ServiceSpec
from orchestrator.core.state import Reservation, Routing, Service
from orchestrator.store import Store
from orchestrator.store.database import Database
from orchestrator.store.schema import migrate
from orchestrator.store.tables import metadata

SPEC = ServiceSpec(
    name="echo",
    model_name="m",
    routing=RoutingSpec(model_name="m", model_folder="/m", model_path="/models", model_mount="/models", port=80),
)
SERVICE = Service("s1", "echo", "folder", "/srv/models/echo", "m", SPEC, revision_number=1, created_at=1.0)


def routing(id: str, cause: str = "") -> Routing:
    return Routing(id, "s1", "echo", "abc", 2.5, cause, reservation=Reservation(slots={"cpu": 1.0}))


def event(size: int = 0) -> Event:
    return Event(1.0, "k", detail={"text": "x" * size})


# --- what runs in a process of its own --------------------------------------------------------------------------------


async def write_for_ever(state_dir: Path) -> None:
    """Ten routings a transaction, all with its number; each number is printed once it is kept."""
    store = await Store.open("", state_dir)
    await store.put_service(SERVICE)
    n = 0
    while True:
        n += 1
        await store.put_routings([routing(f"r{i}", str(n)) for i in range(10)])
        print(n, flush=True)


async def append_hundred(state_dir: Path) -> None:
    store = await Store.open("", state_dir)
    made = [(await store.append_events([event()]))[0].seq for _ in range(100)]
    await store.close()
    print(json.dumps([store.installation, made]))


async def fill_the_disk(state_dir: Path) -> None:
    ballast = state_dir / "ballast"
    ballast.write_bytes(b"x" * 500_000)
    store = await Store.open("", state_dir)
    kept = 0
    try:
        while True:
            kept += len(await store.append_events([event(10_000)]))
    except Unavailable as error:
        told = [error.code, str(error), error.hint]
    readable = len(await store.events(limit=10_000))
    ballast.unlink()
    await store.check()
    await store.append_events([event(10_000)])
    print(json.dumps([told, kept, readable, len(await store.events(limit=10_000))]))
    await store.close()


async def open_it(state_dir: Path) -> None:
    try:
        await (await Store.open("", state_dir)).close()
        print(json.dumps(None))
    except OrchestratorError as error:
        print(json.dumps([error.code, str(error), error.hint]))


def on_a_disk_of_its_own(scene: Callable[[Path], object], folder: Path, mount: str) -> object:
    """Run `scene` in a mount namespace where `mount` was done first; what it printed."""
    folder.mkdir(exist_ok=True)
    here = shlex.join([sys.executable, __file__, scene.__name__, str(folder)])
    spaces = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--user", "--map-root-user"]
    script = f"{mount.format(folder=shlex.quote(str(folder)))} && exec {here}"
    done = subprocess.run([*spaces, "sh", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def start(scene: Callable[[Path], object], folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, __file__, scene.__name__, str(folder)], stdout=subprocess.PIPE, text=True)


# --- crashes and neighbours -------------------------------------------------------------------------------------------


async def test_killed_in_the_middle_of_writes(tmp_path: Path) -> None:
    """What was acknowledged is there; a transaction is there whole or not at all."""
    chance = random.Random(7)
    for _ in range(3):
        process = start(write_for_ever, tmp_path)
        assert process.stdout is not None
        last = 0
        for _ in range(chance.randint(5, 60)):
            last = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        last = max([last, *map(int, process.stdout.read().split())])
        process.wait()
        process.stdout.close()

        store = await Store.open("", tmp_path)
        found = (await store.load()).routings
        assert len(found) == 10
        assert len({r.cause for r in found}) == 1
        assert int(found[0].cause) in (last, last + 1)
        await store.close()
        with sqlite3.connect(tmp_path / "orchestrator.db") as raw:
            assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        raw.close()


def test_two_processes_at_once_from_nothing(tmp_path: Path) -> None:
    processes = [start(append_hundred, tmp_path) for _ in range(2)]
    answers = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert answers[0][0] == answers[1][0]
    assert sorted(answers[0][1] + answers[1][1]) == list(range(1, 201))


async def test_locked_by_another_process_and_later_free(tmp_path: Path) -> None:
    store = await Store.open("", tmp_path, busy_timeout=0.2)
    await store.put_service(SERVICE)
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    for write in (store.put_routing(routing("r1")), store.check()):
        with pytest.raises(Unavailable, match="is locked by another process") as caught:
            await write
        assert caught.value.code == "store_locked"
        assert "fuser" in caught.value.hint
    assert (await store.load()).services == (SERVICE,)
    other.execute("COMMIT")
    other.close()
    await store.put_routing(routing("r1"))
    assert (await store.load()).routings == (routing("r1"),)
    await store.close()


async def test_a_caller_that_gives_up_disturbs_nobody(tmp_path: Path) -> None:
    store = await Store.open("", tmp_path)
    calls = [asyncio.create_task(store.append_events([event()])) for _ in range(50)]
    await asyncio.sleep(0)
    for call in calls[1::2]:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert len(await store.events()) >= 25
    await store.check()
    await store.close()


# --- the disk ---------------------------------------------------------------------------------------------------------


def test_a_full_disk_loses_nothing_and_ends_by_itself(tmp_path: Path) -> None:
    answer = on_a_disk_of_its_own(
        fill_the_disk, tmp_path / "state", "mount -t tmpfs -o size=1m,mode=700 tmpfs {folder}"
    )
    assert isinstance(answer, list)
    (code, text, hint), kept, readable, after = answer
    assert code == "store_full"
    assert text.startswith("cannot write to the store: the disk of ")
    assert "free space there" in hint
    assert kept > 0
    assert readable == kept
    assert after == kept + 1


@pytest.mark.parametrize("was", ["empty", "used"])
async def test_a_read_only_state_directory(tmp_path: Path, was: str) -> None:
    if was == "used":
        await (await Store.open("", tmp_path / "state")).close()
    answer = on_a_disk_of_its_own(
        open_it, tmp_path / "state", "mount --bind {folder} {folder} && mount -o remount,bind,ro {folder}"
    )
    assert isinstance(answer, list)
    code, text, hint = answer
    assert code == "store_read_only"
    assert text.startswith("cannot open the store: ")
    assert "writable for the daemon's user" in hint


async def test_no_database_and_a_damaged_one(tmp_path: Path) -> None:
    path = tmp_path / "orchestrator.db"
    path.write_text("no database, " * 1000)
    with pytest.raises(Unavailable, match="is not a database") as caught:
        await Store.open("", tmp_path)
    assert "restore the last backup" in caught.value.hint
    path.unlink()

    store = await Store.open("", tmp_path)
    await store.append_events([event(3000) for _ in range(200)])
    await store.close()
    with path.open("r+b") as file:
        file.seek(40 * 4096)
        file.write(b"\xff" * (path.stat().st_size - 40 * 4096))
    store = await Store.open("", tmp_path)
    with pytest.raises(Unavailable, match="is damaged"):
        await store.events(limit=10_000)
    await store.close()


async def test_a_folder_in_the_place_of_the_database(tmp_path: Path) -> None:
    (tmp_path / "orchestrator.db").mkdir()
    with pytest.raises(Unavailable, match=r"cannot open the store: .*directory"):
        await Store.open("", tmp_path)


async def test_a_database_that_was_taken_away_is_seen(tmp_path: Path) -> None:
    store = await Store.open("", tmp_path)
    await store.check()
    store.path.rename(tmp_path / "elsewhere.db")
    with pytest.raises(Unavailable, match="was removed or replaced"):
        await store.check()
    await store.close()


# --- schema -----------------------------------------------------------------------------------------------------------


async def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    store = await Store.open("", tmp_path)
    await store.put_service(SERVICE)
    await store.close()
    with sqlite3.connect(store.path) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.close()
    before = store.path.read_bytes()
    with pytest.raises(Conflict, match="its schema 9999 is newer than this version") as caught:
        await Store.open("", tmp_path)
    assert "install the version that wrote it" in caught.value.hint
    assert store.path.read_bytes() == before


async def test_migrations_lead_to_the_tables_of_the_code(tmp_path: Path) -> None:
    def differences(connection: Connection) -> object:
        migrate(connection)
        return compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata)

    def tables(connection: Connection) -> set[str]:
        found = connection.exec_driver_sql(
            "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'alembic%'"
        )
        return {" ".join(sorted(text.replace(",", "").split())) for (text,) in found}

    migrated, made = Database("", tmp_path / "migrated", 5.0), Database("", tmp_path / "made", 5.0)
    assert await migrated.open(differences) == []
    await made.open(metadata.create_all)
    assert await migrated.read(tables) == await made.read(tables)
    await migrated.close()
    await made.close()


async def test_a_migration_that_is_cut_off_leaves_nothing(tmp_path: Path) -> None:
    def cut_off(connection: Connection) -> None:
        migrate(connection)
        raise OSError("killed here")

    database = Database("", tmp_path, 5.0)
    with pytest.raises(Unavailable, match="killed here"):
        await database.open(cut_off)
    names = await database.read(lambda c: c.exec_driver_sql("SELECT name FROM sqlite_master").fetchall())
    assert names == []
    await database.close()
    await (await Store.open("", tmp_path)).close()


# --- size -------------------------------------------------------------------------------------------------------------


async def test_ten_thousand_routings(tmp_path: Path) -> None:
    store = await Store.open("", tmp_path)
    await store.put_service(SERVICE)
    await store.put_routings(routing(f"r{n:05}") for n in range(10_000))
    began = time.process_time()  # of all threads, whatever else this machine does
    assert len((await store.load()).routings) == 10_000
    assert time.process_time() - began < 3.0
    await store.close()


if __name__ == "__main__":
    asyncio.run(globals()[sys.argv[1]](Path(sys.argv[2])))
