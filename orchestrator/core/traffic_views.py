"""What API, client and CLI say of requests: rates and latencies, series of them, usage by token, access entries."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, Field

from orchestrator.core.views import Request, View

LogLevel = Literal["debug", "info", "warning", "error"]


class TopView(View):
    """One service as `top` shows it: rates of the last seconds. Latencies in seconds, None where nothing was answered;
    `cpu` in cores and `memory` in bytes over its routings, None where they cannot be seen."""

    service: str
    status: str
    desired: int
    healthy: int
    requests_per_second: float = 0.0
    errors_per_second: float = 0.0
    """Answers with 5xx."""
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    open: int = 0
    """Requests that a routing works on."""
    queued: int = 0
    """Requests that wait in the gateway."""
    bytes_per_second: float = 0.0
    """Sent to clients."""
    cpu: float | None = None
    memory: int | None = None


class SeriesPoint(View):
    """`time`: the end of the step that it is about. `requests` and `errors` a second, the rest as in `TopView`."""

    time: AwareDatetime
    requests: float = 0.0
    errors: float = 0.0
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    open: int = 0
    queued: int = 0
    desired: int = 0
    healthy: int = 0
    cpu: float | None = None
    memory: int | None = None


class SeriesView(View):
    """The past of one service, or of all together (`service` empty), oldest first; `step` in seconds. It is kept in
    memory: it begins with the daemon."""

    service: str = ""
    step: float
    points: tuple[SeriesPoint, ...] = ()


class UsageView(View):
    """What one token used of one service on one day (UTC). `token_id` empty: requests without a token. `seconds`: the
    sum of their times."""

    day: str
    service: str
    token_id: str = ""
    token_name: str = ""
    requests: int = 0
    errors: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    seconds: float = 0.0


class AccessSeconds(View):
    """Where a request's time went; None: it did not come so far. `hold`: it waited for its service to be exchanged or
    started, `queue`: for a routing, `first_byte`: for the head of the answer."""

    total: float
    hold: float = 0.0
    queue: float | None = None
    connect: float | None = None
    first_byte: float | None = None


class AccessEntry(View):
    """One request that has ended. `status` None: the client went away before there was one. `end`: HAProxy's
    termination state, `--` for an ordinary end. `path` is without its query."""

    time: AwareDatetime
    request_id: str = ""
    service: str
    routing: str = ""
    token_id: str = ""
    token_name: str = ""
    method: str = ""
    path: str = ""
    status: int | None = None
    end: str = ""
    seconds: AccessSeconds
    bytes_in: int = 0
    bytes_out: int = 0
    client: str = ""


class LogLevelRequest(Request):
    level: LogLevel


class LogLevelView(View):
    level: LogLevel = Field(description="Least level that the daemon logs, until it is restarted.")
