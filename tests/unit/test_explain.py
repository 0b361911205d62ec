"""Each way in which a service can fail to be HEALTHY is told by a code of its own, with a hint."""

from __future__ import annotations

import re
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.causes import CAUSES, HOPELESS, all_causes, hint_of
from orchestrator.core.definition import Update
from orchestrator.core.explain import MOST, Cause, ExplainFacts, explain
from orchestrator.core.listening import Listener, misplaced, sockets
from orchestrator.core.problems import Problem
from orchestrator.core.rollout_words import rollout_line
from orchestrator.core.routes import Traffic
from orchestrator.core.spec import RoutingSpec, ServiceSpec
from orchestrator.core.state import (
    Attempts,
    Failure,
    Good,
    Observed,
    ProbeState,
    Rejected,
    Reservation,
    Rollout,
    Routing,
    Service,
)
from orchestrator.core.status import service_status
from orchestrator.core.symptoms import EXITS, exit_meaning, log_symptom, probe_symptom
from orchestrator.core.table import is_holding
from orchestrator.runtimes.docker.errors import RULES

ROOT = Path(__file__).parents[2]
NOW = 1000.0
SPEC = RoutingSpec(
    model_name="m",
    model_folder="/srv/m",
    model_path="/models",
    model_mount="/models",
    port=8000,
    resources={"mem": 2**29},
)
REVISION = SPEC.revision


def service(**changes: Any) -> Service:
    desired = changes.pop("desired", 1)
    made = Service("id", "llm", "folder", "/srv/m", "m", ServiceSpec(name="llm", model_name="m", routing=SPEC), 3, 0.0)
    return replace(made, spec=made.spec.model_copy(update={"desired": desired}), **changes)


def routing(**changes: Any) -> Routing:
    """One that runs and was started 40 s ago."""
    seen = Observed("r1", "llm", REVISION, "routing", "c1", "running", "10.0.0.2", 8000)
    defaults: dict[str, Any] = {
        "reservation": Reservation(),
        "unit_created_at": 955.0,
        "started_at": 960.0,
        "observed": seen,
    }
    named = {"id": "r1", "service_id": "id", "service": "llm", "revision": REVISION, "created_at": 950.0}
    return Routing(**{**named, **defaults, **changes})


def failed(code: str, message: str = "it failed", *, at: float = 990.0, **changes: Any) -> Routing:
    return routing(observed=None, failure=Failure(code, message, at, **changes))


def told(of: Service, *routings: Routing, **facts: Any) -> tuple[Cause, ...]:
    status = facts.pop("status", service_status(of, routings))
    return explain(ExplainFacts(of, status, routings, NOW, **facts))


def seen(state: Any, **changes: Any) -> Observed:
    return Observed("r1", "llm", REVISION, "routing", "c1", state, **changes)


WRONG = Problem("error", "/srv/m/model-definition.yml", 7, 5, "models[0].service.port", "70000 is no port", "1-65535")
LOADING = ProbeState(last_message="connection refused")
SICK = ProbeState(
    passed_once=True, failures=12, unhealthy_since=960.0, last_message="GET / on port 8000 answered 500, expected 200"
)
HEALTHY = routing(probe=ProbeState(passed_once=True, healthy=True, healthy_since=970.0))

CHAINS: dict[str, tuple[tuple[Cause, ...], list[str], str]] = {
    "healthy": (told(service(), HEALTHY), [], ""),
    "healthy, file broken": (
        told(service(problems=(WRONG,)), HEALTHY),
        ["definition_invalid"],
        "the last good revision keeps running",
    ),
    "invalid": (told(service(problems=(WRONG,))), ["definition_invalid"], "model-definition.yml:7:5: error: models[0]"),
    "warnings are no cause": (told(service(problems=(replace(WRONG, severity="warning"),))), ["pending"], ""),
    "removed": (told(service(removing=True), routing(stopping_since=999.0)), ["removed"], "1 routing still"),
    "stopped by file": (told(service(desired=0)), ["stopped"], "by its definition"),
    "stopped by scale": (told(service(desired=2, override_desired=0)), ["stopped"], "by `scale`"),
    "held": (told(service(vanished_since=990.0, held="3 of 4 gone"), HEALTHY), ["removal_held"], "3 of 4 gone"),
    "vanished": (told(service(vanished_since=998.0), HEALTHY), ["folder_vanished"], "since 2 s"),
    "engine down": (told(service(), engine_down="no answer"), ["engine_down"], "no answer"),
    "gateway down": (told(service(), HEALTHY, gateway_down="exited"), ["gateway_down"], "exited"),
    "clock set ahead": (told(service(), HEALTHY, clock_moved=7300.0), ["clock_moved"], "is 2 h ahead"),
    "clock set back": (told(service(), HEALTHY, clock_moved=-61.0), ["clock_moved"], "is 61 s back"),
    "clock that drifts": (told(service(), HEALTHY, clock_moved=-59.0), [], ""),
    "port taken": (told(service(), HEALTHY, gateway_problem="port 80: nginx"), ["endpoint_taken"], "port 80: nginx"),
    "pending": (told(service()), ["pending"], ""),
    "no capacity": (
        told(service(), routing(reservation=None, cause="no capacity: needs 2 cuda.device, 1 free")),
        ["no_capacity"],
        "needs 2 cuda.device, 1 free",
    ),
    "no image": (told(service(), routing(reservation=None, cause="no image")), ["no_image"], "no image"),
    "creating": (told(service(), routing(unit_created_at=None, started_at=None)), ["creating"], "since 50 s"),
    "over quota": (
        told(service(), routing(reservation=None, cause="over quota: needs 2 cuda.device, 1 in all")),
        ["over_quota"],
        "ask for less under deployment.resources",
    ),
    "room that comes": (
        told(service(), routing(reservation=None, cause="no room yet: needs 1 cpu, 0 free; what ends makes some")),
        ["waiting"],
        "it goes on by itself",
    ),
    "sure not to start": (
        told(
            service(),
            replace(failed("start_hopeless"), probe=ProbeState(last_message="GET / on port 8000 answered 401")),
        ),
        ["start_hopeless", "health_denied"],
        "a path that needs none",
    ),
    "sure not to start, within its grace": (
        told(service(), routing(probe=ProbeState(last_message="GET / on port 8000 answered 401"))),
        ["loading", "health_denied"],
        "it fails soon after 60 s",
    ),
    "alike but for their ports": (
        told(
            service(),
            *(
                replace(failed("start_timeout", f"not HEALTHY within 5 s: GET / on port {port} failed"), id=f"r{port}")
                for port in (8001, 8002, 8003)
            ),
        ),
        ["start_timeout"],
        "(and 2 more alike)",
    ),
    "waits": (told(service(), routing(reservation=None)), ["waiting"], "waits to be started"),
    "preparing": (told(service(), routing(started_at=None)), ["preparing"], "since 45 s"),
    "loading": (told(service(), routing()), ["loading"], "started 40 s ago"),
    "refused": (told(service(), routing(probe=LOADING)), ["loading", "health_refused"], "connection refused"),
    "loading, log": (
        told(service(), routing(), log_tails={"r1": ["KeyError: 'HF_TOKEN'"]}),
        ["loading", "log_environ_missing"],
        "HF_TOKEN",
    ),
    "unhealthy": (
        told(service(), routing(probe=SICK)),
        ["unhealthy", "health_status"],
        "UNHEALTHY since 40 s, 12 probes",
    ),
    "paused": (told(service(), routing(observed=seen("paused"))), ["paused"], ""),
    "exited": (told(service(), routing(observed=seen("exited", exit_code=1))), ["exited"], "exit code 1"),
    "engine lost, back since": (
        told(
            service(),
            replace(failed("engine_lost", counts=False), probe=ProbeState(passed_once=True)),
            routing(id="r2", reservation=None, observed=None, cause="no capacity: needs 2 cpu, 1 free"),
        ),
        ["no_capacity"],
        "needs 2 cpu",
    ),
    "engine lost": (told(service(), routing(lost_with_engine=True)), ["engine_lost"], ""),
    "exit 0": (told(service(), failed("exited", exit_code=0)), ["exited"], "a server must stay in the foreground"),
    "exit 127": (told(service(), failed("exited", exit_code=127)), ["command_not_found"], "start_command"),
    "exit 126": (told(service(), failed("exited", exit_code=126)), ["permission"], "chmod"),
    "exit 126, of its format": (
        told(service(), failed("exited", exit_code=126, log_tail=("sh: 1: exec: x: Exec format error",))),
        ["exec_format"],
        "another kind of processor",
    ),
    "oom": (told(service(), failed("oom_killed", exit_code=137, oom=True)), ["oom_killed"], "now 512 MiB"),
    "action": (
        told(service(), failed("action_failed", "pre_start_actions[2]", log_tail=("E: No space left on device",))),
        ["action_failed", "log_no_space"],
        "pre_start_actions[2]",
    ),
    "outcome not recorded yet": (
        told(service(), routing(outcome=Failure("image_missing", "no such image", 999.0))),
        ["image_missing"],
        "no such image",
    ),
    "an adapter's own hint wins": (told(service(), failed("image_denied", hint="log in")), ["image_denied"], "log in"),
    "unknown code": (told(service(), failed("brand_new", "odd")), ["brand_new"], "odd"),
    "start timeout": (
        told(
            service(),
            replace(
                failed("start_timeout"), probe=ProbeState(last_message="GET / on port 8000 answered 404, expected 200")
            ),
        ),
        ["start_timeout", "health_not_found"],
        "health_check.path",
    ),
    "back-off": (
        told(service(attempts=Attempts(REVISION, 2, 999.5)), failed("exited", exit_code=3)),
        ["exited", "back_off"],
        "2 starts failed; the next try is in",
    ),
    "crash loop": (
        told(service(attempts=Attempts(REVISION, 7, 999.0)), failed("exited", exit_code=3)),
        ["exited", "crash_loop"],
        "crash loop: 7 starts in a row failed; the next try is in",
    ),
    "cleared": (told(service(cleared_at=995.0), failed("exited")), ["pending"], ""),
    "another revision's": (told(service(), replace(failed("exited"), revision="old")), ["pending"], ""),
    "rolling over": (
        told(service(), replace(HEALTHY, id="a", revision="old"), routing()),
        ["rolling_over", "loading"],
        "until it is HEALTHY 1 routing of an older one goes on",
    ),
    "rollover fails": (
        told(
            service(attempts=Attempts(REVISION, 1, 999.5)), replace(HEALTHY, id="a", revision="old"), failed("exited")
        ),
        ["rolling_over", "exited", "back_off"],
        "revision 3 takes over",
    ),
    "died after HEALTHY": (told(service(), replace(failed("exited"), probe=SICK)), ["exited"], ""),
    "died long ago": (told(service(), replace(failed("exited", at=100.0), probe=SICK)), ["pending"], ""),
    "sick, then failed, then new": (
        told(
            service(desired=3),
            routing(id="a", reservation=None, cause="no capacity: x"),
            replace(failed("image_missing"), id="b"),
            routing(id="c", probe=replace(SICK, last_message="")),
        ),
        ["unhealthy", "image_missing", "no_capacity"],
        "",
    ),
}


@pytest.mark.parametrize(("causes", "codes", "words"), CHAINS.values(), ids=CHAINS.keys())
def test_chain(causes: tuple[Cause, ...], codes: list[str], words: str) -> None:
    assert [cause.code for cause in causes] == codes
    assert words in " ".join(f"{cause.message} {cause.hint}" for cause in causes)


def test_every_cause_has_a_hint_and_a_row_in_the_table() -> None:
    causes = [cause for chain, _, _ in CHAINS.values() for cause in chain]
    rows = {code: hint for code, _, hint, _ in all_causes()}
    assert {cause.code for cause in causes if not cause.hint} == {"brand_new"}
    assert {cause.code for cause in causes} - {"brand_new"} <= set(rows)
    assert all(rows.values())
    assert hint_of("brand_new") == ""
    assert set(rows) >= HOPELESS


RAISED = re.compile(
    r"""(?:code=|Failure\(|Cause\(|RuntimeFailure\()\s*"([a-z_]+)"|^\s+errno\.\w+: \("([a-z_]+)\"""", re.MULTILINE
)


def test_every_code_that_is_raised_has_a_row() -> None:
    folders = ("core", "runtimes", "executor", "actions", "scheduler")
    paths = [path for folder in folders for path in (ROOT / "orchestrator" / folder).rglob("*.py")]
    texts = [
        path.read_text("utf-8") for path in paths if path.stem != "tokens"
    ]  # who is refused asks, and runs nothing
    raised = {one or other for text in texts for one, other in RAISED.findall(text)}
    raised |= {code for _, code, _ in RULES} | {code for code, _ in EXITS.values()}
    assert len(raised) > 40
    assert raised <= set(CAUSES)


def test_the_table_of_causes_in_the_document_is_that_of_the_code() -> None:
    """One row a cause, in the code's order; `no` where waiting is useless."""
    text = (ROOT / "docs/operations.md").read_text("utf-8").partition("## Causes")[2].partition("\n## ")[0]
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    wanted = [
        f"| `{code}` | {meaning} | {hint} | {'no' if hopeless else ''} |"
        for code, meaning, hint, hopeless in all_causes()
    ]
    assert rows == [row.replace("  |", " |") for row in wanted], "\n".join(wanted)


def test_a_failure_carries_its_routing_and_log_tail() -> None:
    (cause,) = told(service(), failed("image_missing", log_tail=("a", "b")))
    assert (cause.routing, cause.log_tail) == ("r1", ("a", "b"))


def test_ten_thousand_alike_are_one_cause() -> None:
    routings = [replace(routing(probe=LOADING), id=f"r{n}") for n in range(10_000)]
    began = time.perf_counter()
    causes = told(service(desired=10_000), *routings)
    assert time.perf_counter() - began < 5
    assert [cause.code for cause in causes] == ["loading", "health_refused"]
    assert "9999 more" in causes[0].message


def test_a_long_list_is_cut() -> None:
    problems = tuple(replace(WRONG, line=n) for n in range(1, 100))
    assert len(told(service(problems=problems))) == MOST


# --- rollouts -------------------------------------------------------------------------------------------------------

PLAYED = Update(strategy="canary", steps=(5, 25, 50), pause=60, bake=30, promote_after=None)
OLD = replace(HEALTHY, id="old", revision="old")
NEW = replace(HEALTHY, id="new")
STARTING = routing(id="new", started_at=None)
BASE = {"new": Traffic(100, 1)}
SEEN = {"new": Traffic(512, 1), "old": Traffic(900, 9)}


def rolling(strategy: str = "rolling", phase: str = "replacing", since: float = NOW - 31, **more: Any) -> Service:
    facts = {name: more.pop(name) for name in ("desired", "rejected", "side") if name in more}
    update = PLAYED.model_copy(update={name: more.pop(name) for name in list(more) if name in Update.model_fields})
    one = service(**facts, rollout=Rollout(REVISION, strategy, "", since, phase, phase_since=since, **more))  # type: ignore[arg-type]
    return replace(one, spec=one.spec.model_copy(update={"update": update}))


LINES = {
    "canary, judged": (
        rolling("canary", "judging", step=1, weight=25, base=BASE),
        "(canary): step 2 of 3, 25 % of the requests, 31 s of 60 s; 0 of 412 failed",
    ),
    "canary, too few requests": (
        rolling("canary", "judging", NOW - 90, step=1, weight=25, base=BASE, min_requests=500),
        "step 2 of 3, 25 % of the requests, waits for 500 requests; 0 of 412 failed",
    ),
    "canary, counters began anew": (
        rolling("canary", "judging", weight=5, base={"new": Traffic(900)}),
        "31 s of 60 s; the gateway's counters began anew",
    ),
    "canary, next step": (
        rolling("canary", step=2, weight=25, desired=4),
        "step 3 of 3 is prepared, 25 % of the requests so far, 1 of 2 new routings are ready",
    ),
    "canary, after its steps": (rolling("canary", step=3, desired=4), "(canary): 1 of 4 new routings are ready"),
    "rolling": (rolling(desired=3), "(rolling): 1 of 3 new routings are ready"),
    "min_ready": (rolling(desired=3, min_ready=1e6), "(rolling): 0 of 3 new routings are ready"),
    "blue-green": (rolling("blue_green", side="green"), "(blue-green): 1 of 1 new routings on the blue side are ready"),
    "blue-green, ready": (
        rolling("blue_green", "ready"),
        "both sides are HEALTHY; `orchestrator promote llm` switches to it, `abort` gives it up",
    ),
    "blue-green, by itself": (
        rolling("blue_green", "ready", promote_after=40.0),
        "it is switched to in 9 s, by `orchestrator promote llm` at once",
    ),
    "blue-green, promoted": (rolling("blue_green", "ready", promoted=True), "the requests are switched to it now"),
    "watched": (rolling(phase="baking"), "(rolling): it gets all requests and is watched, 30 s of 30 s"),
    "not watched": (rolling(phase="baking", bake=0.0), "(rolling): it gets all requests"),
    "going back": (rolling(phase="returning", desired=2), "(going back): 1 of 2 routings are ready"),
}


@pytest.mark.parametrize("name", LINES)
def test_a_rollout_stands_somewhere_in_one_line(name: str) -> None:
    of, line = LINES[name]
    old = replace(OLD, side=of.side)
    said = rollout_line(of, [old, NEW], SEEN, NOW)
    assert said.startswith("revision 3 (")
    assert said.endswith(line)
    first = told(of, old, NEW, traffic=SEEN)[0]
    assert (first.code, first.message) == ("rolling_over", said)


STAYS = "; it has failed and stays as it is: auto_rollback is false"
FAILING: dict[str, tuple[dict[str, Any], bool]] = {
    "in time": ({"progress_at": NOW - 9}, False),
    "overdue": ({"progress_at": NOW - 11}, True),
    "a start failed": ({"progress_at": NOW - 9, "attempts": Attempts(REVISION, 2, NOW - 5)}, True),
    "it goes back by itself": ({"progress_at": NOW - 11, "auto_rollback": True}, False),
    "it goes back": ({"progress_at": NOW - 11, "phase": "returning"}, False),
}


@pytest.mark.parametrize("name", FAILING)
def test_a_rollout_that_failed_and_is_not_given_up_says_so(name: str) -> None:
    more, stays = FAILING[name]
    attempts = more.get("attempts", Attempts())
    asked = {k: v for k, v in more.items() if k != "attempts"}
    of = rolling(**{"desired": 2, "progress_deadline": 10.0, "auto_rollback": False, **asked})
    of = replace(of, good=Good(2, of.spec.routing), attempts=attempts)
    assert rollout_line(of, [OLD, STARTING], {}, NOW).endswith(STAYS) is stays


def test_requests_that_are_held_are_told_with_how_long() -> None:
    (cause, *_) = told(rolling("recreate"), STARTING)
    assert cause.message.endswith(
        "0 of 1 new routings are ready; requests wait at the gateway until a routing is HEALTHY"
    )
    assert "gateway.hold_seconds" in cause.hint
    assert not is_holding(rolling("recreate"), [OLD, STARTING])
    assert not is_holding(service(), [STARTING]), "without a rollout they get 503 at once"
    assert not is_holding(rolling("recreate", desired=0), [])


REJECTIONS = {
    "by itself": (False, "it ended with exit code 1", "mend the definition, or"),
    "by hand": (True, "by hand, back to revision 1", "change the definition, or"),
}


@pytest.mark.parametrize("name", REJECTIONS)
def test_a_revision_that_was_rolled_back_is_told_of_a_service_that_is_well(name: str) -> None:
    by_hand, why, hint = REJECTIONS[name]
    of = service(rejected=Rejected("bad", 2, why, by_hand))
    (cause,) = told(of, HEALTHY)
    assert cause.code == "rolled_back"
    assert cause.message == f"revision 2 was rolled back: {why}"
    assert cause.hint == f"{hint} `orchestrator apply llm` tries it again"
    assert [c.code for c in told(replace(of, rollout=rolling(phase="returning").rollout), OLD, NEW)] == [
        "rolling_over",
        "rolled_back",
    ]


def test_the_end_of_what_failed_is_told_after_it_was_rolled_back() -> None:
    of = service(rejected=Rejected("bad", 2, "it ended with exit code 1"))
    ended = Failure(
        "exited", "it ended with exit code 1", NOW - 60, exit_code=1, log_tail=("python: No module named vllm",)
    )
    bad = routing(id="bad-1", revision="bad", failure=ended)
    older = routing(id="bad-0", revision="bad", failure=replace(ended, at=NOW - 90))
    by_hand = replace(of, rejected=replace(of.rejected, by_hand=True))  # type: ignore[type-var]
    assert [(c.code, c.routing, c.log_tail) for c in told(of, HEALTHY, bad, older)] == [
        ("rolled_back", "", ()),
        ("exited", "bad-1", ended.log_tail),
        ("log_module_missing", "bad-1", ()),
    ]
    assert [c.code for c in told(by_hand, HEALTHY, bad)] == ["rolled_back"], "nobody asks why what was left by hand"


LOGS = {
    "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to": "log_cuda_out_of_memory",
    "RuntimeError: No CUDA GPUs are available": "log_no_accelerator",
    "llama.cpp: cudaMalloc failed: out of memory": "log_cuda_out_of_memory",
    "ValueError: No available memory for the cache blocks.": "log_cuda_out_of_memory",
    "CUDA driver version is insufficient for CUDA runtime version": "log_driver_too_old",
    "Failed to initialize NVML: Driver/library version mismatch": "log_driver_too_old",
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.": "log_no_accelerator",
    "OSError: CUDA_HOME environment variable is not set.": "log_toolkit_missing",
    "/bin/sh: 1: nvcc: not found": "log_toolkit_missing",
    "ImportError: libcudart.so.12: cannot open shared object file": "log_toolkit_missing",
    "OSError: [Errno 28] No space left on device: '/dev/shm/x'": "log_shared_memory",
    "OSError: [Errno 28] No space left on device": "log_no_space",
    "MemoryError": "log_host_memory",
    "ModuleNotFoundError: No module named 'vllm.entry'": "log_module_missing",
    "/usr/bin/python3.11: No module named vllm": "log_module_missing",
    "KeyError: 'HF_TOKEN'": "log_environ_missing",
    "sh: line 1:    12 Killed": "log_killed",
    "[ERROR] Worker (pid:7) was sent SIGKILL! Perhaps out of memory?": "log_killed",
    "torch.multiprocessing.spawn.ProcessExitedException: process 0 terminated with signal 9": "log_killed",
    "Killed 3 idle connections": None,
    "OSError: [Errno 98] Address already in use": "log_address_in_use",
    "GatedRepoError: 403 Client Error.": "log_model_download",
    "urllib.error.HTTPError: HTTP Error 401: Unauthorized": "log_model_download",
    "curl: (6) Could not resolve host: models.example": "log_no_network",
    "ssl.SSLCertVerificationError: certificate verify failed: certificate is not yet valid": "log_clock",
    "serve.py: error: unrecognized arguments: --max-len 9": "log_bad_arguments",
    "socket.gaierror: [Errno -3] Temporary failure in name resolution": "log_no_network",
    "PermissionError: [Errno 13] Permission denied: '/models/x'": "log_permission",
    "FileNotFoundError: [Errno 2] No such file or directory: '/models/x'": "log_file_missing",
    "KeyError: 'lower'": None,
    "INFO: ready": None,
}


@pytest.mark.parametrize(("line", "code"), LOGS.items())
def test_log_symptoms(line: str, code: str | None) -> None:
    sight = log_symptom(["before", line, "after"])
    assert (sight.code if sight else None) == code


def test_symptoms_name_what_they_found() -> None:
    module, file = (
        log_symptom(["No module named 'a'", "ModuleNotFoundError: No module named 'vllm.x'"]),
        log_symptom(["FileNotFoundError: [Errno 2] No such file or directory: '/models/{0}'"]),
    )
    assert module is not None
    assert "vllm.x" in module.message
    assert file is not None
    assert file.message == "a file is missing: /models/{0}"
    bare = log_symptom(["cat: x: No such file or directory"])
    assert bare is not None
    assert bare.message == "a file is missing"


PROBES = {
    "GET /health on port 8000 failed: Connection refused": "health_refused",
    "GET / on port 8000 failed: Connection refused; it listens on 127.0.0.1:8000 only": "health_loopback",
    "GET / on port 8000 failed: Connection refused; it listens on [::]:9, not on port 8000": "health_other_port",
    "port 8000 does not accept connections: refused; it listens on no port yet": "health_not_listening",
    "port 8000 does not accept connections within 3 s": "health_refused",
    "port 8000 does not accept connections: No route to host": "health_unreachable",
    "port 8000 accepts and hangs up at once": "health_closed",
    "port 8000 is held by a process that is not the routing's": "health_foreign_port",
    "GET /health on port 8000 answered 404, expected 200": "health_not_found",
    "GET /status on port 404 answered 302, expected 200": "health_redirect",
    "GET /health on port 8000 answered 401, expected 200": "health_denied",
    "GET /health on port 8000 answered 503, expected 200-299": "health_status",
    "GET /health on port 8000 had no answer within 15 s": "health_timeout",
    "GET /health on port 8000 failed: Server disconnected": "health_closed",
    "GET /health on port 8000 failed: Connection reset by peer": "health_closed",
    "passed": None,
    "": None,
}
"""In the words of scheduler.prober."""


@pytest.mark.parametrize(("message", "code"), PROBES.items())
def test_probe_symptoms(message: str, code: str | None) -> None:
    sight = probe_symptom(message)
    assert (sight.code if sight else None) == code


TABLE = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 7001 1 0000000000000000 100
   1: 0B00007F:A001 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 7002 1 0000000000000000 100
   2: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 7003 1 0000000000000000 20
"""
TABLE6 = """  sl  local_address                         remote_address
   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 81
   1: 0000000000000000FFFF00000100007F:0051 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 82
"""


@pytest.mark.skipif(sys.byteorder == "big", reason="the tables above are of a little-endian machine")
def test_the_kernels_tables_are_read() -> None:
    assert list(sockets(TABLE)) == [Listener("127.0.0.1", 8080, "7001"), Listener("127.0.0.11", 40961, "7002")]
    assert [(one.address, one.port) for one in sockets(TABLE6)] == [("::", 80), ("127.0.0.1", 81)]
    assert list(sockets("")) == []


PLACES: dict[str, tuple[list[tuple[str, int]], str]] = {
    "there": ([("10.0.0.2", 8000)], ""),
    "everywhere": ([("0.0.0.0", 8000), ("127.0.0.1", 9)], ""),
    "everywhere, IPv6": ([("::", 8000)], ""),
    "loopback": ([("127.0.0.1", 8000), ("0.0.0.0", 9)], "it listens on 127.0.0.1:8000 only"),
    "both loopbacks": ([("::1", 8000), ("127.0.0.1", 8000)], "it listens on 127.0.0.1:8000, [::1]:8000 only"),
    "other port": ([("::", 9000)], "it listens on [::]:9000, not on port 8000"),
    "nowhere": ([], "it listens on no port yet"),
    "many": (
        [("0.0.0.0", port) for port in range(1, 7)],
        "it listens on 0.0.0.0:1, 0.0.0.0:2, 0.0.0.0:3, 0.0.0.0:4 and 2 more, not on port 8000",
    ),
}


@pytest.mark.parametrize("name", PLACES)
def test_where_it_listens_instead(name: str) -> None:
    places, said = PLACES[name]
    assert misplaced([Listener(*place) for place in places], "10.0.0.2", 8000) == said


def test_exit_codes_of_local_processes_are_signals() -> None:
    assert exit_meaning(-9) == exit_meaning(137)
    assert exit_meaning(None)[0] == "exited"


@pytest.mark.parametrize(
    "piece", ["KeyError: '", "Killed ", "No module named ", "FileNotFoundError", "huggingface.co ", "A", "'", " "]
)
def test_hostile_logs_are_read_in_time(piece: str) -> None:
    lines = [(piece * 16384)[:16384]] * 50
    began = time.perf_counter()
    log_symptom(lines)
    assert time.perf_counter() - began < 5
