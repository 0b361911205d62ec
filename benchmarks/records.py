"""What it costs that every request is recorded: at the gateway, and in the daemon that counts and keeps the records.

The same gateway three times, taking turns under wrk (32 connections as fast as they go, JWT checked): with its log
lines cut out of the configuration, with them and nobody reading, and with a recorder as in the daemon (counts,
histograms, an access file). The backend is a HAProxy that answers by itself.
"""

from __future__ import annotations

import asyncio
import re
import resource
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.gateway import Run, wrk
from benchmarks.lib import Table, arguments, calm, free_port, report
from benchmarks.proxies import Gateway, Proxy, running
from orchestrator.gateway.binary import binary
from orchestrator.records import Recorder
from orchestrator.settings import AccessLogSettings

ANSWER = """defaults
  mode http
  timeout client 60s
frontend answers
  bind 127.0.0.1:{port}
  http-request return status 200 content-type application/json string '{{"text":"{text}"}}'
"""
CUT = re.compile(r"^  (log ring@.*|log-format .*|http-request set-log-level .*)\n", re.MULTILINE)
WITHOUT, UNREAD, READ = "not recorded", "recorded, nobody reads", "recorded, read, counted, in a file"


async def started(home: Path, port: int, *, cut: bool) -> tuple[Gateway, Proxy]:
    ours = Gateway(home)
    proxy = (await ours.start([port]))[0]
    if cut:
        config = home / "gateway" / "haproxy.cfg"
        config.write_text(CUT.sub("", config.read_text()))
        assert not await ours.gateway._master.reload()
    return ours, proxy


def own_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def measured(proxy: Proxy, seconds: int, recorder: Recorder | None) -> tuple[Run, float, float]:
    """The run, and of the recorder: CPU microseconds a request, and requests that it counted of those that were."""
    before, known = own_cpu(), _requests(recorder)
    run = await asyncio.to_thread(wrk, proxy, seconds, "-t2", "-c32")
    await asyncio.sleep(0.5)
    spent, requests = own_cpu() - before, run.rate * seconds
    return run, spent / requests * 1e6, (_requests(recorder) - known) / requests


def _requests(recorder: Recorder | None) -> int:
    if recorder is None:
        return 0
    recorder.stored(recorder.settle()[0])
    return sum(known.requests for known in recorder.totals().values())


async def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of each run")
    parser.add_argument("--patience", type=float, default=20.0, help="seconds to wait for a calm machine")
    given = parser.parse_args()
    runs: dict[str, list[tuple[Run, float, float]]] = {WITHOUT: [], UNREAD: [], READ: []}
    with tempfile.TemporaryDirectory(prefix="ob-") as place, ExitStack() as stack:
        home, port = Path(place), free_port()
        (home / "answers").mkdir()
        config = home / "answers" / "haproxy.cfg"
        config.write_text(ANSWER.format(port=port, text="x" * 500))
        stack.enter_context(running([str(binary("", home)), "-f", str(config)], home / "answers", port))
        gateways = {name: await started(home / str(i), port, cut=name == WITHOUT) for i, name in enumerate(runs)}
        recorder = Recorder(home, AccessLogSettings(), lambda token: f"name of {token}")
        task = asyncio.create_task(gateways[READ][0].gateway.records(recorder.take))
        try:
            for turn in range(given.rounds + 1):
                for name, (_, proxy) in gateways.items():
                    await asyncio.to_thread(calm, given.patience)
                    one = await measured(proxy, given.seconds if turn else 1, recorder if name == READ else None)
                    if turn:  # the first round only warms up
                        runs[name].append(one)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            recorder.close()
            for ours, _ in gateways.values():
                await ours.stop()
    report("records", table(runs))


def table(runs: dict[str, list[tuple[Run, float, float]]]) -> Table:
    made = Table(
        ["", "requests/s", "ratio", "CPU a request, gateway", "p50", "p99", "CPU a request, recorder", "counted"]
    )
    for name, found in runs.items():
        ratio = statistics.median(a.rate / b.rate for (a, *_), (b, *_) in zip(found, runs[WITHOUT], strict=True))
        rate, p50, p99, cost = (
            statistics.median(getattr(run, what) for run, *_ in found) for what in ("rate", "p50", "p99", "cost")
        )
        spent, counted = (statistics.median(one[i] for one in found) for i in (1, 2))
        told = (f"{spent:.1f} µs", f"{counted:.2%}") if name == READ else ("", "")
        made.add(name, f"{rate:,.0f}", f"{ratio:.2f}", f"{cost:.1f} µs", f"{p50:.2f} ms", f"{p99:.1f} ms", *told)
    return made


if __name__ == "__main__":
    asyncio.run(main())
