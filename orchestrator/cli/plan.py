"""`plan`: what would change, field by field, with what would be done, whether it fits and the downtime to expect."""

from __future__ import annotations

import difflib
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.common import INVALID, OK, Common, ask, requested
from orchestrator.cli.output import clean, dump, one_line, print_json
from orchestrator.core.errors import OrchestratorError

if TYPE_CHECKING:
    from orchestrator.core.plan_views import FieldView, PlanView, ServicePlan
    from orchestrator.core.views import ProblemView

PENDING = 3
"""Exit code: there are changes."""
MARKS = {"create": "+", "remove": "-", "hot": "~", "rolling": "~", "recreate": "~", "none": " "}
CODES = {"+": 32, "-": 31, "~": 33, "@": 36}
VALUE = 60
"""Characters of a value that are shown on its line."""

What = Annotated[
    str | None,
    typer.Argument(
        metavar="PATH|SERVICE",
        help="A models_dir, model folder or definition, also one that lies elsewhere; or a service. Default: all.",
    ),
]


def plan(
    common: Common,
    what: What = None,
    save: Annotated[
        Path | None, typer.Option("--save", metavar="FILE", help="Keep the plan for `apply --plan FILE`.")
    ] = None,
) -> None:
    """Show what would change if folders were followed now: fields, operations in order, room, downtime.

    A PATH outside of models_dirs (a checkout) is read as if its folders stood in place of those of the same names.
    Exit codes: 0 nothing to do, 3 changes, 2 a definition is invalid.

    Examples:
      orchestrator plan
      orchestrator plan ~/checkout/models/my-model --save change.json
    """
    from orchestrator.core.plan_views import PlanRequest

    request = requested(PlanRequest, path=meant(what))
    view = ask(common, lambda client: client.plan(request))
    if save is not None:
        keep(save, view.model_dump_json(indent=1) + "\n")
    if common.json:
        print_json([dump(one) for one in view.services])
    else:
        print("\n".join(text(view)))
    raise typer.Exit(code_of(view))


def meant(what: str | None) -> str | None:
    """As the daemon can read it: an absolute path, or a service's name."""
    if what is None or (os.sep not in what and not os.path.lexists(what)):
        return what
    return os.path.normpath(Path(what).expanduser().absolute())


def code_of(view: PlanView) -> int:
    if not view.valid:
        return INVALID
    return PENDING if any(one.change != "none" for one in view.services) else OK


def keep(path: Path, data: str) -> None:
    """Whole or not at all, for its owner only. Raises `OrchestratorError`."""
    try:
        fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with open(fd, "w", encoding="utf-8") as file:  # mkstemp made it 0600
                file.write(data)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OrchestratorError(f"cannot save the plan to {path}: {error.strerror or error}") from None


# --- as text --------------------------------------------------------------------------------------------------------


def text(view: PlanView) -> Iterator[str]:
    for note in view.notes:
        yield f"note: {clean(note)}"
    for one in view.services:
        yield from _service(one)
        yield ""
    yield summary(view)


def summary(view: PlanView) -> str:
    """In one line what there is to do."""
    count = {change: sum(one.change == change for one in view.services) for change in MARKS}
    changed = count["hot"] + count["rolling"] + count["recreate"]
    parts = [(count["create"], "to create"), (changed, "to change"), (count["remove"], "to remove")]
    told = ", ".join(f"{number} {what}" for number, what in parts if number)
    invalid = sum(bool(one.problems) for one in view.services)
    told += (", " if told else "") + f"{invalid} invalid" if invalid else ""
    return (told or "nothing to do") + ("" if view.fits else "; it does not fit")


def _service(one: ServicePlan) -> Iterator[str]:
    mark = MARKS[one.change]
    if one.problems:
        yield f"{one.service}: its definition does not validate"
        yield from _problems(one.problems)
        return
    told = "nothing changes" if one.change == "none" else one.change
    revision = f", revision {one.revision}" if one.change in ("create", "rolling", "recreate") else ""
    yield paint(mark, f"{mark} {one.service}: {told}{revision}")
    yield from _fields(one.fields, with_kind=one.change != "create")
    if one.operations:
        yield "  operations:"
        yield from (f"    {number}. {one_line(line)}" for number, line in enumerate(one.operations, 1))
    if one.change == "none":
        return
    yield f"  downtime: {one_line(one.downtime)}"
    yield "  fits: " + ("yes" if one.fits else f"no: {'; '.join(one_line(lack) for lack in one.lacks)}")
    yield from (f"  note: {one_line(note)}" for note in one.notes)
    if one.held:
        yield f"  held: {one_line(one.why)}, or `orchestrator apply --yes`"


def _fields(fields: Sequence[FieldView], *, with_kind: bool) -> Iterator[str]:
    width = max((len(f.path) for f in fields if not _is_body(f) and not _is_long(f)), default=0)
    for field in fields:
        mark = "+" if field.before is None else "-" if field.after is None else "~"
        path, kind = one_line(field.path), f"  ({field.kind})" if with_kind else ""
        if _is_body(field):
            yield paint(mark, f"  {mark} {path}") + kind
            yield from _diff(field)
        elif _is_long(field):
            yield paint(mark, f"  {mark} {path}") + kind
            yield from (paint(m, f"      {m}{clean(v)}") for m, v in (("-", field.before), ("+", field.after)) if v)
        else:
            yield paint(mark, f"  {mark} {path:<{width}}  {_values(field)}") + kind


def _is_body(field: FieldView) -> bool:
    return any("\n" in value for value in (field.before, field.after) if value is not None)


def _is_long(field: FieldView) -> bool:
    """It changes and does not fit beside its path: cut, both would look alike."""
    both = field.before is not None and field.after is not None
    return both and max(len(field.before or ""), len(field.after or "")) > VALUE


def _values(field: FieldView) -> str:
    shown = [_short(value) for value in (field.before, field.after) if value is not None]
    return " -> ".join(shown)


def _short(value: str) -> str:
    line = one_line(value) or '""'
    return line if len(line) <= VALUE else line[: VALUE - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _diff(field: FieldView) -> Iterator[str]:
    before, after = ((value or "").splitlines() for value in (field.before, field.after))
    for line in list(difflib.unified_diff(before, after, lineterm="", n=2))[2:]:
        yield paint(line[0], f"      {clean(line)}")


def _problems(problems: Sequence[ProblemView]) -> Iterator[str]:
    """As `validate` shows them, with the lines where the file can be read here."""
    from orchestrator.cli.render_problems import rendered
    from orchestrator.core.problems import Problem

    for view in problems:
        problem = Problem(view.severity, view.file, view.line, view.column, view.path, view.message, view.hint)
        yield from rendered([problem], _lines(view.file), colour=coloured())


def _lines(file: str) -> Sequence[str]:
    try:
        return Path(file).read_text("utf-8", "replace").splitlines() if Path(file).stat().st_size < 1 << 20 else ()
    except (OSError, ValueError):
        return ()


def coloured() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def paint(mark: str, line: str) -> str:
    code = CODES.get(mark)
    return f"\x1b[{code}m{line}\x1b[0m" if code and coloured() else line
