"""A copy of the database while others read and write it, and whether a copy is whole. Used by `app.backup`."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from orchestrator.core.errors import Unavailable
from orchestrator.store.errors import translate

PATIENCE = 30.0
"""Seconds to wait for another process's lock."""


def copy_database(source: Path, target: Path) -> None:
    """One moment of `source` in one file, 0600. Writers go on meanwhile. Raises `Unavailable`."""
    try:
        target.touch(mode=0o600, exist_ok=False)
        with (
            closing(sqlite3.connect(f"file:{quote(str(source))}?mode=ro", uri=True, timeout=PATIENCE)) as read,
            closing(sqlite3.connect(target)) as written,
        ):
            read.backup(written)  # all pages in one step: what is written meanwhile is not in it
            written.execute("PRAGMA journal_mode=DELETE")
    except (sqlite3.Error, OSError) as error:
        raise translate(error, "copy the database", source) from error
    check_database(target)


def check_database(path: Path) -> None:
    """Raises `Unavailable` (store_corrupt) unless every page and index of it is sound."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.Error as error:
        raise translate(error, "check the database", path) from error
    if found != "ok":
        raise Unavailable(f"cannot use {path}: it is damaged ({found})", code="store_corrupt")
