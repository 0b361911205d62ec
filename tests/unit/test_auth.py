"""Tokens and keys: what is accepted, what is refused and by which code, and what survives a crash."""

from __future__ import annotations

import base64
import hmac
import json
import stat
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from orchestrator.auth import NEVER, KeyRing, admin_token
from orchestrator.core.errors import Conflict, NotAuthorised, NotFound, Unavailable
from orchestrator.core.state import Token

NOW = 1_800_000_000.0
GOOD = {"sub": "t1", "jti": "t1", "iat": NOW, "nbf": int(NOW), "exp": int(NOW) + 60, "svc": "echo", "scope": "infer"}


def token(**changed: Any) -> Token:
    facts = {
        "id": "t1", "service": "echo", "name": "", "scope": "infer", "issued_at": NOW, "expires_at": NOW + 60
    }  # fmt: skip
    return Token(**(facts | changed))


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing.open(tmp_path)


def forge(ring: KeyRing, claims: Any, *, alg: str = "HS256", secret: str | None = None) -> str:
    """A JWT made by hand: whatever claims, signed with a valid key unless told otherwise."""

    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    key = (ring.signing_keys()[0].secret if secret is None else secret).encode()
    text = part(json.dumps({"alg": alg, "typ": "JWT"}).encode()) + "." + part(json.dumps(claims).encode())
    return text + "." + part(hmac.digest(key, text.encode(), sha256))


def without(claim: str) -> dict[str, Any]:
    return {key: value for key, value in GOOD.items() if key != claim}


def test_what_is_issued_is_accepted(ring: KeyRing) -> None:
    claims = ring.verify(ring.issue(token(), NOW + 0.9), service="Echo", now=NOW + 0.9)
    assert (claims.id, claims.service, claims.scope, claims.expires_at) == ("t1", "echo", "infer", NOW + 60)


def test_never_is_far_in_the_future(ring: KeyRing) -> None:
    text = ring.issue(token(expires_at=None), NOW)
    assert ring.verify(text, now=NOW).expires_at is None
    header, claims = ring.decode(text)
    assert claims["exp"] == NEVER
    assert header["kid"] == ring.signing_keys()[0].kid


REFUSED: list[tuple[str, Callable[[KeyRing], str], str]] = [
    ("empty", lambda _: "", "token_malformed"),
    ("garbage", lambda _: "not a token", "token_malformed"),
    ("two parts", lambda ring: ".".join(ring.issue(token(), NOW).split(".")[:2]), "token_malformed"),
    ("20 KB", lambda _: "a" * 20_000 + ".b.c", "token_malformed"),
    ("header is no JSON", lambda _: "YWJj.YWJj.YWJj", "token_malformed"),
    ("alg none", lambda ring: forge(ring, GOOD, alg="none"), "token_algorithm"),
    ("alg none, no signature", lambda ring: forge(ring, GOOD, alg="none").rsplit(".", 1)[0] + ".", "token_algorithm"),
    ("alg RS256 with our secret", lambda ring: forge(ring, GOOD, alg="RS256"), "token_algorithm"),
    ("alg in another case", lambda ring: forge(ring, GOOD, alg="hs256"), "token_algorithm"),
    ("another's key", lambda ring: forge(ring, GOOD, secret="x" * 64), "token_invalid"),
    ("no signature", lambda ring: ring.issue(token(), NOW).rsplit(".", 1)[0] + ".", "token_invalid"),
    ("claims are a list", lambda ring: forge(ring, [1]), "token_invalid"),
    *[
        (f"no {claim}", lambda ring, claim=claim: forge(ring, without(claim)), "token_invalid")  # type: ignore[misc]
        for claim in ("exp", "jti", "svc", "scope")
    ],
    ("no nbf", lambda ring: forge(ring, without("nbf")), "token_not_yet_valid"),
    *[
        (f"exp {value!r}", lambda ring, value=value: forge(ring, GOOD | {"exp": value}), "token_invalid")  # type: ignore[misc]
        for value in (None, "2000000000", True, -1, 0, 2**63, 1e400, [2e9])
    ],
    ("expired", lambda ring: forge(ring, GOOD | {"exp": int(NOW)}), "token_expired"),
    ("not yet valid", lambda ring: forge(ring, GOOD | {"nbf": int(NOW) + 1}), "token_not_yet_valid"),
    ("jti with a space", lambda ring: forge(ring, GOOD | {"jti": "a b"}), "token_invalid"),
    ("svc is a list", lambda ring: forge(ring, GOOD | {"svc": ["echo"]}), "token_invalid"),
    ("other service", lambda ring: forge(ring, GOOD | {"svc": "other"}), "token_other_service"),
    ("wrong scope", lambda ring: forge(ring, GOOD | {"scope": "read"}), "token_scope"),
    ("revoked", lambda ring: ring.issue(token(id="gone"), NOW), "token_revoked"),
]


@pytest.mark.parametrize(("make", "code"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_refuses(ring: KeyRing, make: Callable[[KeyRing], str], code: str) -> None:
    with pytest.raises(NotAuthorised) as refused:
        ring.verify(make(ring), service="echo", now=NOW, revoked={"gone"})
    assert refused.value.code == code


def test_every_flipped_character_of_payload_or_signature_is_noticed(ring: KeyRing) -> None:
    text = ring.issue(token(), NOW)
    start = text.index(".") + 1
    for place in range(start, len(text) - 1, 7):
        tampered = text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
        with pytest.raises(NotAuthorised):
            ring.verify(tampered, service="echo", now=NOW)


@pytest.mark.parametrize("facts", [{"service": "*"}, {"scope": "admin"}])
def test_all_services_and_admin_scope_may_infer(ring: KeyRing, facts: dict[str, str]) -> None:
    assert ring.verify(ring.issue(token(**facts), NOW), service="echo", now=NOW)


def test_keys_are_private_and_stay(tmp_path: Path) -> None:
    first = KeyRing.open(tmp_path)
    assert stat.S_IMODE((tmp_path / "keys.json").stat().st_mode) == 0o600
    assert KeyRing.open(tmp_path).signing_keys() == first.signing_keys()
    assert first.signing_keys()[0].secret not in repr(first.signing_keys())
    assert [file.name for file in tmp_path.iterdir()] == ["keys.json"]


def test_a_rotated_key_verifies_until_it_is_dropped(tmp_path: Path) -> None:
    ring = KeyRing.open(tmp_path)
    old, text = ring.signing_keys()[0], ring.issue(token(), NOW)
    new = ring.rotate()
    assert ring.decode(ring.issue(token(), NOW))[0]["kid"] == new.kid
    assert KeyRing.open(tmp_path).verify(text, now=NOW)
    ring.drop(old.kid)
    with pytest.raises(NotAuthorised) as refused:
        KeyRing.open(tmp_path).verify(text, now=NOW)
    assert refused.value.code == "token_invalid"
    with pytest.raises(Conflict):
        ring.drop(new.kid)
    with pytest.raises(NotFound):
        ring.drop("nobody")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "[" * 100_000, '{"keys": []}', '{"keys": [{"kid": "a", "secret": "", "created_at": 0}]}'],
    ids=lambda text: text[:20],
)
def test_a_damaged_key_file_is_refused_and_left_alone(tmp_path: Path, text: str) -> None:
    (tmp_path / "keys.json").write_text(text)
    with pytest.raises(Unavailable, match=r"cannot use .*keys\.json"):
        KeyRing.open(tmp_path)
    assert (tmp_path / "keys.json").read_text() == text


def test_a_rotation_that_cannot_be_written_did_not_happen(tmp_path: Path) -> None:
    ring = KeyRing.open(tmp_path)
    before = ring.signing_keys()
    (tmp_path / "keys.json").unlink()
    (tmp_path / "keys.json").mkdir()
    with pytest.raises(Unavailable, match="cannot write"):
        ring.rotate()
    assert ring.signing_keys() == before
    assert [file.name for file in tmp_path.iterdir()] == ["keys.json"]


def test_the_admin_token_is_made_once_and_private(tmp_path: Path) -> None:
    state = tmp_path / "new" / "state"
    text = admin_token(state)
    assert len(text) >= 32
    assert admin_token(state) == text
    assert stat.S_IMODE((state / "admin.token").stat().st_mode) == 0o600


def test_an_emptied_admin_token_opens_nothing(tmp_path: Path) -> None:
    (tmp_path / "admin.token").write_text("\n")
    with pytest.raises(Unavailable, match="no token"):
        admin_token(tmp_path)
