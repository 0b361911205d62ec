"""All model folders of all models_dirs, looked at again and again: only files that changed are read anew.

Called in a thread by the scheduler at each look; what cannot be read is a value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from orchestrator.core.file_names import NOT_MODELS
from orchestrator.folders.files import cause
from orchestrator.folders.reading import Place, Reading, context_of, definition_name, finish, locate, refused
from orchestrator.folders.sources import DEFINITIONS, Sources, gather
from orchestrator.settings import Settings


@dataclass(frozen=True, slots=True)
class Scan:
    """`readings`: by absolute path of the folder, as listed. `unreadable`: models_dir to why it could not be listed;
    its folders are then absent from `readings`, which means nothing."""

    readings: Mapping[str, Reading] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)


class Scanner:
    """Keeps what it read. Not to be used by two threads at once."""

    def __init__(self, settings: Settings, runtime: str) -> None:
        self._settings = settings
        self._context = context_of(settings, runtime)
        self._kept: dict[Path, Sources] = {}

    def scan(self) -> Scan:
        """Every folder directly below a models_dir that has a definition, or of which that cannot be known."""
        readings: dict[str, Reading] = {}
        unreadable: dict[str, str] = {}
        seen: set[Path] = set()
        for models_dir in self._settings.models_dirs:
            try:
                for folder in folders_of(models_dir):
                    seen.add(folder)
                    reading = self._read(folder)
                    if reading is not None:
                        readings[reading.folder] = reading
            except OSError as error:
                unreadable[str(models_dir)] = cause(error)
        self._kept = {folder: sources for folder, sources in self._kept.items() if folder in seen}
        return Scan(readings, unreadable)

    def _read(self, folder: Path) -> Reading | None:
        """None: it is not a model folder."""
        place = locate(folder, self._settings)
        if not folder.name.isprintable():
            place = replace(place, refusal="its name has characters that cannot be printed: rename it")
        if place.refusal:
            return refused(place) if _may_have_definition(place) else None
        kept = self._kept.get(folder)
        if kept is None or not kept.unchanged():
            kept = gather(folder, place.root, definition_name(folder, self._settings))
            self._kept[folder] = kept
        if kept.file is None and not kept.problems:
            return None
        return finish(place, kept, self._context)


def scan(settings: Settings, runtime: str) -> Scan:
    """One look at everything."""
    return Scanner(settings, runtime).scan()


def folders_of(models_dir: Path) -> Iterator[Path]:
    """What may be model folders, in order of name. Links that lead nowhere are among them: their disk may be gone."""
    for path in sorted(models_dir.iterdir()):
        if path.name.startswith(".") or path.name in NOT_MODELS:
            continue
        link = path.is_symlink()  # raises where nothing in models_dir can be looked at
        try:
            if path.is_dir() or (link and not path.exists()):
                yield path
        except OSError:
            yield path


def _may_have_definition(place: Place) -> bool:
    """Is the folder that must not be read worth a word? What is known to have no definition is not."""
    try:
        return not place.real.is_dir() or any((place.real / name).exists() for name in DEFINITIONS)
    except OSError:
        return True
