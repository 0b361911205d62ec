"""When a token ends: the `--expires` of `token create` as a point in time. Pure; used by the scheduler's tokens."""

from __future__ import annotations

import calendar
import re
from datetime import UTC, date, datetime, timedelta

from orchestrator.core.errors import InvalidInput

DEFAULT = "30d"
LAST = 253402300799.0
"""9999-12-31T23:59:59Z."""
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_MONTHS = {"mo": 1, "yr": 12}
_DURATION = re.compile(r"([0-9]+)(s|m|h|d|w|mo|yr|)", re.IGNORECASE)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def parse_expiry(text: str, now: float) -> float | None:
    """Wall seconds of the end that `text` names, seen from `now` (wall seconds); None: never. Empty: 30 days.

    `3600s`, `15m`, `2h`, `3d`, `1w`, `2mo`, `1yr` (months and years by the calendar, in UTC), bare seconds, `never`, a
    date (its first second, UTC) or an RFC 3339 time. Raises `InvalidInput`.
    """
    told = text.strip() or DEFAULT
    if told.lower() == "never":
        return None
    try:
        end = _end(told, now)
    except (ValueError, OverflowError) as error:
        raise _refused(told, str(error) if isinstance(error, _Wrong) else "it lies beyond the year 9999") from error
    if end > LAST:
        raise _refused(told, "it lies beyond the year 9999")
    if end <= now:
        raise _refused(told, "it is not in the future")
    return end


class _Wrong(ValueError):
    """Its text is for the user."""


def _end(told: str, now: float) -> float:
    if found := _DURATION.fullmatch(told):
        return _after(int(found[1].lstrip("0")[:18] or "0"), found[2].lower(), now)
    if _DATE.fullmatch(told):
        return _instant(f"{told}T00:00:00+00:00")
    if _INSTANT.fullmatch(told):
        return _instant(told.upper())
    raise _Wrong("it is neither a duration nor a date")


def _after(count: int, unit: str, now: float) -> float:
    if unit in _MONTHS:
        return _months_later(datetime.fromtimestamp(now, UTC), count * _MONTHS[unit]).timestamp()
    return (datetime.fromtimestamp(now, UTC) + timedelta(seconds=count * _SECONDS[unit])).timestamp()


def _months_later(start: datetime, months: int) -> datetime:
    """The same day of a later month, or that month's last day where it has no such day."""
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    if year > 9999:
        raise OverflowError
    last = calendar.monthrange(year, month + 1)[1]
    return start.replace(year=year, month=month + 1, day=min(start.day, last))


def _instant(told: str) -> float:
    try:
        date.fromisoformat(told[:10])
        return datetime.fromisoformat(told).timestamp()
    except ValueError as error:
        raise _Wrong("there is no such date or time") from error


def _refused(told: str, why: str) -> InvalidInput:
    return InvalidInput(
        f"cannot use {told[:40]!r} as an expiry: {why}",
        hint="say 3600s, 15m, 2h, 3d, 1w, 2mo, 1yr, a date (2030-12-31), a time (2030-12-31T18:00:00Z) or never",
    )
