"""Verbs that show revisions: list them, show one, compare two."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.common import Common, ask
from orchestrator.cli.output import (
    Column,
    age,
    clean,
    dump,
    one_line,
    print_facts,
    print_json,
    print_table,
    when,
)
from orchestrator.cli.services import ServiceName
from orchestrator.core.errors import NotFound, Unavailable

if TYPE_CHECKING:
    from orchestrator.client import Client
    from orchestrator.core.changes import FieldChange
    from orchestrator.core.revision_views import RevisionDetail, RevisionView
    from orchestrator.core.views import ServiceDetail

MOST_LINES = 2000
"""Lines of a text that is compared line by line: beyond that it takes too long."""

REVISIONS = (
    Column("REVISION", lambda r: str(r.number), right=True),
    Column("AGE", lambda r: age(r.at), right=True),
    Column("WHAT", lambda r: r.what, folds=True),
    Column("CAUSE", lambda r: _cause(r), folds=True),
    Column("OUTCOME", lambda r: r.outcome),
)


def _cause(revision: RevisionView) -> str:
    return f"{revision.by}: {revision.cause}" if revision.by else revision.cause


# --- look -----------------------------------------------------------------------------------------------------------


def history(
    common: Common,
    service: ServiceName,
    revision: Annotated[int | None, typer.Argument(metavar="REV", min=1, help="Show all of this one.")] = None,
    show: Annotated[bool, typer.Option("--show", help="Show all of the running one.")] = False,
) -> None:
    """List the revisions of a service, newest first: what changed, who or what caused it, and what became of it.

    Examples:
      orchestrator history my-model
      orchestrator history my-model 3
    """
    if revision is None and not show:
        revisions = ask(common, lambda client: client.revisions(service))
        if common.json:
            print_json([dump(one) for one in revisions])
        else:
            print_table(REVISIONS, revisions, nothing="no revisions")
        return

    async def one(client: Client) -> RevisionDetail:
        number = revision or (await client.service(service)).revision_number
        return await client.revision(service, number)

    detail = ask(common, one)
    if common.json:
        print_json(dump(detail))
    else:
        _print_revision(detail)


def _print_revision(detail: RevisionDetail) -> None:
    import yaml

    print_facts(
        {
            "revision": f"{detail.number} ({detail.revision})",
            "made": when(detail.at),
            "what": detail.what,
            "cause": _cause(detail),
            "outcome": detail.outcome,
            "known since": when(detail.outcome_at),
            "image": detail.image,
        }
    )
    for name, text in detail.definition.items():
        _print_text(f"as read from {name}", text)
    _print_text("specification", yaml.safe_dump(dump(detail)["spec"], sort_keys=False, allow_unicode=True))
    for path, text in (detail.files or {}).items():
        _print_text(f"written to {path}", text)


def _print_text(title: str, text: str) -> None:
    print(f"\n{one_line(title)}:")
    for line in text.splitlines():
        print(f"  {clean(line)}".rstrip())


def diff(
    common: Common,
    service: ServiceName,
    first: Annotated[int | None, typer.Argument(metavar="A", min=1, help="Default: the one before B.")] = None,
    second: Annotated[int | None, typer.Argument(metavar="B", min=1, help="Default: the running one.")] = None,
) -> None:
    """Show what differs between two revisions: fields, the definition's text, and the files that actions wrote.

    Examples:
      orchestrator diff my-model
      orchestrator diff my-model 2
      orchestrator diff my-model 2 4
    """

    async def asked(client: Client) -> tuple[ServiceDetail, RevisionDetail, RevisionDetail]:
        detail = await client.service(service)
        b = second or detail.revision_number
        a = first or await _one_before(client, service, b)
        return detail, await client.revision(service, a), await client.revision(service, b)

    detail, a, b = ask(common, asked)
    fields, texts = _fields(detail, a, b), dict(_text_diffs(a, b))
    if common.json:
        print_json(
            {
                "service": detail.name,
                "before": a.number,
                "after": b.number,
                "fields": [{"path": f.path, "from": f.before, "to": f.after, "class": f.kind} for f in fields],
                "texts": [{"name": name, "diff": "\n".join(lines)} for name, lines in texts.items()],
            }
        )
        return
    print(f"{detail.name}: revision {a.number} to revision {b.number}")
    for field in fields:
        _print_field(field)
    for lines in texts.values():
        print()
        print("\n".join(clean(line) for line in lines))
    if not fields and not texts:
        print("nothing differs")


async def _one_before(client: Client, service: str, number: int) -> int:
    older = [r.number for r in await client.revisions(service) if r.number < number]
    if not older:
        text = f"cannot compare: {service} has no revision before {number}"
        raise NotFound(text, hint=f"orchestrator history {service} {number}")
    return older[0]


def _fields(detail: ServiceDetail, a: RevisionDetail, b: RevisionDetail) -> tuple[FieldChange, ...]:
    from pydantic import ValidationError

    from orchestrator.core.changes import field_changes
    from orchestrator.core.spec import ServiceSpec

    def spec(routing: Mapping[str, Any]) -> ServiceSpec:
        return ServiceSpec.model_validate({**detail.spec, "routing": routing}, extra="ignore")

    try:
        return field_changes(spec(a.spec), spec(b.spec))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        text = f"cannot read what the daemon says of a revision: {first['msg']}"
        raise Unavailable(text, hint="client and daemon are of different versions") from None


def _text_diffs(a: RevisionDetail, b: RevisionDetail) -> Iterator[tuple[str, list[str]]]:
    """Name of each text that differs, to its unified diff. What is not known of one of them is not compared."""
    pairs = [(a.definition, b.definition)] if a.definition and b.definition else []
    if a.files is not None and b.files is not None:
        pairs.append((a.files, b.files))
    for old, new in pairs:
        for name in dict.fromkeys([*old, *new]):
            before, after = old.get(name, ""), new.get(name, "")
            if before != after:
                yield name, _unified(before, after, f"{name} (revision {a.number})", f"{name} (revision {b.number})")


def _print_field(field: FieldChange) -> None:
    before, after = field.before, field.after
    if "\n" in f"{before}{after}":
        print(f"  {clean(field.path)}:  [{field.kind}]")
        for line in _unified(before or "", after or "", "", "")[2:]:
            print(f"    {clean(line)}")
    else:
        sides = ["(none)" if side is None else one_line(side) for side in (before, after)]
        print(f"  {clean(field.path)}: {sides[0]} → {sides[1]}  [{field.kind}]")


def _unified(before: str, after: str, before_name: str, after_name: str) -> list[str]:
    old, new = before.splitlines(), after.splitlines()
    if max(len(old), len(new)) > MOST_LINES:
        return [f"--- {before_name}", f"+++ {after_name}", f"too long to compare: {len(old)} and {len(new)} lines"]
    return list(difflib.unified_diff(old, new, before_name, after_name, lineterm=""))
