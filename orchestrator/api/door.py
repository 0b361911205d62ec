"""Who comes in: the token of a request becomes its caller, and an address that is wrong too often has to wait.

No wait keeps out who was in: a token that was right lately, or is right beyond any guess, is looked at all the same.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

import structlog

from orchestrator.core.access import Caller, FailedTries
from orchestrator.core.errors import NotAuthorised, Throttled

log = structlog.get_logger()

Authenticate = Callable[[str], Awaitable[Caller]]
"""A bearer token's text to its caller. Raises `NotAuthorised` (code `forbidden`: it is right, but opens nothing here);
must take the same time for every wrong text."""

KNOWN = 1024
"""Tokens that are remembered as right."""
HINT = "give the text of state_dir/admin.token, or a token made by: orchestrator token create '*' --scope read"


def admin_token(expected: str, others: Authenticate | None = None) -> Authenticate:
    """The one token that was made at the daemon's first start; an empty one opens nothing. `others`: what becomes of
    any other text."""

    async def authenticate(text: str) -> Caller:
        same = hmac.compare_digest(text.encode("utf-8", "surrogateescape"), expected.encode())
        if same and expected:
            return Caller("admin", "admin.token")
        if others is not None:
            return await others(text)
        raise NotAuthorised("cannot use the API: the token is not valid here", hint=HINT)

    return authenticate


class Door:
    """`sure`: a text that nobody guesses; it never waits."""

    def __init__(
        self, authenticate: Authenticate, sure: str = "", steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._authenticate = authenticate
        self._sure = _mark(sure) if sure else b""
        self._steady = steady
        self._tries = FailedTries()
        self._known: OrderedDict[bytes, None] = OrderedDict()

    async def enter(self, text: str, address: str) -> Caller:
        """Raises `NotAuthorised` or `Throttled`."""
        mark = _mark(text)
        wait = self._tries.wait(address, self._steady())
        if wait and mark not in self._known and mark != self._sure:
            raise Throttled(
                f"cannot use the API: too many failed tries from {address}",
                hint=f"wait {math.ceil(wait)} s; tokens that were right lately go on",
                retry_after=wait,
            )
        try:
            caller = await self._authenticate(text)
        except NotAuthorised as error:
            self._known.pop(mark, None)
            if error.code != "forbidden":
                self._tries.failed(address, self._steady())
                log.warning("api.refused", client=address, cause=error.message)
            raise
        self._known[mark] = None
        self._known.move_to_end(mark)
        if len(self._known) > KNOWN:
            self._known.popitem(last=False)
        return caller

    async def still(self, text: str) -> Caller:
        """The same again for a request that goes on; no try."""
        return await self._authenticate(text)


def _mark(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
