"""The database beneath the store: its file, its engine, and the one thread that all work on it happens in."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from orchestrator.core.errors import InvalidInput, Unavailable
from orchestrator.store.errors import translate

T = TypeVar("T")

CALL_LIMIT = 30.0
"""Seconds until a call is given up. More than the busy timeout: only a disk that hangs comes here."""


class Database:
    """One transaction a call, in call order. After a failure the next call simply tries again."""

    def __init__(self, url: str, state_dir: Path, busy_timeout: float) -> None:
        self.path = database_file(url, state_dir)
        self._engine = _engine(self.path, busy_timeout)
        self._writing = self._engine.execution_options(write=True)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._inode = 0

    async def open(self, prepare: Callable[[Connection], T]) -> T:
        """Make the file (0600) where there is none and run `prepare` on it in one transaction."""

        def work() -> T:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._inode = self.path.stat().st_ino
            with self._writing.begin() as connection:
                return prepare(connection)

        return await self._call("open the store", work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        def read() -> T:
            with self._engine.begin() as connection:
                return work(connection)

        return await self._call("read the store", read)

    async def write(self, work: Callable[[Connection], T]) -> T:
        def write() -> T:
            with self._writing.begin() as connection:
                return work(connection)

        return await self._call("write to the store", write)

    def is_replaced(self) -> bool:
        """The file that is open is no longer the one at its path: what is written now would be lost."""
        try:
            return self.path.stat().st_ino != self._inode
        except OSError:
            return True

    async def close(self) -> None:
        """Let running work end, then the thread. Idempotent."""
        try:
            async with asyncio.timeout(CALL_LIMIT):
                await asyncio.wrap_future(self._thread.submit(self._engine.dispose))
        except (RuntimeError, TimeoutError):
            pass
        finally:
            self._thread.shutdown(wait=False, cancel_futures=True)

    async def _call(self, what: str, work: Callable[[], T]) -> T:
        try:
            future = self._thread.submit(work)
        except RuntimeError:
            raise Unavailable(f"cannot {what}: it is closed", code="store_unavailable") from None
        try:
            async with asyncio.timeout(CALL_LIMIT):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            hint = "its disk may hang: look at the kernel's log"
            message = f"cannot {what}: no answer within {CALL_LIMIT:g} s"
            raise Unavailable(message, hint=hint, code="store_unavailable") from None
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            raise translate(error, what, self.path) from error


def database_file(url: str, state_dir: Path) -> Path:
    """Where the database lies. Raises `InvalidInput` for a URL that is none of a SQLite file."""
    if not url:
        return state_dir.absolute() / "orchestrator.db"
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise InvalidInput(f"cannot use store.url: {error}", hint="leave it empty for SQLite in state_dir") from None
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise InvalidInput(
            f"cannot use store.url {parsed.render_as_string()}: only a SQLite file is supported",
            hint="leave it empty for SQLite in state_dir, or write sqlite:////absolute/path.db",
        )
    return Path(parsed.database).absolute()


def _engine(path: Path, busy_timeout: float) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        pool_size=1,
        max_overflow=0,
        connect_args={"timeout": busy_timeout, "check_same_thread": False},
    )
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    return engine


def _on_connect(connection: sqlite3.Connection, _record: Any) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "journal_size_limit=67108864"):
        connection.execute(f"PRAGMA {pragma}")


def _on_begin(connection: Connection) -> None:
    """A writer takes its lock at once: a reader that turns into one fails without waiting for the busy timeout."""
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("write") else "BEGIN")
