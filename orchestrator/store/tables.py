"""The tables, in portable SQL. `migrations/versions` leads to exactly these; a test compares.

A column is what a query, a key or a constraint needs. A fact that nests is one JSON text beside them (`record`), so
that a field more in `core.state` is no migration: see `store.codec`.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
)


class Words(TypeDecorator[str]):
    """Text from anywhere: what is not valid Unicode (a folder's undecodable name) is escaped instead of refused."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else value.encode("utf-8", "backslashreplace").decode()


metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
    }
)

meta = Table(
    "meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

services = Table(
    "services",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name_key", Words, nullable=False, unique=True),
    Column("record", Text, nullable=False),
)

routings = Table(
    "routings",
    metadata,
    Column("id", Text, primary_key=True),
    Column("service_id", Text, ForeignKey("services.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("record", Text, nullable=False),
)

revisions = Table(
    "revisions",
    metadata,
    Column("service_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("hash", Text, nullable=False),
    Column("cause", Words, nullable=False),
    Column("at", Double, nullable=False),
    Column("spec", Text, nullable=False),
    Column("by", Words, nullable=False, server_default=""),
    Column("outcome", Words, nullable=False, server_default=""),
    Column("outcome_at", Double),
    Column("image", Words, nullable=False, server_default=""),
    Column("definition", Text, nullable=False, server_default="{}"),
    Column("files", Text),  # NULL until the first routing has started
)

events = Table(
    "events",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("time", Double, nullable=False),
    Column("service_key", Words, nullable=False),
    Column("record", Text, nullable=False),
    Index("ix_events_service_key_seq", "service_key", "seq"),
    sqlite_autoincrement=True,
)

audit = Table(
    "audit",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("time", Double, nullable=False),
    Column("service_key", Words, nullable=False),
    Column("known", Integer, nullable=False),  # 0: by one who may change nothing: those must not push out the others
    Column("size", Integer, nullable=False),  # characters of the record
    Column("record", Text, nullable=False),
    Index("ix_audit_service_key_seq", "service_key", "seq"),
    sqlite_autoincrement=True,
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("service_key", Words, nullable=False, index=True),
    Column("service", Words, nullable=False),
    Column("name", Words, nullable=False),
    Column("scope", Text, nullable=False),
    Column("issued_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("kid", Text, nullable=False),
    Column("revoked_at", Double),
    Column("last_used_at", Double),
)

usage = Table(
    "usage",
    metadata,
    Column("day", Text, primary_key=True),
    Column("service", Words, primary_key=True),
    Column("token_id", Text, primary_key=True),
    Column("token_name", Words, nullable=False),
    Column("requests", BigInteger, nullable=False),
    Column("errors", BigInteger, nullable=False),
    Column("bytes_in", BigInteger, nullable=False),
    Column("bytes_out", BigInteger, nullable=False),
    Column("seconds", Double, nullable=False),
)

removed = Table(
    "removed",
    metadata,
    Column("folder", Words, primary_key=True),
    Column("model", Words, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("at", Double, nullable=False),
)
