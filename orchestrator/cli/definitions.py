"""Which definitions a path on the command line stands for, and what each says. Used by `validate`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.composing import MAX_BYTES
from orchestrator.folders import Reading, read_folder
from orchestrator.folders.reading import definition_name
from orchestrator.folders.sources import DEFINITIONS
from orchestrator.settings import Settings

STDIN = Path("<stdin>")


@dataclass(frozen=True, slots=True)
class Unread:
    """A path that could not be looked at."""

    file: str
    message: str
    hint: str = ""


def read_all(paths: Sequence[str], settings: Settings) -> Iterator[Reading | Unread]:
    """Every definition that `paths` stand for: files, model folders, directories of model folders; `-`: standard input.
    Read by the same code as the daemon's."""
    for path in paths:
        try:
            yield from _at(path, settings)
        except (OSError, RuntimeError, ValueError) as error:
            yield Unread(path, f"cannot read {path}: {getattr(error, 'strerror', None) or error}")


def _at(path: str, settings: Settings) -> Iterator[Reading | Unread]:
    if path == "-":
        data = sys.stdin.buffer.read(MAX_BYTES + 1)
        yield read_folder(Path.cwd(), settings, runtime=settings.runtime, file=STDIN, data=data)
    elif not Path(path).is_dir():
        Path(path).stat()
        yield _looked_at(Path(path).parent, settings, Path(path))
    elif _is_model_folder(Path(path), settings):
        yield _looked_at(Path(path), settings)
    else:
        yield from _below(Path(path), settings)


def _below(folder: Path, settings: Settings) -> Iterator[Reading | Unread]:
    inner = [child for child in sorted(folder.iterdir()) if not child.name.startswith(".") and child.is_dir()]
    models = [child for child in inner if _is_model_folder(child, settings)]
    if not models:
        text = f"cannot find a definition: neither {folder} nor a folder in it has one"
        yield Unread(str(folder), text, f"it is called {DEFINITIONS[1]}")
    for child in models:
        yield _looked_at(child, settings)


def _is_model_folder(folder: Path, settings: Settings) -> bool:
    own = definition_name(folder, settings)
    return any((folder / name).exists() for name in ([own] if own else DEFINITIONS))


def _looked_at(folder: Path, settings: Settings, file: Path | None = None) -> Reading | Unread:
    reading = read_folder(folder, settings, runtime=settings.runtime, file=file)
    if reading.loaded is not None:
        return reading
    shown = str(file or reading.file or folder)
    why = "; ".join(p.message for p in reading.problems) or "it is gone"
    return Unread(shown, f"cannot read {shown}: {why.removeprefix('cannot read it: ')}")
