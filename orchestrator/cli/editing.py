"""`models edit`: a definition in the user's editor, checked before it is written, and asked about where it is wrong."""

from __future__ import annotations

import difflib
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.cli.common import ERROR, INVALID, OK, Common, ask
from orchestrator.cli.output import clean, dump, print_error, print_json
from orchestrator.cli.render_problems import rendered
from orchestrator.core.draft_text import definition_text
from orchestrator.core.drafting import Draft
from orchestrator.core.errors import InvalidDefinition, InvalidInput, OrchestratorError
from orchestrator.core.model_views import DefinitionRequest, DefinitionView
from orchestrator.core.problems import Problem


def edit_definition(common: Common, name: str) -> int:
    """Exit code: 0 written or unchanged, 2 left invalid, 1 left for another reason."""
    before = ask(common, lambda client: client.definition(name))
    handle, draft = tempfile.mkstemp(prefix="orchestrator-", suffix=f"-{Path(before.file).name}")
    os.close(handle)
    file = Path(draft)
    file.write_text(before.text if before.digest is not None else _first(name), "utf-8")
    editing = _Editing(common, name, before, file)
    try:
        return editing.run()
    finally:
        if editing.kept():
            print(f"nothing was written; your text is kept in {clean(draft)}", file=sys.stderr)
        else:
            file.unlink(missing_ok=True)


class _Editing:
    def __init__(self, common: Common, name: str, before: DefinitionView, file: Path) -> None:
        self._common, self._name, self._before, self._file = common, name, before, file
        self._shown = file.read_text("utf-8")
        self._written = False

    def kept(self) -> bool:
        """Is there a text that would be lost?"""
        return not self._written and self._file.exists() and _text_of(self._file) != self._shown

    def run(self) -> int:
        while True:
            _open_editor(self._file)
            text = _text_of(self._file)
            if text == self._shown:
                print(f"{clean(self._before.file)}: nothing was changed")
                return OK
            code = self._settle(text)
            if code is not None:
                return code

    def _settle(self, text: str) -> int | None:
        """Until it is written (its exit code), left, or to be edited again (None)."""
        while True:
            try:
                self._told(self._write(text))
                return OK
            except InvalidDefinition as error:
                _show(error.problems, self._before.file, text)
                choice = _choice({"e": "edit again", "q": "quit without saving"})
                return None if choice == "e" else INVALID
            except OrchestratorError as error:
                print_error(error)
                choice = self._next(error)
                if choice in ("e", "q"):
                    return None if choice == "e" else ERROR

    def _next(self, error: OrchestratorError) -> str:
        """What is done about it: e, q, or anything else to try again."""
        if error.code != "changed":
            return _choice({"r": "try again", "e": "edit again", "q": "quit without saving"})
        now = ask(self._common, lambda client: client.definition(self._name))
        theirs = difflib.unified_diff(
            self._before.text.splitlines(), now.text.splitlines(), "when you began", "now", lineterm=""
        )
        print(clean("\n".join(theirs)), file=sys.stderr)
        choice = _choice({"e": "edit again, and then write over it", "o": "write over it", "q": "quit without saving"})
        self._before = self._before if choice == "q" else now
        return choice

    def _write(self, text: str) -> DefinitionView:
        request = DefinitionRequest(text=text, digest=self._before.digest)
        return ask(self._common, lambda client: client.write_definition(self._name, request))

    def _told(self, written: DefinitionView) -> None:
        self._written = True
        if self._common.json:
            print_json(dump(written))
            return
        print(f"{clean(written.file)} of {clean(self._name)} is written")
        _show([one.problem() for one in written.problems], written.file, written.text)


def _first(name: str) -> str:
    command = ("python", "/models/server.py", "--port", "{port}")
    return definition_text(Draft(name, command=command, health="/health"))


def _open_editor(file: Path) -> None:
    """Raises `InvalidInput`."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    hint = "set EDITOR to one that is installed"
    try:
        done = subprocess.run([*shlex.split(editor), str(file)], check=False)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InvalidInput(f"cannot run the editor {editor}: {reason}", hint=hint) from None
    if done.returncode != 0:
        text = f"cannot go on: the editor {editor} ended with exit code {done.returncode}"
        raise InvalidInput(text, hint="nothing was written")


def _text_of(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise InvalidInput(f"cannot read {file} back: {error}") from None


def _show(problems: Sequence[Problem], file: str, text: str) -> None:
    colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    lines = text.splitlines()
    for problem in problems:
        own = lines if Path(problem.file).name == Path(file).name else ()
        for line in rendered([problem], own, colour=colour):
            print(line, file=sys.stderr)


def _choice(choices: Mapping[str, str]) -> str:
    """One of the letters; the last one where there is nobody to ask."""
    *_, last = choices
    if not sys.stdin.isatty():
        return last
    told = ", ".join(f"({letter}) {said}" for letter, said in choices.items())
    while True:
        print(f"What now? {told}: ", end="", file=sys.stderr, flush=True)
        answer = sys.stdin.readline()
        if not answer:
            return last
        if answer.strip().lower()[:1] in choices:
            return answer.strip().lower()[:1]
