"""The parent of one local routing: a program of its own (`python -I -S supervisor.py FOLDER`), standard library only.

It lives on when the daemon dies, so that the exit status is known and the log is kept whatever happens. Standard
input brings `{argv, cwd, environ}`, standard output takes one answer: `{}` or `{error, step}`. It records itself
before it forks and the command before that executes, so no process of a routing is ever unknown, however early
anything is killed.

Files in FOLDER: `pid.json` (who runs), `exit.json` (how it ended), `log` and `log.1` (what it wrote), `stop` (seconds
of grace; read when SIGTERM arrives). As a child subreaper it stays the ancestor of everything the command forks.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

LOG_LIMIT = 10 * 1024 * 1024
"""Bytes of one log file; the one before it is kept too."""
CHUNK = 64 * 1024
UNKILLABLE = 5.0
"""Seconds after which processes that survive SIGKILL (stuck in the kernel) are no longer waited for."""

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_HANDLED = (signal.SIGCHLD, signal.SIGTERM)
_IGNORED = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTSTP)


def stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on (state, ppid, …; start time is number 19); empty: it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].decode("ascii").split()
    except OSError:
        return []


def identity(pid: int) -> dict[str, Any]:
    """What tells this process from a later one with the same pid."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return {"pid": pid, "start": int(stat_fields(pid)[19]), "boot": boot}


def all_pids() -> Iterator[int]:
    """Every process there is, threads apart."""
    with os.scandir("/proc") as entries:
        yield from [int(e.name) for e in entries if e.name.isdecimal()]


def descendants(roots: set[int]) -> set[int]:
    """All processes below `roots`, without them."""
    parents = {pid: int(fields[1]) for pid in all_pids() if (fields := stat_fields(pid))}
    found: set[int] = set()
    grown = True
    while grown:
        new = {pid for pid, parent in parents.items() if parent in roots | found} - found - roots
        found |= new
        grown = bool(new)
    return found


def send(pids: set[int], *signals: signal.Signals) -> None:
    """Signal each; those that are gone or not ours to signal are passed over."""
    for pid in pids:
        for number in signals:
            try:
                os.kill(pid, number)
            except (ProcessLookupError, PermissionError):
                break


def replace(name: str, value: object) -> None:
    """Write `value` as JSON to the file `name` of the working directory, whole or not at all."""
    temporary = Path(f".{name}.new")
    temporary.write_text(json.dumps(value))
    temporary.replace(name)


def stamp(stream: str, now: float) -> bytes:
    """What each line of the log begins with: wall seconds and `o` or `e`."""
    return b"%.6f %s " % (now, stream[0].encode())


class Log:
    """Two bounded files of whole lines. A disk that is full loses lines, never the routing."""

    def __init__(self) -> None:
        self._rest = {"out": b"", "err": b""}
        self._open()

    def _open(self) -> None:
        self._file = os.open("log", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._file).st_size

    def add(self, stream: str, data: bytes) -> None:
        """Keep what was read from `stream`; a line is written when its end is seen or it is over-long."""
        head, end, self._rest[stream] = (self._rest[stream] + data).rpartition(b"\n")
        if end:
            self._write(stream, head)
        if len(self._rest[stream]) > CHUNK:
            self.flush(stream)

    def flush(self, stream: str) -> None:
        """Write a line that has no end yet."""
        if self._rest[stream]:
            self._write(stream, self._rest[stream])
            self._rest[stream] = b""

    def _write(self, stream: str, lines: bytes) -> None:
        prefix = stamp(stream, time.time())
        data = prefix + lines.replace(b"\n", b"\n" + prefix) + b"\n"
        try:
            if self._size and self._size + len(data) > LOG_LIMIT:
                self._rotate()
            self._size += os.write(self._file, data)
        except OSError:
            return

    def _rotate(self) -> None:
        os.replace("log", "log.1")  # noqa: PTH105
        os.close(self._file)
        self._open()


class Supervision:
    """One command from its start to the end of its last descendant."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._main = 0
        self._code: int | None = None
        self._kill_at: float | None = None
        self._childless = False
        self._streams: dict[int, str] = {}
        self._poll = select.poll()
        self._wake, wake_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_end, warn_on_full_buffer=False)
        self._poll.register(self._wake, select.POLLIN)

    def start(self, argv: list[str], cwd: str, environ: dict[str, str]) -> dict[str, Any]:
        """Fork, record, let it execute. Empty, or what went wrong."""
        go, go_end = os.pipe2(os.O_CLOEXEC)
        verdict, verdict_end = os.pipe2(os.O_CLOEXEC)
        out, err = self._stream("out"), self._stream("err")
        self._main = os.fork()
        if not self._main:
            os.close(go_end)
            become(argv, cwd, environ, go, verdict_end, out, err)
        for fd in (go, verdict_end, out, err):
            os.close(fd)
        replace("pid.json", {"supervisor": identity(os.getpid()), "main": identity(self._main)})
        os.write(go_end, b"!")
        os.close(go_end)
        answer = os.read(verdict, CHUNK)
        os.close(verdict)
        return dict(json.loads(answer)) if answer else {}

    def _stream(self, name: str) -> int:
        reading, writing = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(reading, False)
        self._streams[reading] = name
        self._poll.register(reading, select.POLLIN)
        return writing

    def run(self) -> int:
        """Until nothing of it is left. The exit status as Docker counts it: 128 + n where signal n ended it."""
        while not self._over():
            for fd, _ in self._poll.poll(self._timeout()):
                self._heard(fd)
            self._reap()
            if self._kill_at is not None and time.monotonic() >= self._kill_at:
                send(descendants({os.getpid()}), signal.SIGKILL)
        for fd, name in list(self._streams.items()):
            while self._copy(fd):
                pass
            self._log.flush(name)
        return self._code if self._code is not None else 255

    def _over(self) -> bool:
        if self._code is None or self._kill_at is None:
            return False
        return self._childless or time.monotonic() > self._kill_at + UNKILLABLE

    def _timeout(self) -> float | None:
        """Milliseconds; while processes are being killed, look again soon: they may fork."""
        return None if self._kill_at is None else max(10.0, (self._kill_at - time.monotonic()) * 1000)

    def _heard(self, fd: int) -> None:
        if fd != self._wake:
            self._copy(fd)
        elif signal.SIGTERM in os.read(fd, CHUNK):
            self._stop_asked()

    def _copy(self, fd: int) -> bool:
        """Bring what a stream has into the log. False: nothing now."""
        if fd not in self._streams:
            return False
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return False
        if data:
            self._log.add(self._streams[fd], data)
        else:
            self._log.flush(self._streams.pop(fd))
            self._poll.unregister(fd)
            os.close(fd)
        return bool(data)

    def _stop_asked(self) -> None:
        """A SIGTERM without a `stop` file (a shutting down host) is for others: the command gets its own."""
        try:
            grace = float(Path("stop").read_text())
        except (OSError, ValueError):
            return
        kill_at = time.monotonic() + grace
        self._kill_at = kill_at if self._kill_at is None else min(self._kill_at, kill_at)
        send(descendants({os.getpid()}), signal.SIGTERM, signal.SIGCONT)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._childless = True
                return
            if not pid:
                return
            if pid == self._main:
                code = os.waitstatus_to_exitcode(status)
                self._code = code if code >= 0 else 128 - code
                self._kill_at = self._kill_at if self._kill_at is not None else time.monotonic()


def become(argv: list[str], cwd: str, environ: dict[str, str], go: int, verdict: int, out: int, err: int) -> None:
    """In the fork: once it is on record, turn into the command. Never returns."""
    step = "prepare"
    try:
        os.setsid()
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if not os.read(go, 1):
            os._exit(125)
        signal.set_wakeup_fd(-1)
        for number in (*_HANDLED, *_IGNORED, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.dup2(out, 1)
        os.dup2(err, 2)
        step = "chdir"
        os.chdir(cwd)
        step = "execute"
        os.execvpe(argv[0], argv, environ)
    except (OSError, ValueError) as error:
        os.write(verdict, json.dumps({"error": getattr(error, "errno", errno.EINVAL), "step": step}).encode())
    finally:
        os._exit(127)


def prctl(option: int, value: int) -> None:
    """Where libc cannot, a routing's strays are found by their environment alone."""
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def detach() -> None:
    """Nothing of the daemon stays open here, and no signal meant for it or for a terminal ends this."""
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.umask(0o022)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    for number in _HANDLED:
        signal.signal(number, lambda *_: None)
    prctl(_PR_SET_CHILD_SUBREAPER, 1)


def answer(value: dict[str, Any]) -> None:
    """Tell the daemon, which may be dead, and let go of it."""
    with suppress(OSError):
        os.write(1, json.dumps(value).encode())
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.close(nothing)


def main(folder: str) -> int:
    detach()
    os.chdir(folder)
    lock = os.open("lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        answer({"error": errno.EALREADY, "step": "lock"})
        return 1
    order = json.loads(sys.stdin.buffer.read())
    for left in ("exit.json", "stop"):
        Path(left).unlink(missing_ok=True)
    replace("pid.json", {"supervisor": identity(os.getpid())})
    supervision = Supervision(Log())
    answer(supervision.start(order["argv"], order["cwd"], order["environ"]))
    replace("exit.json", {"code": supervision.run()})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
