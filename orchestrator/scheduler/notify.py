"""Tells systemd how the daemon is (sd_notify). Without systemd every word goes nowhere.

The app says ready, status and stopping; the loop itself feeds the watchdog, so that a loop that hangs is restarted.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import MutableMapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Notifier:
    """`address`: systemd's datagram socket; empty: there is none. Never blocks and never raises.

    `watchdog`: seconds within which `alive` must be called again, else systemd restarts the daemon; None: not asked.
    """

    address: str = ""
    watchdog: float | None = None

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str]) -> Notifier:
        """Takes the variables out: processes of routings must not speak for the daemon."""
        address = environ.pop("NOTIFY_SOCKET", "")
        microseconds = environ.pop("WATCHDOG_USEC", "")
        pid = environ.pop("WATCHDOG_PID", "")
        asked = address and microseconds.isdecimal() and int(microseconds) and pid in ("", str(os.getpid()))
        return cls(address, int(microseconds) / 1e6 if asked else None)

    def ready(self, status: str) -> None:
        """The daemon answers; units that are ordered after it start now."""
        self._send("READY=1", _status(status))

    def status(self, text: str) -> None:
        """The line that `systemctl status` shows."""
        self._send(_status(text))

    def alive(self) -> None:
        self._send("WATCHDOG=1")

    def stopping(self, status: str) -> None:
        self._send("STOPPING=1", _status(status))

    def _send(self, *lines: str) -> None:
        if not self.address:
            return
        name = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        with contextlib.suppress(OSError, ValueError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto("\n".join(lines).encode("utf-8", "replace"), name)


def _status(text: str) -> str:
    return "STATUS=" + " ".join(text.split())
