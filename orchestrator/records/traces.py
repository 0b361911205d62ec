"""Records of traced requests as OpenTelemetry spans, sent by OTLP/HTTP. Needs the extra `otel`.

A request is one span with a child for each part of its time: `hold`, `queue` and `upstream`. The gateway has told the
routing the id of `upstream`, so the routing's own spans lie below it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import structlog

from orchestrator.core.errors import InvalidInput
from orchestrator.core.records import NONE, Field
from orchestrator.records.entries import milliseconds, queued
from orchestrator.records.tally import status_of, text
from orchestrator.settings import TracingSettings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

LOG = structlog.get_logger(__name__)
QUEUE = 8192
"""Spans that wait to be sent; more are dropped."""
TIMEOUT = 5
"""Seconds for one try to send."""
_NS = 1_000_000


class Traces:
    """Raises `InvalidInput` where the extra is not installed."""

    def __init__(self, settings: TracingSettings, version: str) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
            from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
        except ImportError as error:
            raise InvalidInput(
                f"cannot send traces to {settings.endpoint}: {error.name or error} is not installed",
                hint="pip install 'orchestrator[otel]', or leave [tracing] endpoint empty",
            ) from None
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # told below, once
        address = settings.endpoint if settings.endpoint.endswith("/v1/traces") else f"{settings.endpoint}/v1/traces"
        sender, traces = OTLPSpanExporter(endpoint=address, timeout=TIMEOUT), self

        class Counted(SpanExporter):
            def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
                try:
                    result = sender.export(spans)
                except Exception:  # whatever a receiver answers
                    result = SpanExportResult.FAILURE
                traces._note(result is SpanExportResult.SUCCESS, len(spans), address)
                return result

            def shutdown(self) -> None:
                sender.shutdown()  # type: ignore[no-untyped-call]

        self.lost = 0
        """Spans that could not be sent."""
        self._down = False
        self._ids = RandomIdGenerator()
        self._resource = Resource.create({"service.name": settings.service_name, "service.version": version})
        self._processor = BatchSpanProcessor(
            Counted(), max_queue_size=QUEUE, schedule_delay_millis=1000, max_export_batch_size=512
        )

    def _note(self, sent: bool, spans: int, address: str) -> None:
        self.lost += 0 if sent else spans
        if not sent and not self._down:
            LOG.warning("tracing.failed", cause=f"cannot send spans to {address}")
        self._down = not sent

    def take(self, records: Sequence[list[bytes]]) -> None:
        """In the gateway's thread."""
        for record in records:
            for span in self._spans(record):
                self._processor.on_end(span)

    def close(self) -> None:
        """Sends what waits, within a few seconds."""
        self._processor.shutdown()  # type: ignore[no-untyped-call]

    def _spans(self, record: list[bytes]) -> Iterator[ReadableSpan]:
        from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

        ids = record[Field.TRACE].decode("ascii", "replace").split("-")
        try:
            trace, parent, upstream = int(ids[0], 16), int(ids[1], 16) if ids[1] else 0, int(ids[2], 16)
            end = int(record[Field.AT])
        except (ValueError, IndexError):
            return  # cut off

        def context(id: int) -> SpanContext:
            return SpanContext(trace, id, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))

        root, status = context(self._ids.generate_span_id()), status_of(record[Field.STATUS])
        begin = end - (milliseconds(record[Field.TOTAL]) or 0)
        failed = Status(StatusCode.ERROR) if status is None or status >= 500 else Status(StatusCode.UNSET)
        service, method = text(record[Field.SERVICE]), text(record[Field.METHOD])
        above = SpanContext(trace, parent, is_remote=True) if parent else None
        about = _about(record, service, method, status)
        yield self._span(f"{method} {service}", root, above, begin, end, SpanKind.SERVER, about, failed)
        at = begin
        for name, took in (("hold", milliseconds(record[Field.HELD])), ("queue", queued(record))):
            if took:
                id = context(self._ids.generate_span_id())
                yield self._span(name, id, root, at, min(at + took, end), SpanKind.INTERNAL, {}, Status())
                at = min(at + took, end)
        if record[Field.ROUTING] not in NONE:
            told = {"orchestrator.routing": text(record[Field.ROUTING])}
            yield self._span("upstream", context(upstream), root, at, end, SpanKind.CLIENT, told, failed)

    def _span(
        self, name: str, id: Any, parent: Any, begin: int, end: int, kind: Any, attributes: dict[str, Any], status: Any
    ) -> ReadableSpan:
        from opentelemetry.sdk.trace import ReadableSpan

        return ReadableSpan(
            name,
            context=id,
            parent=parent,
            resource=self._resource,
            attributes=attributes,
            kind=kind,
            status=status,
            start_time=begin * _NS,
            end_time=end * _NS,
        )


def _about(record: list[bytes], service: str, method: str, status: int | None) -> dict[str, Any]:
    told: dict[str, Any] = {
        "http.request.method": method,
        "url.path": record[Field.PATH].decode("utf-8", "replace"),
        "client.address": text(record[Field.CLIENT]),
        "orchestrator.service": service,
        "orchestrator.request_id": text(record[Field.REQUEST]),
        "orchestrator.token_id": text(record[Field.TOKEN]),
    }
    return told | ({} if status is None else {"http.response.status_code": status})
