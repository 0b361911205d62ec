"""Protocols that the edge implements and the executor and scheduler use. Siblings know each other only by these.

Only types: no implementation, no I/O. Each has a contract test that all its implementations pass (tests/contracts).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from orchestrator.core.listening import Listener
from orchestrator.core.routes import RouteTable, Traffic
from orchestrator.core.spec import RoutingSpec
from orchestrator.core.state import Group, Observed, Reservation, UnitKind
from orchestrator.core.units import size_text

# --- clock ----------------------------------------------------------------------------------------------------------


class Clock(Protocol):
    """`now`: steady seconds, never jumps (wall time at the daemon's start, then monotonic). `wall`: the system's."""

    def now(self) -> float: ...
    def wall(self) -> float: ...


# --- sandbox: where pre-start actions happen ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CommandResult:
    """`out` and `err` decoded as UTF-8 with replacement, the last 64 KiB of each."""

    out: str
    err: str
    exit_code: int


class CommandTimeout(TimeoutError):
    """A command ran past its timeout and was ended; what it had printed, as in `CommandResult`."""

    def __init__(self, out: str = "", err: str = "") -> None:
        super().__init__("the command ran past its timeout")
        self.out, self.err = out, err


class Sandbox(Protocol):
    """The inside of one routing before its start command runs, as the user that the start command will have.

    Relative paths refer to /home/work. `..` in a path is refused by the action, not here. Every method raises
    `RuntimeFailure` (codes: permission, no_space, is_a_directory, not_found, no_shell, command_not_found, …) or
    `Unavailable`. Nothing is left half-written.
    """

    async def write(self, path: str, body: bytes, *, mode: int, append: bool) -> None:
        """Write whole or not at all; parents are created."""

    async def mkdir(self, path: str) -> None:
        """With parents; an existing folder is fine, an existing file is `RuntimeFailure`."""

    async def run(self, argv: Sequence[str], *, timeout: float) -> CommandResult:
        """Execute without a shell. Raises CommandTimeout after `timeout` seconds, with the command's processes ended.
        A command that cannot be found or executed is `RuntimeFailure` (command_not_found, permission)."""

    async def log(self, line: str) -> None:
        """Append a line (or several, joined by newlines) to the routing's own log, where the runtime can."""

    async def python(self) -> str:
        """Path or name of the routing's Python (`{runtime_path}`); `python3` where unknown."""


# --- runtime --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Unit:
    """What is to be created: one routing (or try) with everything resolved but its templates."""

    id: str
    service: str
    spec: RoutingSpec
    kind: UnitKind = "routing"
    reservation: Reservation = Reservation()
    environ: Mapping[str, str] = field(default_factory=dict)
    """Complete: definition's, secrets' and the BACKEND_* and ORCHESTRATOR_* ones, but for PORT."""
    stop_grace: float = 30.0


@dataclass(frozen=True, slots=True)
class Command:
    """The start command, rendered. `argv` None: the image's own. `text`: run as `[shell, -c, text]`, where shell
    `default` is /bin/bash if the routing has it, else /bin/sh."""

    argv: tuple[str, ...] | None = None
    text: str | None = None
    shell: str = "default"


@dataclass(frozen=True, slots=True)
class Created:
    """`port`: the port that the model server must listen on inside (the process runtime may have allocated another
    than the definition's)."""

    runtime_id: str
    port: int


@dataclass(frozen=True, slots=True)
class LogLine:
    time: float
    stream: Literal["out", "err"]
    text: str


@dataclass(frozen=True, slots=True)
class Invocation:
    """A command that somebody wants to run beside what a routing runs. `user`, `folder` empty: the routing's own.
    `size`: columns and rows of its terminal, if it has one (`tty`). Without `stdin` its input is empty."""

    argv: tuple[str, ...]
    tty: bool = False
    stdin: bool = False
    user: str = ""
    folder: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)
    size: tuple[int, int] = (80, 24)


Chunk = tuple[Literal["out", "err"], bytes]


class Execution(Protocol):
    """A command that runs beside what a routing runs. Whoever got it closes it."""

    def output(self) -> AsyncIterator[Chunk]:
        """What it writes, as it comes, until it has ended; read once. With a terminal all of it is `out`. What it left
        in the background is not waited for."""

    async def write(self, data: bytes) -> None:
        """Its input; empty: the end of it. Waits while it does not read. What nobody reads any more is dropped."""

    async def resize(self, columns: int, rows: int) -> None:
        """The size of its terminal; without one, nothing happens."""

    async def wait(self) -> int:
        """Its exit code, once the output has ended; 128 + n where signal n ended it."""

    async def close(self) -> None:
        """End it, with all that it started, if it still runs."""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What came out of an archive: how many files and links, and the bytes of the files."""

    files: int
    size: int


@dataclass(frozen=True, slots=True)
class RuntimeInfo:
    """`capacity`: slots of the host; `detail`: what `doctor` shows (version, storage driver, live restore …)."""

    name: str
    version: str
    capacity: Group
    detail: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PullProgress:
    """An image that is being fetched: bytes that came, and of all whose size is known (`whole`: that is all). Of its
    layers how many there are, have come, are unpacked; 0: not known."""

    image: str
    current: int
    total: int
    layers: int = 0
    fetched: int = 0
    unpacked: int = 0
    whole: bool = False

    @property
    def unpacking(self) -> bool:
        """All has come."""
        return 0 < self.layers == self.fetched

    @property
    def amount(self) -> str:
        """How much of it, in words; empty: nothing is known."""
        if self.unpacking:
            return f"unpacking, {self.unpacked} of {self.layers} layers"
        if not self.total:
            return ""
        if not self.whole and self.layers:
            return f"{size_text(self.current)}, {self.fetched} of {self.layers} layers"
        share = f"{self.current * 100 // self.total} %, " if self.whole else ""
        current, total = size_text(self.current), size_text(self.total)
        number, _, unit = current.partition(" ")
        return f"{share}{number if total.endswith(unit) else current} of {total}"

    def __str__(self) -> str:
        return f"fetching {self.image}{f': {amount}' if (amount := self.amount) else ''}"


@dataclass(frozen=True, slots=True)
class Usage:
    """What one unit takes: seconds of CPU since it began, and bytes of memory now (without file caches where the
    runtime can tell them apart)."""

    cpu: float
    memory: int


class Runtime(Protocol):
    """A container engine. Units are addressed by `Unit.id`; every call but `create` on a unit that does not exist
    raises `NotFound`, except `stop` and `remove`, which are idempotent. Errors: `RuntimeFailure` (the engine refused),
    `Unavailable` (it does not answer)."""

    name: str
    exclusive_ports: bool
    """All routings share one port space."""

    async def info(self) -> RuntimeInfo: ...

    async def observe(self) -> Sequence[Observed]:
        """All units of this installation, of every kind. Raises `Unavailable`; never a partial answer."""

    def events(self) -> AsyncIterator[str]:
        """A unit's id (or "") each time something changed: look again. Ends or raises when the engine goes away."""

    async def ensure_image(self, unit: Unit, progress: Callable[[PullProgress], None]) -> str:
        """Make the unit's image present by the configured pull policy; its digest or id (empty: has no images)."""

    async def has_image(self, image: str) -> bool:
        """Whether `image` is there without fetching it. Always true where there are no images."""

    async def create(self, unit: Unit) -> Created:
        """Create without running the start command. A leftover of the same id is replaced."""

    def sandbox(self, unit_id: str) -> Sandbox: ...

    async def start(self, unit_id: str, command: Command) -> None: ...

    async def stop(self, unit_id: str, grace: float) -> None:
        """SIGTERM, SIGKILL after `grace` seconds; returns when it has ended. The whole process tree ends."""

    async def remove(self, unit_id: str) -> None:
        """With everything of it but its records; ends it first if it still runs."""

    def logs(
        self, unit_id: str, *, follow: bool = False, tail: int | None = None, since: float | None = None
    ) -> AsyncIterator[LogLine]:
        """Lines in order, text decoded with replacement, a line at most 16 KiB; `since` in wall seconds."""

    async def execute(self, unit_id: str, invocation: Invocation) -> Execution:
        """Run a command in the environment of a unit that runs. Raises `RuntimeFailure` (not_running,
        command_not_found, permission, no_user, unsupported …), some of it only from `output`."""

    def archive(self, unit_id: str, path: str) -> AsyncIterator[bytes]:
        """The file or folder at `path` (relative: to /home/work) as a tar of one root. The unit need not run. Raises
        `RuntimeFailure` (not_found, outside_sandbox, permission …)."""

    async def unpack(self, unit_id: str, path: str, archive: AsyncIterator[bytes], *, folder: bool) -> Unpacked:
        """A tar into the folder `path`; where `path` is none (and not `folder`), its one root becomes `path`. Owned by
        the unit's user; nothing gets outside. Raises as `archive` does, `InvalidInput` for what is no sound tar."""

    async def owns_listener(self, unit_id: str, port: int) -> bool:
        """Whether what listens on `port` at the unit's address is the unit's own. Always true where units have
        addresses of their own; not cheap where not: ask when a unit first passes, not at each probe."""

    async def listeners(self, unit_id: str) -> Sequence[Listener] | None:
        """What the unit's own processes listen on; None: it cannot be seen from here. No cheaper than
        `owns_listener`."""

    async def usage(self) -> Mapping[str, Usage]:
        """Unit id to what it takes, of the running ones; one that cannot be read now is left out."""

    async def clear(self) -> None:
        """Remove what the installation has besides its units (its network): nothing of it is to stay."""

    async def close(self) -> None: ...


# --- gateway --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Published:
    """`problems`: service name to what could not be granted (a port that is taken and by whom)."""

    problems: Mapping[str, str] = field(default_factory=dict)
    reloaded: bool = False


TakeRecords = Callable[[str, Sequence[bytes], bool], None]
"""Called in a thread: name of a worker, its lines in order, and whether these are all that it still has, from the
beginning: some were given before then, in this daemon's life or the last one's."""


class Gateway(Protocol):
    """The data path. It goes on without the daemon. Errors: `Unavailable`."""

    async def start(self) -> None:
        """Adopt the one that runs, or start it."""

    async def publish(self, table: RouteTable) -> Published:
        """Make `table` what is served; idempotent; no request fails through it."""

    async def revoke(self, tokens: Mapping[str, float]) -> None:
        """All revoked token ids with their expiry (wall seconds): refused from now on, also after restarts."""

    async def close_sessions_of_token(self, token: str) -> int:
        """End running requests that were made with this token; how many."""

    async def token_uses(self) -> Mapping[str, float]:
        """Token id to when a request was last made with it (wall seconds), as far as the gateway remembers."""

    async def sessions(self) -> Mapping[str, int]:
        """Routing id to requests (streams, WebSockets) open on it, over all workers."""

    async def traffic(self) -> Mapping[str, Mapping[str, Traffic]]:
        """What routings have answered: name of a worker to routing id to its counters since that worker began. A
        reload brings a new worker with counters of its own; the old one is listed as long as it lives."""

    async def waiting(self) -> Mapping[str, int]:
        """Service's name in lower case to requests that wait for its routings, over all workers; those that have none
        may be left out."""

    async def records(self, take: TakeRecords) -> None:
        """Gives `take` a line of `core.records` for every request that has ended, until it is cancelled. Lines wait
        in the gateway, in bounded memory, while nobody takes them. Never raises for a gateway that is down."""

    async def exporter(self) -> bytes:
        """The gateway's own metrics as Prometheus text; empty: it has none."""

    async def close_sessions(self, routing: str) -> None:
        """End what is still open on a routing."""

    async def check(self) -> Mapping[str, str]:
        """What `status` and `doctor` show (pid, workers, version); raises `Unavailable` when it is down."""

    async def stop(self) -> None:
        """End it (serve --ephemeral)."""

    async def close(self) -> None:
        """Let go of it; it stays."""


EventSink = Callable[[str, str, str, str, Mapping[str, object]], Awaitable[None]]
"""kind, service name, routing id, cause, detail."""
