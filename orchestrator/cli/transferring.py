"""`models upload` and `models download`, with how far they are: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from orchestrator.cli.common import Common, ask
from orchestrator.cli.output import clean, print_json, span
from orchestrator.client import Client
from orchestrator.client.transfers import Report, fetch, send
from orchestrator.core.errors import InvalidInput
from orchestrator.core.file_names import is_file_name
from orchestrator.core.model_views import ModelView
from orchestrator.core.units import size_text

EVERY = 10.0
"""Seconds between lines about one file, where there is no terminal."""
Show = Callable[[str], Report]
"""Begins to show one file."""


def upload_all(common: Common, name: str, given: Sequence[Path], to: str | None) -> None:
    found = planned(given, to)

    async def upload(client: Client) -> ModelView:
        before = await client.model(name)
        last = {before.definition or "model-definition.yml", "model-definition.yaml", "model-definition.yml"}
        ordered = sorted(found.items(), key=lambda one: one[0] in last)
        with shown_by(quiet=common.json) as show:
            for target, file in ordered:
                await send(client, name, file, target, show(target))
        return await client.model(name)

    model = ask(common, upload)
    if common.json:
        print_json([{"path": target, "size": file.stat().st_size} for target, file in found.items()])
        return
    for problem in model.problems:
        print(clean(str(problem.problem())), file=sys.stderr)


def planned(given: Sequence[Path], to: str | None) -> dict[str, Path]:
    """Path in the model folder to the file that goes there. Raises `InvalidInput`."""
    found: dict[str, Path] = {}
    below = (to or "").strip("/")
    single = len(given) == 1 and to is not None and below and not to.endswith("/") and not given[0].is_dir()
    for file in given:
        if file.is_dir():
            inner = {p.relative_to(file).as_posix(): p for p in _files(file)}
            top = "" if to is not None or file.resolve() == Path.cwd() else file.resolve().name
            pairs = {"/".join(filter(None, (below, top, path))): p for path, p in inner.items()}
        elif file.exists():
            pairs = {below if single else "/".join(filter(None, (below, file.name))): file}
        else:
            raise InvalidInput(f"cannot upload {file}: there is no such file")
        if twice := next(iter(found.keys() & pairs.keys()), ""):
            raise InvalidInput(f"cannot upload {pairs[twice]}: {found[twice]} would be {twice}, too")
        found |= pairs
    if not found:
        raise InvalidInput("cannot upload: there are no files in what was given", hint="hidden ones are left out")
    return found


def _files(folder: Path) -> Iterator[Path]:
    """All that is not hidden; links to files are files, those to folders are not followed."""
    for top, folders, names in os.walk(folder):
        folders[:] = sorted(one for one in folders if is_file_name(one))
        yield from (Path(top, one) for one in sorted(names) if is_file_name(one) and Path(top, one).is_file())


def download_one(common: Common, name: str, path: str, output: Path | None) -> None:
    path = path.strip("/")
    plain = path.rpartition("/")[2]
    if output == Path("-"):
        ask(common, lambda client: _to_stdout(client, name, path))
        return
    target = output if output is not None else Path(plain)
    target = target / plain if target.is_dir() else target

    async def download(client: Client) -> int:
        with shown_by(quiet=common.json) as show:
            return await fetch(client, name, path, target, show(str(target)))

    count = ask(common, download)
    if common.json:
        print_json({"path": path, "file": str(target), "size": count})


async def _to_stdout(client: Client, name: str, path: str) -> None:
    async for some in client.download(name, path):
        sys.stdout.buffer.write(some)
    sys.stdout.buffer.flush()


# --- how far it is --------------------------------------------------------------------------------------------------


def shown_by(*, quiet: bool) -> AbstractContextManager[Show]:
    return _silence() if quiet else _bars() if sys.stdout.isatty() else _lines()


@contextmanager
def _silence() -> Iterator[Show]:
    yield lambda _: lambda at, total: None  # noqa: ARG005


@contextmanager
def _lines() -> Iterator[Show]:
    def show(name: str) -> Report:
        began, last, first = time.monotonic(), time.monotonic(), -1

        def told(at: int, total: int) -> None:
            nonlocal last, first
            now = time.monotonic()
            if first < 0:
                first = at
                if 0 < at < total:
                    print(clean(f"{name}: {size_text(at)} of {size_text(total)} are there already"), flush=True)
            if at < total and now - last < EVERY:
                return
            last = now
            print(clean(f"{name}: {progress_line(at, total, at - first, now - began)}"), flush=True)

        return _once(told)

    yield show


def _once(told: Report) -> Report:
    """The end is told once, though it may be reported more often."""
    done = False

    def tell(at: int, total: int) -> None:
        nonlocal done
        if not done:
            told(at, total)
        done = at >= total

    return tell


def progress_line(at: int, total: int, came: int, seconds: float) -> str:
    """`512 MiB of 2.0 GiB, 25 %, 80 MiB/s, 19s left`, or at the end `2.0 GiB, 80 MiB/s`."""
    rate = came / seconds if seconds > 0.5 and came > 0 else 0.0
    speed = f", {size_text(rate)}/s" if rate else ""
    if at >= total:
        return f"{size_text(total)}{speed}"
    left = f", {span((total - at) / rate)} left" if rate else ""
    return f"{size_text(at)} of {size_text(total)}, {at * 100 // total} %{speed}{left}"


@contextmanager
def _bars() -> Iterator[Show]:
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
    with Progress(*columns, TransferSpeedColumn(), TimeRemainingColumn()) as progress:

        def show(name: str) -> Report:
            tasks: list[TaskID] = []

            def told(at: int, total: int) -> None:
                if not tasks:  # a bar only where there is something to tell
                    tasks.append(progress.add_task(clean(name), total=None))
                progress.update(tasks[0], completed=at, total=total or 1)

            return told

        yield show
