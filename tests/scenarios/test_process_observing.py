"""What is seen of requests: each is counted once and written down, whatever becomes of the daemon; metrics, traces."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web
from harness import Daemon, echo, free_port, until
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from traffic import Load

from orchestrator.core.ask_views import AskRequest

PACKAGING = Path(__file__).parents[2] / "packaging"
WITH_METRICS = """
import http.server, json, sys, time
METRICS = (
    '# TYPE answers counter\\nanswers_total{service="mine"} 7\\n'
    '# TYPE orchestrator_services gauge\\norchestrator_services 99\\n'
)
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        told = json.dumps({"headers": {k.lower(): v for k, v in self.headers.items()}})
        body = (METRICS if self.path == "/metrics" else told).encode()
        if self.path.startswith("/slow"): time.sleep(0.3)
        self.send_response(500 if self.path == "/fails" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
"""


async def test_each_request_is_counted_once_and_written_down(daemon: Daemon) -> None:
    """Over reloads, a daemon that is killed under load, and one that is away for a while."""
    daemon.drop("echo", echo(deployment={"desired_routing_count": 2}))
    await daemon.settled("echo")
    alice = await daemon.token("echo", name="alice")
    header = {"Authorization": f"Bearer {alice.token}"}
    async with Load(daemon.endpoint("echo"), header, rate=300, connections=6) as load:
        await load.reaches(200)
        for round_ in range(2):
            daemon.drop(f"other{round_}", echo(f"other{round_}"))  # a reload each
            await daemon.settled(f"other{round_}")
            await daemon.kill()
            await load.reaches(load.answered + 100)
            await daemon.start()
    assert not load.failures, load

    async def counted() -> int:
        return sum(row.requests for row in await daemon.client.usage(token="alice"))

    async def all_of_them() -> bool:
        found = await counted()
        assert found >= load.answered, (found, load.answered)
        return True

    await until(all_of_them, what="all are counted")
    await asyncio.sleep(0.5)  # whatever would be counted twice has come by now
    assert await counted() == load.answered
    (row,) = await daemon.client.usage(service="ECHO", token=alice.id)
    assert (row.token_name, row.service, row.errors) == ("alice", "echo", 0)
    assert row.bytes_out > 100 * load.answered
    written = [one async for one in daemon.client.access("echo", tail=10_000)]
    assert len(written) - load.answered < 100, "twice only what a killed daemon had just written: a batch each"
    assert len({one.request_id for one in written}) == load.answered
    assert {(one.token_name, one.status, one.path) for one in written} == {("alice", 200, "/inference/echo/")}

    for _ in range(2):  # what is asked through the API has one name, however often
        async with daemon.client.ask_endpoint("echo", AskRequest(path="/")) as answer:
            assert answer.status == 200

    async def both_by_ask() -> bool:
        rows = await daemon.client.usage(token="ask")
        return [(row.token_id, row.token_name, row.requests) for row in rows] == [("ask", "ask", 2)]

    await until(both_by_ask, what="both are counted as one token's")


async def test_a_request_is_followed_from_the_gateway_to_its_routing_and_into_every_record(
    daemons: Callable[..., Awaitable[Daemon]],
) -> None:
    async with receiver() as (spans, address):
        more = {
            "ORCHESTRATOR_METRICS__ROUTINGS": "true",
            "ORCHESTRATOR_TRACING__ENDPOINT": address,
            "ORCHESTRATOR_TRACING__SAMPLE": "1",
        }
        daemon = await daemons(environ=more)
        update = {"strategy": "recreate"}
        definition = echo(
            deployment={"update": update, "stop_grace": 1},
            start_command=["python", "/models/server.py", "--port", "{port}"],
        )
        daemon.drop("Echo", definition, {"server.py": WITH_METRICS})
        await daemon.settled("echo")
        alice = await daemon.token("echo", name="alice")
        header = {"Authorization": f"Bearer {alice.token}"}

        # an id and a trace that the client chose reach the routing; the trace below the gateway's own span
        trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
        chosen = {**header, "X-Request-ID": "chosen-1", "traceparent": f"00-{trace}-{parent}-01"}
        status, told = await daemon.ask("echo", "/slow?key=hunter2", header=chosen)
        assert (status, told["headers"]["x-request-id"]) == (200, "chosen-1")
        _, _, below, flags = told["headers"]["traceparent"].split("-")
        assert told["headers"]["traceparent"].split("-")[1] == trace
        assert (below != parent, flags) == (True, "01")
        assert (await daemon.ask("echo", "/fails", header=header))[0] == 500
        assert (await daemon.ask("echo"))[0] == 401

        # one waits while its routings are exchanged
        async def held() -> Any:
            return next(
                (one for one in [e async for e in daemon.client.access("echo")] if one.seconds.hold > 0.05), None
            )

        definition["models"][0]["deployment"]["environ"] = {"VERSION": "2"}
        daemon.edit("Echo", definition)
        async with Load(daemon.endpoint("echo"), header, rate=40, connections=4) as load:
            waited = await until(held, what="a request that was held")
        assert not load.failures, load
        assert waited.seconds.total >= waited.seconds.hold
        assert waited.seconds.queue < 0.05, "what it was held is not told as queue too"

        # the entry of the one that was chosen, and of the others
        entries = {one.request_id: one async for one in daemon.client.access("echo", tail=1000)}
        slow = entries["chosen-1"]
        assert (slow.path, slow.status) == ("/inference/echo/slow", 200)
        assert (slow.token_name, slow.token_id) == ("alice", alice.id)
        assert 0.3 <= slow.seconds.first_byte <= slow.seconds.total < 3
        assert {one.status for one in entries.values()} == {200, 401, 500}

        # its spans
        named = await until(lambda: _of_trace(spans, trace, 2), what="its spans came")
        root, upstream = named["GET echo"], named["upstream"]
        assert (root.parent_span_id.hex(), upstream.parent_span_id, upstream.span_id.hex()) == (
            parent,
            root.span_id,
            below,
        )
        assert 0.3e9 <= upstream.end_time_unix_nano - upstream.start_time_unix_nano < 3e9
        attributes = {one.key: one.value.string_value or one.value.int_value for one in root.attributes}
        assert attributes["orchestrator.request_id"] == "chosen-1"
        assert attributes["http.response.status_code"] == 200
        hold = await until(lambda: next((s for s in spans if s.name == "hold"), None), what="a span of holding")
        assert hold.end_time_unix_nano > hold.start_time_unix_nano

        await _metrics(daemon)
        await until(lambda: _charted(daemon, "ECHO"), what="a point of the series of echo")
        await until(lambda: _charted(daemon, None), what="a point of the series of all")
        await _level(daemon)

        # nowhere a secret
        kept = [daemon.log, *(daemon.state_dir / "access").iterdir()]
        text = "".join(path.read_text() for path in kept) + repr(spans)
        assert "chosen-1" in text
        for secret in ("hunter2", str(alice.token), daemon.admin_token):
            assert secret not in text


async def _charted(daemon: Daemon, service: str | None) -> bool:
    series = await daemon.client.series(service)
    assert series.service == ("echo" if service else "")
    return any(p.requests > 0 and p.p50 is not None and p.memory and p.desired == 1 for p in series.points)


async def _metrics(daemon: Daemon) -> None:
    """Every metric that dashboard and alerts name is there, and says what was asked."""
    dashboard = json.loads((PACKAGING / "grafana" / "orchestrator.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    asked += [variable["query"]["query"] for variable in dashboard["templating"]["list"] if variable["type"] == "query"]
    rules = yaml.safe_load((PACKAGING / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]
    asked += [rule["expr"] for rule in rules]
    named = set(re.findall(r"\b(?:orchestrator|haproxy)_\w+", " ".join(asked)))
    assert len(named) > 20

    async def shown() -> tuple[str, dict[str, Metric]]:
        text = (await daemon.client.metrics()).decode()
        found = {family.name: family for family in text_string_to_metric_families(text)}
        known = {sample.name for family in found.values() for sample in family.samples}
        assert named <= known, named - known
        return text, found

    text, families = await until(shown, what="all that is named is there")  # usage comes with the next sample
    labels = {
        name: {label for f in families.values() for s in f.samples if s.name == name for label in s.labels}
        for name in named
    }
    for expression in asked:
        for name, inside in re.findall(r"\b((?:orchestrator|haproxy)_\w+)\{([^}]*)\}", expression):
            assert set(re.findall(r"(\w+)\s*[=!]", inside)) <= labels[name], expression
    counts = {(s.labels["code"], s.labels["token"]): s.value for s in families["orchestrator_requests"].samples}
    assert counts["500", "alice"] == 1
    assert counts["401", ""] == 1
    assert counts["200", "alice"] > 10
    routing = (await daemon.service("echo")).routings[0].id
    assert f'answers_total{{service="echo",routing="{routing}",exported_service="mine"}} 7' in text
    assert "orchestrator_services 99" not in text, "a routing speaks for itself only"
    starts = {s.name: s.value for s in families["orchestrator_start_seconds"].samples if s.labels.get("le") is None}
    assert starts["orchestrator_start_seconds_count"] == 2, "the first revision and the second"

    async def takes() -> bool:
        (top,) = await daemon.client.top()
        assert (top.service, top.healthy, top.desired) == ("echo", 1, 1)
        assert top.memory is not None
        assert top.memory > 1 << 20
        return top.cpu is not None

    await until(takes, what="what it takes is told")  # processor time takes two samples


async def _level(daemon: Daemon) -> None:
    """The daemon tells more as soon as it is asked to."""
    assert await daemon.cli("log-level", "debug") == (0, "level:  debug\n", "")
    await daemon.client.services()
    assert any(line.get("event") == "api.answered" and line.get("path") == "/v1/services" for line in daemon.logged())
    await daemon.cli("log-level", "error")
    before = len(daemon.logged())
    await daemon.client.services()
    assert len(daemon.logged()) == before


async def _of_trace(spans: list[Any], trace: str, count: int) -> dict[str, Any] | None:
    found = {span.name: span for span in spans if span.trace_id.hex() == trace}
    return found if len(found) >= count else None


@asynccontextmanager
async def receiver() -> AsyncIterator[tuple[list[Any], str]]:
    """An OTLP/HTTP collector: the spans that came, and its address."""
    spans: list[Any] = []

    async def take(request: web.Request) -> web.Response:
        sent = ExportTraceServiceRequest.FromString(await request.read())
        spans.extend(span for about in sent.resource_spans for scope in about.scope_spans for span in scope.spans)
        return web.Response()

    app = web.Application()
    app.router.add_post("/v1/traces", take)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield spans, f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()
