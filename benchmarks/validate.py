"""How fast definitions are judged: 1,000 files by the daemon's own reading, and by the whole command."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from benchmarks.lib import ROOT, Table, arguments, milliseconds, report, timed
from orchestrator.folders import read_folder
from orchestrator.settings import Settings

EXAMPLES = ROOT / "examples" / "model-definitions"
FILES = 1_000
USED = {"smallest (simple-http-server)": "simple-http-server", "every action": "every-action", "vLLM": "vllm"}


def fill(place: Path, example: str) -> list[Path]:
    """`FILES` model folders with that example's definition, each with a service name of its own."""
    text = (EXAMPLES / example / "model-definition.yml").read_text()
    name = str(yaml.safe_load(text)["models"][0]["name"])
    folders = [place / f"m{i:04d}" for i in range(FILES)]
    for folder in folders:
        folder.mkdir()
        (folder / "model-definition.yml").write_text(text.replace(name, folder.name))
    return folders


def measured(example: str) -> tuple[float, float]:
    """Seconds for all files: inside one process, and of the command."""
    with tempfile.TemporaryDirectory() as place:
        folders, settings = fill(Path(place), example), Settings()

        def read() -> None:
            assert all(read_folder(folder, settings).valid for folder in folders)

        def judge() -> None:
            done = command(place)
            assert f"{FILES} files: {FILES} valid" in done.stdout, done.stdout[-500:] + done.stderr

        return timed(read, 3), timed(judge, 3)


def command(*paths: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "orchestrator", "validate", *paths]
    return subprocess.run(argv, capture_output=True, text=True, check=False, cwd=ROOT, timeout=120)


def main() -> None:
    arguments(__doc__).parse_args()
    table = Table(
        ["definition", f"{FILES:,} files, read and resolved", "one file", f"`orchestrator validate`, {FILES:,} files"]
    )
    for label, example in USED.items():
        inside, whole = measured(example)
        table.add(label, milliseconds(inside), milliseconds(inside / FILES), milliseconds(whole))
    one = str(EXAMPLES / "echo")
    start = timed(lambda: command(one), 5)
    empty = timed(lambda: subprocess.run([sys.executable, "-c", "import pydantic, yaml, typer"], check=True), 5)
    table.notes.append(
        f"The command for one file: {milliseconds(start)}; "
        f"Python with pydantic, PyYAML and Typer alone: {milliseconds(empty)}."
    )
    report("validate", table)


if __name__ == "__main__":
    main()
