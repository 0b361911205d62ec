"""The gateway with JWT against direct, nginx, Traefik and Caddy (no auth): same backends, one run, taking turns.

Throughput: wrk with 32 connections as fast as they go. Latency: wrk with 10 connections, each pausing 5 to 15 ms
before each request, so that about 1,000 requests arrive a second; it is timed from the request's first byte.
"""

from __future__ import annotations

import asyncio
import re
import statistics
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks import proxies
from benchmarks.lib import ROOT, Table, arguments, calm, report
from benchmarks.proxies import Proxy

PAUSES = "function delay() return math.random(5, 15) end"
NGINX = "nginx, no auth, as it comes"
UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(frozen=True)
class Run:
    """Requests a second; milliseconds; microseconds of CPU that the proxy spent on each request."""

    rate: float
    p50: float
    p99: float
    cost: float


def wrk(proxy: Proxy, seconds: int, *options: str, pauses: str = "") -> Run:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(proxy.script + pauses)
        script.flush()
        argv = ["wrk", "--latency", f"-d{seconds}s", *options, "-s", script.name, proxy.url]
        before = proxy.cpu()
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    out = done.stdout
    failed = done.returncode or "Non-2xx" in out or "Socket errors" in out
    assert not failed, f"{proxy.name}: {out}{done.stderr}"
    rate = re.search(r"Requests/sec:\s+([0-9.]+)", out)
    shares = dict(re.findall(r"^\s+(50|99)%\s+([0-9.]+[a-z]+)$", out, re.MULTILINE))
    assert rate, out
    cost = (proxy.cpu() - before) / (float(rate[1]) * seconds) * 1e6
    return Run(float(rate[1]), _ms(shares["50"]), _ms(shares["99"]), cost)


def _ms(text: str) -> float:
    number, unit = re.fullmatch(r"([0-9.]+)([a-z]+)", text).groups()  # type: ignore[union-attr]
    return float(number) * UNITS[unit]


def median(runs: Sequence[Run]) -> Run:
    return Run(*(statistics.median(getattr(run, name) for run in runs) for name in ("rate", "p50", "p99", "cost")))


def compare(every: Sequence[Proxy], rounds: int, seconds: int) -> Table:
    """All proxies once a round, so that what else the machine does falls on all of them."""
    fast: dict[str, list[Run]] = {proxy.name: [] for proxy in every}
    paced: dict[str, list[Run]] = {proxy.name: [] for proxy in every}
    for turn in range(rounds + 1):
        for proxy in every:
            calm()
            full = wrk(proxy, seconds if turn else 1, "-t2", "-c32")
            slow = wrk(proxy, seconds if turn else 1, "-t1", "-c10", pauses=PAUSES)
            if turn:  # the first round only warms up
                fast[proxy.name].append(full)
                paced[proxy.name].append(slow)
    return table(fast, paced)


def table(fast: dict[str, list[Run]], paced: dict[str, list[Run]]) -> Table:
    """Ratios and differences are taken within each round; their median is shown."""
    made = Table(
        ["", "requests/s", "× nginx", "CPU a request", "p50", "p99", "p50 at 1,000/s", "added", "p99 at 1,000/s"]
    )
    for name in fast:
        best, slow = median(fast[name]), median(paced[name])
        ratio = statistics.median(a.rate / b.rate for a, b in zip(fast[name], fast[NGINX], strict=True))
        added = statistics.median(a.p50 - b.p50 for a, b in zip(paced[name], paced["direct"], strict=True))
        made.add(
            name,
            f"{best.rate:,.0f}",
            f"{ratio:.2f}",
            f"{best.cost:.0f} µs",
            f"{best.p50:.2f} ms",
            f"{best.p99:.1f} ms",
            f"{slow.p50:.2f} ms",
            f"{added:+.2f} ms",
            f"{slow.p99:.2f} ms",
        )
    rates = ", ".join(f"{statistics.median(run.rate for run in runs):,.0f}" for runs in paced.values())
    made.notes.append(f"Paced runs, requests a second in the same order: {rates}.")
    return made


def set_up() -> Path:
    """Where Traefik and Caddy are."""
    done = subprocess.run([ROOT / "benchmarks" / "setup.sh"], stdout=subprocess.PIPE, text=True, check=True)
    return Path(done.stdout.strip())


async def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of each run")
    given = parser.parse_args()
    programs = await asyncio.to_thread(set_up)
    with tempfile.TemporaryDirectory(prefix="ob-") as place, ExitStack() as stack:
        home = Path(place)
        ports = stack.enter_context(proxies.backends(home / "backends"))
        others = [
            stack.enter_context(proxies.nginx(home / "nginx", ports, kept=False)),
            stack.enter_context(proxies.nginx(home / "nginx-kept", ports, kept=True)),
            stack.enter_context(proxies.traefik(home / "traefik", ports, programs)),
            stack.enter_context(proxies.caddy(home / "caddy", ports, programs)),
        ]
        ours = proxies.Gateway(home / "state")
        try:
            every = [Proxy("direct", f"http://127.0.0.1:{ports[0]}/"), *await ours.start(ports), *others]
            await asyncio.sleep(1)
            made = await asyncio.to_thread(compare, every, given.rounds, given.seconds)
        finally:
            await ours.stop()
    report("gateway", made)


if __name__ == "__main__":
    asyncio.run(main())
