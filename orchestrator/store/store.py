"""The store: everything that must outlive the daemon. It keeps and answers; it decides nothing.

Every method is one transaction, carried out in the order of the calls, and raises `Unavailable` where the database
cannot be read or written now; nothing is half-written. A call that was given up (cancelled, or out of time) may still
take effect. Times are floats in seconds, as the facts have them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sqlalchemy import Connection

from orchestrator.core.audit import AuditEntry
from orchestrator.core.errors import Unavailable
from orchestrator.core.events import Event
from orchestrator.core.spec import RoutingSpec
from orchestrator.core.state import Removed, Routing, Service, Token
from orchestrator.core.traffic_views import UsageView
from orchestrator.store import codec, sql, usage
from orchestrator.store.database import Database
from orchestrator.store.records import Outcome, Revision, Snapshot, Texts
from orchestrator.store.schema import migrate


class Store:
    """Open with `Store.open`, end with `close`. One daemon a store: see `store.lock`."""

    def __init__(self, database: Database, installation: str) -> None:
        self._database = database
        self.installation = installation
        """Random id made with the database; labels of containers carry it."""

    @classmethod
    async def open(cls, url: str, state_dir: Path, *, busy_timeout: float = 5.0) -> Store:
        """`url` empty: SQLite in `state_dir`. `busy_timeout`: seconds to wait for another process's lock.

        Raises `Conflict` for a newer schema, `InvalidInput` for a URL that is not supported, `Unavailable` else.
        """
        database = Database(url, state_dir, busy_timeout)
        try:
            return cls(database, await database.open(_prepare))
        except BaseException:
            await database.close()
            raise

    @property
    def path(self) -> Path:
        """The database's file."""
        return self._database.path

    async def close(self) -> None:
        """Idempotent."""
        await self._database.close()

    async def check(self) -> None:
        """Raises `Unavailable` unless something can be written now, where the next daemon finds it."""
        if self._database.is_replaced():
            raise Unavailable(
                f"cannot write to the store: {self.path} was removed or replaced while it is open",
                hint="restart the daemon",
                code="store_unavailable",
            )
        await self._database.write(sql.touch)

    async def load(self) -> Snapshot:
        """Ordered by id. Raises `Unavailable` where any record does not decode."""
        return await self._database.read(sql.load)

    async def put_service(self, service: Service, outcome: Outcome | None = None) -> None:
        """`outcome`: of a revision of it, which this change decides; the same again keeps its time, and a revision that
        is not there is ignored. Raises `Conflict` where another service has its name, without regard to case."""
        await self._database.write(lambda c: sql.put_service(c, service, outcome))

    async def delete_service(self, id: str) -> None:
        """With its routings and revisions. Idempotent."""
        await self._database.write(lambda c: sql.delete_service(c, id))

    async def put_routing(self, routing: Routing) -> None:
        """Raises `NotFound` where its service is not stored."""
        await self.put_routings((routing,))

    async def put_routings(self, routings: Iterable[Routing]) -> None:
        """All or none. Raises `NotFound` where the service of one is not stored."""
        facts = tuple(routings)
        await self._database.write(lambda c: sql.put_routings(c, facts))

    async def delete_routing(self, id: str) -> None:
        """Idempotent."""
        await self._database.write(lambda c: sql.delete_routing(c, id))

    async def add_revision(
        self,
        service_id: str,
        routing: RoutingSpec,
        cause: str,
        at: float,
        *,
        by: str = "",
        definition: Mapping[str, str] | None = None,
        good: int | None = None,
    ) -> int:
        """Its number, from 1; that of the newest where that one is equal. `definition`: name of each file that it was
        read from to its text; `good`: number of the one that is kept however old it is."""
        texts = codec.TEXTS.encode(dict(definition or {}))
        new = {"cause": cause, "at": at, "by": by, "definition": texts}
        return await self._database.write(lambda c: sql.add_revision(c, service_id, routing, new, good))

    async def set_ran(self, service_id: str, hash: str, image: str, files: Mapping[str, str]) -> None:
        """What the first routing of the newest revision with this hash ran and wrote; later ones change nothing."""
        await self._database.write(lambda c: sql.set_ran(c, service_id, hash, image, files))

    async def revisions(self, service_id: str) -> list[Revision]:
        """Newest first, at most `sql.KEPT_REVISIONS` and the good one."""
        return await self._database.read(lambda c: sql.revisions_of(c, service_id))

    async def numbers(self, service_id: str) -> dict[str, int]:
        """Hash of a revision to its number; of several that are equal (a change taken back) the newest."""
        return await self._database.read(lambda c: sql.numbers_of(c, service_id))

    async def texts(self, service_id: str, number: int) -> Texts | None:
        """Of one revision; None: it is not kept."""
        return await self._database.read(lambda c: sql.texts_of(c, service_id, number))

    async def append_events(self, events: Sequence[Event]) -> list[Event]:
        """The same with their `seq`, in order."""
        return await self._database.write(lambda c: sql.append_events(c, events))

    async def events(
        self, *, after: int = 0, service: str = "", limit: int = 1000, newest: bool = False
    ) -> list[Event]:
        """Those with a `seq` above `after`, in its order; the first `limit` of them, or with `newest` the last."""
        return await self._database.read(lambda c: sql.find_events(c, after, service, limit, newest))

    async def prune_events(self, keep: int, before: float) -> int:
        """Delete all but the newest `keep`, and of those what is from before `before` (wall seconds); how many."""
        return await self._database.write(lambda c: sql.prune_events(c, keep, before))

    async def put_audit(self, entry: AuditEntry) -> AuditEntry:
        """The same with its `seq`; one that has it takes the place of what was stored under that."""
        return await self._database.write(lambda c: sql.put_audit(c, entry))

    async def audit(self, *, after: int = 0, service: str = "", limit: int = 100) -> list[AuditEntry]:
        """Those with a `seq` above `after`, in its order; the last `limit` of them."""
        return await self._database.read(lambda c: sql.find_audit(c, after, service, limit))

    async def prune_audit(self, keep: int, refused: int, size: int, before: float) -> int:
        """Delete all but the newest `keep` of those who may change something and `refused` of all others, what is
        beyond `size` characters, and what is from before `before` (wall seconds); how many."""
        return await self._database.write(lambda c: sql.prune_audit(c, keep, refused, size, before))

    async def add_token(self, token: Token) -> None:
        """Raises `Conflict` for an id that is taken."""
        await self._database.write(lambda c: sql.add_token(c, token))

    async def tokens(self, service: str = "") -> list[Token]:
        """Oldest first; with `service` (a name or `*`) those issued for exactly it."""
        return await self._database.read(lambda c: sql.tokens_of(c, service))

    async def token(self, id: str) -> Token | None:
        return await self._database.read(lambda c: sql.token(c, id))

    async def revoke_token(self, id: str, at: float) -> Token:
        """As it is now; one that was revoked before keeps its time. Raises `NotFound`."""
        return await self._database.write(lambda c: sql.revoke_token(c, id, at))

    async def revoke_tokens_of(self, service: str, at: float) -> list[Token]:
        """Those issued for exactly this service that were not revoked yet, as they are now."""
        return await self._database.write(lambda c: sql.revoke_tokens_of(c, service, at))

    async def touch_tokens(self, used: Mapping[str, float]) -> None:
        """Token id to when it was last used; never moves back. Unknown ids are ignored."""
        await self._database.write(lambda c: sql.touch_tokens(c, used))

    async def drop_expired_tokens(self, before: float) -> int:
        """Forget those that expired before `before` (wall seconds), revoked or not; how many."""
        return await self._database.write(lambda c: sql.drop_expired_tokens(c, before))

    async def add_usage(self, rows: Sequence[UsageView], generation: int, marks: Mapping[str, str]) -> None:
        """Add to what is stored of the same day, service and token, unless that generation is stored already.
        `record_marks` answers with both from now on."""
        await self._database.write(lambda c: usage.add(c, rows, generation, marks))

    async def record_marks(self) -> tuple[int, dict[str, str]]:
        """The last generation that was added (0: none), and its marks."""
        return await self._database.read(usage.marks)

    async def usage(self, *, since: str = "", service: str = "", token: str = "") -> list[UsageView]:
        """By day, service and token, from the day `since` (ISO) on; of one service (in any case), of one token (its id
        or name)."""
        return await self._database.read(lambda c: usage.find(c, since, service, token))

    async def prune_usage(self, before: str) -> int:
        """Delete what is from before that day (ISO); how many rows."""
        return await self._database.write(lambda c: usage.prune(c, before))

    async def put_removed(self, removed: Removed) -> None:
        """One fact per folder and model."""
        await self._database.write(lambda c: sql.put_removed(c, removed))

    async def delete_removed(self, folder: str, model: str) -> None:
        """Idempotent."""
        await self._database.write(lambda c: sql.delete_removed(c, folder, model))


def _prepare(connection: Connection) -> str:
    migrate(connection)
    sql.forget_stray_revisions(connection)
    return sql.installation(connection)
