"""A record as a line of an access file, and back as what the API says of it.

The line is JSON with the keys of `core.traffic_views.AccessEntry`, put together as bytes: 20,000 a second must not cost
a core. What could break it (a quote, a control character) HAProxy writes as `#22`; a backslash is doubled here.
"""

from __future__ import annotations

from functools import lru_cache
from time import gmtime, strftime

from orchestrator.core.records import NONE, Field
from orchestrator.core.traffic_views import AccessEntry

_LINE = (
    b'{"time":"%s.%03dZ","request_id":"%s","service":%s,"routing":"%s","token_id":"%s","token_name":%s,"method":"%s",'
    b'"path":"%s","status":%s,"end":"%s","seconds":{"total":%s,"hold":%s,"queue":%s,"connect":%s,"first_byte":%s},'
    b'"bytes_in":%s,"bytes_out":%s,"client":"%s"}\n'
)
_SHORT = {str(ms).encode(): b"%d.%03d" % divmod(ms, 1000) for ms in range(2000)}


def line(record: list[bytes], service: bytes, token_name: bytes) -> bytes:
    """`service` and `token_name`: as JSON texts."""
    second, ms = divmod(int(record[Field.AT]), 1000)
    path, status = record[Field.PATH], record[Field.STATUS]
    return _LINE % (
        _instant(second),
        ms,
        _plain(record[Field.REQUEST]),
        service,
        _plain(record[Field.ROUTING]),
        _plain(record[Field.TOKEN]),
        token_name,
        _plain(record[Field.METHOD]),
        path.replace(b"\\", b"\\\\") if b"\\" in path else path,
        status if status.isdigit() else b"null",
        record[Field.END],
        _seconds(record[Field.TOTAL], b"0.0"),
        _seconds(record[Field.HELD], b"0.0"),
        _queued(record),
        _seconds(record[Field.CONNECT], b"null"),
        _seconds(record[Field.FIRST], b"null"),
        record[Field.IN],
        record[Field.OUT],
        record[Field.CLIENT],
    )


@lru_cache(64)
def _instant(second: int) -> bytes:
    return strftime("%Y-%m-%dT%H:%M:%S", gmtime(second)).encode()


def _plain(value: bytes) -> bytes:
    return b"" if value in NONE else value


def _seconds(ms: bytes, none: bytes) -> bytes:
    found = _SHORT.get(ms)
    if found is None:
        found = b"%d.%03d" % divmod(int(ms), 1000) if ms.isdigit() else none
    return found


def milliseconds(field: bytes) -> int | None:
    """None: it did not come so far."""
    return int(field) if field.isdigit() else None


def queued(record: list[bytes]) -> int | None:
    """Milliseconds that it waited for a routing, without those that it was held: HAProxy counts both as one."""
    waited = milliseconds(record[Field.QUEUE])
    return None if waited is None else max(0, waited - (milliseconds(record[Field.HELD]) or 0))


def _queued(record: list[bytes]) -> bytes:
    if record[Field.HELD] in NONE:
        return _seconds(record[Field.QUEUE], b"null")
    return _seconds(str(queued(record)).encode(), b"null")


def entry(written: bytes) -> AccessEntry | None:
    """None: it is no whole entry (the disk was full, or somebody else wrote there)."""
    try:
        return AccessEntry.model_validate_json(written)
    except ValueError:
        return None
