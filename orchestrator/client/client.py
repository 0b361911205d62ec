"""The API, one method a route: typed answers, and problems turned back into the errors that they were."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar, get_args
from urllib.parse import quote

import aiohttp
from pydantic import BaseModel, TypeAdapter, ValidationError

from orchestrator.client.inside import RemoteExecution
from orchestrator.client.trust import Trust
from orchestrator.core.access_views import AuditView, ConfigView, WhoamiView
from orchestrator.core.ask_views import AskRequest
from orchestrator.core.backendai import Modification
from orchestrator.core.daemon_views import CheckView, DocumentView, StatusView, TryEvent, TryRequest, TryView
from orchestrator.core.error_views import ErrorView
from orchestrator.core.errors import InvalidInput, OrchestratorError, Unavailable
from orchestrator.core.inside_views import SHELL, CopiedView
from orchestrator.core.model_views import (
    DefinitionRequest,
    DefinitionView,
    FileView,
    ModelRequest,
    ModelView,
    SchemaView,
    UploadView,
    ValidateRequest,
    ValidateView,
)
from orchestrator.core.plan_views import ApplyRequest, ApplyView, PlanRequest, PlanView, ProgressView, TargetView
from orchestrator.core.revision_views import RatioRequest, RevisionDetail, RevisionView, RollbackRequest
from orchestrator.core.token_views import InspectRequest, KeyView, TokenCheck, TokenRequest, TokenView
from orchestrator.core.traffic_views import (
    AccessEntry,
    LogLevel,
    LogLevelRequest,
    LogLevelView,
    SeriesView,
    TopView,
    UsageView,
)
from orchestrator.core.views import (
    ConfirmedView,
    ConfirmRequest,
    EventView,
    ExplainView,
    FailureView,
    HotField,
    LaunchRequest,
    LogEntry,
    ModifyRequest,
    ResetRequest,
    RoutingView,
    ScaleRequest,
    ServiceDetail,
    ServiceView,
)

SYSTEM = Trust()
Answer = TypeVar("Answer", bound=BaseModel)
Value = TypeVar("Value")

_STREAM = aiohttp.ClientTimeout(total=None, connect=5, sock_read=30)
"""Heartbeats come every 2 s: a silence of 30 s is a dead connection."""
_ARCHIVE = aiohttp.ClientTimeout(total=None, connect=5)
"""An answer comes once all was sent."""


_UPLOAD = aiohttp.ClientTimeout(total=None, connect=5, sock_read=600)
"""Of one part: a slow line may take long, and so may a slow disk with the last one."""
_TAR = {"Content-Type": "application/x-tar"}


_ENDPOINT = aiohttp.ClientTimeout(total=None, connect=5)
"""A model may think for as long as it likes."""


@dataclass(frozen=True, slots=True)
class EndpointAnswer:
    """What a service's endpoint answered; `headers` by their names in lower case, `body` as it comes."""

    status: int
    headers: Mapping[str, str]
    body: AsyncIterator[bytes]


class Client:
    """Use as `async with Client(url, token) as client`. Every method raises errors of `core.errors`.

    `timeout`: seconds that one call may take; streams have none, but notice a dead connection. `trust`: whose
    certificates are believed.
    """

    def __init__(self, url: str, token: str = "", *, timeout: float = 60.0, trust: Trust = SYSTEM) -> None:
        self.url = url.rstrip("/")
        self._trust = trust
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout = aiohttp.ClientTimeout(total=timeout, connect=5)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Client:
        connector = aiohttp.TCPConnector(ssl=self._trust.context() if self.url.startswith("https:") else True)
        self._session = aiohttp.ClientSession(headers=self._headers, read_bufsize=1 << 20, connector=connector)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    # --- the daemon

    async def status(self) -> StatusView:
        return await self._one("GET", "/v1/status", StatusView)

    async def alive(self) -> None:
        """The daemon's process is up; see `ready`."""
        await self._call("GET", "/healthz")

    async def document(self) -> DocumentView:
        """The API as the daemon describes it."""
        return await self._one("GET", "/openapi.json", DocumentView)

    async def ready(self) -> None:
        """Raises `Unavailable` while the daemon is not."""
        await self._call("GET", "/readyz")

    async def metrics(self) -> bytes:
        return await self._call("GET", "/metrics")

    async def doctor(self) -> tuple[CheckView, ...]:
        return await self._many("GET", "/v1/doctor", CheckView)

    async def whoami(self) -> WhoamiView:
        return await self._one("GET", "/v1/whoami", WhoamiView)

    async def config(self) -> ConfigView:
        return await self._one("GET", "/v1/config", ConfigView)

    async def audit(self, *, after: int = 0, service: str | None = None, limit: int = 100) -> tuple[AuditView, ...]:
        """Who changed what through the API; the newest last."""
        query = {"after": after, "service": service, "limit": limit}
        return await self._many("GET", "/v1/audit", AuditView, query=query)

    # --- services and routings

    async def services(self) -> tuple[ServiceView, ...]:
        return await self._many("GET", "/v1/services", ServiceView)

    async def service(self, ref: str) -> ServiceDetail:
        return await self._one("GET", _path("/v1/services", ref), ServiceDetail)

    async def routings(self, service: str | None = None) -> tuple[RoutingView, ...]:
        return await self._many("GET", "/v1/routings", RoutingView, query={"service": service})

    async def start(self, request: LaunchRequest) -> ServiceView:
        return await self._one("POST", "/v1/services", ServiceView, body=request)

    async def remove(self, ref: str) -> None:
        await self._call("DELETE", _path("/v1/services", ref))

    async def scale(self, ref: str, count: int | None) -> ServiceView:
        """`count` None: back to what the file says."""
        path = _path("/v1/services", ref) + "/scale"
        return await self._one("PUT", path, ServiceView, body=ScaleRequest(count=count))

    async def modify(self, ref: str, request: ModifyRequest) -> ServiceView:
        """Only what was given to `request` changes."""
        return await self._one("PATCH", _path("/v1/services", ref), ServiceView, body=request)

    async def reset(self, ref: str, fields: Sequence[str] | None = None) -> ServiceView:
        """End overrides of these fields; None: of all."""
        try:
            body = ResetRequest.model_validate({"fields": fields})
        except ValidationError:
            hint = f"what can be overridden: {', '.join(get_args(HotField))}"
            raise InvalidInput(
                f"cannot reset {', '.join(fields or ())}: no such field is overridden", hint=hint
            ) from None
        return await self._one("POST", _path("/v1/services", ref) + "/reset", ServiceView, body=body)

    async def remove_routing(self, routing_id: str, *, replaced: bool = False) -> ServiceView:
        """`replaced` False: the desired count is one less from then on."""
        path, query = _path("/v1/routings", routing_id), {"replace": _flag(replaced)}
        return await self._one("DELETE", path, ServiceView, query=query)

    async def sync(self, ref: str) -> ServiceView:
        """Its folder is read again, and the gateway told anew what serves."""
        return await self._one("POST", _path("/v1/services", ref) + "/sync", ServiceView)

    async def retry(self, ref: str) -> ServiceView:
        return await self._one("POST", _path("/v1/services", ref) + "/retry", ServiceView)

    async def confirm_removal(self, ref: str | None = None) -> tuple[str, ...]:
        body = ConfirmRequest(service=ref)
        return (await self._one("POST", "/v1/removals/confirm", ConfirmedView, body=body)).removed

    async def explain(self, ref: str) -> ExplainView:
        return await self._one("GET", _path("/v1/services", ref) + "/explain", ExplainView)

    async def revisions(self, ref: str) -> tuple[RevisionView, ...]:
        """Newest first."""
        return await self._many("GET", _path("/v1/services", ref) + "/revisions", RevisionView)

    async def revision(self, ref: str, number: int) -> RevisionDetail:
        return await self._one("GET", _path("/v1/services", ref) + f"/revisions/{number}", RevisionDetail)

    async def rollback(self, ref: str, number: int | None = None) -> ServiceView:
        """`number` None: to the one before that was good."""
        path, body = _path("/v1/services", ref) + "/rollback", RollbackRequest(revision=number)
        return await self._one("POST", path, ServiceView, body=body)

    async def promote(self, ref: str) -> ServiceView:
        return await self._one("POST", _path("/v1/services", ref) + "/promote", ServiceView)

    async def abort(self, ref: str) -> ServiceView:
        return await self._one("POST", _path("/v1/services", ref) + "/abort", ServiceView)

    async def set_ratio(self, routing_id: str, ratio: float) -> RoutingView:
        body = RatioRequest(traffic_ratio=ratio)
        return await self._one("PUT", _path("/v1/routings", routing_id), RoutingView, body=body)

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

    async def errors(self, ref: str) -> tuple[FailureView, ...]:
        """What failed since it was last cleared (`retry`), newest first."""
        return await self._many("GET", _path("/v1/services", ref) + "/errors", FailureView)

    async def logs(
        self,
        ref: str,
        *,
        follow: bool = False,
        tail: int | None = None,
        since: float | None = None,
        limit: int | None = None,
        after: str | None = None,
        before: str | None = None,
    ) -> AsyncGenerator[LogEntry, None]:
        """Of a service or a routing; `since` in wall seconds. `limit` lines in all, the first `after` a line's cursor,
        else the last ones (`before` a line's cursor)."""
        place = {"limit": limit, "after": after, "before": before}
        query = {"follow": _flag(follow), "tail": tail, "since": since, **place}
        async for line in self._lines("GET", _path("/v1/logs", ref), query=query):
            yield _read(LogEntry, line)

    async def events(self, *, after: int = 0, service: str | None = None, limit: int = 100) -> tuple[EventView, ...]:
        query = {"after": after, "service": service, "limit": limit}
        return await self._many("GET", "/v1/events", EventView, query=query)

    async def follow_events(
        self, *, after: int = 0, service: str | None = None, limit: int = 100
    ) -> AsyncGenerator[EventView, None]:
        query = {"after": after, "service": service, "limit": limit, "follow": "true"}
        async for event in self._server_sent("/v1/events", EventView, query=query):
            yield event

    @asynccontextmanager
    async def ask_endpoint(self, ref: str, request: AskRequest) -> AsyncIterator[EndpointAnswer]:
        """Ask a service's endpoint through the daemon. Its body is read inside the `with`."""
        path = _path("/v1/services", ref) + "/ask"
        async with self._answer("POST", path, None, request, _ENDPOINT) as response:
            headers = json.loads(response.headers["X-Upstream-Headers"])
            status = int(response.headers["X-Upstream-Status"])
            yield EndpointAnswer(status, headers, response.content.iter_any())

    # --- inside a routing

    async def execute(
        self,
        routing_id: str,
        command: Sequence[str] = SHELL,
        *,
        tty: bool = False,
        stdin: bool = False,
        user: str = "",
        folder: str = "",
        environ: Mapping[str, str] | None = None,
        size: tuple[int, int] = (80, 24),
    ) -> RemoteExecution:
        """A command in a routing; whoever got it closes it."""
        query: list[tuple[str, str]] = [("cmd", word) for word in command]
        query += [("env", f"{key}={value}") for key, value in (environ or {}).items()]
        query += [("columns", str(size[0])), ("rows", str(size[1]))]
        given = {"tty": _flag(tty), "stdin": _flag(stdin), "user": user, "folder": folder}
        query += [(name, value) for name, value in given.items() if value]
        return RemoteExecution(await self._socket(_path("/v1/routings", routing_id) + "/exec", query))

    async def archive(self, routing_id: str, path: str = ".") -> AsyncGenerator[bytes, None]:
        """A tar of the file or folder at `path`, as the routing sees it. Raises `Unavailable` where it is cut off."""
        where = _path("/v1/routings", routing_id) + "/files"
        async with self._answer("GET", where, {"path": path}, None, _STREAM) as response:
            async for data in response.content.iter_any():
                yield data

    async def unpack(
        self, routing_id: str, archive: AsyncIterable[bytes], path: str = ".", *, into: bool = False
    ) -> CopiedView:
        """A tar into the folder `path`; where `path` is none (and not `into`), its one root becomes `path`."""
        where, query = _path("/v1/routings", routing_id) + "/files", {"path": path, "into": _flag(into)}
        async with self._answer("PUT", where, query, None, _ARCHIVE, headers=_TAR, data=archive) as response:
            return _read(CopiedView, await response.read())

    # --- requests

    async def top(self) -> tuple[TopView, ...]:
        """Every service, by name."""
        return await self._many("GET", "/v1/top", TopView)

    async def series(self, service: str | None = None, *, window: float = 3600) -> SeriesView:
        """`service` None: all together; `window`: seconds back from now."""
        return await self._one("GET", "/v1/series", SeriesView, query={"service": service, "window": window})

    async def usage(
        self, *, service: str | None = None, token: str | None = None, days: int = 30
    ) -> tuple[UsageView, ...]:
        """`token`: an id or a name; `days` back from now, today included."""
        query = {"service": service, "token": token, "days": days}
        return await self._many("GET", "/v1/usage", UsageView, query=query)

    async def access(self, ref: str, *, tail: int = 100, follow: bool = False) -> AsyncGenerator[AccessEntry, None]:
        """The last `tail` requests of a service, then with `follow` those that end."""
        path, query = _path("/v1/access", ref), {"tail": tail, "follow": _flag(follow)}
        if not follow:
            for entry in await self._many("GET", path, AccessEntry, query=query):
                yield entry
            return
        async for line in self._lines("GET", path, query=query):
            yield _read(AccessEntry, line)

    async def log_level(self) -> LogLevelView:
        return await self._one("GET", "/v1/log", LogLevelView)

    async def set_log_level(self, level: LogLevel) -> LogLevelView:
        return await self._one("PUT", "/v1/log", LogLevelView, body=LogLevelRequest(level=level))

    # --- tokens

    async def token_create(self, request: TokenRequest) -> TokenView:
        return await self._one("POST", "/v1/tokens", TokenView, body=request)

    async def tokens(self, service: str | None = None) -> tuple[TokenView, ...]:
        return await self._many("GET", "/v1/tokens", TokenView, query={"service": service})

    async def token_revoke(self, token_id: str, *, now: bool = False) -> TokenView:
        return await self._one("DELETE", _path("/v1/tokens", token_id), TokenView, query={"now": _flag(now)})

    async def token_inspect(self, text: str) -> TokenCheck:
        return await self._one("POST", "/v1/tokens/inspect", TokenCheck, body=InspectRequest(token=text))

    async def keys(self) -> tuple[KeyView, ...]:
        return await self._many("GET", "/v1/keys", KeyView)

    async def rotate_key(self) -> KeyView:
        return await self._one("POST", "/v1/keys", KeyView)

    async def drop_key(self, kid: str) -> KeyView:
        return await self._one("DELETE", _path("/v1/keys", kid), KeyView)

    # --- tries

    async def try_run(self, request: TryRequest) -> AsyncGenerator[TryEvent, None]:
        async for line in self._lines("POST", "/v1/try", body=request):
            yield _read(TryEvent, line)

    # --- model folders

    async def models(self) -> tuple[ModelView, ...]:
        return await self._many("GET", "/v1/models", ModelView)

    async def model(self, name: str) -> ModelView:
        return await self._one("GET", _path("/v1/models", name), ModelView)

    async def create_model(self, name: str) -> ModelView:
        return await self._one("POST", "/v1/models", ModelView, body=ModelRequest(name=name))

    async def remove_model(self, name: str, *, force: bool = False) -> None:
        """`force`: also while services run from it, which end with it."""
        await self._call("DELETE", _path("/v1/models", name), query={"force": _flag(force)})

    async def model_files(self, name: str, below: str = "") -> tuple[FileView, ...]:
        """What lies directly in the folder `below` of a model folder."""
        return await self._many("GET", _path("/v1/models", name) + "/files", FileView, query={"path": below or None})

    async def download(
        self, name: str, file: str, *, offset: int = 0, chunk: int = 1 << 20
    ) -> AsyncGenerator[bytes, None]:
        """A file's bytes from `offset`, at most `chunk` at a time. Raises `Unavailable` where they end too soon."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        async with self._answer("GET", _file(name, file), None, None, _STREAM, headers=headers) as response:
            async for some in response.content.iter_chunked(chunk):
                yield some

    async def upload(self, name: str, file: str) -> UploadView:
        """How far the upload of a file is: where to go on."""
        return await self._one("GET", _file(name, file), UploadView, query={"part": "true"})

    async def upload_part(
        self, name: str, file: str, data: bytes, *, offset: int = 0, total: int | None = None, executable: bool = False
    ) -> UploadView:
        """At most `core.model_views.PART` bytes of a file of `total` bytes (None: these are all) from `offset` on. The
        last part may take long: the file is on the disk when it is answered."""
        query = {"offset": offset, "total": len(data) if total is None else total, "executable": _flag(executable)}
        headers = {"Content-Type": "application/octet-stream"}
        path = _file(name, file)
        async with self._answer("PUT", path, query, None, _UPLOAD, headers=headers, data=data) as response:
            return _read(UploadView, await response.read())

    async def remove_model_file(self, name: str, file: str) -> None:
        """A file, a folder with all that is in it, or an upload that was begun."""
        await self._call("DELETE", _file(name, file))

    async def definition(self, name: str) -> DefinitionView:
        """`digest` null: it has none yet."""
        return await self._one("GET", _path("/v1/models", name) + "/definition", DefinitionView)

    async def write_definition(self, name: str, request: DefinitionRequest) -> DefinitionView:
        """Raises `InvalidDefinition`, with nothing written, or `Conflict` (code `changed`)."""
        return await self._one("PUT", _path("/v1/models", name) + "/definition", DefinitionView, body=request)

    async def validate(self, request: ValidateRequest) -> ValidateView:
        return await self._one("POST", "/v1/validate", ValidateView, body=request)

    async def schema(self) -> SchemaView:
        """The JSON Schema of definitions."""
        return await self._one("GET", "/v1/schema", SchemaView)

    async def try_begin(self, request: TryRequest) -> TryView:
        """In the background: it goes on without this client."""
        return await self._one("POST", "/v1/tries", TryView, body=request)

    async def tries(self) -> tuple[TryView, ...]:
        """Newest first, without their events."""
        return await self._many("GET", "/v1/tries", TryView)

    async def try_view(self, ident: str) -> TryView:
        return await self._one("GET", _path("/v1/tries", ident), TryView)

    async def try_events(self, ident: str, *, after: int = 0) -> AsyncGenerator[TryEvent, None]:
        """Those whose seq is above `after`, to the end of the try."""
        async for event in self._server_sent(_path("/v1/tries", ident) + "/events", TryEvent, last=str(after)):
            yield event

    async def try_cancel(self, ident: str) -> TryView:
        """Returns when nothing of it is left."""
        return await self._one("DELETE", _path("/v1/tries", ident), TryView)

    async def ask(
        self, method: str, path: str, *, query: Mapping[str, object] | None = None, body: BaseModel | None = None
    ) -> bytes:
        """Any path of the API, as it answers."""
        return await self._call(method, path, query=query, body=body)

    async def raw(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Any path with any body: status, headers (names in lower case) and body."""
        async with self._answer(method, path, query, None, self._timeout, headers=headers, data=data) as response:
            told = {name.lower(): value for name, value in response.headers.items()}
            return response.status, told, await response.read()

    # --- the wire

    async def _one(
        self,
        method: str,
        path: str,
        answer: type[Answer],
        *,
        query: Mapping[str, object] | None = None,
        body: BaseModel | None = None,
    ) -> Answer:
        return _read(answer, await self._call(method, path, query=query, body=body))

    async def _many(
        self, method: str, path: str, answer: type[Answer], *, query: Mapping[str, object] | None = None
    ) -> tuple[Answer, ...]:
        return _parse(TypeAdapter(tuple[answer, ...]), await self._call(method, path, query=query))  # type: ignore[valid-type]

    async def _call(
        self, method: str, path: str, *, query: Mapping[str, object] | None = None, body: BaseModel | None = None
    ) -> bytes:
        async with self._answer(method, path, query, body, self._timeout) as response:
            return await response.read()

    async def _lines(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: BaseModel | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """Lines that are not heartbeats. Raises the error that the stream ends with."""
        async with self._answer(method, path, query, body, _STREAM, headers=headers) as response:
            async for line in response.content:
                line = line.strip()
                if line.startswith(b'{"error":'):
                    raise ErrorView.model_validate(json.loads(line)["error"]).error()
                if line:
                    yield line

    async def _server_sent(
        self, path: str, kind: type[Answer], *, query: Mapping[str, object] | None = None, last: str = ""
    ) -> AsyncGenerator[Answer, None]:
        """Events of a stream; `last`: the id after which it goes on. Raises the error that it ends with."""
        event = ""
        async for line in self._lines("GET", path, query=query, headers={"Last-Event-ID": last} if last else {}):
            name, _, value = line.partition(b":")
            if name == b"event":
                event = value.strip().decode()
            elif name == b"data" and event == "error":
                raise _read(ErrorView, value).error()
            elif name == b"data":
                yield _read(kind, value)

    @asynccontextmanager
    async def _answer(
        self,
        method: str,
        path: str,
        query: Mapping[str, object] | None,
        body: BaseModel | None,
        timeout: aiohttp.ClientTimeout,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | AsyncIterable[bytes] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            raise RuntimeError("a Client is used inside `async with`")
        sent: dict[str, Any] = {"params": {k: str(v) for k, v in (query or {}).items() if v is not None}}
        sent["headers"] = dict(headers or {})
        if body is not None:
            only_given = isinstance(body, ModifyRequest | Modification)  # there null is another thing than nothing
            # What is left out is not sent: a daemon that is older than its clients refuses keys that it does not know.
            sent["data"] = body.model_dump_json(exclude_unset=only_given, exclude_defaults=not only_given)
            sent["headers"]["Content-Type"] = "application/json"
        elif data is not None:
            sent["data"] = io.BytesIO(data) if isinstance(data, bytes) else data
        try:
            async with self._session.request(
                method, self.url + path, timeout=timeout, allow_redirects=False, **sent
            ) as response:
                if response.status >= 300:
                    raise await _problem(response)
                yield response
        except (TimeoutError, aiohttp.ClientError, ConnectionError, ValueError) as error:
            raise self._unreached(error) from None

    async def _socket(self, path: str, query: Sequence[tuple[str, str]]) -> aiohttp.ClientWebSocketResponse:
        if self._session is None:
            raise RuntimeError("a Client is used inside `async with`")
        try:
            return await self._session.ws_connect(self.url + path, params=query, heartbeat=15.0, max_msg_size=1 << 22)
        except aiohttp.WSServerHandshakeError as error:
            raise await self._refusal(path, query, error) from None
        except (TimeoutError, aiohttp.ClientError, ConnectionError, ValueError) as error:
            raise self._unreached(error) from None

    async def _refusal(
        self, path: str, query: Sequence[tuple[str, str]], error: aiohttp.WSServerHandshakeError
    ) -> OrchestratorError:
        """A refused handshake does not show the answer's body: asked as no WebSocket, the same is refused by the same
        words, and nothing is run."""
        assert self._session is not None
        async with self._session.get(self.url + path, params=query) as response:
            if response.status >= 300:
                return await _problem(response)
        return Unavailable(f"cannot open a connection to the daemon: it answered {error.status}")

    def _unreached(self, error: Exception) -> Unavailable:
        if isinstance(error, TimeoutError):
            return Unavailable(f"cannot reach the daemon at {self.url}: no answer in time", code="timeout")
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return Unavailable(
                f"cannot trust the daemon at {self.url}: {_mistrust(error)}",
                hint="--ca FILE or ORCHESTRATOR_CA names its certificate, or that of the authority that signed it",
                code="not_trusted",
            )
        if isinstance(error, aiohttp.ClientSSLError):
            hint = "does it listen without TLS? then its address begins with http://"
            return Unavailable(f"cannot talk to the daemon at {self.url}: it speaks no TLS", hint=hint)
        if isinstance(error, aiohttp.ServerDisconnectedError):
            hint = "does it listen with TLS? then its address begins with https://" if _plain(self.url) else ""
            return Unavailable(f"cannot talk to the daemon at {self.url}: it hung up", hint=hint)
        if isinstance(error, aiohttp.ClientConnectorError):
            return Unavailable(
                f"cannot reach the daemon at {self.url}: {_reason(error.os_error)}",
                hint="is it running? start it with: orchestrator serve",
                code="no_daemon",
            )
        return Unavailable(f"cannot talk to the daemon at {self.url}: {error}")


def _path(prefix: str, ref: str) -> str:
    """`ref` as one segment, whatever it holds."""
    return f"{prefix}/{quote(ref, safe='')}"


def _file(name: str, file: str) -> str:
    return f"{_path('/v1/models', name)}/files/{quote(file, safe='')}"


def _reason(error: OSError) -> str:
    return "nothing listens there" if isinstance(error, ConnectionRefusedError) else error.strerror or str(error)


def _mistrust(error: aiohttp.ClientConnectorCertificateError) -> str:
    told = getattr(error.certificate_error, "verify_message", "") or str(error.certificate_error)
    return str(told).strip(". ")


def _plain(url: str) -> bool:
    return url.startswith("http:")


def _flag(value: bool) -> str | None:
    return "true" if value else None


def _read(kind: type[Answer], data: bytes) -> Answer:
    return _parse(TypeAdapter(kind), data)


def _parse(adapter: TypeAdapter[Value], data: bytes) -> Value:
    try:
        return adapter.validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise Unavailable(
            f"cannot understand the daemon's answer: {place}: {first['msg']}",
            hint="client and daemon are of different versions, or another program answers at this address",
        ) from None


async def _problem(response: aiohttp.ClientResponse) -> OrchestratorError:
    data = await response.content.read(1 << 16)
    try:
        return ErrorView.model_validate_json(data).error()
    except ValidationError:
        text = f"cannot use {response.url.origin()}: it answered {response.status}, not as an orchestrator does"
        return Unavailable(text, hint="another program may listen there; see --url")
