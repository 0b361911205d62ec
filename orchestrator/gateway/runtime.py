"""What a running worker serves, read from its answers, and the commands that bring it to what is wanted; pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.gateway.render import MAPS, PREFIXES, SERVER_OPTIONS, USE_EXPIRY, Member, bind

_BACKENDS = tuple(PREFIXES.values())
_ENTRY = re.compile(r"0x[0-9a-f]+ (\S+) (.+)")
STATISTICS = "show stat -1 4 -1"
"""The command that says of all servers what runs on them and what they have answered."""
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MAINTENANCE = 1
"""Bit of srv_admin_state: forced into maintenance."""


@dataclass(frozen=True, slots=True)
class Running:
    """One server as a worker has it; `member.weight` 0: no new requests."""

    member: Member
    maintained: bool


def servers(answer: str) -> dict[tuple[str, str], Running]:
    """From `show servers state`, by backend and name."""
    found: dict[tuple[str, str], Running] = {}
    columns: dict[str, int] = {}
    for line in answer.splitlines():
        cells = line.split()
        if line.startswith("# "):
            columns = {name: place for place, name in enumerate(cells[1:])}
        elif len(cells) == len(columns) and columns:
            backend, name = cells[columns["be_name"]], cells[columns["srv_name"]]
            at = bind(cells[columns["srv_addr"]], int(cells[columns["srv_port"]]))
            member = Member(backend, name, at, int(cells[columns["srv_uweight"]]))
            if backend.startswith(_BACKENDS):
                held = bool(int(cells[columns["srv_admin_state"]]) & _MAINTENANCE)
                found[backend, name] = Running(member, held)
    return found


def is_token(text: str) -> bool:
    """Can it be a token's id?"""
    return bool(_TOKEN.fullmatch(text))


def entries(answer: str) -> dict[str, str]:
    """From `show map`; none of a map that this worker does not know."""
    return {row[1]: row[2] for row in map(_ENTRY.fullmatch, answer.splitlines()) if row}


def knows_map(answer: str) -> bool:
    """From `show map`: a worker of another version may lack one."""
    return not answer.startswith("Unknown map")


def of_routings(answer: str, columns: Sequence[str]) -> Iterator[tuple[str, list[int]]]:
    """From `STATISTICS`: each routing with its numbers in these columns. None of a worker that has just ended."""
    first, *lines = answer.lstrip().splitlines() or [""]
    heads = first.removeprefix("# ").split(",")
    if not set(columns) <= set(heads):
        return
    name, places = heads.index("svname"), [heads.index(column) for column in columns]
    for line in lines:
        cells = line.split(",") if line.startswith(_BACKENDS) else ()
        if len(cells) >= len(heads):
            yield cells[name], [int(cells[place] or 0) for place in places]


def open_on(answer: str) -> Counter[str]:
    """From `STATISTICS`: routing to requests that run or wait on it."""
    found: Counter[str] = Counter()
    for routing, numbers in of_routings(answer, ("qcur", "scur")):
        found[routing] += sum(numbers)
    return found


def held(answer: str) -> Counter[str]:
    """From `show held`: service to requests that wait for its routings."""
    rows = (line.split(" ") for line in answer.splitlines())
    return Counter({row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdecimal()})


@dataclass(frozen=True, slots=True)
class Use:
    """A token on one client connection; `running`: a request of it is open; `age`: seconds since its last use."""

    token: str
    client: str
    running: bool
    age: float


def uses(answer: str) -> list[Use]:
    """From `show table gateway`."""
    found = []
    for line in answer.splitlines():
        facts = dict(part.split("=", 1) for part in line.split() if "=" in part)
        token, _, client = facts.get("key", "").partition("/")
        if client:
            running = facts.get("use", "0") != "0"
            age = 0.0 if running else max(0.0, USE_EXPIRY - int(facts.get("exp", "0")) / 1000)
            found.append(Use(token, client, running, age))
    return found


def asked(answer: str, routing: str) -> list[str]:
    """From `show sess`: this routing as `backend/name`, where a stream is with it."""
    rows = (dict(part.split("=", 1) for part in line.split() if "=" in part) for line in answer.splitlines())
    return sorted({f"{row['be']}/{routing}" for row in rows if row.get("srv") == routing and "be" in row})


def streams(answer: str, marks: Collection[str]) -> list[str]:
    """From `show sess`: ids of the streams that carry one of these marks (`src=` a client, `srv=` a routing)."""
    rows = (line.split() for line in answer.splitlines())
    return [row[0].rstrip(":") for row in rows if not set(marks).isdisjoint(row)]


def commands(
    running: Mapping[tuple[str, str], Running],
    wanted: Mapping[tuple[str, str], Member],
    running_maps: Mapping[str, Mapping[str, str]],
    wanted_maps: Mapping[str, Mapping[str, str]],
) -> list[str]:
    """In an order in which no moment is without a server: new ones come first, old ones go last."""
    known_first = sorted(wanted.items(), key=lambda one: one[0] not in running)  # a new one's share counts among theirs
    coming = [line for key, member in known_first for line in _bring(running.get(key), member)]
    states = [line for name, known in running_maps.items() for line in remap(name, known, wanted_maps[name])]
    going = [line for key, server in running.items() if key not in wanted for line in _retire(server)]
    fades = [line.startswith("set server ") and line.endswith(" weight 0") for line in coming]
    more = [line for line, fade in zip(coming, fades, strict=True) if not fade]
    less = [line for line, fade in zip(coming, fades, strict=True) if fade]
    return [*more, *states, *less, *going]


def _bring(server: Running | None, member: Member) -> list[str]:
    name = f"{member.backend}/{member.name}"
    if server is None:
        added = f"add server {name} {member.address} weight {member.weight} {SERVER_OPTIONS}"
        return [added, f"enable server {name}"]
    lines = []
    if server.member.address != member.address:
        host, port = member.address.rsplit(":", 1)
        lines.append(f"set server {name} addr {host.strip('[]')} port {port}")
    if server.member.weight != member.weight:
        lines.append(f"set server {name} weight {member.weight}")
    if server.maintained:
        lines.append(f"set server {name} state ready")
    return lines


def _retire(server: Running) -> list[str]:
    """No new requests, those that run finish; it can be deleted only once none is left."""
    name = f"{server.member.backend}/{server.member.name}"
    held = [] if server.maintained else [f"set server {name} state maint"]
    return [*held, f"del server {name}"]


def remap(name: str, running: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    """The commands that bring one map to its wanted entries."""
    file = f"{MAPS}/{name}.map"
    added = [f"add map {file} {key} {value}" for key, value in wanted.items() if key not in running]
    changed = [f"set map {file} {key} {value}" for key, value in wanted.items() if running.get(key, value) != value]
    return [*added, *changed, *(f"del map {file} {key}" for key in running if key not in wanted)]
