"""One line a request that has ended: what the gateway writes down of it, and how it is read. Pure.

Fields are separated by tabs, in the order of `Field`; `-` or -1: there was none. A gateway writes them (for HAProxy it
is the log-format in gateway/haproxy.cfg.j2), `orchestrator.records` counts them and keeps them.
"""

from __future__ import annotations

from enum import IntEnum

FORM = b"r1"
"""First field of every record: which form it has. Other lines are none."""


class Field(IntEnum):
    FORM = 0
    AT = 1
    """Milliseconds since the epoch when it ended."""
    REQUEST = 2
    SERVICE = 3
    """In lower case; none where no service has the name that was asked for."""
    ROUTING = 4
    TOKEN = 5
    """Id of the token, where one was verified."""
    METHOD = 6
    PATH = 7
    """As the client asked, without its query."""
    STATUS = 8
    """-1: the client went away before there was one."""
    END = 9
    """Why it ended: HAProxy's termination state."""
    TOTAL = 10
    """This and the next four in milliseconds; -1: it did not come so far."""
    HELD = 11
    QUEUE = 12
    CONNECT = 13
    FIRST = 14
    """From the end of the request's head at the routing to the head of its answer."""
    IN = 15
    OUT = 16
    CLIENT = 17
    STREAM = 18
    """`1` for event streams and WebSockets."""
    TRACE = 19
    """`trace-parent-span` where the request is traced; the parent may be empty."""


FIELDS = len(Field)
NONE = (b"-", b"", b"<NOSRV>")


def fields(line: bytes) -> list[bytes] | None:
    """A record's fields; None: it is no record."""
    found = line.split(b"\t")
    return found if len(found) == FIELDS and found[0] == FORM else None
