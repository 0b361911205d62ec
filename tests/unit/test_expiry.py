"""`--expires` as a point in time: each form by name, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.errors import InvalidInput
from orchestrator.core.expiry import parse_expiry

NOW = datetime(2027, 1, 31, 12, tzinfo=UTC).timestamp()


def at(*when: int) -> float:
    return datetime(*when, tzinfo=UTC).timestamp()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("3600s", NOW + 3600),
        ("15m", NOW + 900),
        ("2h", NOW + 7200),
        ("3d", NOW + 3 * 86400),
        ("1w", NOW + 7 * 86400),
        ("90", NOW + 90),
        (" 2H ", NOW + 7200),
        ("0010s", NOW + 10),
        ("1mo", at(2027, 2, 28, 12)),
        ("2mo", at(2027, 3, 31, 12)),
        ("11mo", at(2027, 12, 31, 12)),
        ("13mo", at(2028, 2, 29, 12)),
        ("1yr", at(2028, 1, 31, 12)),
        ("2027-02-01", at(2027, 2, 1)),
        ("2027-02-01T01:00:00Z", at(2027, 2, 1, 1)),
        ("2027-02-01t01:00:00z", at(2027, 2, 1, 1)),
        ("2027-02-01 01:00:00.5+01:00", at(2027, 2, 1) + 0.5),
        ("", NOW + 30 * 86400),
        ("never", None),
        ("NEVER", None),
    ],
)
def test_names_a_point_in_time(text: str, end: float | None) -> None:
    assert parse_expiry(text, NOW) == end


def test_a_leap_day_and_a_year_is_the_last_of_february() -> None:
    assert parse_expiry("1yr", at(2028, 2, 29)) == at(2029, 2, 28)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0", "not in the future"),
        ("0s", "not in the future"),
        ("-5m", "neither a duration nor a date"),
        ("soon", "neither"),
        ("1.5h", "neither"),
        ("1h30m", "neither"),
        ("1y", "neither"),
        ("٣d", "neither"),
        ("2020-01-01", "not in the future"),
        ("2027-01-31", "not in the future"),
        ("2027-02-30", "no such date"),
        ("2027-13-01T00:00:00Z", "no such date"),
        ("2027-02-01T00:00:00", "neither"),
        ("9999yr", "beyond the year 9999"),
        ("9999-12-31T23:59:59-14:00", "beyond the year 9999"),
        ("9" * 5000, "beyond the year 9999"),
        ("9" * 18 + "w", "beyond the year 9999"),
        ("999999999999999999mo", "beyond the year 9999"),
        ("2027-02-01\n2028", "neither"),
    ],
)
def test_refuses_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why) as refused:
        parse_expiry(text, NOW)
    assert "3600s" in refused.value.hint


@given(st.text(max_size=30) | st.from_regex(r"[0-9]{1,25}(s|m|h|d|w|mo|yr)?", fullmatch=True))
def test_any_text_is_a_future_time_or_refused(text: str) -> None:
    try:
        end = parse_expiry(text, NOW)
    except InvalidInput:
        return
    assert end is None or end > NOW
