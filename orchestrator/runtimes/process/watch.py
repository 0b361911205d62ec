"""Ends of local routings, noticed at once: one pidfd a supervisor on the event loop, whoever started it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from orchestrator.runtimes.process.processes import alive


class Watch:
    """`over` is called with the id of each routing whose supervisor ended."""

    def __init__(self, over: Callable[[str], None]) -> None:
        self._tell = over
        self._followed: dict[str, tuple[int, asyncio.Event]] = {}

    def follow(self, unit_id: str, supervisor: Mapping[str, Any]) -> asyncio.Event:
        """Set once this supervisor is gone. Asking again about one that is followed costs nothing."""
        if unit_id in self._followed:
            return self._followed[unit_id][1]
        ended = asyncio.Event()
        pidfd = _open(supervisor)
        if pidfd is None:
            ended.set()
        else:
            self._followed[unit_id] = (pidfd, ended)
            asyncio.get_running_loop().add_reader(pidfd, self._over, unit_id)
        return ended

    def _over(self, unit_id: str) -> None:
        _reap(self._followed[unit_id][0])
        self.release(unit_id)
        self._tell(unit_id)

    def send(self, unit_id: str, number: signal.Signals) -> None:
        """To this very supervisor, whatever its files say by now; nothing where it is not followed."""
        if unit_id in self._followed:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._followed[unit_id][0], number)

    def release(self, unit_id: str) -> None:
        """Follow it no longer; who waits for its end goes on."""
        if unit_id in self._followed:
            pidfd, ended = self._followed.pop(unit_id)
            asyncio.get_running_loop().remove_reader(pidfd)
            os.close(pidfd)
            ended.set()

    def close(self) -> None:
        """Let go of all; the routings stay."""
        for unit_id in list(self._followed):
            self.release(unit_id)


def _open(supervisor: Mapping[str, Any]) -> int | None:
    """A pidfd of this very process; None: it is gone."""
    try:
        pidfd = os.pidfd_open(supervisor["pid"])
    except (ProcessLookupError, KeyError):
        return None
    if alive(supervisor):
        return pidfd
    _reap(pidfd)
    os.close(pidfd)
    return None


def _reap(pidfd: int) -> None:
    """Our own child leaves no zombie; an adopted one is another's to reap."""
    with suppress(ChildProcessError):
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
