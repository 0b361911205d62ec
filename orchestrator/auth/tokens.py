"""Tokens of the endpoints: HS256 JWTs, issued and verified here. The gateway's rules decide the same (gateway/).

Claims: `sub` and `jti` (token id), `iat`, `nbf`, `exp` (whole seconds), `svc` (a service name or `*`), `scope`; `kid`
in the header. All are required. A token that never expires carries the last second of the year 9999, because the
gateway refuses tokens without `exp`.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import jwt

from orchestrator.core.errors import NotAuthorised
from orchestrator.core.state import Token

ALGORITHM = "HS256"
NEVER = 253402300799
"""9999-12-31T23:59:59Z."""
LONGEST = 8192
"""Characters of a token; ours have about 300."""
INFERENCE = ("infer", "admin")
"""Scopes that may call a service."""
_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Key(Protocol):
    @property
    def secret(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says. Times in wall seconds; `expires_at` None: never."""

    id: str
    service: str
    scope: str
    issued_at: float
    expires_at: float | None


def issue(token: Token, kid: str, secret: str, now: float) -> str:
    """The text of a token, valid from `now` (wall seconds, whole ones: it is valid at once)."""
    claims = {
        "sub": token.id,
        "jti": token.id,
        "iat": int(now),
        "nbf": int(now),
        "exp": NEVER if token.expires_at is None else min(int(token.expires_at), NEVER),
        "svc": token.service,
        "scope": token.scope,
    }
    return jwt.encode(claims, secret, algorithm=ALGORITHM, headers={"kid": kid})


def decode(text: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Header and claims, unverified; empty where the text cannot be read."""
    try:
        parts = jwt.decode_complete(text, options={"verify_signature": False})
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        return {}, {}
    return parts["header"], parts["payload"]


def verify(
    text: str, keys: Sequence[Key], *, service: str | None = None, now: float, revoked: Container[str] = ()
) -> Claims:
    """The claims of a token that is valid at `now` (wall seconds).

    With `service`: also good for requests to it. Raises `NotAuthorised`, codes: token_malformed, token_algorithm,
    token_invalid, token_not_yet_valid, token_expired, token_revoked; with `service` token_other_service, token_scope.
    """
    payload = _signed(text, keys)
    claims = _claims(payload)
    if not _number(payload.get("nbf")) or int(payload["nbf"]) > now:
        raise _refused("token_not_yet_valid", "it is not valid yet")
    if int(payload["exp"]) <= now:
        raise _refused("token_expired", "it has expired")
    if claims.id in revoked:
        raise _refused("token_revoked", "it was revoked")
    if service is not None and claims.service.lower() not in ("*", service.lower()):
        raise _refused("token_other_service", f"it is for service {claims.service}")
    if service is not None and claims.scope not in INFERENCE:
        raise _refused("token_scope", f"its scope is {claims.scope}, needed is infer")
    return claims


def _signed(text: str, keys: Sequence[Key]) -> Mapping[str, Any]:
    """The payload, if one of the keys signed it. The algorithm is looked at first and never taken from the token."""
    if len(text) > LONGEST or not _SHAPE.fullmatch(text):
        raise _refused("token_malformed", "it is not a JWT")
    try:
        algorithm = jwt.get_unverified_header(text).get("alg")
    except jwt.InvalidTokenError:
        algorithm = None
    if not isinstance(algorithm, str):
        raise _refused("token_malformed", "it is not a JWT")
    if algorithm != ALGORITHM:
        raise _refused("token_algorithm", f"its algorithm is not {ALGORITHM}")
    for key in keys:
        try:
            return jwt.decode(text, key.secret, algorithms=[ALGORITHM], options=_SIGNATURE_ONLY)
        except jwt.InvalidTokenError:
            continue
    raise _refused("token_invalid", "no valid key signed it")


_SIGNATURE_ONLY: Any = {f"verify_{claim}": False for claim in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")}


def _claims(payload: Mapping[str, Any]) -> Claims:
    """Every claim is required and has its one type."""
    for claim in ("jti", "svc", "scope"):
        if not isinstance(payload.get(claim), str) or not payload[claim]:
            raise _refused("token_invalid", f"it has no {claim}")
    if not _ID.fullmatch(payload["jti"]):
        raise _refused("token_invalid", "its jti is no token id")
    expires = payload.get("exp")
    if not _number(expires):
        raise _refused("token_invalid", "it has no expiry")
    issued = payload.get("iat")
    return Claims(
        payload["jti"],
        payload["svc"],
        payload["scope"],
        float(issued) if issued is not None and _number(issued) else 0.0,
        None if expires == NEVER else float(expires),  # type: ignore[arg-type]
    )


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= NEVER


def _refused(code: str, why: str) -> NotAuthorised:
    return NotAuthorised(
        f"cannot accept the token: {why}", hint="make one: orchestrator token create SERVICE", code=code
    )
