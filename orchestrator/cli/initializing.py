"""What `init` does: finds out, drafts (`core.drafting`), has the draft read as the daemon would, and writes it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import typer

from orchestrator.cli.common import Common
from orchestrator.cli.output import clean, print_json
from orchestrator.cli.render_problems import rendered
from orchestrator.cli.transferring import shown_by
from orchestrator.core import drafting
from orchestrator.core.draft_text import definition_text
from orchestrator.core.drafting import Draft
from orchestrator.core.errors import InvalidInput, OrchestratorError
from orchestrator.core.ports import PullProgress
from orchestrator.core.problems import Problem
from orchestrator.folders import read_folder
from orchestrator.folders.pinned import disk_errors, write_whole
from orchestrator.folders.reading import definition_name
from orchestrator.folders.sources import DEFINITIONS
from orchestrator.runtimes.docker.inspecting import Inspected, inspect_container, inspect_image
from orchestrator.settings import Settings, load


def initialize(
    common: Common,
    folder: Path,
    *,
    image: str | None,
    container: str | None,
    name: str | None,
    port: int | None,
    force: bool,
) -> None:
    settings = load(common.config, os.environ)
    folder = folder.absolute()
    file = _target(folder, settings, force=force)
    draft = Draft(name=name or folder.name or "model")
    if container:
        draft = drafting.of_container(draft, *asyncio.run(inspect_container(settings.docker.host, container)))
    elif image:
        draft = drafting.of_image(draft, image, _image(settings, image, quiet=common.json))
    else:
        draft = _asked(draft, settings)
    if port is not None:
        draft = replace(draft, port=port, told="")
    _write(file, definition_text(draft), settings)
    _tell(common, file, draft)


def _target(folder: Path, settings: Settings, *, force: bool) -> Path:
    """The definition that will be there. Raises `InvalidInput` where there is one."""
    if folder.exists() and not folder.is_dir():
        raise InvalidInput(f"cannot write into {folder}: it is not a folder")
    own = definition_name(folder, settings)
    names = (own,) if own else DEFINITIONS
    there = next((folder / one for one in names if os.path.lexists(folder / one)), None)
    if there is not None and not force:
        raise InvalidInput(f"cannot write {there}: it is there already", hint="--force writes over it")
    return there or folder / names[-1]


def _image(settings: Settings, image: str, *, quiet: bool) -> Inspected:
    """Fetched where the engine does not have it and config.toml allows that."""
    with shown_by(quiet=quiet) as show:
        tell = show(image)

        def progress(seen: PullProgress) -> None:
            tell(min(seen.current, seen.total - 1), seen.total)

        return asyncio.run(inspect_image(settings.docker.host, image, settings.docker.pull, progress))


def _write(file: Path, text: str, settings: Settings) -> None:
    """Raises `InvalidInput` where the daemon would not take it: then nothing was written."""
    reading = read_folder(file.parent, settings, runtime=settings.runtime, file=file, data=text.encode())
    if not reading.valid:
        _show([p for p in reading.problems if p.severity == "error"], text)
        hint = "what is refused by config.toml must be opened there; --name and --port change the rest"
        raise InvalidInput(f"cannot write {file}: it would not be valid", hint=hint, code="definition_invalid")
    with disk_errors(f"write {file}"):
        file.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(file.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            write_whole(fd, file.name, text.encode())
        finally:
            os.close(fd)


def _show(problems: Sequence[Problem], text: str) -> None:
    for line in rendered(problems, text.splitlines()):
        print(line, file=sys.stderr)


def _tell(common: Common, file: Path, draft: Draft) -> None:
    if common.json:
        print_json({"file": str(file), "name": draft.name, "image": draft.image, "secrets": list(draft.secrets)})
        return
    print(clean(f"{file}: written, and valid"))
    if draft.secrets:
        names = ", ".join(draft.secrets)
        print(clean(f"not written, because they look like secrets: {names}; see `secrets` in it"), file=sys.stderr)
    print(f"next: orchestrator validate --show {clean(str(file.parent))}", file=sys.stderr)


# --- questions ------------------------------------------------------------------------------------------------------


def _asked(draft: Draft, settings: Settings) -> Draft:
    if not sys.stdin.isatty():
        hint = "give --image or --container"
        raise InvalidInput("cannot ask what to write: the input is not a terminal", hint=hint)
    name = typer.prompt("Name of the model", default=draft.name)
    image = typer.prompt("Container image (empty: a program of this host)", default="", show_default=False).strip()
    draft = replace(draft, name=name)
    if image:
        draft = _of_image(draft, image, settings)
    draft = _answered(draft)
    gpus = _number("GPUs", 0, range(65))
    memory = typer.prompt("Memory, such as 8g (empty: no limit)", default="", show_default=False).strip()
    resources = {"mem": memory} if memory else {}
    return replace(
        draft,
        resources=resources | ({"cuda.device": str(gpus)} if gpus else {}),
        public=typer.confirm("Open to everybody, without a token?", default=False),
    )


def _of_image(draft: Draft, image: str, settings: Settings) -> Draft:
    """With what the engine knows of it, where it says anything."""
    try:
        return drafting.of_image(draft, image, _image(settings, image, quiet=False))
    except OrchestratorError as error:
        print(clean(f"{error.message}: its port and command are not known"), file=sys.stderr)
        return replace(draft, image=image)


def _answered(draft: Draft) -> Draft:
    """Command, port and health check."""
    own = "the image's own" if draft.image else ""
    usual = own or "python /models/server.py --port {port}"
    command = typer.prompt("Start command", default=usual)
    port = _number("Port that it listens on", draft.port, range(1, 65536))
    path = typer.prompt("Path that says 200 when it is healthy (- for none)", default=draft.health or "/health")
    return replace(
        draft,
        command=None if own and command == own else drafting.command_of(command),
        port=port,
        told=draft.told if port == draft.port else "",
        health="" if path.strip() == "-" else path.strip(),
    )


def _number(question: str, usual: int, among: range) -> int:
    while True:
        answer = int(typer.prompt(question, default=usual, type=int))
        if answer in among:
            return answer
        print(f"a number from {among.start} to {among.stop - 1}", file=sys.stderr)
