"""Which host folder an extra mount stands for, and whether it may be had. Asked by `core.resolve`."""

from __future__ import annotations

from pathlib import Path

from orchestrator.core.policy import Refusal
from orchestrator.core.suggest import closest
from orchestrator.folders.files import cause
from orchestrator.settings import Settings


class MountSources:
    """Looks at the disk anew at each question."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def find(self, source: str) -> str | Refusal:
        """Absolute path without symlinks of a folder's name under `data_dirs`, or of a path under `allowed_mounts`."""
        try:
            found = self._allowed(Path(source)) if source.startswith("/") else self._named(source)
            return found if isinstance(found, Refusal) else self._unless_ours(found, source)
        except (OSError, RuntimeError, ValueError) as error:
            text = cause(error) if not isinstance(error, ValueError) else str(error)
            return Refusal(f"cannot look at {source}: {text}", "an existing folder that the orchestrator may read")

    def refusal_of(self, found: str) -> Refusal | None:
        """Why a folder that was granted before would not be now."""
        try:
            real = Path(found).resolve()
            if not self._is_allowed(real) and not any(
                real.is_relative_to(d.resolve()) for d in self._settings.data_dirs
            ):
                return Refusal(
                    f"the mount of {found} is not allowed here", "opened by docker.allowed_mounts in config.toml"
                )
            granted = self._unless_ours(real, found)
        except (OSError, RuntimeError) as error:
            return Refusal(f"cannot look at {found}: {cause(error)}")
        return granted if isinstance(granted, Refusal) else None

    def _named(self, name: str) -> Path | Refusal:
        if name in ("", ".", "..") or "/" in name:
            return Refusal(f"{name!r} is not a folder's name", "the name of a folder under data_dirs")
        for data_dir in self._settings.data_dirs:
            if (data_dir / name).is_dir():
                real = (data_dir / name).resolve(strict=True)
                if real.is_relative_to(data_dir.resolve()) or self._is_allowed(real):
                    return real
                hint = "opened by docker.allowed_mounts in config.toml"
                return Refusal(f"{name} is a link that leads out of {data_dir}", hint)
        if any((models_dir / name).is_dir() for models_dir in self._settings.models_dirs):
            return Refusal(f"{name} is a model folder", "only data folders can be extra mounts")
        return self._unknown(name)

    def _unknown(self, name: str) -> Refusal:
        if not self._settings.data_dirs:
            return Refusal(f"there is no data folder {name}", "set data_dirs in config.toml to where data folders are")
        known = [f.name for d in self._settings.data_dirs if d.is_dir() for f in d.iterdir() if f.is_dir()]
        near = closest(name, known)
        where = ", ".join(str(d) for d in self._settings.data_dirs)
        return Refusal(f"there is no folder {name} under {where}", f"did you mean `{near}`?" if near else "")

    def _allowed(self, path: Path) -> Path | Refusal:
        real = path.resolve()
        if not self._is_allowed(real):
            shown = str(path) if real == path else f"{path} (which is {real})"
            return Refusal(f"{shown} is not allowed here", "opened by docker.allowed_mounts in config.toml")
        return real if real.exists() else Refusal(f"{path} does not exist")

    def _is_allowed(self, real: Path) -> bool:
        return any(real.is_relative_to(Path(allowed).resolve()) for allowed in self._settings.docker.allowed_mounts)

    def _unless_ours(self, real: Path, source: str) -> str | Refusal:
        """Model folders reach a routing only as its own, and the orchestrator's state never."""
        for models_dir in self._settings.models_dirs:
            if _overlap(real, models_dir.resolve()):
                return Refusal(f"{source} is or holds a model folder", "only data folders can be extra mounts")
        for own in (self._settings.state_dir, self._settings.secrets_path):
            if _overlap(real, own.resolve()):
                return Refusal(f"{source} holds the orchestrator's own state", "another folder")
        return str(real)


def _overlap(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)
