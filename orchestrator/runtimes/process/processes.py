"""What the kernel knows of one routing's processes: who is alive, what belongs to it, what it listens on, its end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from orchestrator.core.listening import Listener, sockets
from orchestrator.core.ports import Usage
from orchestrator.runtimes.process.supervisor import all_pids, descendants, identity, send, stat_fields

MARKER = "ORCHESTRATOR_UNIT"
"""Environment variable that every process of a routing has; its value is the routing's folder."""


def alive(who: Mapping[str, Any] | None) -> bool:
    """Whether the recorded process (see `supervisor.identity`) is the one that has this pid now, and has not ended."""
    return state(who) not in {"", "Z", "X"} if who else False


def state(who: Mapping[str, Any]) -> str:
    """The kernel's letter (R, S, T, Z …); empty: it is gone, or its pid is another's now."""
    try:
        fields = stat_fields(who["pid"])
        return fields[0] if fields and identity(who["pid"]) == dict(who) else ""
    except (OSError, IndexError):
        return ""


def members(folder: Path, recorded: Mapping[str, Any]) -> set[int]:
    """Every process of the routing in `folder`: the recorded ones, all below them, and all that carry its marker."""
    roots = {who["pid"] for who in recorded.values() if alive(who)}
    known = roots | _marked(MARKER, str(folder))
    return known | descendants(known) if known else known


def marked(name: str, value: str) -> set[int]:
    """Every living process whose environment has this variable, and all below them."""
    known = _marked(name, value)
    return _living(known | descendants(known)) if known else known


def _living(pids: set[int]) -> set[int]:
    return {pid for pid in pids if stat_fields(pid)[:1] not in ([], ["Z"], ["X"])}


def _marked(name: str, value: str) -> set[int]:
    wanted = f"{name}={value}".encode()
    return {pid for pid in all_pids() if wanted in _environ(pid)}


def _environ(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def usages(units: Mapping[str, tuple[Path, Mapping[str, Any]]]) -> dict[str, Usage]:
    """By unit, of what `members` would find, in one look at all processes. The supervisors are ours, not theirs."""
    tick, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    marks = {f"{MARKER}={folder}".encode(): unit for unit, (folder, _) in units.items()}
    recorded = {unit: {name: who["pid"] for name, who in known.items()} for unit, (_, known) in units.items()}
    supervisors = {pids["supervisor"] for pids in recorded.values() if "supervisor" in pids}
    owner = {pids["main"]: unit for unit, pids in recorded.items() if "main" in pids}
    stats = {pid: fields for pid in all_pids() if len(fields := stat_fields(pid)) > 21}
    found: dict[str, list[float]] = {unit: [0.0, 0.0] for unit in owner.values()}
    for pid, fields in stats.items():
        if pid in supervisors:
            continue
        unit = _owner(pid, stats, owner) or next((marks[one] for one in _environ(pid) if one in marks), None)
        if unit is not None:
            known = found.setdefault(unit, [0.0, 0.0])
            known[0] += sum(map(int, fields[11:15])) / tick  # with what its children took that have ended
            known[1] += int(fields[21]) * page
    return {unit: Usage(cpu, int(memory)) for unit, (cpu, memory) in found.items()}


def _owner(pid: int, stats: Mapping[int, list[str]], owner: Mapping[int, str]) -> str | None:
    """Whose it is by who made it."""
    while pid in stats:
        if pid in owner:
            return owner[pid]
        pid = int(stats[pid][1])
    return None


def end_all(folder: Path, recorded: Mapping[str, Any], limit: float = 5.0) -> bool:
    """SIGKILL until nothing of the routing is left. False: something survived for `limit` seconds."""
    deadline = time.monotonic() + limit
    while left := _living(members(folder, recorded)):
        send(left, signal.SIGKILL)
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def listens(pids: set[int], port: int) -> bool:
    """Whether one of `pids` holds a TCP socket that listens on `port`. One whose files are hidden counts as holder."""
    wanted = {_link(one) for one in _listeners() if one.port == port}
    return bool(wanted) and any(_holds(pid, wanted) for pid in pids)


def listening(pids: set[int]) -> list[Listener]:
    """What `pids` listen on, as far as their files may be seen."""
    held = {target for pid in pids for target in _open_files(pid) or ()}
    return [one for one in _listeners() if _link(one) in held]


def holder(port: int) -> str:
    """The process that listens on `port`, by its id and name; empty: it may not be seen."""
    wanted = {_link(one) for one in _listeners() if one.port == port}
    for pid in all_pids():
        if not wanted.isdisjoint(_open_files(pid) or ()):
            with suppress(OSError):
                return f"process {pid} ({Path(f'/proc/{pid}/comm').read_text().strip()})"
    return ""


def _listeners() -> Iterator[Listener]:
    """Every socket of this machine that accepts connections, IPv4 and IPv6."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            yield from sockets(Path(table).read_text())


def _link(listener: Listener) -> str:
    return f"socket:[{listener.inode}]"


def _holds(pid: int, wanted: set[str]) -> bool:
    files = _open_files(pid)
    return files is None or not wanted.isdisjoint(files)


def _open_files(pid: int) -> list[str] | None:
    """What its file descriptors lead to; None: they are hidden from us."""
    folder = f"/proc/{pid}/fd"
    try:
        return [_target(f"{folder}/{fd}") for fd in os.listdir(folder)]  # noqa: PTH208
    except PermissionError:
        return None
    except OSError:
        return []


def _target(link: str) -> str:
    try:
        return os.readlink(link)  # noqa: PTH115
    except OSError:
        return ""
