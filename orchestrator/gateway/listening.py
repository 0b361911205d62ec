"""Ports: is one free, and who has it if not. HAProxy itself would find out only while all its listeners are paused."""

from __future__ import annotations

import errno
import socket
from collections.abc import Collection, Iterable

import psutil


def refused(host: str, ports: Iterable[int], ours: Collection[int]) -> dict[int, str]:
    """Ports that cannot be listened on, and why. One that a process of `ours` holds is fine."""
    found = {port: why for port in ports if (why := _try(host, port))}
    if not found:
        return {}
    holders = _holders()
    return {
        port: _held_by(holders[port]) if port in holders else why
        for port, why in found.items()
        if holders.get(port, -1) not in ours
    }


def _try(host: str, port: int) -> str:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            return "it is taken" if error.errno == errno.EADDRINUSE else (error.strerror or str(error)).lower()
    return ""


def _holders() -> dict[int, int]:
    """Port to process id, as far as we may see."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except (psutil.Error, OSError):
        return {}
    found: dict[int, int] = {}
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.pid is not None and connection.laddr:
            found[connection.laddr.port] = connection.pid
    return found


def _held_by(pid: int) -> str:
    try:
        return f"process {pid} ({psutil.Process(pid).name()}) has it"
    except psutil.Error:
        return f"process {pid} has it"
