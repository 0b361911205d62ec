"""Ports of local routings: one that is free for those that take what they are given, a check for the others."""

from __future__ import annotations

import errno
import random
import socket
from collections.abc import Container

from orchestrator.core.errors import RuntimeFailure

PORTS = range(20000, 32000)
"""Below the kernel's own range, so that no outgoing connection takes a port between its choice and its use."""


def free_port(reserved: Container[int]) -> int:
    """A port that nothing is bound to and no other routing of ours holds. Raises `RuntimeFailure` (port_taken)."""
    for port in random.sample(PORTS, len(PORTS)):
        if port not in reserved and not is_taken(port, reuse=False, address=""):
            return port
    raise RuntimeFailure(
        f"cannot find a free port: all of {PORTS.start}-{PORTS.stop - 1} are taken",
        hint="stop routings that are not needed",
        code="port_taken",
    )


def is_taken(port: int, *, reuse: bool = True, address: str = "127.0.0.1") -> bool:
    """Whether something listens on `port`; without `reuse`: or has done so a moment ago."""
    with socket.socket() as probe:
        if reuse:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False
