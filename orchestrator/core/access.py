"""Who asks the API and what that opens, and how often an address may be wrong. Pure."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal, TypeAlias

Access: TypeAlias = Literal["public", "read", "admin"]
"""What a route needs, and what a caller has; each opens what the ones before it do."""

RANK: dict[Access, int] = {"public": 0, "read": 1, "admin": 2}

BURST = 10
"""Failed tries of an address at once."""
EVERY = 6.0
"""Seconds after which it has one more."""
MOST_ADDRESSES = 4096


@dataclass(frozen=True, slots=True)
class Caller:
    """`name`: what the token was made for; `token_id` empty: it is the admin token, or there is none. `expires_at` in
    wall seconds; None: never."""

    access: Access
    name: str = ""
    token_id: str = ""
    expires_at: float | None = None

    @property
    def who(self) -> str:
        return self.name or self.token_id


NOBODY = Caller("public")


class FailedTries:
    """How long each address has to wait for its next failed try. Whose last one is longest ago is forgotten first, so
    that nobody fills the memory by coming from many addresses. Times in steady seconds."""

    def __init__(self, burst: int = BURST, every: float = EVERY, most: int = MOST_ADDRESSES) -> None:
        self._every = every
        self._ahead = (burst - 1) * every
        self._most = most
        self._full: OrderedDict[str, float] = OrderedDict()
        """Address to when all its tries will be there again."""

    def wait(self, address: str, now: float) -> float:
        """Seconds until this address has a try; 0: it has one."""
        return max(0.0, self._full.get(_network(address), now) - self._ahead - now)

    def failed(self, address: str, now: float) -> None:
        key = _network(address)
        self._full[key] = max(now, self._full.get(key, now)) + self._every
        self._full.move_to_end(key)
        while len(self._full) > self._most:
            self._full.popitem(last=False)

    def __len__(self) -> int:
        return len(self._full)


def _network(address: str) -> str:
    """An IPv4 address, or the /64 that one host has of IPv6."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
