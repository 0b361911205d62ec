"""Why is a service not HEALTHY? The chain of causes, outermost first, in words, each with what to do about it.

Last of the pure steps: reads what planner, probes and adapters left behind and decides nothing. Codes are stable; each
has its row in `core.causes` or `core.symptoms`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from orchestrator.core import backoff
from orchestrator.core.capacity import FULL, OVER
from orchestrator.core.causes import UNMENDED, hint_of
from orchestrator.core.health import GRACE
from orchestrator.core.rollout_words import rejected_hint, rejected_line, rollout_line
from orchestrator.core.routes import Traffic
from orchestrator.core.spec import ServiceSpec
from orchestrator.core.state import Failure, Routing, RoutingStatus, Service, ServiceStatus
from orchestrator.core.status import is_live, routing_status
from orchestrator.core.symptoms import exit_meaning, log_symptom, probe_symptom
from orchestrator.core.table import is_holding

RECENT = 600.0
"""Seconds for which the end of a routing that had been HEALTHY is still a cause."""
OWN = re.compile(r"(?<=port )\d+|(?<=:)\d+\b|\b\d+(?= (?:s|min|h|probes)\b)")
"""What is of one routing alone in words that are told of several."""
MOST = 20
"""Causes that are told."""
WAITS = {OVER: "over_quota", FULL: "no_capacity", "no image": "no_image"}
"""First words of what a routing waits for, to the code."""
CLOCK_TOLERANCE = 60.0
"""Seconds by which the system's clock may be off before it is told."""


@dataclass(frozen=True, slots=True)
class Cause:
    """One link. `routing` is an id or empty; `log_tail` the last lines of its log or of an action's output."""

    code: str
    message: str
    hint: str = ""
    routing: str = ""
    log_tail: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExplainFacts:
    """What is known about one service. Times in seconds of the steady clock; empty texts: no such trouble."""

    service: Service
    status: ServiceStatus
    routings: Sequence[Routing]
    """All of the service, records included."""
    now: float
    engine_down: str = ""
    gateway_down: str = ""
    gateway_problem: str = ""
    """What the gateway could not grant this service (`Published.problems`)."""
    clock_moved: float = 0.0
    """Seconds by which the system's clock is ahead of the daemon's steady one."""
    log_tails: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Routing id to the last lines of its log, for those that run."""
    traffic: Mapping[str, Traffic] = field(default_factory=dict)
    """Routing id to what the gateway counted."""


def explain(facts: ExplainFacts) -> tuple[Cause, ...]:
    """The causes, outermost first; empty for a HEALTHY service with which nothing is wrong."""
    if facts.service.removing:
        return (_removing(facts),)
    causes = [*_definition(facts), *_surroundings(facts)]
    rejected = list(_rejected(facts))
    if facts.service.desired == 0:
        causes += [_stopped(facts.service), *rejected]
    elif facts.status is not ServiceStatus.HEALTHY or facts.service.rollout is not None or _older(facts):
        causes += [*_rollover(facts), *rejected, *_merged([*_routings(facts), *_next_try(facts)])]
        causes = causes or [_pending()]
    else:
        causes += rejected
    return tuple(causes[:MOST])


# --- the service and what is around it ------------------------------------------------------------------------------


def _removing(facts: ExplainFacts) -> Cause:
    left = len([r for r in facts.routings if r.failure is None])
    hint = f"`orchestrator ps {facts.service.name}` shows what still ends"
    return Cause("removed", f"the service was removed; {_count(left, 'routing')} still to end", hint)


def _definition(facts: ExplainFacts) -> Iterator[Cause]:
    service = facts.service
    if service.held:
        text = f"its model folder is gone and its removal is held: {service.held}"
        yield Cause("removal_held", text, hint_of("removal_held"))
    elif service.vanished_since is not None:
        gone = _seconds(facts.now - service.vanished_since)
        text = f"{service.folder} has no definition any more since {gone}"
        yield Cause("folder_vanished", text, hint_of("folder_vanished"))
    live = any(is_live(r) and r.started_at is not None for r in facts.routings)
    kept = "; the last good revision keeps running" if live else ""
    for problem in service.problems:
        if problem.severity == "error":
            text = str(replace(problem, hint=""))
            yield Cause("definition_invalid", text + kept, problem.hint or f"`orchestrator validate {service.folder}`")


def _surroundings(facts: ExplainFacts) -> Iterator[Cause]:
    found = {
        "engine_down": facts.engine_down and f"the container engine does not answer: {facts.engine_down}",
        "gateway_down": facts.gateway_down and f"the gateway cannot be told what to serve: {facts.gateway_down}",
        "endpoint_taken": facts.gateway_problem and f"the gateway cannot grant its endpoint: {facts.gateway_problem}",
        "clock_moved": _clock(facts.clock_moved),
    }
    yield from (Cause(code, text, hint_of(code)) for code, text in found.items() if text)


def _clock(moved: float) -> str:
    """Empty: it goes as the daemon's does."""
    if abs(moved) < CLOCK_TOLERANCE:
        return ""
    where = "ahead" if moved > 0 else "back"
    return f"the system's clock is {_seconds(abs(moved))} {where} of what the daemon began with"


def _stopped(service: Service) -> Cause:
    told = "by `scale`" if service.override_desired == 0 else "by its definition"
    hint = f"`orchestrator scale {service.name} 1`"
    if service.override_desired == 0:
        hint += f", or `orchestrator scale {service.name} --reset` for the file's {service.spec.desired}"
    return Cause("stopped", f"no routing is wanted ({told})", hint)


def _pending() -> Cause:
    return Cause("pending", "nothing has been tried yet", hint_of("pending"))


def _older(facts: ExplainFacts) -> int:
    """Routings of revisions before the current one that still count."""
    return sum(is_live(r) and r.revision != facts.service.revision for r in facts.routings)


def _rejected(facts: ExplainFacts) -> Iterator[Cause]:
    """What was rolled back, and of a revision that failed the newest of its routings that did: with its log's end."""
    rejected = facts.service.rejected
    if rejected is None:
        return
    yield Cause("rolled_back", rejected_line(facts.service), rejected_hint(facts.service))
    if not rejected.by_hand:
        ended = [(r.failure or r.outcome, r) for r in facts.routings if r.revision == rejected.revision]
        failed = [(failure.at, failure, r) for failure, r in ended if failure is not None]
        for _, failure, routing in sorted(failed, key=lambda f: f[0])[-1:]:
            yield from _failed(failure, routing, facts)


def _rollover(facts: ExplainFacts) -> Iterator[Cause]:
    service = facts.service
    if line := rollout_line(service, facts.routings, facts.traffic, facts.now):
        hint = f"`orchestrator ps {service.name}` shows both; `orchestrator abort {service.name}` goes back"
        if service.rollout is not None and service.rollout.phase == "returning":
            hint = f"`orchestrator history {service.name}` shows what was left and why"
        if is_holding(service, facts.routings):
            hint = "held requests are answered as soon as a routing is HEALTHY; 503 after gateway.hold_seconds"
        yield Cause("rolling_over", line, hint)
    elif older := _older(facts):
        text = f"revision {facts.service.revision_number} takes over; until it is HEALTHY {_count(older, 'routing')}"
        hint = f"`orchestrator ps {facts.service.name}` shows both"
        yield Cause("rolling_over", f"{text} of an older one goes on", hint)


def _next_try(facts: ExplainFacts) -> Iterator[Cause]:
    service = facts.service
    at = backoff.next_try_at(service.attempts, service.revision, service.id)
    if at <= facts.now:
        return
    failed, left = _count(service.attempts.count, "start"), _seconds(at - facts.now)
    hint = f"mend the cause; `orchestrator retry {service.name}` tries at once"
    if backoff.crash_loops(service.attempts, service.revision):
        yield Cause("crash_loop", f"crash loop: {failed} in a row failed; the next try is in {left}", hint)
    else:
        yield Cause("back_off", f"{failed} failed; the next try is in {left}", hint)


# --- its routings ---------------------------------------------------------------------------------------------------


def _routings(facts: ExplainFacts) -> Iterator[Cause]:
    """UNHEALTHY ones first, then those that failed, then those that are not ready yet; each the newest first."""
    order = {RoutingStatus.UNHEALTHY: 0, RoutingStatus.FAILED_TO_START: 1, RoutingStatus.PROVISIONING: 2}
    statuses = {r.id: routing_status(r) for r in facts.routings}
    told = [r for r in facts.routings if statuses[r.id] in order and _counts(r, facts)]
    for routing in sorted(told, key=lambda r: (order[statuses[r.id]], -_since(r), r.id)):
        failure = routing.failure or routing.outcome
        yield from _failed(failure, routing, facts) if failure else _unready(routing, facts)


def _counts(routing: Routing, facts: ExplainFacts) -> bool:
    """Not what was cleared or belongs to another revision; nor, of a routing that had been HEALTHY, what was long ago
    or not its own doing."""
    if (failure := routing.failure) is None:
        return True
    if failure.at <= facts.service.cleared_at or routing.revision != facts.service.revision:
        return False
    return not routing.probe.passed_once or (failure.counts and facts.now - failure.at <= RECENT)


def _since(routing: Routing) -> float:
    return routing.failure.at if routing.failure else routing.created_at


def _failed(failure: Failure, routing: Routing, facts: ExplainFacts) -> Iterator[Cause]:
    code, hint = failure.code, failure.hint or hint_of(failure.code)
    if code == "exited":
        code, meaning = exit_meaning(failure.exit_code, failure.log_tail)
        hint = failure.hint or meaning
    elif code == "oom_killed":
        hint = failure.hint or _more_memory(facts.service)
    yield Cause(code, failure.message, hint, routing.id, failure.log_tail)
    if code in ("start_timeout", "start_hopeless", "unhealthy"):
        yield from _probe(routing)
    yield from _log(failure.log_tail, routing)


def _more_memory(service: Service) -> str:
    given = service.spec.routing.resources.get("mem")
    now = f" (now {given / 2**20:g} MiB)" if given else ""
    return f"raise deployment.resources.mem{now}, or use a smaller model or fewer workers"


def _unready(routing: Routing, facts: ExplainFacts) -> Iterator[Cause]:
    """Where on its way a routing stands that has not failed. One case a branch."""
    seen, now = routing.observed, facts.now
    if routing.reservation is None:
        yield _waiting(routing)
    elif routing.lost_with_engine:
        yield Cause(
            "engine_lost",
            "it ended unseen: the container engine, or the daemon, was away",
            hint_of("engine_lost"),
            routing.id,
        )
    elif routing.unit_created_at is None:
        since = _seconds(now - routing.created_at)
        text = f"it is being created, since {since}"
        yield Cause("creating", text, hint_of("creating"), routing.id)
    elif routing.started_at is None:
        since = _seconds(now - routing.unit_created_at)
        hint = f"`orchestrator events -f` shows each action; `orchestrator logs {routing.id}` what they echo"
        yield Cause("preparing", f"its pre-start actions run, since {since}", hint, routing.id)
    elif seen is not None and seen.state == "paused":
        yield Cause("paused", "its container is paused", hint_of("paused"), routing.id)
    elif seen is not None and seen.state == "exited":
        code, hint = exit_meaning(seen.exit_code)
        yield Cause(code, f"it ended with exit code {seen.exit_code}", hint, routing.id)
    else:
        yield from _unhealthy(routing, facts)


def _waiting(routing: Routing) -> Cause:
    text = routing.cause or "it waits to be started"
    code = next((code for words, code in WAITS.items() if text.startswith(words)), "waiting")
    return Cause(code, text, hint_of(code), routing.id)


def _unhealthy(routing: Routing, facts: ExplainFacts) -> Iterator[Cause]:
    probe, spec, tail = routing.probe, facts.service.spec, tuple(facts.log_tails.get(routing.id, ()))
    said = f": {probe.last_message}" if probe.last_message else ""
    if probe.unhealthy_since is not None:
        since = _seconds(facts.now - probe.unhealthy_since)
        text = f"UNHEALTHY since {since}, {probe.failures} probes in a row failed{said}"
        replaced = f"it is replaced once it was UNHEALTHY for {_seconds(spec.unhealthy_timeout)}"
        hint = replaced if probe.passed_once else _limit(spec, routing)
        yield Cause("unhealthy", text, hint, routing.id, tail)
    else:
        since = _seconds(facts.now - (routing.started_at or routing.created_at))
        text = f"started {since} ago and has not passed a probe yet{said}"
        yield Cause("loading", text, _limit(spec, routing), routing.id, tail)
    yield from _probe(routing)
    yield from _log(tail, routing)


def _limit(spec: ServiceSpec, routing: Routing) -> str:
    sight = probe_symptom(routing.probe.last_message)
    if sight is not None and sight.code in UNMENDED:
        grace = routing.health.initial_delay if routing.health is not None else GRACE
        return f"where that stays so, it fails soon after {_seconds(grace)} (health_check.initial_delay)"
    return f"it fails if it has not passed within {_seconds(spec.start_timeout)} (deployment.start_timeout)"


def _probe(routing: Routing) -> Iterator[Cause]:
    if sight := probe_symptom(routing.probe.last_message):
        yield Cause(sight.code, sight.message, sight.hint, routing.id)


def _log(tail: Sequence[str], routing: Routing) -> Iterator[Cause]:
    if sight := log_symptom(tail):
        yield Cause(sight.code, sight.message, sight.hint, routing.id)


# --- words ----------------------------------------------------------------------------------------------------------


def _merged(causes: Sequence[Cause]) -> list[Cause]:
    """Causes that say the same of several routings, but for ports and ages, become one, told of the first."""
    groups: dict[tuple[str, str], list[Cause]] = {}
    for cause in causes:
        groups.setdefault((cause.code, OWN.sub("", cause.message)), []).append(cause)
    return [_of_all(group) for group in groups.values()]


def _of_all(group: Sequence[Cause]) -> Cause:
    others = len({cause.routing for cause in group}) - 1
    return replace(group[0], message=f"{group[0].message} (and {others} more alike)") if others else group[0]


def _count(number: int, word: str) -> str:
    return f"{number} {word}" + ("" if number == 1 else "s")


def _seconds(value: float) -> str:
    """`45 s`, `3 min`, `2 h`."""
    value = max(0.0, value)
    if value < 120:
        return f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.0f} h"
