"""Becomes a command that was asked for beside what a routing runs: `python -I -S executing.py ORDER VERDICT`.

Standard library only. ORDER and VERDICT are descriptors: the one brings `{argv, cwd, environ, tty}`, the other takes
`{error, step}` where it came to nothing. The command has a session of its own, with the terminal that its input is as
its controlling one, and is killed when the daemon ends, however that ends.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import signal
import sys
import termios

_PR_SET_PDEATHSIG = 1


def main(order: int, verdict: int) -> None:
    step = "prepare"
    os.set_inheritable(verdict, False)
    try:
        with open(order, "rb") as pipe:
            asked = json.loads(pipe.read())
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if asked["tty"]:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        os.umask(0o022)
        step = "chdir"
        os.chdir(asked["cwd"])
        step = "execute"
        os.execvpe(asked["argv"][0], asked["argv"], asked["environ"])
    except (OSError, ValueError) as error:
        os.write(verdict, json.dumps({"error": getattr(error, "errno", errno.EINVAL), "step": step}).encode())
    os._exit(127)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
