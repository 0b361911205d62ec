"""Revisions, rollouts, plans and applies."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from orchestrator.client.connection import Connection, path_of
from orchestrator.core.plan_views import ApplyRequest, ApplyView, PlanRequest, PlanView, ProgressView, TargetView
from orchestrator.core.revision_views import RevisionDetail, RevisionView, RollbackRequest
from orchestrator.core.views import ServiceView


class RevisionCalls(Connection):
    async def revisions(self, ref: str) -> tuple[RevisionView, ...]:
        """Newest first."""
        return await self._many("GET", path_of("/v1/services", ref) + "/revisions", RevisionView)

    async def revision(self, ref: str, number: int) -> RevisionDetail:
        return await self._one("GET", path_of("/v1/services", ref) + f"/revisions/{number}", RevisionDetail)

    async def rollback(self, ref: str, number: int | None = None) -> ServiceView:
        """`number` None: to the one before that was good."""
        path, body = path_of("/v1/services", ref) + "/rollback", RollbackRequest(revision=number)
        return await self._one("POST", path, ServiceView, body=body)

    async def promote(self, ref: str) -> ServiceView:
        return await self._one("POST", path_of("/v1/services", ref) + "/promote", ServiceView)

    async def abort(self, ref: str) -> ServiceView:
        return await self._one("POST", path_of("/v1/services", ref) + "/abort", ServiceView)

    async def plan(self, request: PlanRequest) -> PlanView:
        return await self._one("POST", "/v1/plans", PlanView, body=request)

    async def pending(self) -> PlanView:
        """The plan of what waits."""
        return await self._one("GET", "/v1/plans", PlanView)

    async def apply(self, request: ApplyRequest) -> ApplyView:
        return await self._one("POST", "/v1/applies", ApplyView, body=request)

    async def applied(self, targets: Sequence[TargetView]) -> tuple[ProgressView, ...]:
        """How far each of an apply's targets is, in their order."""
        found: list[ProgressView] = []
        for start in range(0, len(targets), 50):  # a request's first line is bounded
            some = "&".join(f"target={quote(f'{t.id}@{t.revision}')}" for t in targets[start : start + 50])
            found += await self._many("GET", f"/v1/applies?{some}", ProgressView)
        return tuple(found)
