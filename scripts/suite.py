"""The whole test suite in one command: what may run side by side does, then what owns the machine.

Ends with one plain line that counts every test of both parts: `N passed, N failed`. Exit 1 if any failed, if pytest
itself did not come to its end, or, where CI is set, if any was skipped: a skipped test proves nothing.
Arguments are passed on to pytest.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
WORKERS = max(3, min(6, 2 * (os.cpu_count() or 2) - 1))
PARTS = (
    ("side by side", ["-m", "not serial", "-n", str(WORKERS), "--dist", "worksteal"]),
    ("one at a time", ["-m", "serial", "-n", "0"]),
)
ENDED_WELL = (0, 5)
"""pytest's exit codes for all passed, and for nothing selected."""
FINISHED = (*ENDED_WELL, 1)


def run_part(options: list[str], report: Path) -> int:
    """Run pytest once, its output passed through; its exit code."""
    command = [sys.executable, "-m", "pytest", *options, f"--junitxml={report}", "--durations=10", "--durations-min=3"]
    return subprocess.run([*command, *sys.argv[1:]], cwd=ROOT, check=False).returncode


def verdicts(report: Path) -> dict[str, str]:
    """Test to `passed`, `failed` (its set-up and tear-down count too) or `skipped`."""
    found: dict[str, str] = {}
    cases: Iterable[ElementTree.Element] = ElementTree.parse(report).iter("testcase") if report.exists() else ()
    for case in cases:
        name = f"{case.get('classname')}::{case.get('name')}"
        if case.find("failure") is not None or case.find("error") is not None:
            found[name] = "failed"
        elif case.find("skipped") is not None:
            found.setdefault(name, "skipped")
        else:
            found.setdefault(name, "passed")
    return found


def main() -> int:
    results: dict[str, str] = {}
    broken = False
    with tempfile.TemporaryDirectory() as folder:
        for number, (title, options) in enumerate(PARTS):
            print(f"--- tests, {title} ---", flush=True)
            report = Path(folder, f"{number}.xml")
            code = run_part(options, report)
            results |= verdicts(report)
            broken = broken or code not in FINISHED
    failed, skipped = (sorted(n for n, v in results.items() if v == kind) for kind in ("failed", "skipped"))
    for name in failed:
        print(f"failed: {name}")
    for name in skipped:
        print(f"skipped: {name}")
    if broken:
        print("failed: pytest did not come to its end")
    count = sum(v == "passed" for v in results.values())
    print(f"{count} passed, {len(failed) + broken} failed" + (f", {len(skipped)} skipped" if skipped else ""))
    return int(bool(failed or broken or not results or (skipped and os.environ.get("CI"))))


if __name__ == "__main__":
    sys.exit(main())
