"""What systemd is told, on a real datagram socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.scheduler.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@test-{os.getpid()}-{tmp_path.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.settimeout(5)
        receiver.bind(address.replace("@", "\0", 1) if address[0] == "@" else address)
        yield address, receiver


def test_each_word_arrives(systemd: tuple[str, socket.socket]) -> None:
    address, receiver = systemd
    notifier = Notifier(address)
    notifier.ready("3 services\nREADY=0")
    notifier.alive()
    notifier.status("all\tHEALTHY \udcff")
    notifier.stopping("by SIGTERM")
    assert [receiver.recv(4096).decode() for _ in range(4)] == [
        "READY=1\nSTATUS=3 services READY=0",
        "WATCHDOG=1",
        "STATUS=all HEALTHY ?",
        "STOPPING=1\nSTATUS=by SIGTERM",
    ]


def test_a_full_socket_is_not_waited_for(systemd: tuple[str, socket.socket]) -> None:
    notifier = Notifier(systemd[0])
    for _ in range(2000):
        notifier.alive()


@pytest.mark.parametrize("address", ["", "/nowhere/notify", "@nobody-listens", "/x" * 200, "/\0"])
def test_without_systemd_nothing_happens(address: str) -> None:
    Notifier(address).ready("up")


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, Notifier()),
        ({"NOTIFY_SOCKET": "/s"}, Notifier("/s")),
        ({"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "30000000"}, Notifier("/s", 30.0)),
        ({"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "500000", "WATCHDOG_PID": str(os.getpid())}, Notifier("/s", 0.5)),
        ({"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "500000", "WATCHDOG_PID": "1"}, Notifier("/s")),
        ({"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "0"}, Notifier("/s")),
        ({"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "soon"}, Notifier("/s")),
        ({"WATCHDOG_USEC": "500000"}, Notifier()),
    ],
)
def test_the_variables_are_read_once_and_taken_out(variables: dict[str, str], expected: Notifier) -> None:
    environ = variables | {"PATH": "/bin"}
    assert Notifier.from_environment(environ) == expected
    assert environ == {"PATH": "/bin"}
