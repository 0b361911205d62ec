"""The files of the dashboard on a real socket: kept for good by a browser, small on the way, nothing beside them."""

from __future__ import annotations

import gzip
import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from small_control import SmallControl

from orchestrator.api.app import build_app, serve
from orchestrator.api.middlewares import admin_token
from orchestrator.dashboard import Assets
from orchestrator.dashboard.assets import HERE, PRELOADS

STATIC = Path(__file__).parents[2] / "orchestrator" / "dashboard" / "static"
PLAIN = {"Accept-Encoding": "identity"}
MODULES = sorted(STATIC.glob("js/**/*.js"))


@pytest.fixture
async def raw() -> AsyncIterator[aiohttp.ClientSession]:
    runner = await serve(build_app(SmallControl(), admin_token("x"), listen="127.0.0.1:0"), "127.0.0.1:0")
    async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}", auto_decompress=False) as session:
        yield session
    await runner.cleanup()


async def test_the_page_is_asked_for_each_time_and_its_files_once(raw: aiohttp.ClientSession) -> None:
    async with raw.get("/", headers=PLAIN) as answer:
        text, tag = await answer.text(), answer.headers["ETag"]
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-cache")
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'self';")
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
    async with raw.get("/", headers={"If-None-Match": f'"other", W/{tag}'}) as answer:
        assert (answer.status, await answer.read()) == (304, b"")
    assert HERE not in text
    assert PRELOADS not in text
    files = set(re.findall(r'(?:href|src)="([^"]+)"', text))
    assert len(files) > 40
    for file in files:
        async with raw.get(file, headers={"Accept-Encoding": "gzip"}) as answer:
            assert answer.status == 200, file
            assert "immutable" in answer.headers["Cache-Control"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Content-Encoding"] == "gzip"
            name = file.split("/", 3)[3]
            assert gzip.decompress(await answer.read()) == (STATIC / name).read_bytes()


async def test_a_file_of_another_version_is_not_kept(raw: aiohttp.ClientSession) -> None:
    async with raw.get("/assets/0123/js/main.js", headers=PLAIN) as answer:
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-cache")
        assert "Content-Encoding" not in answer.headers


@pytest.mark.parametrize(
    "path",
    ["js/none.js", "../assets.py", "%2e%2e/assets.py", "..%2f__init__.py", "js//main.js", "js/", "%00", "js/main.js/"],
)
async def test_nothing_else_is_served(path: str, raw: aiohttp.ClientSession) -> None:
    async with raw.get(f"/assets/{Assets().version}/{path}") as answer:
        assert answer.status in (404, 401), path
        assert b"import" not in await answer.read()


def test_the_version_is_that_of_all_files(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(f"{PRELOADS} {HERE}")
    (tmp_path / "a.js").write_text("1")
    (tmp_path / "notes.md").write_text("not served")
    first = Assets(tmp_path)
    assert first.find("notes.md") is None
    assert first.page().content.decode() == (
        f'<link rel="modulepreload" href="/assets/{first.version}/a.js"> /assets/{first.version}'
    )
    (tmp_path / "a.js").write_text("2")
    assert Assets(tmp_path).version != first.version


def test_no_module_writes_markup_or_names_another_server() -> None:
    """What the daemon says is text: preact writes it as such, and nothing else may."""
    for module in MODULES:
        text = module.read_text()
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|dangerously|\beval\(|new Function", text
        )
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)[a-z]", text), module


def test_every_import_leads_to_a_file() -> None:
    for module in MODULES:
        for name in re.findall(r'(?:from|import\()\s*"([^"]+)"', module.read_text()):
            assert (module.parent / name).resolve().is_file(), f"{module}: {name}"


def test_every_library_is_there_with_its_licence() -> None:
    licences = (STATIC / "vendor" / "LICENSES.txt").read_text()
    for name in ("preact", "htm", "@preact/signals", "uplot", "@codemirror/view", "@lezer/yaml"):
        assert re.search(rf"^{re.escape(name)} \d", licences, re.MULTILINE), name
