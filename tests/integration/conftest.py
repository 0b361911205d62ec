"""The API of a small Control on a real socket, and the `orchestrator` command that asks it."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from small_control import ADMIN, Cli, SmallControl

from orchestrator.api.app import build_app, serve
from orchestrator.api.door import admin_token
from orchestrator.cli import main


@pytest.fixture
def control() -> SmallControl:
    """To be replaced by the daemon's own."""
    return SmallControl()


@pytest.fixture
def url(control: SmallControl) -> Iterator[str]:
    """The API of `control`, served by a loop in a thread of its own."""
    ready, ports, over = threading.Event(), list[int](), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serving() -> None:
        app = build_app(control, admin_token(ADMIN), listen="127.0.0.1:0", heartbeat=0.1)
        runner = await serve(app, "127.0.0.1:0")
        ports.append(runner.addresses[0][1])
        ready.set()
        await over.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serving(),), name="api of a test")
    with structlog.testing.capture_logs():
        thread.start()
        assert ready.wait(10)
        yield f"http://127.0.0.1:{ports[0]}"
        loop.call_soon_threadsafe(over.set)
        thread.join(10)
    loop.close()


@pytest.fixture
def cli(url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    """Runs the command in this process: exit code, standard output, standard error."""
    monkeypatch.setenv("ORCHESTRATOR_URL", url)
    monkeypatch.setenv("ORCHESTRATOR_TOKEN", ADMIN)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def call(*args: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["orchestrator", *args])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call
