"""What the daemon's log must never do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import structlog
from orchestrator.app.logging import configure
from orchestrator.settings import LogSettings
configure(LogSettings())
for _ in range(3):
    structlog.get_logger().warning("told", text="x" * 9000)
print("went on")
"""


@pytest.mark.parametrize("kind", ["a full disk", "a reader that has gone"])
def test_a_log_that_takes_nothing_stops_nothing(kind: str) -> None:
    if kind == "a full disk":
        log = os.open("/dev/full", os.O_WRONLY)
    else:
        reading, log = os.pipe()
        os.close(reading)
    try:
        ran = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=Path(__file__).parents[2],
            check=False,
        )
    finally:
        os.close(log)
    assert ran.stdout == b"went on\n"
