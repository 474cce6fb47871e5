"""RFC 3339 times: what is read, what is an error, and what is written."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import SignalError
from pipeline.model.codec import decode_json
from pipeline.model.times import FIRST_TIME, LAST_TIME, format_time, parse_moment, parse_time
from tests.model.test_codec import VOLUME, raw

YEAR_1, YEAR_9999 = -62_135_596_800_000_000, 253_402_300_799_999_999


def test_the_bounds_are_years_1_to_9999() -> None:
    assert (FIRST_TIME, LAST_TIME) == (YEAR_1, YEAR_9999)


@pytest.mark.parametrize(
    ("text", "micros"),
    {
        "2026-01-01T00:00:00Z": 1_767_225_600_000_000,
        "2026-01-01T01:00:00.5+01:00": 1_767_225_600_500_000,
        "2025-12-31T18:30:00.000001-05:30": 1_767_225_600_000_001,
        "2026-01-01T00:00:00-00:00": 1_767_225_600_000_000,
        "2026-01-01t00:00:00z": 1_767_225_600_000_000,
        "2026-01-01T00:00:00.1234569999Z": 1_767_225_600_123_456,
        "0001-01-01T00:00:00Z": YEAR_1,
        "9999-12-31T23:59:59.999999Z": YEAR_9999,
        "9999-12-31T23:59:59.9999999999Z": YEAR_9999,
        "9999-12-31T22:59:59.9999999-01:00": YEAR_9999,
        "1969-12-31T23:59:59.999999Z": -1,
        "2024-02-29T00:00:00Z": 1_709_164_800_000_000,
    }.items(),
)
def test_rfc_3339_times_are_read(text: str, micros: int) -> None:
    assert parse_time(text) == micros
    assert decode_json(raw(VOLUME, occurred_at=text)).occurred_at == micros


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "1767225600", "2026-01-01", "2026-01-01T00:00:00", "2026-01-01T00:00Z", "20260101T000000Z",
        "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00,5Z", "2026-01-01T00:00:00+01", "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+14:60", "2026-12-31T23:59:60Z", "2026-01-01T24:00:00Z", "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z", "0000-12-31T23:59:59-00:01", "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01", "10000-01-01T00:00:00Z", "+2026-01-01T00:00:00Z", " 2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00Z ", "２026-01-01T00:00:00Z", "2026-01-01T00:00:00.123456７Z", "2026-1-1T00:00:00Z",
    ],
)  # fmt: skip
def test_other_texts_are_errors(text: str) -> None:
    with pytest.raises(ValueError):
        parse_time(text)
    expected = r"^occurred_at: Expected an RFC 3339 time with an offset, got '"
    with pytest.raises(SignalError, match=expected) as caught:
        decode_json(raw(VOLUME, occurred_at=text))
    assert text[:30] in str(caught.value)


@settings(deadline=None)
@given(st.integers(YEAR_1, YEAR_9999))
def test_times_round_trip(micros: int) -> None:
    text = format_time(micros)
    assert (len(text), text[-1], text[19]) == (27, "Z", ".")
    assert parse_time(text) == micros


def test_times_before_the_year_1000_have_four_digits() -> None:
    assert format_time(YEAR_1) == "0001-01-01T00:00:00.000000Z"
    assert format_time(YEAR_1 + 86_400_000_000 * 365 * 40 - 1) == "0040-12-21T23:59:59.999999Z"
    assert format_time(YEAR_9999) == "9999-12-31T23:59:59.999999Z"


@pytest.mark.parametrize(
    ("text", "micros"),
    {
        "0s": 10_000_000_000_000,
        "1.5m": 9_999_910_000_000,
        "2h": 9_992_800_000_000,
        "1d": 9_913_600_000_000,
        "999999999d": FIRST_TIME,
        "1970-01-01T00:00:01Z": 1_000_000,
    }.items(),
)
def test_moments_are_times_or_ages(text: str, micros: int) -> None:
    assert parse_moment(text, 10_000_000_000_000) == micros


@pytest.mark.parametrize("text", ["", "now", "10", "10 m", "-1h", "1w", "2026-01-01", "2026-01-01T00:00:00", "٣m"])
def test_a_wrong_moment_names_the_valid_forms(text: str) -> None:
    with pytest.raises(ValueError, match="expected 30s, 10m, 2h or 1d before now, or RFC 3339"):
        parse_moment(text, 0)
