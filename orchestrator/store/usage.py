"""Usage by day, service and token: each function is the body of one transaction, portable SQL only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, and_, delete, func, insert, or_, select, update

from orchestrator.core.traffic_views import UsageView
from orchestrator.store import sql
from orchestrator.store.tables import meta, usage

_MARKS = "record_marks"
_SUMS = ("requests", "errors", "bytes_in", "bytes_out", "seconds")
_COLUMNS = tuple(usage.c[name] for name in UsageView.model_fields)


def add(connection: Connection, rows: Sequence[UsageView], generation: int, told: Mapping[str, str]) -> None:
    if marks(connection)[0] >= generation:
        return
    for row in rows:
        one = and_(usage.c.day == row.day, usage.c.service == row.service, usage.c.token_id == row.token_id)
        grown = {name: usage.c[name] + getattr(row, name) for name in _SUMS}
        named = {"token_name": row.token_name} if row.token_name else {}
        if not connection.execute(update(usage).where(one).values(grown | named)).rowcount:
            connection.execute(insert(usage).values(row.model_dump()))
    sql.put(connection, meta, {"key": _MARKS}, {"value": json.dumps([generation, dict(told)])})


def marks(connection: Connection) -> tuple[int, dict[str, str]]:
    found = connection.scalar(select(meta.c.value).where(meta.c.key == _MARKS))
    generation, told = json.loads(found) if found else (0, {})
    return int(generation), dict(told)


def find(connection: Connection, since: str, service: str, token: str) -> list[UsageView]:
    query = select(*_COLUMNS).where(usage.c.day >= since).order_by(usage.c.day, usage.c.service, usage.c.token_id)
    if service:
        query = query.where(func.lower(usage.c.service) == service.lower())
    if token:
        query = query.where(or_(usage.c.token_id == token, usage.c.token_name == token))
    return [UsageView(**row._mapping) for row in connection.execute(query)]


def prune(connection: Connection, before: str) -> int:
    return connection.execute(delete(usage).where(usage.c.day < before)).rowcount
