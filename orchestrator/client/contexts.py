"""Named contexts: addresses and tokens of daemons elsewhere, in one file that only its user may read (0600).

The file is $XDG_CONFIG_HOME/orchestrator/contexts.toml (without that variable below ~/.config). `client.config` reads
it to find the daemon; the `context` commands change it.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.core.errors import InvalidInput, NotAuthorised, Unavailable

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True)
class Context:
    """One daemon. `token` is not shown by repr."""

    url: str
    token: str = field(default="", repr=False)
    ca: str = ""
    """File with the certificates that it is checked by; empty: the system's."""


@dataclass(frozen=True, slots=True)
class Contexts:
    """All of them by name; `current`: the one that is used where none is named (empty: none)."""

    known: Mapping[str, Context] = field(default_factory=dict)
    current: str = ""

    def find(self, name: str) -> Context:
        """Raises `InvalidInput` naming those that there are."""
        if name in self.known:
            return self.known[name]
        there = f"known here: {', '.join(sorted(self.known))}" if self.known else "none is known here"
        hint = f"{there}; add it with: orchestrator context add NAME --url URL"
        raise InvalidInput(f"cannot use the context {name!r}: there is none of that name", hint=hint)


def contexts_file(environ: Mapping[str, str]) -> Path | None:
    """None: the environment says neither XDG_CONFIG_HOME nor HOME. A relative XDG_CONFIG_HOME counts for nothing."""
    base = environ.get("XDG_CONFIG_HOME", "")
    if base.startswith("/"):
        return Path(base) / "orchestrator/contexts.toml"
    home = environ.get("HOME", "")
    return Path(home) / ".config/orchestrator/contexts.toml" if home else None


def read_contexts(path: Path | None) -> Contexts:
    """None known where there is no file. Raises `InvalidInput` (not such a file) or `NotAuthorised` (not ours)."""
    if path is None:
        return Contexts()
    try:
        told = tomllib.loads(path.read_text("utf-8"))
        known = {name: _context(one) for name, one in dict(told.get("contexts", {})).items()}
        return Contexts(known, str(told.get("current", "")))
    except (FileNotFoundError, NotADirectoryError):
        return Contexts()
    except PermissionError:
        raise NotAuthorised(f"cannot read {path}: permission denied", hint="it must be yours, mode 0600") from None
    except OSError as error:
        raise Unavailable(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        hint = "remove it and add the contexts again: orchestrator context add NAME --url URL"
        raise InvalidInput(f"cannot read {path}: {error}", hint=hint) from None


def _context(one: Any) -> Context:
    return Context(str(one["url"]), str(one.get("token", "")), str(one.get("ca", "")))


def write_contexts(path: Path, contexts: Contexts) -> None:
    """Written whole or not at all, 0600. Raises `Unavailable`."""
    lines = [f"current = {_quoted(contexts.current)}"] if contexts.current else []
    for name, one in sorted(contexts.known.items()):
        lines += ["", f"[contexts.{_quoted(name)}]", f"url = {_quoted(one.url)}"]
        lines += [f"token = {_quoted(one.token)}"] if one.token else []
        lines += [f"ca = {_quoted(one.ca)}"] if one.ca else []
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".contexts.", dir=path.parent)  # made 0600
        draft = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write("\n".join(lines).lstrip("\n") + "\n")
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except BaseException:
            draft.unlink()
            raise
    except OSError as error:
        raise Unavailable(f"cannot write {path}: {error.strerror}", hint="check its folder and disk") from None


def _quoted(text: str) -> str:
    """A basic string of TOML; our texts hold no character that JSON writes in another way."""
    return json.dumps(text, ensure_ascii=False)
