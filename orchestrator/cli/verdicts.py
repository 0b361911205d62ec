"""What `validate` says of each definition, as text or JSON, and the exit code of them all."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from io import TextIOWrapper
from typing import Any

from orchestrator.cli.common import ERROR, INVALID, OK, Common
from orchestrator.cli.definitions import Unread, read_all
from orchestrator.cli.output import clean, print_json
from orchestrator.cli.render_problems import rendered
from orchestrator.core.problems import Problem, is_valid
from orchestrator.core.resolved_view import resolved_view
from orchestrator.core.updating import policy
from orchestrator.folders import Reading
from orchestrator.settings import load


def judge(paths: Sequence[str], common: Common, *, show: bool, strict: bool) -> int:
    """Prints what is found in `paths`. Exit code: 0 all valid, 2 some are invalid, 1 some could not be read."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be text
    found: list[Reading | Unread] = []
    for one in read_all(paths, load(common.config)):
        found.append(one)
        if not common.json:
            _print(one, show=show, strict=strict)
    if common.json:
        print_json([_as_json(one, show=show, strict=strict) for one in found])
    elif len(found) > 1:
        print(_summary(found, strict=strict))
    return _exit_code(found, strict=strict)


def _exit_code(found: Sequence[Reading | Unread], *, strict: bool) -> int:
    if any(isinstance(one, Unread) for one in found):
        return ERROR
    return OK if all(_valid(one, strict=strict) for one in found) else INVALID


def _valid(one: Reading | Unread, *, strict: bool) -> bool:
    return isinstance(one, Reading) and is_valid(one.problems, strict=strict)


def _summary(found: Sequence[Reading | Unread], *, strict: bool) -> str:
    valid = sum(_valid(one, strict=strict) for one in found)
    unread = sum(isinstance(one, Unread) for one in found)
    parts = [f"{valid} valid", f"{len(found) - valid - unread} invalid", *([f"{unread} not read"] if unread else [])]
    return f"{len(found)} files: {', '.join(parts)}"


def _print(one: Reading | Unread, *, show: bool, strict: bool) -> None:
    if isinstance(one, Unread):
        sys.stdout.flush()
        hint = f"\n  {one.hint}" if one.hint else ""
        print(clean(f"error: {one.message}{hint}"), file=sys.stderr, flush=True)
        return
    if _valid(one, strict=strict):
        print(clean(f"{one.file}: OK"))
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    lines = one.loaded.lines if one.loaded else ()
    for problem in one.problems:
        for line in rendered([problem], lines if problem.file == str(one.file) else (), colour=colour):
            print(line)
    for service in one.services if show else ():
        print(clean(resolved_view(service)))


def _as_json(one: Reading | Unread, *, show: bool, strict: bool) -> dict[str, Any]:
    if isinstance(one, Unread):
        problem = Problem("error", one.file, 0, 0, "", one.message, one.hint)
        return {"file": one.file, "valid": False, "read": False, "problems": [asdict(problem)]}
    shown: dict[str, Any] = {"file": str(one.file), "valid": _valid(one, strict=strict), "read": True}
    shown["problems"] = [asdict(problem) for problem in one.problems]
    if show:
        shown["services"] = [s.model_dump(mode="json") | {"update": policy(s)} for s in one.services]
    return shown
