"""Archives that nobody vouches for: nothing lands outside, nothing is held whole, and what goes in comes out."""

from __future__ import annotations

import asyncio
import io
import os
import tarfile
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.archives import Incoming, aside, packed, place_of, repacked, streamed, unpacked
from orchestrator.core.errors import InvalidInput, Unavailable
from orchestrator.folders.removing import remove_tree

MIB = 1 << 20
SAME: Callable[[tuple[str, ...]], tuple[str, ...]] = lambda parts: parts  # noqa: E731


def tar(*members: tuple[str, Any], mode: str = "w") -> io.BytesIO:
    """Name and body, or name and a type with a link's target."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for name, what in members:
            info = tarfile.TarInfo(name)
            if isinstance(what, bytes):
                info.size, info.mode = len(what), 0o6755
                archive.addfile(info, io.BytesIO(what))
            else:
                info.type, info.linkname = what
                info.mode = 0o700
                archive.addfile(info)
    out.seek(0)
    return out


DIR, SYM, LNK = (tarfile.DIRTYPE, ""), tarfile.SYMTYPE, tarfile.LNKTYPE
HOSTILE: dict[str, tuple[tuple[str, Any], ...]] = {
    "dots": (("../x", b"x"),),
    "dots below": (("a/../../x", b"x"),),
    "through a link of its own": (("a", (SYM, "..")), ("a/x", b"x")),
    "through a link to a folder outside": (("a", (SYM, "/tmp")), ("a/b/x", b"x")),
    "a folder where a link is": (("a", (SYM, "/tmp")), ("a", DIR), ("a/x", b"x")),
    "a hard link to something outside": (("a", (LNK, "../secret")),),
    "through a link that was there": (("there/x", b"x"),),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_lands_outside(name: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("keep out")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "there").symlink_to(tmp_path)
    with pytest.raises((InvalidInput, OSError)):
        unpacked(tar(*HOSTILE[name]), inside, SAME)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["inside", "secret"]
    assert not list(inside.rglob("*.new"))


def test_an_absolute_name_is_one_below(tmp_path: Path) -> None:
    unpacked(tar(("/etc/passwd", b"x"), ("./b", b"y")), tmp_path, SAME)
    assert (tmp_path / "etc/passwd").read_bytes() + (tmp_path / "b").read_bytes() == b"xy"


def test_a_hard_link_through_a_symbolic_one_stays_inside(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("keep out")
    inside = tmp_path / "inside"
    inside.mkdir()
    with pytest.raises((InvalidInput, OSError)):
        unpacked(tar(("a", (SYM, "..")), ("b", (LNK, "a/secret"))), inside, SAME)
    assert not (inside / "b").exists()


def test_what_is_special_about_files_does_not_come_along(tmp_path: Path) -> None:
    told = unpacked(tar(("f", b"x"), ("d", (tarfile.CHRTYPE, "")), ("p", (tarfile.FIFOTYPE, ""))), tmp_path, SAME)
    assert ((tmp_path / "f").stat().st_mode & 0o7777, told.files) == (0o755, 1), "no set-uid bit, no device"
    assert [one.name for one in tmp_path.iterdir()] == ["f"]


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_tree_goes_in_and_out_as_it_is(mode: str, tmp_path: Path) -> None:
    top = tmp_path / "from"
    (top / "deep/er").mkdir(parents=True)
    (top / "deep/er/file").write_bytes(os.urandom(70_000))
    (top / "empty").touch()
    (top / "läßt\udcff").write_text("odd name")
    (top / ("long" * 60)).write_text("long name")
    (top / "link").symlink_to("deep/er/file")
    (top / "deep/er/file").chmod(0o750)
    os.utime(top / "empty", (1000, 1000))
    data = b"".join(packed(top, "root"))
    if mode == "w:gz":
        import gzip

        data = gzip.compress(data)
    place, rename = place_of(tmp_path / "to", folder=False)
    told = unpacked(io.BytesIO(data), place, rename)
    assert (told.files, told.size) == (5, 70_000 + len("odd name") + len("long name"))
    for one in top.rglob("*"):
        copy = tmp_path / "to" / one.relative_to(top)
        assert copy.is_symlink() == one.is_symlink()
        assert copy.is_dir() or copy.read_bytes() == one.read_bytes()
    assert (tmp_path / "to/deep/er/file").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "to/empty").stat().st_mtime == 1000


def test_a_tree_may_be_deeper_than_python_recurses(tmp_path: Path) -> None:
    for depth in range(1501):
        Path(f"{tmp_path}/tree{'/d' * depth}").mkdir()
    Path(f"{tmp_path}/tree{'/d' * 1500}/x").write_text("x")
    with tarfile.open(fileobj=io.BytesIO(b"".join(packed(tmp_path / "tree", "tree")))) as archive:
        assert len(archive.getnames()) == 1502
    remove_tree(tmp_path / "tree")  # nobody else can


def test_hard_links_come_out_as_such(tmp_path: Path) -> None:
    place, rename = place_of(tmp_path / "to", folder=False)
    unpacked(tar(("r", DIR), ("r/a", b"x"), ("r/b", (LNK, "r/a"))), place, rename)
    assert (tmp_path / "to/a").samefile(tmp_path / "to/b")


def test_a_file_that_is_there_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("before")
    cut = io.BytesIO(tar(("f", b"y" * 5000)).read(2000))
    with pytest.raises(InvalidInput, match="ends in the middle"):
        unpacked(cut, tmp_path, SAME)
    assert (tmp_path / "f").read_text() == "before"
    unpacked(tar(("f", b"after")), tmp_path, SAME)
    assert [one.name for one in tmp_path.iterdir()] == ["f"]
    assert (tmp_path / "f").read_text() == "after"


def test_a_name_that_never_ends_is_refused_before_it_is_held() -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1 << 40
    endless = io.BytesIO(info.tobuf(tarfile.GNU_FORMAT) + b"x" * MIB)
    with pytest.raises(InvalidInput, match="too long"):
        list(repacked(endless, SAME, (0, 0), lambda _: None))


def test_archives_are_never_held_whole(tmp_path: Path) -> None:
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(64 * MIB)

    class Blocks(io.RawIOBase):
        def __init__(self, blocks: Iterator[bytes]) -> None:
            self._blocks = blocks

        def read(self, _size: int = -1) -> bytes:
            return next(self._blocks, b"")

    (tmp_path / "to").mkdir()
    tracemalloc.start()
    again = repacked(Blocks(packed(big, "big")), SAME, (1, 1), lambda _: None)
    told = unpacked(Blocks(again), tmp_path / "to", SAME)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert told.size == 64 * MIB
    assert most < 8 * MIB


async def test_a_stream_whose_reader_leaves_ends_its_thread() -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    def blocks() -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 1000
        finally:
            loop.call_soon_threadsafe(ended.set)

    stream = streamed("test", blocks())
    assert await anext(stream) == b"x" * 1000
    await stream.aclose()
    await asyncio.wait_for(ended.wait(), 5)


async def test_a_thread_that_waits_for_more_is_let_go_when_the_sender_has_gone() -> None:
    async def never() -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.Event().wait()

    incoming = Incoming(never())
    reading = aside("test", lambda: [incoming.read(), incoming.read()])
    await asyncio.sleep(0.05)
    incoming.close()
    with pytest.raises(Unavailable):
        await asyncio.wait_for(reading, 5)


async def test_an_error_of_the_sender_reaches_the_reader() -> None:
    async def breaks() -> AsyncIterator[bytes]:
        yield b"first"
        raise Unavailable("gone")

    incoming = Incoming(breaks())
    with pytest.raises(Unavailable, match="gone"):
        await aside("test", lambda: [incoming.read(), incoming.read()])
