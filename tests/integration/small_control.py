"""A small Control in memory: what the API's and the CLI's tests ask instead of a daemon.

It keeps one service `echo` and what was asked of it; `raises` makes any method fail with that error.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import BinaryIO

from orchestrator.api.auditing import LOOKING
from orchestrator.api.control import Asked
from orchestrator.core.access_views import AuditView, ConfigView, SettingView
from orchestrator.core.ask_views import AskRequest
from orchestrator.core.audit import AuditEntry
from orchestrator.core.daemon_views import CheckView, StatusView, TryEvent, TryRequest, TryView
from orchestrator.core.errors import NotFound, Unavailable
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
from orchestrator.core.plan_views import (
    ApplyRequest,
    ApplyView,
    FieldView,
    PlanRequest,
    PlanView,
    ProgressState,
    ProgressView,
    ServicePlan,
    TargetView,
)
from orchestrator.core.ports import Chunk, Execution, Invocation
from orchestrator.core.revision_views import RevisionDetail, RevisionView
from orchestrator.core.schema import definition_schema
from orchestrator.core.state import RoutingStatus, ServiceStatus
from orchestrator.core.token_views import KeyView, TokenCheck, TokenRequest, TokenView
from orchestrator.core.traffic_views import (
    AccessEntry,
    AccessSeconds,
    LogLevel,
    LogLevelView,
    SeriesPoint,
    SeriesView,
    TopView,
    UsageView,
)
from orchestrator.core.views import (
    CauseView,
    EventView,
    ExplainView,
    FailureView,
    LaunchRequest,
    LaunchView,
    LogEntry,
    LogsAsked,
    ModifyRequest,
    RoutingView,
    ServiceDetail,
    ServiceView,
    instant,
)

ADMIN = "the-admin-token"
Cli = Callable[..., tuple[int, str, str]]
"""Runs the command in this process: exit code, standard output, standard error."""

ECHO = ServiceView(
    id="6f1c2a0e-0000-4000-8000-000000000001",
    name="echo",
    status=ServiceStatus.HEALTHY,
    desired_routing_count=1,
    healthy=1,
    revision="0123456789ab",
    endpoint="http://127.0.0.1:8080/inference/echo",
    source="folder",
    desired_in_file=1,
    folder="/srv/models/echo",
    model="echo",
    created_at=instant(1_700_000_000),
)
ROUTING = RoutingView(
    id="r1",
    service="echo",
    revision=ECHO.revision,
    status=RoutingStatus.HEALTHY,
    address="127.0.0.1:4000",
    runtime_id="c1",
    created_at=instant(1_700_000_000),
    healthy_since=instant(1_700_000_001),
)
TOP = TopView(
    service="echo",
    status="HEALTHY",
    desired=1,
    healthy=1,
    requests_per_second=12.5,
    p50=0.0021,
    p99=1.25,
    open=2,
    cpu=0.5,
)
SERIES = SeriesView(
    service="echo", step=10, points=(SeriesPoint(time=instant(1_700_000_000), requests=12.5, p50=0.002),)
)
USAGE = UsageView(day="2026-01-31", service="echo", token_id="t1", token_name="alice", requests=3, seconds=1.5)
ACCESS = AccessEntry(
    time=instant(1_700_000_000),
    request_id="q1",
    service="echo",
    routing="r1",
    token_id="t1",
    token_name="ali\x1bce",
    method="GET",
    path="/inference/echo/x",
    status=200,
    end="--",
    seconds=AccessSeconds(total=0.25, hold=0.125, queue=0.0, connect=0.0, first_byte=0.1),
    bytes_in=400,
    bytes_out=5000,
    client="127.0.0.1",
)
SPEC = {
    "model_name": "echo",
    "model_folder": "/srv/models/echo",
    "model_path": "/models",
    "model_mount": "/models",
    "port": 8000,
    "environ": {"KEY": "***"},
}
"""Of the revision that runs; the one before it had another image and no KEY."""


def revision(number: int, state: str, outcome: str = "", **more: object) -> RevisionDetail:
    told = {"at": instant(1_700_000_000 + number), "cause": "its definition changed", "by": "folder watch", **more}
    spec = {**SPEC, "image": f"i:{number}"} if number > 1 else {**SPEC, "image": "i:1", "environ": {}}
    texts = {"definition": {"model-definition.yml": f"models:\n- {number}\n"}, "files": {"/x": f"{number}\x1b[2J"}}
    view = {"number": number, "revision": f"{number:012x}", "state": state, "outcome": outcome or state}
    return RevisionDetail.model_validate({**view, "spec": spec, **texts, **told})


REVISIONS = (
    revision(3, "serving", what="image i:2 → i:3"),
    revision(2, "rolled back", "rolled back: it ended with exit code 1", files=None),
    revision(1, "good", by="", definition={}),
)
PLAN = PlanView(
    made_at=instant(1_700_000_000),
    services=(
        ServicePlan(
            service="echo",
            change="rolling",
            fields=(
                FieldView(path="deployment.image", before="i:1", after="i:2", kind="rolling"),
                FieldView(path="service.pre_start_actions[0].args.body", before="a\nb", after="a\nc", kind="rolling"),
            ),
            operations=("start routing 1 of 1 on revision 2",),
            fits=False,
            lacks=("no capacity: needs 1 cuda.device, 0 free",),
            revision=2,
        ),
    ),
    fits=False,
)
TARGET = TargetView(service="echo", id=ECHO.id, revision="abc", number=2, change="rolling")
LAUNCH = LaunchView(folder="/srv/models/echo", name="echo", environ={"KEY": "x"})
FAILURE = FailureView(
    at=instant(1),
    routing="r0",
    revision="2",
    code="exited",
    message="it ended with 1",
    hint="see",
    log_tail=("boom\x1b[2J",),
)
TRY = TryView(id="t1", state="running", folder="/m", created_at=instant(1))
TOKEN = TokenView(id="t1", service="echo", name="laptop", expires_at=instant(4_000_000_000))
MODEL = ModelView(
    name="echo",
    folder="/srv/models/echo",
    definition="model-definition.yml",
    valid=True,
    services=("echo",),
    status=ServiceStatus.HEALTHY,
    modified_at=instant(1_700_000_000),
    writable=True,
)
FILES = (
    FileView(path="weights", kind="folder", modified_at=instant(1_700_000_000)),
    FileView(path="server.py", kind="file", size=1536, modified_at=instant(1_700_000_000)),
)
DEFINITION = DefinitionView(file="model-definition.yml", text="models: []\n", digest="d1")
JUDGED = ValidateView(valid=True, resolved="  service echo, revision 1")

CONFIG = ConfigView(file="/c.toml", keys=(SettingView(key="runtime", value="process", set="/c.toml:1"),))
AUDIT = (
    AuditView(
        seq=7,
        time=instant(7),
        who="ci",
        action="Set the count",
        method="PUT",
        path="/v1/services/echo/scale",
        service="echo",
        status=200,
        before={"desired_routing_count": 1},
        after={"desired_routing_count": 2},
        client="127.0.0.1",
    ),
    AuditView(seq=8, time=instant(8), action="Rem\x1bove", method="DELETE", path="/v1/services/echo", status=401),
)


class SmallExecution:
    """Says what it was asked to, then gives its input back, which ends with what it got as exit code."""

    def __init__(self, asked: Invocation, closed: asyncio.Event) -> None:
        self.asked = asked
        self._closed = closed
        self._input: asyncio.Queue[bytes] = asyncio.Queue()
        self._code = 0

    async def output(self) -> AsyncIterator[Chunk]:
        yield "out", " ".join(self.asked.argv).encode() + b"\n"
        yield "err", b"complains\n"
        while self.asked.stdin and (data := await self._input.get()):
            if data.startswith(b"exit "):
                self._code = int(data.split()[1])
                return
            yield "out", data

    async def write(self, data: bytes) -> None:
        self._input.put_nowait(data)

    async def resize(self, columns: int, rows: int) -> None:
        self._input.put_nowait(b"%d x %d\n" % (columns, rows))

    async def wait(self) -> int:
        return self._code

    async def close(self) -> None:
        self._closed.set()


class SmallControl:
    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.raises: Exception | None = None
        self.recorded: dict[int, AuditEntry] = {}
        """The audit log, by `seq`."""
        self.service_view = ECHO
        self.later: list[ServiceView] = []
        """What `service` shows next, one a call; the last stays."""
        self.log: list[str] = ["first", "second \N{SNOWMAN}"]
        self.log_raises: Exception | None = None
        self.execution_raises: Exception | None = None
        self.tar: list[bytes] = [b"first", b"second"]
        """What a routing's files are; replaced by what is brought in."""
        self.verdict: str = "passed"
        self.plan_view = PLAN
        self.comes_to: list[tuple[ProgressState, str]] = [("under_way", "0 of 1 are HEALTHY"), ("done", "all are")]
        """What one question after the other about an apply is answered; the last one for ever."""
        self.content = b"0123456789"
        """Of every file of the model folder."""
        self.received = b""
        self.is_ready = True
        self.closed = asyncio.Event()
        """Set when a stream's source was closed."""

    def _note(self, *what: object) -> None:
        if LOOKING.get():
            return
        self.asked.append(what)
        if self.raises is not None:
            raise self.raises

    def _known(self, ref: str) -> ServiceView:
        if ref.lower() not in (self.service_view.name, self.service_view.id):
            raise NotFound(f"cannot find service {ref!r}", hint="`orchestrator ls` lists them")
        return self.service_view

    async def status(self) -> StatusView:
        self._note("status")
        return StatusView(
            version="1.2.3", runtime="memory", services={"HEALTHY": 1}, uptime=12.5, gateway={"state": "up"}
        )

    async def ready(self) -> None:
        if not self.is_ready:
            raise Unavailable("cannot serve yet: nothing was observed", hint="wait")

    async def metrics(self) -> bytes:
        return b"orchestrator_services 1\n"

    async def config(self) -> ConfigView:
        self._note("config")
        return CONFIG

    async def record(self, entry: AuditEntry) -> AuditEntry:
        entry = replace(entry, seq=entry.seq or len(self.recorded) + 1)
        self.recorded[entry.seq] = entry
        return entry

    async def audit(self, *, after: int, service: str | None, limit: int) -> Sequence[AuditView]:
        self._note("audit", after, service, limit)
        return AUDIT

    async def doctor(self) -> Sequence[CheckView]:
        return [CheckView(name="engine", state="fail", message="no engine", hint="start it")]

    async def services(self) -> Sequence[ServiceView]:
        self._note("services")
        return [self.service_view]

    async def service(self, ref: str) -> ServiceDetail:
        self._note("service", ref)
        known = self._known(ref)
        if self.later:
            self.service_view = known = self.later.pop(0)
        spec = {"name": "echo", "model_name": "echo", "routing": SPEC}
        return ServiceDetail(**known.model_dump(), routings=(ROUTING,), spec=spec, revision_number=3, launch=LAUNCH)

    async def routings(self, service: str | None) -> Sequence[RoutingView]:
        self._note("routings", service)
        if service is not None:
            self._known(service)
        return [ROUTING]

    async def start(self, request: LaunchRequest) -> ServiceView:
        self._note("start", request)
        return self.service_view

    async def remove(self, ref: str) -> None:
        self._note("remove", ref)
        self._known(ref)

    async def scale(self, ref: str, count: int | None) -> ServiceView:
        self._note("scale", ref, count)
        return self._known(ref)

    async def modify(self, ref: str, request: ModifyRequest) -> ServiceView:
        self._note("modify", ref, request.model_dump(exclude_unset=True))
        return self._known(ref)

    async def reset(self, ref: str, fields: Sequence[str] | None) -> ServiceView:
        self._note("reset", ref, fields)
        return self._known(ref)

    async def remove_routing(self, routing_id: str, *, replaced: bool) -> ServiceView:
        self._note("remove_routing", routing_id, replaced)
        return self.service_view

    async def sync(self, ref: str) -> ServiceView:
        self._note("sync", ref)
        return self._known(ref)

    async def retry(self, ref: str) -> ServiceView:
        self._note("retry", ref)
        return self._known(ref)

    async def confirm_removal(self, ref: str | None) -> Sequence[str]:
        self._note("confirm_removal", ref)
        return [ref or "echo"]

    async def revisions(self, ref: str) -> Sequence[RevisionView]:
        self._note("revisions", ref)
        self._known(ref)
        return [RevisionView.model_validate(dict(one)) for one in REVISIONS]

    async def revision(self, ref: str, number: int) -> RevisionDetail:
        self._note("revision", ref, number)
        self._known(ref)
        found = next((one for one in REVISIONS if one.number == number), None)
        if found is None:
            raise NotFound(f"echo has no revision {number}", hint="known are 3, 2, 1")
        return found

    async def rollback(self, ref: str, number: int | None) -> ServiceView:
        self._note("rollback", ref, number)
        return self._known(ref)

    async def promote(self, ref: str) -> ServiceView:
        self._note("promote", ref)
        return self._known(ref)

    async def abort(self, ref: str) -> ServiceView:
        self._note("abort", ref)
        return self._known(ref)

    async def set_ratio(self, routing_id: str, ratio: float) -> RoutingView:
        self._note("set_ratio", routing_id, ratio)
        return ROUTING.model_copy(update={"traffic_ratio": ratio})

    async def execute(self, routing_id: str, invocation: Invocation) -> Execution:
        self._note("execute", routing_id, invocation)
        if self.execution_raises is not None:
            raise self.execution_raises
        return SmallExecution(invocation, self.closed)

    async def archive(self, routing_id: str, path: str) -> AsyncIterator[bytes]:
        self._note("archive", routing_id, path)
        for block in self.tar:
            yield block
        if self.log_raises is not None:
            raise self.log_raises

    async def unpack(self, routing_id: str, path: str, archive: AsyncIterator[bytes], *, folder: bool) -> CopiedView:
        self._note("unpack", routing_id, path, folder)
        self.tar = [block async for block in archive]
        return CopiedView(routing=routing_id, path=path, files=1, size=2)

    async def plan(self, request: PlanRequest) -> PlanView:
        self._note("plan", request)
        return self.plan_view

    async def apply(self, request: ApplyRequest) -> ApplyView:
        self._note("apply", request)
        return ApplyView(targets=(TARGET,))

    async def applied(self, targets: Sequence[str]) -> Sequence[ProgressView]:
        self._note("applied", tuple(targets))
        state, message = self.comes_to[0]
        self.comes_to = self.comes_to[1:] or self.comes_to
        return [ProgressView(id=ECHO.id, name="echo", state=state, message=message, service=ECHO, routings=(ROUTING,))]

    async def explain(self, ref: str) -> ExplainView:
        self._note("explain", ref)
        cause = CauseView(code="exited", message="it ended with 1", hint="see the log", log_tail=("boom\x1b[2J",))
        return ExplainView(service=self._known(ref).name, status=ServiceStatus.UNHEALTHY, causes=(cause,))

    async def errors(self, ref: str) -> Sequence[FailureView]:
        self._note("errors", ref)
        self._known(ref)
        return [FAILURE]

    @asynccontextmanager
    async def ask_endpoint(self, ref: str, request: AskRequest) -> AsyncIterator[Asked]:
        self._note("ask_endpoint", ref, request)

        async def body() -> AsyncIterator[bytes]:
            yield b"one, "
            yield request.data or b""

        self._known(ref)
        yield Asked(418, {"content-type": "text/plain"}, body())

    async def logs(self, ref: str, asked: LogsAsked) -> AsyncIterator[LogEntry]:
        follow = asked.follow
        self._note("logs", ref, asked.model_dump(exclude_defaults=True))
        self._known(ref)
        try:
            for number, text in enumerate(self.log):
                yield LogEntry(time=instant(1.0), routing="r1", service="echo", text=text, cursor=f"r1@1+{number}")
            if self.log_raises is not None:
                raise self.log_raises
            if follow:
                await asyncio.Event().wait()
        finally:
            self.closed.set()

    async def events(self, *, after: int, service: str | None, limit: int, follow: bool) -> AsyncIterator[EventView]:
        self._note("events", after, service, limit, follow)
        for seq in range(after + 1, 4):
            yield EventView(time=instant(seq), kind="routing.healthy", service="echo", seq=seq, cause="passed")
        if follow:
            await asyncio.Event().wait()

    async def token_create(self, request: TokenRequest) -> TokenView:
        self._note("token_create", request)
        return TOKEN.model_copy(update={"token": "secret-text", "service": request.service})

    async def tokens(self, service: str | None) -> Sequence[TokenView]:
        self._note("tokens", service)
        return [TOKEN]

    async def token_revoke(self, token_id: str, *, now: bool) -> TokenView:
        self._note("token_revoke", token_id, now)
        return TOKEN.model_copy(update={"revoked_at": instant(5)})

    async def token_inspect(self, text: str) -> TokenCheck:
        self._note("token_inspect", text)
        claims = {"svc": "echo", "exp": 5, "iat": 1e300}
        return TokenCheck(valid=text == "good", reason="" if text == "good" else "expired", claims=claims)

    async def keys(self) -> Sequence[KeyView]:
        return [KeyView(kid="k1", signs=True)]

    async def rotate_key(self) -> KeyView:
        return KeyView(kid="k2", signs=True)

    async def drop_key(self, kid: str) -> KeyView:
        self._note("drop_key", kid)
        return KeyView(kid=kid)

    async def try_begin(self, request: TryRequest) -> TryView:
        self._note("try_begin", request)
        return TRY

    async def tries(self) -> Sequence[TryView]:
        self._note("tries")
        return [TRY]

    async def try_view(self, ident: str) -> TryView:
        self._note("try_view", ident)
        return TRY

    async def try_events(self, ident: str, *, after: int) -> AsyncIterator[TryEvent]:
        self._note("try_events", ident, after)
        for seq in range(after + 1, 4):
            state = "passed" if seq == 3 else "info"
            yield TryEvent(step="result" if seq == 3 else "log", state=state, message=f"{seq}", at=instant(1), seq=seq)

    async def try_cancel(self, ident: str) -> TryView:
        self._note("try_cancel", ident)
        return TRY.model_copy(update={"state": "cancelled", "finished": True})

    async def top(self) -> Sequence[TopView]:
        self._note("top")
        return [TOP]

    async def series(self, service: str | None, window: float) -> SeriesView:
        self._note("series", service, window)
        return SERIES

    async def usage(self, service: str | None, token: str | None, days: int) -> Sequence[UsageView]:
        self._note("usage", service, token, days)
        return [USAGE]

    async def access(self, ref: str, *, tail: int, follow: bool) -> AsyncIterator[AccessEntry]:
        self._note("access", ref, tail, follow)
        self._known(ref)
        yield ACCESS
        if follow:
            await asyncio.Event().wait()

    async def log_level(self) -> LogLevelView:
        return LogLevelView(level="info")

    async def set_log_level(self, level: LogLevel) -> LogLevelView:
        self._note("set_log_level", level)
        return LogLevelView(level=level)

    async def try_run(self, request: TryRequest) -> AsyncIterator[TryEvent]:
        self._note("try_run", request)
        yield TryEvent(step="start", state="started", at=instant(1))
        yield TryEvent.model_validate({"step": "probe", "state": self.verdict, "message": "done", "at": instant(2)})

    async def models(self) -> Sequence[ModelView]:
        self._note("models")
        return [MODEL]

    async def model(self, name: str) -> ModelView:
        self._note("model", name)
        return self._known_model(name)

    def _known_model(self, name: str) -> ModelView:
        if name != MODEL.name:
            raise NotFound(f"there is no model folder {name!r}", hint="`orchestrator models` lists them")
        return MODEL

    async def create_model(self, name: str) -> ModelView:
        self._note("create_model", name)
        return MODEL.model_copy(update={"name": name, "definition": "", "valid": False, "status": "none"})

    async def remove_model(self, name: str, *, force: bool) -> None:
        self._note("remove_model", name, force)
        self._known_model(name)

    async def model_files(self, name: str, below: str) -> Sequence[FileView]:
        self._note("model_files", name, below)
        return FILES

    async def open_model_file(self, name: str, file: str) -> BinaryIO:
        self._note("open_model_file", name, file)
        opened = tempfile.TemporaryFile()  # noqa: SIM115  # whoever asked closes it
        opened.write(self.content)
        opened.flush()
        return opened  # type: ignore[return-value]

    async def remove_model_file(self, name: str, file: str) -> None:
        self._note("remove_model_file", name, file)

    async def upload(self, name: str, file: str) -> UploadView:
        self._note("upload", name, file)
        return UploadView(path=file, received=len(self.received), total=0)

    async def upload_part(
        self, name: str, file: str, chunks: AsyncIterator[bytes], *, offset: int, total: int, executable: bool
    ) -> UploadView:
        self._note("upload_part", name, file, offset, total, executable)
        self.received = self.received[:offset] + b"".join([chunk async for chunk in chunks])
        done = len(self.received) == total
        return UploadView(path=file, received=len(self.received), total=total, done=done)

    async def definition(self, name: str) -> DefinitionView:
        self._note("definition", name)
        return DEFINITION

    async def write_definition(self, name: str, request: DefinitionRequest) -> DefinitionView:
        self._note("write_definition", name, request)
        return DEFINITION.model_copy(update={"text": request.text, "digest": "d2"})

    async def validate(self, request: ValidateRequest) -> ValidateView:
        self._note("validate", request)
        return JUDGED

    async def schema(self) -> Mapping[str, object]:
        return definition_schema()
