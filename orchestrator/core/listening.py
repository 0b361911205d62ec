"""Where a routing listens, and what is wrong with it for who asks elsewhere. Pure.

Runtimes read the kernel's tables (`sockets`); the prober adds `misplaced` to the message of a probe that is refused.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

LISTEN = "0A"
EVERYWHERE = ("0.0.0.0", "::")
SHOWN = 4
"""Addresses that a message names."""


class Listener(NamedTuple):
    """A TCP socket that accepts connections. `inode`: the kernel's number of it."""

    address: str
    port: int
    inode: str = ""


def sockets(table: str) -> Iterator[Listener]:
    """Those that listen, in the text of /proc/net/tcp or tcp6."""
    for row in table.splitlines()[1:]:
        columns = row.split()
        if len(columns) > 9 and columns[3] == LISTEN:
            address, _, port = columns[1].partition(":")
            yield Listener(_address(address), int(port, 16), columns[9])


def _address(text: str) -> str:
    """From words of eight hexadecimal digits, each in the machine's own byte order."""
    words = (int(text[i : i + 8], 16).to_bytes(4, sys.byteorder) for i in range(0, len(text), 8))
    address: IPv4Address | IPv6Address = ip_address(b"".join(words))
    return str((address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address)


def misplaced(listeners: Iterable[Listener], host: str, port: int) -> str:
    """Why nobody answers at `host`:`port`, in words that `core.symptoms` knows; empty: it listens there."""
    found = sorted({(one.port, one.address) for one in listeners})
    there = [one for one in found if one[0] == port]
    if any(address in (host, *EVERYWHERE) for _, address in there):
        return ""
    if there:
        return f"it listens on {_shown(there)} only"
    return f"it listens on {_shown(found)}, not on port {port}" if found else "it listens on no port yet"


def _shown(places: list[tuple[int, str]]) -> str:
    texts = [f"[{address}]:{port}" if ":" in address else f"{address}:{port}" for port, address in places]
    more = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return ", ".join(texts[:SHOWN]) + more
