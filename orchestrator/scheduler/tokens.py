"""Tokens: issued, listed, revoked, and their revocation brought to the gateway."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from uuid import uuid4

from orchestrator.auth import KeyRing
from orchestrator.core.access import Access, Caller
from orchestrator.core.errors import NotAuthorised, NotFound, OrchestratorError, Unavailable
from orchestrator.core.expiry import parse_expiry
from orchestrator.core.ports import Clock, Gateway
from orchestrator.core.state import Token
from orchestrator.core.token_views import KeyView, TokenCheck, TokenRequest, TokenView
from orchestrator.core.views import instant
from orchestrator.scheduler.journal import Journal
from orchestrator.store import Store

KEPT = 7 * 86400.0
"""Seconds that an expired token stays listed."""
GIVE = "give the text of state_dir/admin.token, or a token made by: orchestrator token create '*' --scope read"
ANOTHER = "make another: orchestrator token create '*' --scope read"
EXACT = 30.0
"""Seconds to which the last use of a token is known."""


class Tokens:
    def __init__(self, store: Store, keys: KeyRing, gateway: Gateway, journal: Journal, clock: Clock) -> None:
        self._store = store
        self._keys = keys
        self._gateway = gateway
        self._journal = journal
        self._clock = clock

    async def caller(self, text: str) -> Caller:
        """Whom a token of the API is of, as the store has it now. Raises `NotAuthorised`: code `forbidden` for one that
        is right and opens services only, else why it is not taken."""
        now = self._clock.wall()
        try:
            claims = self._keys.verify(text, now=now)
        except NotAuthorised as error:
            why = error.message.partition(": ")[2]
            raise NotAuthorised(
                f"cannot use the API: the token is not valid: {why}", hint=GIVE, code=error.code
            ) from None
        token = await self._store.token(claims.id)
        if token is None:
            text = f"cannot use the API: this installation does not know token {claims.id}"
            raise NotAuthorised(text, hint=ANOTHER, code="token_unknown")
        if token.revoked_at is not None:
            text = f"cannot use the API: token {token.id} was revoked"
            raise NotAuthorised(text, hint=ANOTHER, code="token_revoked")
        if claims.service != "*" or claims.scope not in ("read", "admin"):
            what = "every service" if claims.service == "*" else f"service {claims.service}"
            text = f"cannot use the API: this token opens {what} at the gateway, not the API"
            raise NotAuthorised(text, hint=ANOTHER, code="forbidden")
        if now - (token.last_used_at or 0.0) > EXACT:
            with suppress(Unavailable):  # who may ask is not refused because that cannot be written
                await self._store.touch_tokens({token.id: now})
        access: Access = "admin" if claims.scope == "admin" else "read"
        return Caller(access, token.name or token.id, token.id, claims.expires_at)

    async def create(self, request: TokenRequest, service: str) -> TokenView:
        """`service`: the service's own spelling of its name, or `*`."""
        now = self._clock.wall()
        expires = parse_expiry(request.expires or "", now)
        kid = self._keys.signing_keys()[0].kid
        token = Token(uuid4().hex[:16], service, request.name, request.scope, now, expires, kid)
        text = self._keys.issue(token, now)
        await self._store.add_token(token)
        await self._journal.emit("token.created", service, "", request.name, {"id": token.id, "scope": token.scope})
        return view(token, text)

    async def listed(self, service: str) -> list[TokenView]:
        return [view(token) for token in await self._store.tokens(service)]

    async def revoke(self, token_id: str, *, now: bool) -> TokenView:
        """Refused by the gateway when this returns. `now`: running requests are ended too."""
        if await self._store.token(token_id) is None:
            raise NotFound(f"there is no token {token_id!r}", hint="`orchestrator token ls` lists them")
        token = await self._store.revoke_token(token_id, self._clock.wall())
        await self.publish()
        ended = await self._gateway.close_sessions_of_token(token_id) if now else 0
        await self._journal.emit("token.revoked", token.service, "", token.name, {"id": token.id, "ended": ended})
        return view(token)

    async def revoke_all_of(self, service: str) -> None:
        """Removing a service revokes its tokens."""
        if await self._store.revoke_tokens_of(service, self._clock.wall()):
            await self.publish()

    async def publish(self) -> None:
        """Give the gateway all revocations that still matter."""
        now = self._clock.wall()
        revoked = {
            t.id: t.expires_at if t.expires_at is not None else float("inf")
            for t in await self._store.tokens()
            if t.revoked_at is not None and (t.expires_at is None or t.expires_at > now)
        }
        await self._gateway.revoke(revoked)

    async def inspect(self, text: str) -> TokenCheck:
        """What a token's text says, and whether it is taken now."""
        header, claims = self._keys.decode(text)
        token_id = claims.get("jti")
        known = await self._store.token(token_id) if isinstance(token_id, str) else None
        revoked = {known.id} if known is not None and known.revoked_at is not None else set()
        try:
            self._keys.verify(text, now=self._clock.wall(), revoked=revoked)
        except OrchestratorError as error:
            reason = error.message
        else:
            reason = ""
        shown = view(known) if known is not None else None
        return TokenCheck(valid=not reason, reason=reason, header=header, claims=claims, token=shown)

    async def touch(self, used: Mapping[str, float]) -> None:
        if used:
            await self._store.touch_tokens(used)

    async def housekeeping(self) -> None:
        await self._store.drop_expired_tokens(self._clock.wall() - KEPT)

    async def rotate(self) -> KeyView:
        """A new key signs from now on; the old ones stay valid until dropped."""
        self._keys.rotate()
        key = self.keys()[0]
        await self._journal.emit("key.rotated", "", "", "", {"kid": key.kid})
        return key

    async def drop(self, kid: str) -> KeyView:
        """Every token signed with it is refused from now on."""
        dropped = self._keys.drop(kid)
        await self._journal.emit("key.dropped", "", "", "", {"kid": kid})
        return KeyView(kid=kid, created_at=instant(dropped.created_at))

    def keys(self) -> list[KeyView]:
        return [
            KeyView(kid=key.kid, created_at=instant(key.created_at), signs=index == 0)
            for index, key in enumerate(self._keys.signing_keys())
        ]


def view(token: Token, text: str | None = None) -> TokenView:
    return TokenView(
        id=token.id,
        token=text,
        service=token.service,
        name=token.name,
        scope=token.scope,
        kid=token.kid,
        issued_at=instant(token.issued_at),
        expires_at=instant(token.expires_at) if token.expires_at is not None else None,
        revoked_at=instant(token.revoked_at) if token.revoked_at is not None else None,
        last_used_at=instant(token.last_used_at) if token.last_used_at is not None else None,
    )
