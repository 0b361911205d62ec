"""Model folders through the API, on a real disk, hostile and changing: nothing leads out or is visible by half."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_disk import INVALID, SECRET, VALID, Disk, OnDisk
from small_control import ADMIN

from orchestrator.api import models as api_models
from orchestrator.api.app import build_app, serve
from orchestrator.api.middlewares import admin_token
from orchestrator.client import Client
from orchestrator.core.errors import Conflict, InvalidDefinition, InvalidInput, NotFound, OrchestratorError, Unavailable
from orchestrator.core.file_names import checked_path
from orchestrator.core.model_views import PART, DefinitionRequest, ValidateRequest
from orchestrator.folders.removing import remove_tree
from orchestrator.settings import DockerSettings, FolderSettings

BEARER = {"Authorization": f"Bearer {ADMIN}"}


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


@pytest.fixture
async def url(disk: Disk) -> AsyncIterator[str]:
    runner = await serve(build_app(OnDisk(disk.settings), admin_token(ADMIN), listen="127.0.0.1:0"), "127.0.0.1:0")
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def client(url: str) -> AsyncIterator[Client]:
    async with Client(url, ADMIN, timeout=20) as client:
        yield client


async def content(client: Client, name: str, file: str, **more: int) -> bytes:
    return b"".join([some async for some in client.download(name, file, **more)])


# --- folders --------------------------------------------------------------------------------------------------------


async def test_a_folder_is_made_filled_shown_and_removed(client: Client, disk: Disk) -> None:
    made = await client.create_model("new")
    assert (made.folder, made.definition, made.valid, made.status) == (str(disk.first / "new"), "", False, "none")
    assert (disk.first / "new").stat().st_mode & 0o777 == 0o755
    await client.write_definition("new", DefinitionRequest(text=VALID))
    seen = await client.model("new")
    assert (seen.definition, seen.valid, seen.problems, seen.writable) == ("model-definition.yml", True, (), True)
    assert [one.name for one in await client.models()] == ["m", "new"]
    assert seen in await client.models()
    (disk.first / ".orchestrator-removed-long-ago").mkdir()
    await client.remove_model("new")
    assert [one.name for one in await client.models()] == ["m"]
    assert [p.name for p in disk.first.iterdir()] == ["m"], "nothing of it is left"


@pytest.fixture
def undeep(disk: Disk) -> Iterator[None]:
    """What a test leaves so deep nobody else removes."""
    yield
    remove_tree(disk.first)


def deep(top: Path, folders: int = 2500) -> None:
    """Deeper than a path is long and than Python recurses; a link and a file that cannot be written to at its end."""
    top.mkdir()
    fd = os.open(top, os.O_RDONLY)
    for _ in range(folders):
        os.mkdir("d", dir_fd=fd)
        above, fd = fd, os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(above)
    os.symlink(top.parent.parent / "outside", "link", dir_fd=fd)
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, 0o000, dir_fd=fd))
    os.fchmod(fd, 0o500)
    os.close(fd)


@pytest.mark.usefixtures("undeep")
async def test_what_programs_made_deep_goes_with_its_folder(client: Client, disk: Disk) -> None:
    await client.create_model("new")
    deep(disk.first / "new" / "a")
    await client.remove_model_file("new", "a")
    assert list((disk.first / "new").iterdir()) == []
    deep(disk.first / "new" / "a")
    deep(disk.first / ".orchestrator-removed-long-ago")
    await client.remove_model("new")
    assert [p.name for p in disk.first.iterdir()] == ["m"], "nothing of it is left"
    assert disk.untouched()


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "a/b", "a\nb", "x" * 256, "lost+found", "a\x1b[2J", "\u202ex"]
)
async def test_a_name_that_no_folder_may_have_is_refused(name: str, client: Client, disk: Disk) -> None:
    with pytest.raises(InvalidInput):
        await client.create_model(name)
    if name:
        with pytest.raises((InvalidInput, NotFound)):
            await client.remove_model(name)
    assert [p.name for p in disk.first.iterdir()] == ["m"]
    assert disk.untouched()


async def test_the_first_models_dir_wins_and_the_other_folder_says_so(client: Client, disk: Disk) -> None:
    (disk.second / "m").mkdir()
    (disk.second / "m" / "model-definition.yml").write_text(INVALID)
    (disk.second / "other").mkdir()
    found = {one.folder: one.shadowed_by for one in await client.models()}
    assert found == {str(disk.m): "", str(disk.second / "m"): str(disk.m), str(disk.second / "other"): ""}
    assert (await client.model("m")).folder == str(disk.m)
    with pytest.raises(Conflict, match="more/other is there"):
        await client.create_model("other")


async def test_a_folder_that_is_a_link_is_itself_removed_and_never_leads_out(client: Client, disk: Disk) -> None:
    (disk.first / "out").symlink_to(disk.outside)
    (disk.first / "in").symlink_to(disk.second)
    shown = {one.name: one for one in await client.models()}
    assert not shown["out"].writable
    for call in (client.model_files("out"), client.upload_part("out", "x", b"1"), client.definition("out")):
        with pytest.raises(Conflict, match="leads out"):
            await call
    with pytest.raises(Conflict):
        await content(client, "out", "secret")
    with pytest.raises(Conflict):
        await client.remove_model("out")
    assert disk.untouched()


async def test_a_link_to_a_folder_that_is_allowed_is_used_and_survives_its_removal(disk: Disk) -> None:
    (disk.first / "linked").symlink_to(disk.outside / "real")
    (disk.outside / "real").mkdir()
    docker = DockerSettings(allowed_mounts=(str(disk.outside),))
    control = OnDisk(disk.settings.model_copy(update={"docker": docker}))
    await control.write_definition("linked", DefinitionRequest(text=VALID))
    await control.remove_model("linked", force=False)
    assert not (disk.first / "linked").is_symlink()
    assert (disk.outside / "real" / "model-definition.yml").read_text() == VALID


async def test_models_dirs_that_cannot_be_read_are_no_empty_list(client: Client, disk: Disk) -> None:
    shutil.rmtree(disk.first)
    assert await client.models() == ()
    shutil.rmtree(disk.second)
    with pytest.raises(Unavailable, match="cannot read"):
        await client.models()


# --- paths ----------------------------------------------------------------------------------------------------------

WRONG = {
    "up": "../outside/secret",
    "up in the middle": "a/../../outside/secret",
    "absolute": "/etc/passwd",
    "hidden": ".env",
    "hidden below": "a/.git/config",
    "our own": ".orchestrator-part-x-1",
    "a line break": "a\nb",
    "an escape": "a\x1b[2J",
    "null": "a\0b",
    "turned around": "a\u202egnp.exe",
    "nothing between": "a//b",
    "too long a name": "x" * 256,
    "too deep": "/".join("x" * 33),
    "too long": "/".join(["x" * 200] * 12),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_path_that_no_file_may_have_is_refused_however_it_is_written(name: str, url: str, disk: Disk) -> None:
    raw = os.fsencode(WRONG[name])
    spellings = {"".join(f"%{byte:02X}" for byte in raw), "".join(f"%{b:02x}" if b != 47 else "/" for b in raw)}
    host, port = url.removeprefix("http://").split(":")
    for path in spellings:
        for method in ("GET", "DELETE", "PUT"):
            query = "?total=1" if method == "PUT" else ""
            status = await asked(host, int(port), f"{method} /v1/models/m/files/{path}{query}")
            assert status in (400, 404), (method, path)
    assert disk.untouched()
    assert disk.visible() == set()


def head(line: str, length: int, *more: str) -> bytes:
    sent = (f"{line} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {ADMIN}", f"Content-Length: {length}", *more)
    return "\r\n".join((*sent, "", "")).encode()


async def asked(host: str, port: int, line: str) -> int:
    """Status of a request whose path no library has made nicer."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(head(line, 1, "Connection: close") + b"x")
    status = int((await reader.readline()).split()[1])
    writer.close()
    await writer.wait_closed()
    return status


@given(st.text(max_size=40) | st.lists(st.sampled_from(["..", ".", "", "a", "/", "\0"]), max_size=6).map("/".join))
def test_a_path_that_is_taken_stays_below(text: str) -> None:
    try:
        parts = checked_path(text)
    except InvalidInput:
        return
    assert not os.path.relpath(os.path.join("/m", *parts), "/m").startswith("..")  # noqa: PTH118
    assert all(part and not part.startswith(".") and "/" not in part for part in parts)


LINKS: dict[str, tuple[str, str, Callable[[Client], Awaitable[object]]]] = {
    "read a link to a file outside": ("l", "../../outside/secret", lambda c: content(c, "m", "l")),
    "read through a linked folder": ("l", "../../outside", lambda c: content(c, "m", "l/secret")),
    "list a linked folder": ("l", "../../outside", lambda c: c.model_files("m", "l")),
    "write into a linked folder": ("l", "../../outside", lambda c: c.upload_part("m", "l/new", b"x")),
    "write below a linked folder": ("l", "../../outside", lambda c: c.upload_part("m", "l/a/b", b"x")),
    "remove in a linked folder": ("l", "../../outside", lambda c: c.remove_model_file("m", "l/secret")),
    "write into another model": ("l", "../n", lambda c: c.upload_part("m", "l/new", b"x")),
    "read the definition by a link": ("model-definition.yml", "../../outside/secret", lambda c: c.definition("m")),
    "a link to itself": ("l", "l", lambda c: content(c, "m", "l")),
}


@pytest.mark.parametrize("name", LINKS)
async def test_a_link_leads_nowhere_that_it_must_not(name: str, client: Client, disk: Disk) -> None:
    link, target, call = LINKS[name]
    (disk.first / "n").mkdir()
    (disk.m / link).symlink_to(target)
    with pytest.raises((Conflict, Unavailable)):
        await call(client)
    assert disk.untouched()
    assert not list((disk.first / "n").iterdir())
    assert {one.path: one.kind for one in await client.model_files("m")}[link] in ("link", "folder")


async def test_links_within_models_dirs_are_read_and_what_is_written_replaces_the_link(
    client: Client, disk: Disk
) -> None:
    (disk.first / "n").mkdir()
    (disk.first / "n" / "weights").write_bytes(b"shared")
    for name, target in {"near": "file", "far": "../n/weights", "out": str(disk.outside / "secret")}.items():
        (disk.m / name).symlink_to(target)
    (disk.m / "file").write_bytes(b"own")
    assert [await content(client, "m", name) for name in ("near", "far")] == [b"own", b"shared"]
    kinds = {one.path: (one.kind, one.size) for one in await client.model_files("m")}
    assert kinds == {"far": ("file", 6), "file": ("file", 3), "near": ("file", 3), "out": ("link", 0)}
    for name in ("far", "out"):
        assert (await client.upload_part("m", name, b"new")).done
        assert (disk.m / name).read_bytes() == b"new"
    (disk.m / "gone").symlink_to(disk.outside / "secret")
    await client.remove_model_file("m", "gone")
    assert not (disk.m / "gone").is_symlink()
    assert disk.untouched()
    assert (disk.first / "n" / "weights").read_bytes() == b"shared"


def listen(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


@pytest.mark.parametrize("make", [os.mkfifo, listen])
async def test_what_is_no_file_is_not_waited_for(make: Callable[[Path], None], client: Client, disk: Disk) -> None:
    make(disk.m / "odd")
    with pytest.raises(OrchestratorError, match="not a regular file"):
        await content(client, "m", "odd")
    assert [one.kind for one in await client.model_files("m")] == ["other"]
    await client.remove_model_file("m", "odd")
    assert disk.visible() == set()


# --- down -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "status", "sent"),
    [
        ({}, 200, b"0123456789"),
        ({"Range": "bytes=3-"}, 206, b"3456789"),
        ({"Range": "bytes=2-4"}, 206, b"234"),
        ({"Range": "bytes=-3"}, 206, b"789"),
        ({"Range": "bytes=5-99"}, 206, b"56789"),
        ({"Range": "bytes=10-"}, 416, b""),
        ({"Range": "lines=1-2"}, 400, b""),
        ({"Range": "bytes=3-", "If-Range": "Thu, 01 Jan 1970 00:00:00 GMT"}, 200, b"0123456789"),
    ],
)
async def test_a_part_of_a_file(asked: dict[str, str], status: int, sent: bytes, url: str, disk: Disk) -> None:
    (disk.m / "ä'b.txt").write_bytes(b"0123456789")
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{url}/v1/models/m/files/ä'b.txt", headers=BEARER | asked) as answer,
    ):
        assert answer.status == status
        if status < 300:
            assert await answer.read() == sent
            assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''%C3%A4%27b.txt"
            assert answer.content_type == "application/octet-stream"
        else:
            assert answer.content_type == "application/problem+json"


async def test_downloads_go_over_one_connection(url: str, disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("f", "g"):
        (disk.m / name).write_bytes(b"0123456789")
    made: list[object] = []

    async def note(*told: object) -> None:
        made.append(told)

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(note)
    async with aiohttp.ClientSession(trace_configs=[trace]) as session:
        for name in ("f", "g", "f"):
            async with session.get(f"{url}/v1/models/m/files/{name}", headers=BEARER) as answer:
                assert await answer.read() == b"0123456789"
    assert len(made) == 1
    assert not [record for record in caplog.records if record.name == "aiohttp.server"]


async def test_a_file_that_is_cut_off_while_it_is_sent_is_an_error(client: Client, disk: Disk) -> None:
    with (disk.m / "f").open("wb") as file:
        file.truncate(64 << 20)

        async def read() -> None:
            async for _ in client.download("m", "f"):
                file.truncate(1 << 20)

        with pytest.raises(Unavailable):
            await read()


async def test_ten_thousand_files_are_listed_in_order(client: Client, disk: Disk) -> None:
    for number in range(10_000):
        (disk.m / f"{number:05}").touch()
    (disk.m / ".hidden").touch()
    os.close(os.open(os.fsencode(disk.m) + b"/\xff", os.O_CREAT))
    (disk.m / "line\nbreak").touch()
    began = time.monotonic()
    found = await client.model_files("m")
    assert [one.path for one in found] == [f"{number:05}" for number in range(10_000)]
    assert time.monotonic() - began < 5


# --- up -------------------------------------------------------------------------------------------------------------


async def test_a_file_comes_in_parts_and_is_not_visible_before_the_last(client: Client, disk: Disk) -> None:
    data = os.urandom(3000)
    for start in range(0, 3000, 1000):
        assert disk.visible() <= {"a", "a/b"}
        assert [one.kind for one in await client.model_files("m")] in ([], ["folder"])
        seen = await client.upload_part("m", "a/b/f", data[start : start + 1000], offset=start, total=3000)
        assert (seen.received, seen.total, seen.done) == (start + 1000, 3000, start == 2000)
        assert seen.tail == hashlib.sha256(data[: start + 1000]).hexdigest()
        if not seen.done:
            assert await client.upload("m", "a/b/f") == seen
    assert (disk.m / "a/b/f").read_bytes() == data
    assert ((disk.m / "a/b/f").stat().st_mode & 0o777, (disk.m / "a/b").stat().st_mode & 0o777) == (0o644, 0o755)
    assert [p.name for p in (disk.m / "a/b").iterdir()] == ["f"]
    assert (await client.upload("m", "a/b/f")).total == 0


async def chunks(*data: bytes) -> AsyncIterator[bytes]:
    for one in data:
        yield one


@settings(max_examples=20)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=6), st.integers(1, 100))
def test_any_parts_in_any_chunks_make_the_whole(sizes: list[int], chunk: int) -> None:
    data, at = os.urandom(sum(sizes)), 0
    with tempfile.TemporaryDirectory() as top:
        disk = Disk(Path(top))
        control = OnDisk(disk.settings)
        for size in sizes:
            part = data[at : at + size]
            some = chunks(*(part[n : n + chunk] for n in range(0, size, chunk)))
            asyncio.run(control.upload_part("m", "f", some, offset=at, total=len(data), executable=True))
            at += size
        assert (disk.m / "f").read_bytes() == data
        assert (disk.m / "f").stat().st_mode & 0o777 == 0o755


async def test_an_empty_file_is_one_too_and_what_is_replaced_keeps_its_permissions(client: Client, disk: Disk) -> None:
    assert (await client.upload_part("m", "f", b"")).done
    (disk.m / "f").chmod(0o640)
    assert (await client.upload_part("m", "f", b"new", executable=True)).done
    assert ((disk.m / "f").read_bytes(), (disk.m / "f").stat().st_mode & 0o777) == (b"new", 0o640)


async def begun(client: Client) -> None:
    await client.upload_part("m", "f", b"0123", total=10)


REFUSED: dict[str, tuple[str, Callable[[Client], Awaitable[object]]]] = {
    "a gap": ("wrong_offset", lambda c: c.upload_part("m", "f", b"5", offset=5, total=10)),
    "what is there already": ("wrong_offset", lambda c: c.upload_part("m", "f", b"3", offset=3, total=10)),
    "of another size": ("wrong_offset", lambda c: c.upload_part("m", "f", b"4", offset=4, total=11)),
    "of another file": ("wrong_offset", lambda c: c.upload_part("m", "g", b"4", offset=4, total=10)),
    "beyond its end": ("invalid_input", lambda c: c.upload_part("m", "f", b"45678901", offset=4, total=10)),
    "an offset beyond its end": ("invalid_input", lambda c: c.upload_part("m", "f", b"", offset=11, total=10)),
    "too large a part": ("too_large", lambda c: c.upload_part("m", "f", bytes(PART + 1), total=1 << 30)),
    "more than there is room for": ("disk_full", lambda c: c.upload_part("m", "f", b"1", total=1 << 60)),
    "in the place of a folder": ("conflict", lambda c: c.upload_part("m", "folder", b"1")),
    "below a file": ("conflict", lambda c: c.upload_part("m", "file/f", b"1")),
    "into a folder that is not there": ("not_found", lambda c: c.upload_part("gone", "f", b"1")),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_does_not_go_on_where_it_was_is_refused(name: str, client: Client, disk: Disk) -> None:
    (disk.m / "folder").mkdir()
    (disk.m / "file").touch()
    await begun(client)
    code, call = REFUSED[name]
    with pytest.raises(OrchestratorError) as caught:
        await call(client)
    assert caught.value.code == code
    assert disk.visible() == {"folder", "file"}
    assert (disk.m / "file").stat().st_size == 0


async def test_a_new_beginning_forgets_the_old_one_and_a_removal_does(client: Client, disk: Disk) -> None:
    await begun(client)
    assert (await client.upload_part("m", "f", b"ab", total=3)).received == 2
    with pytest.raises(Conflict):
        await client.upload_part("m", "f", b"4", offset=4, total=10)
    assert (await client.upload("m", "f")).total == 3
    await client.remove_model_file("m", "f")
    assert not list(disk.m.iterdir())
    with pytest.raises(NotFound):
        await client.remove_model_file("m", "f")
    stale = disk.m / ".orchestrator-part-0-1"
    stale.touch()
    os.utime(stale, (1, 1))
    await begun(client)
    assert not stale.exists()


async def test_of_two_uploads_at_once_one_goes_on(client: Client, disk: Disk) -> None:
    control, release = OnDisk(disk.settings), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"01234"
        await release.wait()
        yield b"56789"

    first = asyncio.create_task(control.upload_part("m", "f", slow(), offset=0, total=10, executable=False))
    while not list(disk.m.iterdir()):  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    for total in (10, 7):
        with pytest.raises(Conflict) as caught:
            await client.upload_part("m", "f", b"x", total=total)
        assert caught.value.code == "upload_busy"
    release.set()
    assert (await first).done
    assert (disk.m / "f").read_bytes() == b"0123456789"


async def test_a_connection_that_breaks_off_keeps_what_came(client: Client, url: str, disk: Disk) -> None:
    data = os.urandom(2 << 20)
    host, port = url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(head(f"PUT /v1/models/m/files/f?total={len(data)}", len(data)) + data[: 1 << 20])
    await writer.drain()
    writer.transport.abort()

    async def goes_on() -> int:
        seen = await client.upload("m", "f")
        await client.upload_part("m", "f", data[seen.received :], offset=seen.received, total=len(data))
        return seen.received

    for _ in range(1000):
        try:
            assert await goes_on() > 0
            break
        except (Conflict, AssertionError):
            await asyncio.sleep(0.01)
    assert (disk.m / "f").read_bytes() == data


async def test_a_client_that_says_nothing_more_is_not_waited_for(
    client: Client, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_models, "SILENCE", 0.05)
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head("PUT /v1/models/m/files/f?total=9", 9) + b"123")
    assert b" 503 " in await asyncio.wait_for(reader.readline(), 5)
    writer.write(b"456789")  # read and dropped: the next request could follow
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await client.upload("m", "f")).received == 3


async def test_a_hidden_file_that_somebody_else_put_there_is_not_written_to(client: Client, disk: Disk) -> None:
    await begun(client)
    (draft,) = disk.m.iterdir()
    for put in (lambda: os.link(disk.outside / "secret", draft), lambda: draft.symlink_to(disk.outside / "secret")):
        draft.unlink()
        put()
        with pytest.raises(Conflict):
            await client.upload_part("m", "f", b"x", offset=len(SECRET), total=10)
        assert disk.untouched()
        await begun(client)
        assert disk.untouched()


async def test_a_folder_that_vanishes_is_an_error_and_nothing_is_made_for_it(client: Client, disk: Disk) -> None:
    await begun(client)
    shutil.rmtree(disk.m)
    for call in (client.upload_part("m", "f", b"4", offset=4, total=10), client.model("m"), client.definition("m")):
        with pytest.raises(NotFound):
            await call
    assert not disk.m.exists()


@pytest.fixture
def small(disk: Disk) -> Iterator[Path]:
    """The folder `m` is a disk of 1 MiB."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk.m], check=True)
    yield disk.m
    subprocess.run(["umount", "-l", disk.m], check=True)


async def test_a_disk_that_fills_up_keeps_what_came_and_the_upload_goes_on(
    small: Path, client: Client, url: str
) -> None:
    data, full = os.urandom(700 << 10), small / "full"
    await client.upload_part("m", "f", data[:1000], total=len(data))
    full.write_bytes(bytes(600 << 10))
    async with (
        aiohttp.ClientSession(url, headers=BEARER) as session,
        session.put(f"/v1/models/m/files/f?offset=1000&total={len(data)}", data=data[1000:]) as answer,
    ):
        assert (answer.status, (await answer.json())["code"]) == (507, "disk_full")
    full.unlink()
    seen = await client.upload("m", "f")
    assert seen.received >= 1000
    await client.upload_part("m", "f", data[seen.received :], offset=seen.received, total=len(data))
    assert (small / "f").read_bytes() == data
    before = await client.write_definition("m", DefinitionRequest(text=VALID))
    full.write_bytes(bytes(shutil.disk_usage(small).free))
    with pytest.raises(Unavailable) as caught:
        await client.write_definition("m", DefinitionRequest(text=VALID + "# longer\n", digest=before.digest))
    assert caught.value.code == "disk_full"
    assert (await client.definition("m")).text == VALID


async def test_a_read_only_folder_says_so(small: Path, client: Client) -> None:
    (small / "f").touch()
    await asyncio.to_thread(subprocess.run, ["mount", "-o", "remount,ro", small], check=True)
    assert not (await client.model("m")).writable
    request = DefinitionRequest(text=VALID)
    for call in (
        *(client.upload_part("m", "f", b"1"), client.remove_model_file("m", "f")),
        client.write_definition("m", request),
    ):
        with pytest.raises(Unavailable) as caught:
            await call
        assert (caught.value.code, "ReadWritePaths" in caught.value.hint) == ("not_writable", True)


# --- definitions ----------------------------------------------------------------------------------------------------


async def test_a_definition_is_written_only_where_it_is_valid_and_nobody_was_faster(client: Client, disk: Disk) -> None:
    file = disk.m / "model-definition.yml"
    none = await client.definition("m")
    assert (none.file, none.text, none.digest, none.problems) == ("model-definition.yml", "", None, ())
    with pytest.raises(InvalidDefinition) as caught:
        await client.write_definition("m", DefinitionRequest(text=INVALID))
    (problem,) = caught.value.problems
    assert (problem.line, problem.column, problem.path, problem.file) == (3, 43, "models[0].service.port", str(file))
    assert not file.exists()
    first = await client.write_definition("m", DefinitionRequest(text=VALID))
    assert (first.digest, first.text) == (hashlib.sha256(VALID.encode()).hexdigest(), VALID)
    assert await client.definition("m") == first
    file.chmod(0o600)
    second = await client.write_definition("m", DefinitionRequest(text=VALID + "# ü\n", digest=first.digest))
    assert file.stat().st_mode & 0o777 == 0o600
    for stale in (first.digest, None, "nonsense"):
        with pytest.raises(Conflict) as changed:
            await client.write_definition("m", DefinitionRequest(text=VALID, digest=stale))
        assert changed.value.code == "changed"
    assert file.read_text() == second.text
    assert [p.name for p in disk.m.iterdir()] == [file.name], "no draft is left"


async def test_of_many_writers_of_one_state_exactly_one_wins(client: Client) -> None:
    before = await client.write_definition("m", DefinitionRequest(text=VALID))
    wanted = [DefinitionRequest(text=f"{VALID}# {n}\n", digest=before.digest) for n in range(10)]
    found = await asyncio.gather(*(client.write_definition("m", one) for one in wanted), return_exceptions=True)
    won = [one for one in found if not isinstance(one, BaseException)]
    assert len(won) == 1
    assert (await client.definition("m")).text == won[0].text


@pytest.mark.parametrize("there", [True, False])
async def test_a_text_is_judged_as_the_daemon_would_read_it(there: bool, client: Client, disk: Disk) -> None:
    (disk.m / "deployment-config.yaml").write_text("resources: {cpu: none}\n")
    if there:
        (disk.m / "model-definition.yml").write_text(VALID)
    judged = await client.validate(ValidateRequest(text=VALID, model="m"))
    (disk.m / "model-definition.yml").write_text(VALID)
    assert judged.problems == (await client.model("m")).problems
    assert [Path(p.file).name for p in judged.problems] == ["deployment-config.yaml"]
    assert (judged.valid, judged.resolved) == (False, None)
    (disk.m / "deployment-config.yaml").write_text("environ: {KEY: of the side file}\n")
    judged = await client.validate(ValidateRequest(text=VALID, model="m"))
    assert judged.valid
    assert "KEY=of the side file" in str(judged.resolved)
    alone = await client.validate(ValidateRequest(text=VALID))
    assert alone.valid
    assert "KEY" not in str(alone.resolved)
    (problem,) = (await client.validate(ValidateRequest(text=INVALID))).problems
    assert (problem.line, problem.column) == (3, 43)


async def test_defaults_count_and_their_values_are_not_told(disk: Disk) -> None:
    told = disk.settings.model_copy(update={"defaults": {"environ": {"KEY": "secret-of-config"}, "image": "ours"}})
    text = VALID.replace("{image: i}", "{}")
    judged = await OnDisk(told).validate(ValidateRequest(text=text, model="m"))
    assert judged.valid
    assert "KEY=***" in str(judged.resolved)
    assert "ours" in str(judged.resolved)


@pytest.mark.parametrize("text", ["", "\0", "[" * 10_000, "a: *b", "\ud800", "x" * 900_000, "- &a [*a]"])
async def test_any_text_is_judged(text: str, disk: Disk) -> None:
    assert not (await OnDisk(disk.settings).validate(ValidateRequest(text=text))).valid


async def test_the_name_of_the_definition_is_the_one_that_is_read(disk: Disk) -> None:
    (disk.m / "model-definition.yaml").write_text(VALID)
    control = OnDisk(disk.settings)
    assert (await control.definition("m")).file == "model-definition.yaml"
    named = disk.settings.model_copy(update={"folders": {"m": FolderSettings(definition="own.yml")}})
    written = await OnDisk(named).write_definition("m", DefinitionRequest(text=VALID))
    assert (written.file, (disk.m / "own.yml").read_text()) == ("own.yml", VALID)
    (disk.m / "own.yml").write_bytes(b"#" * (1 << 21))
    with pytest.raises(Conflict, match="larger than 1 MiB"):
        await OnDisk(named).definition("m")


async def test_the_schema_is_the_one_that_editors_get(client: Client) -> None:
    from orchestrator.cli.schema import Which, text_of

    found = (await client.schema()).model_dump(mode="json")
    assert found == json.loads(text_of(Which.DEFINITION))
