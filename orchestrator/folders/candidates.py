"""Model folders that stand elsewhere (a checkout) and are read as if they lay in models_dirs; and put there on demand.

Of a candidate only the definition and the file beside it count. Called in a thread by the scheduler's reader.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.core.errors import InvalidInput, NotFound, Unavailable
from orchestrator.core.file_names import checked_name
from orchestrator.folders.files import cause
from orchestrator.folders.pinned import Pinned, lies_at, pinned, write_below, write_whole
from orchestrator.folders.reading import Place, Reading, context_of, definition_name, finish, locate, refused
from orchestrator.folders.sources import DEFINITIONS, SIDE_FILES, gather
from orchestrator.settings import Settings


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a path means. `below`: model folders, or folders of them, that lie where they are served from;
    `candidates`: by the folder that each would be written to, its definition where it lies now."""

    name: str = ""
    """Of one service, in lower case; then nothing else counts."""
    below: tuple[str, ...] = ()
    candidates: Mapping[Path, Path] = field(default_factory=dict)
    root: Path = Path("/")
    """What was asked for: links of candidates must not lead out of it."""

    def has(self, folder: str, service: str = "") -> bool:
        """Is the service that is served from `folder` meant?"""
        if self.name:
            return service.lower() == self.name
        if self.candidates:
            return Path(folder) in self.candidates
        return any(folder == one or folder.startswith(one.rstrip("/") + "/") for one in self.below)


def choose(text: str, settings: Settings, others: set[str]) -> Chosen:
    """`text`: a service's name, or the absolute path of a models_dir, a model folder or a definition. `others`: model
    folders that are served though they lie in no models_dir. Raises `InvalidInput` or `NotFound`."""
    if "/" not in text:
        return Chosen(name=text.lower())
    path = Path(os.path.normpath(text))
    if not path.is_absolute() or "\0" in text:
        raise InvalidInput(f"cannot plan {text!r}: it is not an absolute path", hint="begin it with /")
    for place in {path, _resolved(path)}:
        if place in settings.models_dirs or str(place) in others:
            return Chosen(below=(str(place),))
        for models_dir in settings.models_dirs:
            if models_dir in place.parents:
                return Chosen(below=(str(models_dir / place.relative_to(models_dir).parts[0]),))
        if str(place.parent) in others and os.path.isfile(place):  # noqa: PTH113
            return Chosen(below=(str(place.parent),))
    found = _candidates(path, settings)
    return Chosen(candidates=found, root=_resolved(path.parent if path in found.values() else path))


def read_candidates(chosen: Chosen, settings: Settings, runtime: str) -> dict[str, Reading]:
    """Each as it would be read once it lay in its folder, by that folder."""
    return {str(t): _read(t, file, chosen.root, settings, runtime) for t, file in chosen.candidates.items()}


def put_in_place(chosen: Chosen, readings: Mapping[str, Reading], settings: Settings) -> None:
    """Write the definitions and the files beside them to their folders, each file whole or not at all: the very texts
    of `readings` (valid ones, which are UTF-8), whatever has become of the files since. Raises `Unavailable`."""
    for target, file in chosen.candidates.items():
        texts = readings[str(target)].texts
        try:
            with _opened(target, settings) as folder:
                sides = [name for name in SIDE_FILES if name in texts and (file.parent / name).is_file()]
                for name in sides:
                    write_whole(folder.fd, name, texts[name].encode(), _mode(file.parent / name))
                for name in SIDE_FILES if sides else ():
                    if name not in sides and lies_at(folder.fd, name) is not None:
                        os.unlink(name, dir_fd=folder.fd)  # it would count instead of the new one
                write_below(folder, _name_in(target, file, settings), texts[file.name].encode(), _mode(file))
        except OSError as error:
            hint = "the daemon's user must be able to write there (under systemd: ReadWritePaths=)"
            raise Unavailable(f"cannot write to {target}: {cause(error)}", hint=hint, code="not_writable") from None


def _candidates(path: Path, settings: Settings) -> dict[Path, Path]:
    """By the folder that it would be written to, the definition."""
    if not settings.models_dirs:
        text = f"cannot plan {path}: there is no models_dir that it could be written to"
        raise InvalidInput(text, hint="name one in config.toml (models_dirs)")
    try:
        if path.is_file():
            return {_target(path.parent.name, settings): _named(path, settings)}
        if (file := _definition(path, settings)) is not None:
            return {_target(path.name, settings): file}
        folders = [p for p in sorted(path.iterdir()) if p.is_dir() and not p.name.startswith(".")]
        found = {_target(p.name, settings): file for p in folders if (file := _definition(p, settings)) is not None}
    except OSError as error:
        raise NotFound(f"cannot read {path}: {cause(error)}", hint="the daemon must be able to see it") from None
    if not found:
        hint = "give a model folder, a folder of model folders, or a definition file"
        raise NotFound(f"there is no model definition in {path}", hint=hint)
    return found


def _named(path: Path, settings: Settings) -> Path:
    """What is wrong with a definition is told in its own words: not of files that cannot be meant for one."""
    if path.suffix not in (".yml", ".yaml") and path.name != definition_name(path.parent, settings):
        hint = "a definition's name ends in .yml or .yaml"
        raise InvalidInput(f"cannot plan {path}: it is not a model definition", hint=hint)
    return path


def _definition(folder: Path, settings: Settings) -> Path | None:
    own = definition_name(folder, settings)
    return next((path for name in ((own,) if own else DEFINITIONS) if (path := folder / name).is_file()), None)


def _target(name: str, settings: Settings) -> Path:
    """The folder of that name that is served already, else one below the first models_dir."""
    known = [models_dir / checked_name(name) for models_dir in settings.models_dirs]
    return next((path for path in known if path.is_dir()), known[0])


def _read(target: Path, file: Path, root: Path, settings: Settings, runtime: str) -> Reading:
    place = locate(target, settings)
    if not os.path.lexists(target):
        real = _resolved(target)
        place = Place(target, real, real)
    if place.refusal:
        return refused(place)
    own_sides = any((file.parent / name).is_file() for name in SIDE_FILES)
    sources = gather(file.parent if own_sides else target, root if own_sides else place.root, file=file, within=root)
    return finish(place, sources, context_of(settings, runtime))


def _name_in(target: Path, file: Path, settings: Settings) -> str:
    """Under which name the definition is found in `target`."""
    if own := definition_name(target, settings):
        return own
    there = _definition(target, settings)
    if there is not None:
        return there.name
    return file.name if file.name in DEFINITIONS else DEFINITIONS[1]


@contextmanager
def _opened(target: Path, settings: Settings) -> Iterator[Pinned]:
    """The folder, made where there is none. Raises OSError."""
    target.mkdir(exist_ok=True)
    with pinned(locate(target, settings)) as folder:
        yield folder


def _mode(source: Path) -> int:
    """No more permissions than `source` has."""
    return source.stat().st_mode & 0o644 | 0o600


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return path
