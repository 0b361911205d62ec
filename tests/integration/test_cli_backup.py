"""`backup` and `restore`: whole, private, checked before anything is replaced, and nothing lost on the way."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import os
import tarfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from small_control import Cli

from orchestrator.app.backup import FORMAT
from orchestrator.auth import KeyRing, admin_token
from orchestrator.core.state import Removed
from orchestrator.store import StateLock, Store

FILES = {"orchestrator.db", "keys.json", "admin.token", "secrets/hf"}


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory with one fact in its database, keys, admin token and a secret."""
    folder = tmp_path / "state"
    monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(folder))
    KeyRing.open(folder)
    admin_token(folder)
    (folder / "secrets").mkdir()
    (folder / "secrets/hf").write_text("secret")
    put(folder, "first")
    return folder


def on(folder: Path, work: Callable[[Store], Awaitable[object]]) -> None:
    async def opened() -> None:
        store = await Store.open("", folder)
        try:
            await work(store)
        finally:
            await store.close()

    asyncio.run(opened())


def put(folder: Path, name: str) -> None:
    on(folder, lambda store: store.put_removed(Removed(name, "m", "d", 1.0)))


def facts(folder: Path) -> set[str]:
    found: set[str] = set()

    async def load(store: Store) -> None:
        found.update(one.folder for one in (await store.load()).removed)

    on(folder, load)
    return found


def listed(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_what_was_kept_comes_back_and_what_was_there_is_kept(state: Path, cli: Cli, tmp_path: Path) -> None:
    keys, admin = (state / "keys.json").read_text(), (state / "admin.token").read_text()
    assert cli("backup", "b.tar.gz")[0] == 0
    assert (tmp_path / "b.tar.gz").stat().st_mode & 0o777 == 0o600
    put(state, "later")
    (state / "keys.json").write_text("changed")
    (state / "secrets/hf").unlink()
    code, out, err = cli("restore", "b.tar.gz", "-o", "json")
    assert code == 0, err
    assert facts(state) == {"first"}
    assert ((state / "keys.json").read_text(), (state / "admin.token").read_text()) == (keys, admin)
    assert (state / "secrets/hf").read_text() == "secret"
    assert all((state / name).stat().st_mode & 0o777 == 0o600 for name in FILES)
    kept = Path(json.loads(out)["kept"])
    assert (kept / "keys.json").read_text() == "changed"
    assert facts(kept) == {"first", "later"}
    assert not list(state.glob(".restore-*"))


@pytest.mark.usefixtures("state")
def test_a_backup_onto_an_empty_host(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli("backup", "b.tar.gz")[0] == 0
    monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(tmp_path / "new"))
    assert json.loads(cli("restore", "b.tar.gz", "-o", "json")[1])["kept"] is None
    assert facts(tmp_path / "new") == {"first"}
    assert listed(tmp_path / "new").keys() >= FILES


def test_a_running_daemon_is_backed_up_and_never_restored_over(state: Path, cli: Cli) -> None:
    async def running(store: Store) -> None:
        """What is only in the journal of writes is in the backup, too."""
        for number in range(50):
            await store.put_removed(Removed(f"live-{number}", "m", "d", 1.0))
        assert (state / "orchestrator.db-wal").stat().st_size
        assert cli("backup", "b.tar.gz")[0] == 0
        await store.put_removed(Removed("after", "m", "d", 1.0))
        code, _, err = cli("restore", "b.tar.gz")
        assert code == 1
        assert f"cannot restore: process {os.getpid()} is a daemon" in err

    with StateLock.take(state):
        on(state, _in_thread(running))
    assert "after" in facts(state)
    assert cli("restore", "b.tar.gz")[0] == 0
    assert facts(state) == {"first", *(f"live-{n}" for n in range(50))}


def _in_thread(work: Callable[[Store], Awaitable[None]]) -> Callable[[Store], Awaitable[object]]:
    """The command has a loop of its own, so it must not run in the store's."""

    async def go(store: Store) -> None:
        loop = asyncio.get_running_loop()

        class There:
            async def put_removed(self, one: Removed) -> None:
                asyncio.run_coroutine_threadsafe(store.put_removed(one), loop).result(10)

        await asyncio.to_thread(asyncio.run, work(There()))  # type: ignore[arg-type]

    return go


def test_a_file_that_is_there_is_not_written_over(state: Path, cli: Cli, tmp_path: Path) -> None:
    before = listed(state)
    (tmp_path / "b.tar.gz").write_text("mine")
    assert cli("backup", "b.tar.gz")[0] == 2
    assert (tmp_path / "b.tar.gz").read_text() == "mine"
    assert listed(state) == before


def test_where_nothing_was_kept_nothing_is_backed_up(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(tmp_path / "none"))
    code, _, err = cli("backup", "b.tar.gz")
    assert code == 1
    assert "there is no database" in err
    assert not list(tmp_path.glob("*b*"))


def test_a_daemon_elsewhere_is_refused(state: Path, cli: Cli) -> None:
    assert state.exists()
    assert cli("backup", "b.tar.gz", "--url", "http://elsewhere")[0] == 2


# --- what is no sound backup ----------------------------------------------------------------------------------------


def members(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {m.name: file.read() for m in tar if (file := tar.extractfile(m))}


def packed(archive: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(archive, "w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def changed(archive: dict[str, bytes], **manifest: object) -> dict[str, bytes]:
    told = json.loads(archive["manifest.json"]) | manifest
    return archive | {"manifest.json": json.dumps(told).encode()}


def renamed(files: dict[str, bytes], name: str) -> dict[str, bytes]:
    told = json.loads(files["manifest.json"])["files"]
    told[name] = told.pop("keys.json")
    return changed({**files, name: files["keys.json"]}, files=told)


SPOILED: dict[str, Callable[[dict[str, bytes]], dict[str, bytes]]] = {
    "no manifest": lambda files: {name: data for name, data in files.items() if name != "manifest.json"},
    "another format": lambda files: changed(files, format=FORMAT + 1),
    "a manifest of something else": lambda files: changed(files, files=[]),
    "a file is missing": lambda files: {name: data for name, data in files.items() if name != "keys.json"},
    "a file too many": lambda files: files | {"config.toml": b""},
    "a changed key": lambda files: files | {"keys.json": files["keys.json"].replace(b'"', b"'")},
    "a damaged database": lambda files: files | {"orchestrator.db": bytes(len(files["orchestrator.db"]))},
    "out of the state directory": lambda files: renamed(files, "../keys.json"),
    "out of the secrets": lambda files: renamed(files, "secrets/../../keys.json"),
    "a hidden secret": lambda files: renamed(files, "secrets/.ssh"),
}


@pytest.mark.parametrize("how", SPOILED)
def test_what_is_not_sound_changes_nothing(how: str, state: Path, cli: Cli, tmp_path: Path) -> None:
    assert cli("backup", "b.tar.gz")[0] == 0
    packed(tmp_path / "b.tar.gz", SPOILED[how](members(tmp_path / "b.tar.gz")))
    before = listed(state)
    code, _, err = cli("restore", "b.tar.gz")
    assert code == 2
    assert "cannot restore b.tar.gz: " in err
    assert listed(state).keys() - before.keys() <= {"daemon.lock"}
    assert {name: data for name, data in listed(state).items() if name in before} == before


@pytest.mark.parametrize("cut", [0, 100, -200])
def test_a_cut_archive_changes_nothing(cut: int, state: Path, cli: Cli, tmp_path: Path) -> None:
    assert cli("backup", "b.tar.gz")[0] == 0
    whole = (tmp_path / "b.tar.gz").read_bytes()
    (tmp_path / "b.tar.gz").write_bytes(whole[:cut])
    before = facts(state)
    assert cli("restore", "b.tar.gz")[0] == 2
    assert facts(state) == before


def test_a_flipped_bit_is_noticed(state: Path, cli: Cli, tmp_path: Path) -> None:
    assert cli("backup", "b.tar.gz")[0] == 0
    plain = bytearray(gzip.decompress((tmp_path / "b.tar.gz").read_bytes()))
    at = plain.index(b"SQLite format 3") + 5000
    plain[at] ^= 1
    (tmp_path / "b.tar.gz").write_bytes(gzip.compress(bytes(plain)))
    code, _, err = cli("restore", "b.tar.gz")
    assert code == 2
    assert "does not have its digest" in err
    assert facts(state) == {"first"}
