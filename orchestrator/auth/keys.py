"""Signing keys: several are valid at once, the first signs. Kept in state_dir/keys.json (0600)."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.auth import private, tokens
from orchestrator.core.errors import Conflict, NotFound, Unavailable
from orchestrator.core.state import Token

FILE = "keys.json"
_KID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SECRET = re.compile(r"[A-Za-z0-9_-]{43,256}")
"""URL-safe, so that it stands in the gateway's configuration as it is; at least 256 bits."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An HS256 key: the bytes of `secret` as ASCII. `created_at` in wall seconds."""

    kid: str
    secret: str = field(repr=False)
    created_at: float


class KeyRing:
    """Reads the file once; every change is on disk before it counts."""

    def __init__(self, path: Path, keys: Sequence[SigningKey], wall: Callable[[], float] = time.time) -> None:
        self._path = path
        self._keys = tuple(keys)
        self._wall = wall

    @classmethod
    def open(cls, state_dir: Path, *, wall: Callable[[], float] = time.time) -> KeyRing:
        """The keys of this installation; the first is made where there is none. Raises `Unavailable`."""
        path = state_dir / FILE
        text = private.read(path)
        if text is None:
            text = private.create(path, _text((_new(wall()),)))
        return cls(path, _read(path, text), wall)

    def signing_keys(self) -> tuple[SigningKey, ...]:
        """All that are valid; the first signs new tokens."""
        return self._keys

    def issue(self, token: Token, now: float) -> str:
        """The text of `token`, signed with the first key. See `auth.tokens.issue`."""
        return tokens.issue(token, self._keys[0].kid, self._keys[0].secret, now)

    def verify(
        self, text: str, *, service: str | None = None, now: float, revoked: Container[str] = ()
    ) -> tokens.Claims:
        """See `auth.tokens.verify`."""
        return tokens.verify(text, self._keys, service=service, now=now, revoked=revoked)

    def decode(self, text: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Header and claims as the text has them, unverified; empty where it cannot be read."""
        return tokens.decode(text)

    def rotate(self) -> SigningKey:
        """A new key signs from now on; the others stay valid until dropped."""
        self._replace((_new(self._wall()), *self._keys))
        return self._keys[0]

    def drop(self, kid: str) -> SigningKey:
        """End a key's validity, and with it all tokens that it signed. Raises `NotFound`, `Conflict`."""
        dropped = next((key for key in self._keys if key.kid == kid), None)
        if dropped is None:
            raise NotFound(
                f"cannot drop key {kid!r}: there is no such key", hint="`orchestrator token keys` lists them"
            )
        if dropped is self._keys[0]:
            raise Conflict(
                f"cannot drop key {kid!r}: new tokens are signed with it",
                hint="make a new one first: orchestrator token rotate-key",
            )
        self._replace(tuple(key for key in self._keys if key is not dropped))
        return dropped

    def _replace(self, keys: tuple[SigningKey, ...]) -> None:
        private.replace(self._path, _text(keys))
        self._keys = keys


def _new(now: float) -> SigningKey:
    return SigningKey(secrets.token_hex(4), secrets.token_urlsafe(48), now)


def _text(keys: Sequence[SigningKey]) -> str:
    return json.dumps({"keys": [asdict(key) for key in keys]}, indent=2) + "\n"


def _read(path: Path, text: str) -> tuple[SigningKey, ...]:
    """Refuses what it does not understand whole: a key that is silently missed would refuse valid tokens."""
    try:
        keys = tuple(
            SigningKey(str(item["kid"]), str(item["secret"]), float(item["created_at"]))
            for item in json.loads(text)["keys"]
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        keys, reason = (), f"it is not a list of keys ({type(error).__name__})"
    else:
        fine = all(_KID.fullmatch(key.kid) and _SECRET.fullmatch(key.secret) for key in keys)
        unique = len({key.kid for key in keys}) == len(keys)
        reason = "" if keys and fine and unique else "it holds no keys, a key that is too short or one name twice"
    if reason:
        raise Unavailable(
            f"cannot use {path}: {reason}",
            hint="restore it from a backup, or remove it: a new key is made and all tokens must be issued again",
        )
    return keys
