"""Verbs about who may do what and who did: `whoami`, `audit`, and the settings behind it, `config`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.common import Common, ask
from orchestrator.cli.output import Column, dump, print_facts, print_json, print_table, when

if TYPE_CHECKING:
    from orchestrator.core.access_views import AuditView

AUDIT = (
    Column("SEQ", lambda a: str(a.seq), right=True),
    Column("TIME", lambda a: when(a.time)),
    Column("WHO", lambda a: " ".join(dict.fromkeys(filter(None, (a.who, a.token_id)))) or "(no valid token)"),
    Column("FROM", lambda a: a.client),
    Column("ACTION", lambda a: a.action, folds=True),
    Column("SERVICE", lambda a: a.service),
    Column("STATUS", lambda a: str(a.status or "under way"), right=True),
    Column("CHANGE", lambda a: change(a), folds=True),
)
SETTINGS = (
    Column("KEY", lambda k: k.key),
    Column("VALUE", lambda k: _text(k.value), folds=True),
    Column("DEFAULT", lambda k: "" if k.value == k.default else _text(k.default), folds=True),
    Column("SET", lambda k: k.set, folds=True),
)


def whoami(common: Common) -> None:
    """Show whose token is used and what it opens.

    Examples:
      orchestrator whoami
      orchestrator --context prod whoami -o json
    """
    view = ask(common, lambda client: client.whoami())
    if common.json:
        print_json(dump(view))
        return
    print_facts(
        {"name": view.name, "access": view.access, "token": view.token_id, "expires": when(view.expires_at) or "never"}
    )


def audit(
    common: Common,
    service: Annotated[str | None, typer.Option(metavar="SERVICE", help="Of this one only.")] = None,
    tail: Annotated[int, typer.Option(min=0, max=10000, metavar="N", help="The latest N entries.")] = 50,
    after: Annotated[int, typer.Option(min=0, metavar="SEQ", help="Only what came after this one.")] = 0,
) -> None:
    """Show who changed what through the API, also what was refused; the newest last. Needs an admin token.

    Changes of model folders are not in it: `orchestrator events` and `orchestrator history` have those.

    Examples:
      orchestrator audit --tail 20
      orchestrator audit --service my-model -o json
    """
    found = ask(common, lambda client: client.audit(after=after, service=service, limit=tail))
    if common.json:
        print_json([dump(entry) for entry in found])
    else:
        print_table(AUDIT, found, nothing="nothing was changed through the API")


def config(common: Common) -> None:
    """Show every setting that the daemon runs with, its default and where it was set. Needs an admin token.

    Examples:
      orchestrator config
      orchestrator config -o json
    """
    view = ask(common, lambda client: client.config())
    if common.json:
        print_json(dump(view))
    else:
        print_table(SETTINGS, view.keys, nothing="")


def change(entry: AuditView) -> str:
    """What is otherwise, `key: before → after`; of something new or gone, and of what was refused, what was sent."""
    if entry.before is not None and entry.after is not None:
        return ", ".join(f"{key}: {_text(old)} → {_text(entry.after.get(key))}" for key, old in entry.before.items())
    sent = entry.request if isinstance(entry.request, dict) else {}
    return ", ".join(f"{key} {_text(value)}" for key, value in sent.items() if value not in (None, "", [], {}))


def _text(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
