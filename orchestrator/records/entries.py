"""A record as a line of an access file, and back as what the API says of it.

The line is JSON with the keys of `core.traffic_views.AccessEntry`, put together as bytes: 20,000 a second must not cost
a core. What could break it (a quote, a control character) HAProxy writes as `#22`; a backslash is doubled here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from time import gmtime, strftime

from orchestrator.core.records import NONE, Field
from orchestrator.core.traffic_views import AccessEntry

_LINE = (
    b'{"time":"%s.%sZ","request_id":"%s","service":%s,"routing":"%s","token_id":"%s","token_name":%s,"method":"%s",'
    b'"path":"%s","status":%s,"end":"%s","seconds":{"total":%s,"hold":%s,"queue":%s,"connect":%s,"first_byte":%s},'
    b'"bytes_in":%s,"bytes_out":%s,"client":"%s"}\n'
)
_SHORT = {str(ms).encode(): b"%d.%03d" % divmod(ms, 1000) for ms in range(2000)} | {b"-1": b"null"}


def line(record: Sequence[bytes], service: bytes, token_name: bytes) -> bytes:
    """`service` and `token_name`: as JSON texts. Raises ValueError for a record that is cut off."""
    # fmt: off
    (_, at, request, _, routing, token, method, path, status, end, total, held, queue, connect, first, sent, answered,
     client, _, _) = record
    # fmt: on
    none, short = NONE, _SHORT
    if held not in none:
        queue = str(queued(record)).encode()
    return _LINE % (
        _instant(at[:-3]),
        at[-3:],
        b"" if request in none else request,
        service,
        b"" if routing in none else routing,
        b"" if token in none else token,
        token_name,
        method,
        path.replace(b"\\", b"\\\\") if b"\\" in path else path,
        status if status != b"-1" else b"null",
        end,
        short.get(total) or _seconds(total),
        b"0.0" if held in none else short.get(held) or _seconds(held),
        short.get(queue) or _seconds(queue),
        short.get(connect) or _seconds(connect),
        short.get(first) or _seconds(first),
        sent,
        answered,
        client,
    )


@lru_cache(64)
def _instant(second: bytes) -> bytes:
    return strftime("%Y-%m-%dT%H:%M:%S", gmtime(int(second))).encode()


def _seconds(ms: bytes) -> bytes:
    return b"%d.%03d" % divmod(int(ms), 1000) if ms.isdigit() else b"null"


def milliseconds(field: bytes) -> int | None:
    """None: it did not come so far."""
    return int(field) if field.isdigit() else None


def queued(record: Sequence[bytes]) -> int | None:
    """Milliseconds that it waited for a routing, without those that it was held: HAProxy counts both as one."""
    waited = milliseconds(record[Field.QUEUE])
    return None if waited is None else max(0, waited - (milliseconds(record[Field.HELD]) or 0))


def entry(written: bytes) -> AccessEntry | None:
    """None: it is no whole entry (the disk was full, or somebody else wrote there)."""
    try:
        return AccessEntry.model_validate_json(written)
    except ValueError:
        return None
