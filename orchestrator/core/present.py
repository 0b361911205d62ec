"""From facts to the views that API, CLI and page show. Pure; the only place where statuses meet words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from orchestrator.core import backoff
from orchestrator.core.catalog import Broken
from orchestrator.core.causes import hint_of
from orchestrator.core.events import Event
from orchestrator.core.explain import Cause, ExplainFacts, explain
from orchestrator.core.fetching import Fetching
from orchestrator.core.launching import launch_view, overrides_of
from orchestrator.core.problems import Problem
from orchestrator.core.rollout_words import rejected_line, rollout_line
from orchestrator.core.routes import Traffic
from orchestrator.core.state import Rollout, Routing, RoutingStatus, Service, ServiceStatus
from orchestrator.core.status import is_live, is_shown, routing_status, service_status
from orchestrator.core.table import is_holding
from orchestrator.core.views import (
    CauseView,
    EventView,
    FailureView,
    FetchView,
    LaunchView,
    ProblemView,
    RolloutView,
    RoutingView,
    ServiceDetail,
    ServiceView,
    instant,
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What holds for all services at once. Times in steady seconds."""

    now: float
    gateway_url: str
    """Without a trailing slash."""
    engine_down: str = ""
    gateway_down: str = ""
    gateway_problems: Mapping[str, str] = field(default_factory=dict)
    """Service name to what the gateway could not grant."""
    clock_moved: float = 0.0
    """Seconds by which the system's clock is ahead of the daemon's."""
    numbers: Mapping[str, int] = field(default_factory=dict)
    """Revision hash to its number, where known."""
    traffic: Mapping[str, Traffic] = field(default_factory=dict)
    """Routing id to what the gateway counted."""
    pending: Mapping[str, str] = field(default_factory=dict)
    """Service id to what its folder asks for and is not followed."""
    fetching: Mapping[str, Fetching] = field(default_factory=dict)
    """Routing id to how far its image is, while that is fetched."""
    data_dirs: tuple[str, ...] = ()
    """Where named folders of extra mounts are, symlinks resolved."""


def service_view(service: Service, routings: Sequence[Routing], around: Surroundings) -> ServiceView:
    """`routings`: all of the service, records included."""
    status = service_status(service, routings)
    rolls_over = service.rollout is not None or any(r.revision != service.revision for r in routings if is_live(r))
    refused = service.name in around.gateway_problems or service.rejected is not None
    told = status is not ServiceStatus.HEALTHY or service.problems or rolls_over or refused
    causes = causes_of(service, routings, around) if told else ()
    return ServiceView(
        id=service.id,
        name=service.name,
        status=status,
        desired_routing_count=service.desired,
        healthy=sum(routing_status(r) is RoutingStatus.HEALTHY for r in routings),
        revision=f"{service.revision_number}",
        endpoint=endpoints(service, around)[0],
        source=service.source,
        problems=tuple(problem_view(p) for p in service.problems),
        open_to_public=service.spec.open_to_public,
        override_desired=service.override_desired,
        desired_in_file=service.spec.desired,
        held=service.held,
        folder=service.folder,
        model=service.model,
        cause=causes[0].message if causes else "",
        cause_code=causes[0].code if causes else "",
        pending=around.pending.get(service.id, ""),
        created_at=instant(service.created_at),
        rollout=rollout_view(service, service.rollout, routings, around) if service.rollout else None,
        rejected=rejected_line(service),
        served=service.good is not None or any(r.probe.passed_once for r in routings),
    )


def rollout_view(service: Service, rollout: Rollout, routings: Sequence[Routing], around: Surroundings) -> RolloutView:
    steps = len(service.spec.update.steps) if rollout.strategy == "canary" else 0
    return RolloutView(
        revision=service.revision_number,
        strategy=rollout.strategy,
        phase=rollout.phase,
        said=rollout_line(service, routings, around.traffic, around.now),
        cause=rollout.cause,
        began_at=instant(rollout.began_at),
        step=rollout.step + 1 if rollout.step < steps else 0,
        steps=steps,
        weight=rollout.weight,
        promoted=rollout.promoted,
        holding=is_holding(service, routings),
    )


def failures(service: Service, routings: Sequence[Routing], around: Surroundings) -> list[FailureView]:
    """Newest first: of `routings`, which failed, and of the definition as it is now."""
    found = [
        FailureView(
            at=instant(f.at),
            routing=r.id,
            revision=str(around.numbers.get(r.revision, r.revision)),
            code=f.code,
            message=f.message,
            hint=f.hint or hint_of(f.code),
            exit_code=f.exit_code,
            oom=f.oom,
            log_tail=f.log_tail,
        )
        for r in routings
        if (f := r.failure) is not None
    ]
    now = instant(around.now)
    wrong = [problem_cause(p) for p in service.problems if p.severity == "error"]
    found.sort(key=lambda one: one.at, reverse=True)
    return [FailureView(at=now, code=c.code, message=c.message, hint=c.hint) for c in wrong] + found


def broken_view(broken: Broken, around: Surroundings) -> ServiceView:
    """A folder of which only an invalid definition is known: it has no id yet."""
    first = next((p for p in broken.problems if p.severity == "error"), None)
    return ServiceView(
        id="",
        name=broken.name,
        status=ServiceStatus.INVALID,
        desired_routing_count=0,
        healthy=0,
        revision="",
        endpoint=f"{around.gateway_url}/inference/{broken.name}",
        source="folder",
        problems=tuple(problem_view(p) for p in broken.problems),
        folder=broken.folder,
        cause=str(first) if first else "its definition does not validate",
        cause_code="definition_invalid",
    )


def service_detail(
    service: Service, routings: Sequence[Routing], events: Sequence[Event], around: Surroundings
) -> ServiceDetail:
    summary = service_view(service, routings, around)
    next_try = backoff.next_try_at(service.attempts, service.revision, service.id)
    shown = [r for r in routings if is_shown(r, service)]
    return ServiceDetail(
        **dict(summary),
        revision_number=service.revision_number,
        owner=service.owner,
        project=service.project,
        endpoints=endpoints(service, around),
        spec=service.spec.model_dump(mode="json"),
        routings=tuple(routing_view(r, around) for r in shown),
        events=tuple(event_view(e) for e in events),
        attempts=service.attempts.count if service.attempts.revision == service.revision else 0,
        next_try_at=instant(next_try) if next_try > around.now else None,
        launch=launch_of(service, around),
        overrides=overrides_of(service),
    )


def launch_of(service: Service, around: Surroundings) -> LaunchView:
    """What it runs with now."""
    own = (service.launch or {}).get("definition") or ""
    return launch_view(service.spec, service.folder, count=service.desired, definition=own, data_dirs=around.data_dirs)


def routing_view(routing: Routing, around: Surroundings) -> RoutingView:
    seen, status = routing.observed, routing_status(routing)
    failure = routing.failure
    fetching = around.fetching.get(routing.id)
    return RoutingView(
        id=routing.id,
        service=routing.service,
        revision=str(around.numbers.get(routing.revision, routing.revision)),
        status=status,
        address=f"{seen.host}:{seen.port}" if seen is not None and seen.port else "",
        runtime_id=seen.runtime_id[:12] if seen is not None else "",
        created_at=instant(routing.created_at),
        healthy_since=instant(routing.probe.healthy_since)
        if status is RoutingStatus.HEALTHY and routing.probe.healthy_since is not None
        else None,
        cause=str(fetching) if fetching is not None else _routing_cause(routing, status),
        devices=routing.reservation.devices if routing.reservation else (),
        exit_code=failure.exit_code if failure else None,
        oom=failure.oom if failure else False,
        traffic_ratio=routing.traffic_ratio,
        side=routing.side,
        fetching=fetch_view(routing.id, fetching) if fetching is not None else None,
    )


def fetch_view(routing: str, fetching: Fetching) -> FetchView:
    seen = fetching.seen
    return FetchView(
        routing=routing,
        image=seen.image,
        current=seen.current,
        total=seen.total,
        whole=seen.whole,
        layers=seen.layers,
        fetched=seen.fetched,
        unpacked=seen.unpacked,
        rate=round(fetching.rate, 1),
        seconds_left=None if fetching.seconds_left is None else round(fetching.seconds_left, 1),
        amount=fetching.amount,
        said=str(fetching),
    )


def _routing_cause(routing: Routing, status: RoutingStatus) -> str:
    match status:
        case RoutingStatus.FAILED_TO_START:
            return routing.failure.message if routing.failure else ""
        case RoutingStatus.TERMINATING:
            return routing.stop_cause
        case RoutingStatus.UNHEALTHY:
            paused = routing.observed is not None and routing.observed.state == "paused"
            return "its container is paused" if paused else routing.probe.last_message
        case RoutingStatus.PROVISIONING:
            return (routing.probe.last_message if routing.started_at else "") or routing.cause
        case RoutingStatus.HEALTHY:
            return routing.cause


def causes_of(
    service: Service,
    routings: Sequence[Routing],
    around: Surroundings,
    log_tails: Mapping[str, Sequence[str]] | None = None,
) -> tuple[Cause, ...]:
    """`log_tails`: routing id to the last lines of its log, of those that run."""
    facts = ExplainFacts(
        service=service,
        status=service_status(service, routings),
        routings=routings,
        now=around.now,
        engine_down=around.engine_down,
        gateway_down=around.gateway_down,
        gateway_problem=around.gateway_problems.get(service.name, ""),
        clock_moved=around.clock_moved,
        log_tails=log_tails or {},
        traffic=around.traffic,
    )
    return explain(facts)


def endpoints(service: Service, around: Surroundings) -> tuple[str, ...]:
    """All addresses of a service, the one below the gateway's first."""
    own = service.spec.endpoint
    scheme, _, rest = around.gateway_url.partition("://")
    host, _, port = rest.partition("/")[0].rpartition(":")
    found = [f"{around.gateway_url}/inference/{service.name}"]
    if own.port is not None:
        found.append(f"{scheme}://{host or port}:{own.port}")
    if own.host is not None:
        found.append(f"{scheme}://{own.host}" + (f":{port}" if host else ""))
    return tuple(found)


def event_view(event: Event) -> EventView:
    return EventView(
        time=instant(event.time),
        kind=event.kind,
        service=event.service,
        routing=event.routing,
        cause=event.cause,
        detail=dict(event.detail),
        seq=event.seq,
    )


def cause_view(cause: Cause) -> CauseView:
    return CauseView(
        code=cause.code, message=cause.message, hint=cause.hint, routing=cause.routing, log_tail=cause.log_tail
    )


def problem_cause(problem: Problem) -> CauseView:
    return CauseView(code="definition_invalid", message=str(replace(problem, hint="")), hint=problem.hint)


def problem_view(problem: Problem) -> ProblemView:
    return ProblemView(
        severity=problem.severity,
        file=problem.file,
        line=problem.line,
        column=problem.column,
        path=problem.path,
        message=problem.message,
        hint=problem.hint,
    )
