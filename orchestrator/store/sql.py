"""What the store does inside one transaction: each function is the body of one, portable SQL only."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, and_, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from orchestrator.core.audit import AuditEntry
from orchestrator.core.errors import Conflict, NotFound
from orchestrator.core.events import Event
from orchestrator.core.spec import RoutingSpec
from orchestrator.core.state import Removed, Routing, Service, Token
from orchestrator.store import codec
from orchestrator.store.records import Outcome, Revision, Snapshot, Texts
from orchestrator.store.tables import audit, events, meta, removed, revisions, routings, services, tokens

KEPT_REVISIONS = 100
"""Newest revisions of a service that are kept, besides the last good one."""
KEPT_TEXT = 8 << 20
"""Characters of definitions and written files that are kept of a service, newest first. Older ones are dropped, but for
those of the good revision: a definition that changes for ever must not fill the disk."""

_TOKEN = tuple(tokens.c[field.name] for field in fields(Token))
_REMOVED = tuple(removed.c[field.name] for field in fields(Removed))


def key(name: str) -> str:
    """Service names are one without regard to case."""
    return name.casefold()


def put(connection: Connection, table: Table, at: Mapping[str, object], values: Mapping[str, object]) -> None:
    """Update the row whose primary key is `at`, or insert it."""
    where = and_(*(table.c[column] == value for column, value in at.items()))
    if not connection.execute(update(table).where(where).values(values)).rowcount:
        connection.execute(insert(table).values({**at, **values}))


def installation(connection: Connection) -> str:
    """The database's random id, made on first use."""
    found = connection.scalar(select(meta.c.value).where(meta.c.key == "installation"))
    if found is None:
        found = secrets.token_hex(6)
        connection.execute(insert(meta).values(key="installation", value=found))
    return str(found)


def touch(connection: Connection) -> None:
    """Write something, to see that it can be done."""
    put(connection, meta, {"key": "checked"}, {"value": secrets.token_hex(4)})


# --- services and routings ------------------------------------------------------------------------------------------


def load(connection: Connection) -> Snapshot:
    records = connection.scalars(select(services.c.record).order_by(services.c.id))
    facts = connection.scalars(select(routings.c.record).order_by(routings.c.id))
    by_hand = connection.execute(select(*_REMOVED).order_by(removed.c.folder, removed.c.model))
    return Snapshot(
        tuple(codec.SERVICE.decode(record) for record in records),
        tuple(codec.ROUTING.decode(record) for record in facts),
        tuple(Removed(*row) for row in by_hand),
    )


def put_service(connection: Connection, service: Service, outcome: Outcome | None) -> None:
    name_key = key(service.name)
    same_name = and_(services.c.name_key == name_key, services.c.id != service.id)
    holder = connection.scalar(select(services.c.id).where(same_name))
    if holder is not None:
        raise Conflict(f"cannot store service {service.name}: the name is taken by {holder}", code="name_taken")
    put(connection, services, {"id": service.id}, {"name_key": name_key, "record": codec.SERVICE.encode(service)})
    if outcome is not None:
        _set_outcome(connection, service.id, outcome)


def delete_service(connection: Connection, id: str) -> None:
    connection.execute(delete(routings).where(routings.c.service_id == id))
    connection.execute(delete(revisions).where(revisions.c.service_id == id))
    connection.execute(delete(services).where(services.c.id == id))


def put_routings(connection: Connection, facts: Iterable[Routing]) -> None:
    for routing in facts:
        values = {"service_id": routing.service_id, "record": codec.ROUTING.encode(routing)}
        try:
            put(connection, routings, {"id": routing.id}, values)
        except IntegrityError:
            raise NotFound(f"cannot store routing {routing.id}: service {routing.service_id} is not stored") from None


def delete_routing(connection: Connection, id: str) -> None:
    connection.execute(delete(routings).where(routings.c.id == id))


def put_removed(connection: Connection, fact: Removed) -> None:
    put(connection, removed, {"folder": fact.folder, "model": fact.model}, {"digest": fact.digest, "at": fact.at})


def delete_removed(connection: Connection, folder: str, model: str) -> None:
    connection.execute(delete(removed).where(removed.c.folder == folder, removed.c.model == model))


# --- revisions ------------------------------------------------------------------------------------------------------


_REVISION = tuple(
    revisions.c[name] for name in ("number", "hash", "cause", "at", "spec", "by", "outcome", "outcome_at", "image")
)


def add_revision(
    connection: Connection, service_id: str, spec: RoutingSpec, new: Mapping[str, Any], good: int | None
) -> int:
    """`new`: the other columns; without a definition it has that of the revision before it with the same hash."""
    mine = revisions.c.service_id == service_id
    newest_first = select(revisions.c.number, revisions.c.hash).where(mine).order_by(revisions.c.number.desc())
    newest = connection.execute(newest_first.limit(1)).first()
    if newest is not None and newest.hash == spec.revision:
        return int(newest.number)
    number = 1 if newest is None else int(newest.number) + 1
    row = {"service_id": service_id, "number": number, "hash": spec.revision, "spec": codec.SPEC.encode(spec), **new}
    if row["definition"] == codec.TEXTS.encode({}):
        row["definition"] = _definition_of(connection, service_id, spec.revision) or row["definition"]
    connection.execute(insert(revisions).values(row))
    old = and_(mine, revisions.c.number <= number - KEPT_REVISIONS, revisions.c.number != (good or 0))
    connection.execute(delete(revisions).where(old))
    _drop_texts(connection, mine, {number, good})
    return number


def _drop_texts(connection: Connection, mine: ColumnElement[bool], spared: Collection[int | None]) -> None:
    size = func.length(revisions.c.definition) + func.coalesce(func.length(revisions.c.files), 0)
    sizes = connection.execute(select(revisions.c.number, size).where(mine).order_by(revisions.c.number.desc()))
    total, none = 0, codec.TEXTS.encode({})
    for number, length in sizes.all():
        total += length
        if total > KEPT_TEXT and number not in spared:
            one = and_(mine, revisions.c.number == number, revisions.c.definition != none)
            connection.execute(update(revisions).where(one).values(definition=none, files=none))


def _definition_of(connection: Connection, service_id: str, hash: str) -> str | None:
    mine = and_(revisions.c.service_id == service_id, revisions.c.hash == hash)
    found = connection.scalar(select(revisions.c.definition).where(mine).order_by(revisions.c.number.desc()).limit(1))
    return None if found is None else str(found)


def _set_outcome(connection: Connection, service_id: str, new: Outcome) -> None:
    mine = and_(revisions.c.service_id == service_id, revisions.c.number == new.number)
    changed = and_(mine, revisions.c.outcome != new.told)
    connection.execute(update(revisions).where(changed).values(outcome=new.told, outcome_at=new.at))


def set_ran(connection: Connection, service_id: str, hash: str, image: str, files: Mapping[str, str]) -> None:
    mine = and_(revisions.c.service_id == service_id, revisions.c.hash == hash)
    newest = select(func.max(revisions.c.number)).where(mine).scalar_subquery()
    one = and_(revisions.c.service_id == service_id, revisions.c.number == newest, revisions.c.files.is_(None))
    connection.execute(update(revisions).where(one).values(image=image, files=codec.TEXTS.encode(dict(files))))


def revisions_of(connection: Connection, service_id: str) -> list[Revision]:
    query = select(*_REVISION).where(revisions.c.service_id == service_id).order_by(revisions.c.number.desc())
    return [_revision(row) for row in connection.execute(query)]


def _revision(row: Any) -> Revision:
    spec = codec.SPEC.decode(row.spec)
    told = (row.by, row.outcome, row.outcome_at, row.image)
    return Revision(row.number, row.hash, row.cause, row.at, spec, *told)


def numbers_of(connection: Connection, service_id: str) -> dict[str, int]:
    query = select(revisions.c.hash, func.max(revisions.c.number)).where(revisions.c.service_id == service_id)
    return {hash: int(number) for hash, number in connection.execute(query.group_by(revisions.c.hash))}


def texts_of(connection: Connection, service_id: str, number: int) -> Texts | None:
    one = and_(revisions.c.service_id == service_id, revisions.c.number == number)
    row = connection.execute(select(revisions.c.definition, revisions.c.files).where(one)).first()
    if row is None:
        return None
    return Texts(codec.TEXTS.decode(row.definition), None if row.files is None else codec.TEXTS.decode(row.files))


def forget_stray_revisions(connection: Connection) -> None:
    """Those that a crash left behind between the first revision of a service and the service itself."""
    connection.execute(delete(revisions).where(revisions.c.service_id.not_in(select(services.c.id))))


# --- events ---------------------------------------------------------------------------------------------------------


def append_events(connection: Connection, new: Sequence[Event]) -> list[Event]:
    return [replace(event, seq=_append(connection, event)) for event in new]


def _append(connection: Connection, event: Event) -> int:
    row = {"time": event.time, "service_key": key(event.service), "record": codec.EVENT.encode(event)}
    made = connection.execute(insert(events).values(row)).inserted_primary_key
    assert made is not None
    return int(made[0])


def find_events(connection: Connection, after: int, service: str, limit: int, newest: bool) -> list[Event]:
    query = select(events.c.seq, events.c.record).where(events.c.seq > after)
    if service:
        query = query.where(events.c.service_key == key(service))
    query = query.order_by(events.c.seq.desc() if newest else events.c.seq).limit(limit)
    found = [replace(codec.EVENT.decode(row.record), seq=row.seq) for row in connection.execute(query)]
    return found[::-1] if newest else found


def prune_events(connection: Connection, keep: int, before: float) -> int:
    surplus = select(events.c.seq).order_by(events.c.seq.desc()).offset(keep).limit(1).scalar_subquery()
    return connection.execute(delete(events).where(or_(events.c.seq <= surplus, events.c.time < before))).rowcount


# --- audit log ------------------------------------------------------------------------------------------------------


def put_audit(connection: Connection, entry: AuditEntry) -> AuditEntry:
    record = codec.AUDIT.encode(entry)
    row = {
        "time": entry.time,
        "service_key": key(entry.service),
        "known": int(entry.access == "admin"),
        "size": len(record),
        "record": record,
    }
    if entry.seq:
        connection.execute(update(audit).where(audit.c.seq == entry.seq).values(row))
        return entry
    made = connection.execute(insert(audit).values(row)).inserted_primary_key
    assert made is not None
    return replace(entry, seq=int(made[0]))


def find_audit(connection: Connection, after: int, service: str, limit: int) -> list[AuditEntry]:
    query = select(audit.c.seq, audit.c.record).where(audit.c.seq > after)
    if service:
        query = query.where(audit.c.service_key == key(service))
    found = connection.execute(query.order_by(audit.c.seq.desc()).limit(limit))
    return [replace(codec.AUDIT.decode(row.record), seq=row.seq) for row in found][::-1]


def prune_audit(connection: Connection, keep: int, refused: int, size: int, before: float) -> int:
    def oldest(known: int, count: int) -> Any:
        mine = select(audit.c.seq).where(audit.c.known == known)
        return mine.order_by(audit.c.seq.desc()).offset(count).limit(1).scalar_subquery()

    total = func.sum(audit.c.size).over(order_by=audit.c.seq.desc()).label("total")
    sizes = select(audit.c.seq, total).subquery()
    too_large = select(func.max(sizes.c.seq)).where(sizes.c.total > size).scalar_subquery()
    surplus = or_(
        and_(audit.c.known == 1, audit.c.seq <= oldest(1, keep)),
        and_(audit.c.known == 0, audit.c.seq <= oldest(0, refused)),
        audit.c.seq <= too_large,
        audit.c.time < before,
    )
    return connection.execute(delete(audit).where(surplus)).rowcount


# --- tokens ---------------------------------------------------------------------------------------------------------


def add_token(connection: Connection, token: Token) -> None:
    try:
        connection.execute(insert(tokens).values(asdict(token) | {"service_key": key(token.service)}))
    except IntegrityError:
        raise Conflict(f"cannot store token {token.id}: its id is taken") from None


def tokens_of(connection: Connection, service: str) -> list[Token]:
    query = select(*_TOKEN).order_by(tokens.c.issued_at, tokens.c.id)
    return _tokens(connection, query.where(tokens.c.service_key == key(service)) if service else query)


def token(connection: Connection, id: str) -> Token | None:
    return next(iter(_tokens(connection, select(*_TOKEN).where(tokens.c.id == id))), None)


def revoke_token(connection: Connection, id: str, at: float) -> Token:
    _revoke(connection, tokens.c.id == id, at)
    found = token(connection, id)
    if found is None:
        raise NotFound(f"cannot revoke token {id}: there is none", hint="see `orchestrator token ls`")
    return found


def revoke_tokens_of(connection: Connection, service: str, at: float) -> list[Token]:
    mine = and_(tokens.c.service_key == key(service), tokens.c.revoked_at.is_(None))
    found = _tokens(connection, select(*_TOKEN).where(mine).order_by(tokens.c.issued_at, tokens.c.id))
    _revoke(connection, mine, at)
    return [replace(token, revoked_at=at) for token in found]


def touch_tokens(connection: Connection, used: Mapping[str, float]) -> None:
    for id, at in used.items():
        newer = or_(tokens.c.last_used_at.is_(None), tokens.c.last_used_at < at)
        connection.execute(update(tokens).where(tokens.c.id == id, newer).values(last_used_at=at))


def drop_expired_tokens(connection: Connection, before: float) -> int:
    return connection.execute(delete(tokens).where(tokens.c.expires_at < before)).rowcount


def _tokens(connection: Connection, query: Select[Any]) -> list[Token]:
    return [Token(*row) for row in connection.execute(query)]


def _revoke(connection: Connection, where: ColumnElement[bool], at: float) -> None:
    connection.execute(update(tokens).where(where, tokens.c.revoked_at.is_(None)).values(revoked_at=at))
