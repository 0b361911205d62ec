"""What the API may ask of the daemon. The composition root implements it; tests bring a small one of their own.

Every method raises errors of `core.errors` and nothing else. A `ref` is a service's id, or its name in any case.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from orchestrator.core.views import (
    CheckView,
    EventView,
    ExplainView,
    KeyView,
    LaunchRequest,
    LogEntry,
    RoutingView,
    ServiceDetail,
    ServiceView,
    StatusView,
    TokenCheck,
    TokenRequest,
    TokenView,
    TryEvent,
    TryRequest,
)


class Control(Protocol):
    """Iterators are closed (`aclose`) as soon as the client is gone; whatever they hold ends then."""

    async def status(self) -> StatusView: ...

    async def ready(self) -> None:
        """Raises `Unavailable` until the runtime was observed once, and while the store cannot be written."""

    async def metrics(self) -> bytes:
        """Prometheus text format."""

    async def doctor(self) -> Sequence[CheckView]: ...

    async def services(self) -> Sequence[ServiceView]: ...

    async def service(self, ref: str) -> ServiceDetail: ...

    async def routings(self, service: str | None) -> Sequence[RoutingView]: ...

    async def start(self, request: LaunchRequest) -> ServiceView: ...

    async def remove(self, ref: str) -> None: ...

    async def scale(self, ref: str, count: int | None) -> ServiceView:
        """`count` None: back to what the file says."""

    async def retry(self, ref: str) -> ServiceView:
        """Clear error and retry."""

    async def confirm_removal(self, ref: str | None) -> Sequence[str]:
        """Names of the services whose held removal now goes on; `ref` None: all."""

    async def explain(self, ref: str) -> ExplainView: ...

    def logs(self, ref: str, *, follow: bool, tail: int | None, since: float | None) -> AsyncIterator[LogEntry]:
        """`ref` may be a routing's id too; `tail` lines a routing; `since` in wall seconds."""

    def events(self, *, after: int, service: str | None, limit: int, follow: bool) -> AsyncIterator[EventView]:
        """In order, those whose seq is above `after`, at most `limit` of them (the latest), then with `follow` what
        comes."""

    async def token_create(self, request: TokenRequest) -> TokenView:
        """With `token` set."""

    async def tokens(self, service: str | None) -> Sequence[TokenView]: ...

    async def token_revoke(self, token_id: str, *, now: bool) -> TokenView:
        """`now`: requests that run with it are ended too."""

    async def token_inspect(self, text: str) -> TokenCheck: ...

    async def keys(self) -> Sequence[KeyView]: ...

    async def rotate_key(self) -> KeyView: ...

    async def drop_key(self, kid: str) -> KeyView: ...

    def try_run(self, request: TryRequest) -> AsyncIterator[TryEvent]: ...
