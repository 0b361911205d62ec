"""What the API may ask of the daemon. The composition root implements it; tests bring a small one of their own.

Every method raises errors of `core.errors` and nothing else. A `ref` is a service's id, or its name in any case.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from orchestrator.core.access_views import AuditView, ConfigView
from orchestrator.core.ask_views import AskRequest
from orchestrator.core.audit import AuditEntry
from orchestrator.core.daemon_views import CheckView, StatusView, TryEvent, TryRequest, TryView
from orchestrator.core.inside_views import CopiedView
from orchestrator.core.model_views import (
    DefinitionRequest,
    DefinitionView,
    FileView,
    ModelView,
    UploadView,
    ValidateRequest,
    ValidateView,
)
from orchestrator.core.plan_views import ApplyRequest, ApplyView, PlanRequest, PlanView, ProgressView
from orchestrator.core.ports import Execution, Invocation
from orchestrator.core.revision_views import RevisionDetail, RevisionView
from orchestrator.core.token_views import KeyView, TokenCheck, TokenRequest, TokenView
from orchestrator.core.traffic_views import AccessEntry, LogLevel, LogLevelView, SeriesView, TopView, UsageView
from orchestrator.core.views import (
    EventView,
    ExplainView,
    FailureView,
    LaunchRequest,
    LogEntry,
    LogsAsked,
    ModifyRequest,
    RoutingView,
    ServiceDetail,
    ServiceView,
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What an endpoint answers; `headers` by their names in lower case, `body` as it comes."""

    status: int
    headers: Mapping[str, str]
    body: AsyncIterator[bytes]


class Control(Protocol):
    """Iterators are closed (`aclose`) as soon as the client is gone; whatever they hold ends then."""

    async def status(self) -> StatusView: ...

    async def ready(self) -> None:
        """Raises `Unavailable` until the runtime was observed once, and while the store cannot be written."""

    async def metrics(self) -> bytes:
        """Prometheus text format."""

    async def doctor(self) -> Sequence[CheckView]: ...

    async def config(self) -> ConfigView: ...

    async def record(self, entry: AuditEntry) -> AuditEntry:
        """Write it to the audit log; one with a `seq` takes its own place. As it is stored, with its `seq`."""

    async def audit(self, *, after: int, service: str | None, limit: int) -> Sequence[AuditView]:
        """In order, those whose seq is above `after`, at most `limit` of them (the latest)."""

    async def services(self) -> Sequence[ServiceView]: ...

    async def service(self, ref: str) -> ServiceDetail: ...

    async def routings(self, service: str | None) -> Sequence[RoutingView]: ...

    async def start(self, request: LaunchRequest) -> ServiceView: ...

    async def remove(self, ref: str) -> None: ...

    async def scale(self, ref: str, count: int | None) -> ServiceView:
        """`count` None: back to what the file says."""

    async def modify(self, ref: str, request: ModifyRequest) -> ServiceView:
        """Only what is given changes. Raises `Conflict` (declared_in_file) where the folder's definition says it."""

    async def reset(self, ref: str, fields: Sequence[str] | None) -> ServiceView:
        """End overrides of these fields; None: of all."""

    async def remove_routing(self, routing_id: str, *, replaced: bool) -> ServiceView:
        """End one routing; `replaced` False: the desired count is one less from then on."""

    async def sync(self, ref: str) -> ServiceView:
        """Read its folder again, and tell the gateway anew what serves."""

    async def retry(self, ref: str) -> ServiceView:
        """Clear error and retry."""

    async def confirm_removal(self, ref: str | None) -> Sequence[str]:
        """Names of the services whose held removal now goes on; `ref` None: all."""

    async def revisions(self, ref: str) -> Sequence[RevisionView]:
        """Newest first."""

    async def revision(self, ref: str, number: int) -> RevisionDetail: ...

    async def rollback(self, ref: str, number: int | None) -> ServiceView:
        """`number` None: to the one before that was good. What runs then is a new revision."""

    async def promote(self, ref: str) -> ServiceView:
        """Go on with a rollout that waits or is judged. Raises `Conflict` where nothing does."""

    async def abort(self, ref: str) -> ServiceView:
        """Give up the rollout under way. Raises `Conflict` where there is none."""

    async def set_ratio(self, routing_id: str, ratio: float) -> RoutingView:
        """`ratio`: 0 to 1000, against the other routings of its service."""

    async def execute(self, routing_id: str, invocation: Invocation) -> Execution:
        """Run a command in a routing that runs. Whoever asked closes it."""

    def archive(self, routing_id: str, path: str) -> AsyncIterator[bytes]:
        """Files of a routing as a tar."""

    async def unpack(
        self, routing_id: str, path: str, archive: AsyncIterator[bytes], *, folder: bool
    ) -> CopiedView: ...

    async def plan(self, request: PlanRequest) -> PlanView:
        """What would change and how; nothing does."""

    async def apply(self, request: ApplyRequest) -> ApplyView:
        """Take over what waits. Raises `Conflict` (world_moved) where a saved plan is not what would be done now."""

    async def applied(self, targets: Sequence[str]) -> Sequence[ProgressView]:
        """How far each is: `ID@REVISION` as an apply's targets say; without a revision: the end of the service."""

    async def explain(self, ref: str) -> ExplainView: ...

    async def errors(self, ref: str) -> Sequence[FailureView]:
        """What failed since it was last cleared (`retry`), newest first."""

    def logs(self, ref: str, asked: LogsAsked) -> AsyncIterator[LogEntry]:
        """`ref` may be a routing's id too."""

    def events(self, *, after: int, service: str | None, limit: int, follow: bool) -> AsyncIterator[EventView]:
        """In order, those whose seq is above `after`, at most `limit` of them (the latest), then with `follow` what
        comes."""

    def ask_endpoint(self, ref: str, request: AskRequest) -> AbstractAsyncContextManager[Asked]:
        """A request to the service's own endpoint, and to nothing else. Raises `Unavailable`."""

    async def token_create(self, request: TokenRequest) -> TokenView:
        """With `token` set."""

    async def tokens(self, service: str | None) -> Sequence[TokenView]: ...

    async def token_revoke(self, token_id: str, *, now: bool) -> TokenView:
        """`now`: requests that run with it are ended too."""

    async def token_inspect(self, text: str) -> TokenCheck: ...

    async def keys(self) -> Sequence[KeyView]: ...

    async def rotate_key(self) -> KeyView: ...

    async def drop_key(self, kid: str) -> KeyView: ...

    async def models(self) -> Sequence[ModelView]:
        """By models_dir and name, also those that an earlier one of the name shadows."""

    async def model(self, name: str) -> ModelView: ...

    async def create_model(self, name: str) -> ModelView: ...

    async def remove_model(self, name: str, *, force: bool) -> None:
        """Raises `Conflict` (in_use) while services run from it, unless `force`: they end with it."""

    async def model_files(self, name: str, below: str) -> Sequence[FileView]:
        """`below`: path of a folder in it; empty: itself."""

    async def open_model_file(self, name: str, file: str) -> BinaryIO:
        """With a descriptor; whoever gets it closes it."""

    async def remove_model_file(self, name: str, file: str) -> None: ...

    async def upload(self, name: str, file: str) -> UploadView:
        """How far the upload of a file is."""

    async def upload_part(
        self, name: str, file: str, chunks: AsyncIterator[bytes], *, offset: int, total: int, executable: bool
    ) -> UploadView:
        """Raises `Conflict` (wrong_offset, upload_busy) or `Unavailable` (disk_full, broken_off); what came is kept."""

    async def definition(self, name: str) -> DefinitionView: ...

    async def write_definition(self, name: str, request: DefinitionRequest) -> DefinitionView:
        """Raises `InvalidDefinition`, with nothing written, or `Conflict` (changed)."""

    async def validate(self, request: ValidateRequest) -> ValidateView: ...

    async def schema(self) -> Mapping[str, object]:
        """The JSON Schema of definitions."""

    def try_run(self, request: TryRequest) -> AsyncIterator[TryEvent]:
        """A try that ends with whoever follows it."""

    async def try_begin(self, request: TryRequest) -> TryView:
        """A try in the background. Raises `Conflict` where too many run."""

    async def tries(self) -> Sequence[TryView]:
        """Newest first, without their events."""

    async def try_view(self, ident: str) -> TryView: ...

    def try_events(self, ident: str, *, after: int) -> AsyncIterator[TryEvent]:
        """Those whose seq is above `after`, to the end of the try."""

    async def try_cancel(self, ident: str) -> TryView:
        """Returns when nothing of it is left."""

    async def top(self) -> Sequence[TopView]:
        """Every service, by name."""

    async def series(self, service: str | None, window: float) -> SeriesView:
        """`service` None: all together; `window`: the last seconds, an hour at most."""

    async def usage(self, service: str | None, token: str | None, days: int) -> Sequence[UsageView]:
        """Of the last `days` days, today included. `token`: an id or a name."""

    def access(self, ref: str, *, tail: int, follow: bool) -> AsyncIterator[AccessEntry]:
        """The last `tail` requests of a service, oldest first, then with `follow` those that end."""

    async def log_level(self) -> LogLevelView: ...

    async def set_log_level(self, level: LogLevel) -> LogLevelView:
        """Until the daemon is restarted."""
