"""The files of one model folder, found, read and parsed, before anything is resolved. Part of `folders.reading`."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.core import loading
from orchestrator.core.composing import MAX_BYTES
from orchestrator.core.definition import Deployment
from orchestrator.core.layers import Layer
from orchestrator.core.loading import Loaded
from orchestrator.core.problems import Problem
from orchestrator.folders.files import Content, Stamp, cause, read, stamp

DEFINITIONS = ("model-definition.yaml", "model-definition.yml")
Parse = Callable[[bytes, str], tuple[Deployment | None, tuple[Problem, ...]]]


@dataclass(slots=True)
class Sources:
    """`file` None: there is no definition. `texts`: of the files that were read, by name. `stamps`: of every file that
    was looked for; `settled`: they prove that nothing changed since."""

    file: Path | None = None
    loaded: Loaded | None = None
    below: tuple[Layer, ...] = ()
    problems: list[Problem] = field(default_factory=list)
    digest: str = ""
    texts: dict[str, str] = field(default_factory=dict)
    stamps: dict[Path, Stamp | None] = field(default_factory=dict)
    settled: bool = True

    def unchanged(self) -> bool:
        """Do the files still have the stamps that they were read with?"""
        try:
            return self.settled and all(stamp(path) == before for path, before in self.stamps.items())
        except OSError:
            return False


def gather(
    folder: Path, root: Path | None, definition: str = "", file: Path | None = None, within: Path | None = None
) -> Sources:
    """Find and read what `folder` has. `definition`: the file's name in it where it is not the usual one; `file`: a
    definition to be read in its place, wherever it lies (as a link: in `within`, where that is given). Links of others
    must not lead out of `root`. Never raises."""
    sources = Sources()
    content: Content | None = None
    if file is not None:
        content = _read(sources, file, within)
        if content is None and sources.file is None:
            _fail(sources, file, "cannot read it: there is no such file")
    elif found := _find(sources, folder, definition):
        content = _read(sources, found, root)
    if content is not None and sources.file:
        sources.loaded = loading.load(content.data, str(sources.file))
    if sources.file is not None:
        _add_side_file(sources, folder, root)
    return sources


def gather_text(folder: Path, root: Path | None, data: bytes, file: Path | None) -> Sources:
    """As `gather`, with the definition's text given. It stands alone where it is for no `file` that is there or that
    would lie in `folder`."""
    shown = file or Path("<stdin>")
    digest = _mark("", shown.name, data)
    sources = Sources(shown, loading.load(data, str(shown)), digest=digest, settled=False)
    sources.texts[shown.name] = _text(data)
    if file is not None and (file.is_file() or file.parent == folder):
        _add_side_file(sources, folder, root)
    return sources


def _find(sources: Sources, folder: Path, definition: str) -> Path | None:
    """The definition's path; notes what both usual names mean together, and a name that cannot be right."""
    if not definition:
        there = []
        for path in (folder / name for name in DEFINITIONS):
            there += [path] if _look(sources, path) else []
            if sources.problems:
                return None
        if len(there) > 1:
            message = f"{DEFINITIONS[1]} is here too and is not read"
            sources.problems.append(Problem("warning", str(there[0]), 0, 0, "", message, "remove one of them"))
        return there[0] if there else None
    path = folder / definition
    if leads_out(definition):
        _fail(sources, path, f"the definition's name {definition!r} leads out of the folder")
    elif _look(sources, path):
        return path
    elif not sources.problems:
        _fail(sources, path, f"there is no file {definition}, which is named as this folder's definition")
    return None


def leads_out(definition: str) -> bool:
    """Does a definition's name mean a file that is not in the folder?"""
    return Path(definition).is_absolute() or ".." in Path(definition).parts or "\0" in definition


def _look(sources: Sources, path: Path) -> bool:
    """Is there a file at `path`? What cannot be looked at is reported."""
    try:
        sources.stamps[path] = stamp(path)
    except OSError as error:
        _fail(sources, path, f"cannot look at it: {cause(error)}")
        return False
    return sources.stamps[path] is not None


def _read(sources: Sources, path: Path, root: Path | None) -> Content | None:
    try:
        content = read(path, root)
    except FileNotFoundError:
        sources.settled = False
        return None
    except (OSError, RuntimeError) as error:
        _fail(sources, path, f"cannot read it: {cause(error)}")
        return None
    sources.file = sources.file or path
    sources.stamps[path] = content.stamp
    sources.settled = sources.settled and content.settled
    sources.digest = _mark(sources.digest, path.name, content.data)
    sources.texts[path.name] = _text(content.data)
    return content


def _add_side_file(sources: Sources, folder: Path, root: Path | None) -> None:
    """Lower layers: Backend.AI's deployment-config.yaml, else service-definition.toml."""
    there = [folder / name for name in SIDE_FILES if _look(sources, folder / name)]
    if len(there) > 1:
        message = f"{there[0].name} is here too: this file is not read"
        sources.problems.append(Problem("warning", str(there[1]), 0, 0, "", message, "remove one of them"))
    for path in there[:1]:
        content = _read(sources, path, root)
        if content is None:
            return
        deployment, problems = SIDE_FILES[path.name](content.data, str(path))
        sources.problems += problems
        if deployment is not None:
            sources.below = (Layer(deployment, str(path)),)


def _toml(data: bytes, file: str) -> tuple[Deployment | None, tuple[Problem, ...]]:
    if len(data) > MAX_BYTES:  # the rest was not read
        return None, (Problem("error", file, 0, 0, "", f"the file is larger than {MAX_BYTES >> 20} MiB"),)
    try:
        table = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        return None, (Problem("error", file, 0, 0, "", f"not valid TOML: {error}"),)
    return loading.deployment_from_mapping(table, file)


SIDE_FILES: dict[str, Parse] = {"deployment-config.yaml": loading.load_mapping, "service-definition.toml": _toml}


def _text(data: bytes) -> str:
    """As people read it, whatever it holds."""
    return data.decode("utf-8", "backslashreplace")


def _fail(sources: Sources, path: Path, message: str) -> None:
    sources.settled = False
    sources.file = sources.file or path
    sources.problems.append(Problem("error", str(path), 0, 0, "", message))


def _mark(before: str, name: str, data: bytes) -> str:
    """A digest over several files, in their order."""
    return hashlib.sha256(f"{before}\0{name}\0".encode("utf-8", "surrogateescape") + data).hexdigest()
