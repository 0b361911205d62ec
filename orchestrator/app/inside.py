"""What the API may do inside a routing: run commands beside what it runs, bring files in and out. Each is an event."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from orchestrator.app.rollouts import Rollouts
from orchestrator.core.errors import Conflict, NotFound, RuntimeFailure
from orchestrator.core.inside_views import CopiedView
from orchestrator.core.ports import Execution, Invocation
from orchestrator.core.state import Routing


class Inside(Rollouts):
    """The part of `api.control.Control` about the inside of routings."""

    async def execute(self, routing_id: str, invocation: Invocation) -> Execution:
        """Only the program is told in the event: arguments and variables may hold secrets."""
        routing = self._routing(routing_id)
        try:
            execution = await self._parts.runtime.execute(routing_id, invocation)
        except RuntimeFailure as error:
            if error.code != "not_running":
                raise
            hint = f"`orchestrator ps {routing.service}` lists those that run"
            raise Conflict(error.message, hint=hint, code="not_running") from error
        how = "on a terminal" if invocation.tty else "without a terminal"
        await self._note("routing.exec", routing, f"{invocation.argv[0]} was run by hand, {how}")
        return execution

    async def archive(self, routing_id: str, path: str) -> AsyncIterator[bytes]:
        routing, noted = self._routing(routing_id), False
        async with aclosing(self._parts.runtime.archive(routing_id, path)) as blocks:  # type: ignore[type-var]
            async for block in blocks:
                if not noted:
                    await self._note("routing.copied", routing, f"{path} was copied out by hand")
                    noted = True
                yield block

    async def unpack(self, routing_id: str, path: str, archive: AsyncIterator[bytes], *, folder: bool) -> CopiedView:
        routing = self._routing(routing_id)
        told = await self._parts.runtime.unpack(routing_id, path, archive, folder=folder)
        count = f"{told.files} file{'s' * (told.files != 1)}"
        await self._note("routing.copied", routing, f"{count} were copied to {path} by hand")
        return CopiedView(routing=routing_id, path=path, files=told.files, size=told.size)

    def _routing(self, routing_id: str) -> Routing:
        routing = self._facts.routings.get(routing_id)
        if routing is None:
            raise NotFound(f"there is no routing {routing_id!r}", hint="`orchestrator ps` lists them")
        return routing

    async def _note(self, kind: str, routing: Routing, cause: str) -> None:
        await self._parts.journal.emit(kind, routing.service, routing.id, cause, {})
