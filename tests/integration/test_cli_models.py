"""`orchestrator models` against model folders on a real disk: files there and back, definitions edited."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from model_disk import VALID, Disk, OnDisk
from small_control import ADMIN, Cli

from orchestrator.cli.transferring import planned, progress_line
from orchestrator.client import transfers
from orchestrator.core.errors import InvalidInput
from orchestrator.core.model_views import PART


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


@pytest.fixture
def control(disk: Disk) -> OnDisk:
    return OnDisk(disk.settings)


def wrote(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


# --- files there and back -------------------------------------------------------------------------------------------


def test_files_go_there_definitions_last_and_come_back(cli: Cli, disk: Disk, tmp_path: Path) -> None:
    data = os.urandom(PART + 1000)
    for name, text in {"model-definition.yml": VALID.encode(), "run.sh": b"#!", "w.bin": data, ".env": b"x"}.items():
        wrote(tmp_path / "here" / name, text)
    (tmp_path / "here/run.sh").chmod(0o755)
    code, out, err = cli("models", "upload", "m", "here", "--to", "/")
    assert (code, err) == (0, "")
    assert [line.partition(":")[0] for line in out.splitlines()] == ["run.sh", "w.bin", "model-definition.yml"]
    assert disk.visible() == {"model-definition.yml", "run.sh", "w.bin"}
    assert os.access(disk.m / "run.sh", os.X_OK)
    assert cli("models", "download", "m", "w.bin")[0] == 0
    assert (tmp_path / "w.bin").read_bytes() == data
    assert cli("models", "download", "m", "w.bin", "-o", "here")[0] == 0
    assert not [p for p in (tmp_path / "here").iterdir() if "part" in p.name]
    _, out, _ = cli("models", "upload", "m", "w.bin", "--to", "a/b/", "-o", "json")
    assert json.loads(out) == [{"path": "a/b/w.bin", "size": len(data)}]


PLANS: dict[str, tuple[list[str], str | None, dict[str, str]]] = {
    "files": (["a.py", "d/b.py"], None, {"a.py": "a.py", "b.py": "d/b.py"}),
    "a file to a folder": (["a.py"], "x/", {"x/a.py": "a.py"}),
    "a file to a path": (["a.py"], "x/new.py", {"x/new.py": "a.py"}),
    "files to a folder": (["a.py", "d/b.py"], "x", {"x/a.py": "a.py", "x/b.py": "d/b.py"}),
    "a folder by its name": (["d"], None, {"d/b.py": "d/b.py", "d/e/c.py": "d/e/c.py"}),
    "what is in a folder": (["d"], "x", {"x/b.py": "d/b.py", "x/e/c.py": "d/e/c.py"}),
}


@pytest.mark.parametrize("name", PLANS)
def test_where_files_go(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("a.py", "d/b.py", "d/e/c.py", "d/.git/x", "d/e/.hidden"):
        wrote(tmp_path / path, b"")
    monkeypatch.chdir(tmp_path)
    given, to, found = PLANS[name]
    assert planned([Path(one) for one in given], to) == {target: Path(file) for target, file in found.items()}


def test_two_files_that_would_be_one_are_refused(tmp_path: Path) -> None:
    for path in ("a/x", "b/x"):
        wrote(tmp_path / path, b"")
    with pytest.raises(InvalidInput, match="too"):
        planned([tmp_path / "a/x", tmp_path / "b/x"], None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match="no files"):
        planned([tmp_path / "empty"], None)


def test_what_was_interrupted_goes_on_where_it_was_unless_the_file_is_another(
    cli: Cli, disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfers, "PART", 1000)
    old, new = (os.urandom(2500) for _ in range(2))
    for begun, goes_on in ((old, True), (new, False)):
        file = wrote(tmp_path / "w.bin", begun[:2499])
        assert cli("models", "upload", "m", "w.bin")[0] == 0
        (disk.m / "w.bin").unlink()
        (draft,) = [_begun(disk, file, begun, 2500)]
        wrote(file, old)
        code, out, _ = cli("models", "upload", "m", "w.bin")
        assert code == 0
        assert ("1.46 KiB of 2.44 KiB are there already" in out) == goes_on
        assert (disk.m / "w.bin").read_bytes() == old
        assert not draft.exists()
        (disk.m / "w.bin").unlink()


def _begun(disk: Disk, file: Path, data: bytes, total: int) -> Path:
    """As an upload leaves it that breaks off after 1500 bytes."""
    from orchestrator.folders.uploads import _draft

    return wrote(disk.m / _draft(file.name, total), data[:1500])


def test_a_download_goes_on_and_a_changed_file_begins_anew(cli: Cli, disk: Disk, tmp_path: Path) -> None:
    data = os.urandom(5000)
    wrote(disk.m / "w.bin", data)
    cli("models", "download", "m", "w.bin")
    (tmp_path / "w.bin").unlink()
    os.truncate(disk.m / "w.bin", 0)
    assert cli("models", "download", "m", "w.bin")[0] == 0
    assert (tmp_path / "w.bin").read_bytes() == b""
    assert cli("models", "download", "m", "w.bin", "-o", "no/such/folder")[0] == 2
    assert cli("models", "download", "m", "nothing")[0] == 1
    began = time.monotonic()
    assert cli("models", "download", "m", "w.bin", "--url", "http://127.0.0.1:1")[0] == 1
    assert time.monotonic() - began < 5


def test_progress_reads_well() -> None:
    assert progress_line(512 << 20, 2 << 30, 500 << 20, 10.0) == "512 MiB of 2 GiB, 25 %, 50 MiB/s, 30s left"
    assert progress_line(2 << 30, 2 << 30, 500 << 20, 10.0) == "2 GiB, 50 MiB/s"
    assert progress_line(0, 0, 0, 0.0) == "0 bytes"


# --- definitions ----------------------------------------------------------------------------------------------------


def editor(tmp_path: Path, *turns: str) -> str:
    """A program that does one of `turns` (a shell's line about "$1") each time that it is called."""
    for number, turn in enumerate(turns):
        wrote(tmp_path / f"turn{number}", turn.encode())
    file = wrote(
        tmp_path / "editor",
        f'#!/bin/sh\nfor t in {tmp_path}/turn*; do . "$t"; rm "$t"; exit 0; done\nexit 1\n'.encode(),
    )
    file.chmod(0o755)
    return str(file)


def on_a_terminal(url: str, *arguments: str, answers: str, environ: Mapping[str, str]) -> tuple[int, str]:
    """Exit code and what was seen of the command whose questions somebody answers."""
    ours, theirs = pty.openpty()
    given = {"PATH": os.environ["PATH"], "TERM": "dumb", "NO_COLOR": "1", "COLUMNS": "200", "HOME": os.environ["HOME"]}
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestrator", *arguments],
        env={**given, "ORCHESTRATOR_URL": url, "ORCHESTRATOR_TOKEN": ADMIN, **environ},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    os.write(ours, answers.encode())
    text = b""
    while True:
        try:
            text += os.read(ours, 4096)
        except OSError:
            break
    os.close(ours)
    return process.wait(20), text.decode().replace("\r\n", "\n")


def test_an_edit_is_checked_shown_edited_again_and_written(url: str, disk: Disk, tmp_path: Path) -> None:
    wrote(disk.m / "model-definition.yml", VALID.encode())
    program = editor(tmp_path, 'sed -i s/8000/none/ "$1"', 'sed -i s/none/8001/ "$1"')
    code, seen = on_a_terminal(url, "models", "edit", "m", answers="?\ne\n", environ={"EDITOR": program})
    assert code == 0, seen
    assert "model-definition.yml:3:43: models[0].service.port: `none` is not a whole number" in seen
    assert f"\n{' ' * 6}| {' ' * 42}^" in seen
    assert seen.count("What now? (e) edit again, (q) quit without saving") == 2
    assert "port: 8001" in (disk.m / "model-definition.yml").read_text()


def test_what_somebody_else_wrote_meanwhile_is_shown_before_it_is_written_over(
    url: str, disk: Disk, tmp_path: Path
) -> None:
    file = wrote(disk.m / "model-definition.yml", VALID.encode())
    program = editor(tmp_path, f'echo "# theirs" >> {file}; echo "# mine" >> "$1"')
    code, seen = on_a_terminal(url, "models", "edit", "m", answers="o\n", environ={"EDITOR": program})
    assert code == 0, seen
    assert "it was changed meanwhile" in seen
    assert "+# theirs" in seen
    assert file.read_text() == VALID + "# mine\n"


@pytest.mark.parametrize(
    ("turn", "code", "kept"),
    [
        ("true", 0, False),
        ('sed -i s/8000/none/ "$1"', 2, True),
        ('echo "# more" >> "$1"', 0, False),
        ("exit 3", 2, False),
    ],
)
def test_without_a_terminal_nobody_is_asked_and_no_text_is_lost(
    turn: str, code: int, kept: bool, cli: Cli, disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = wrote(disk.m / "model-definition.yml", VALID.encode())
    monkeypatch.setenv("VISUAL", editor(tmp_path, turn))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "xdg"))
    (tmp_path / "xdg").mkdir()
    found, _, err = cli("models", "edit", "m")
    assert found == code
    assert [p.name.endswith("-model-definition.yml") for p in (tmp_path / "xdg").iterdir()] == [True] * kept
    assert ("kept in" in err) == kept
    assert file.read_text() == VALID + "# more\n" * ("more" in turn)


def test_a_first_definition_begins_with_one_that_is_valid(
    cli: Cli, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISUAL", "sed -i s/8000/8001/")
    assert cli("models", "edit", "m")[0] == 0
    assert "port: 8001" in (disk.m / "model-definition.yml").read_text()
