"""Times as microseconds since 1970-01-01T00:00:00Z, and as RFC 3339 text."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

import msgspec

# The lowest and the highest time of a signal (contract §4).
FIRST_TIME: Final = -62_135_596_800_000_000  # the first microsecond of the year 1, UTC
LAST_TIME: Final = 253_402_300_799_999_999  # the last microsecond of the year 9999, UTC
LONGEST_EXACT_TIME: Final = len("2026-01-01T00:00:00.123456Z")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_AGO: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)([smhd])")
_UNITS: Final = {"s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_FINER: Final = re.compile(r"(.{19}\.[0-9]{6})[0-9]+")


def parse_time(text: str) -> int:
    """Return the microseconds of an RFC 3339 time with an offset; drop finer digits (§4). Raises ValueError."""
    if len(text) == LONGEST_EXACT_TIME and text[26] == "Z" and text[19] == "." and text.isascii():
        fraction = text[20:26]
        if fraction.isdigit():  # the usual form: the part up to the second is parsed once and cached
            return _second(text[:19]) + int(fraction)
    return _parse_time(text)


@lru_cache(maxsize=1024)  # times arrive nearly in order
def _second(text: str) -> int:
    return _parse_time(text + "Z")


def _parse_time(text: str) -> int:
    if len(text) > LONGEST_EXACT_TIME and (finer := _FINER.match(text)):
        text = finer[1] + text[finer.end() :]
    moment = msgspec.convert(text, datetime)
    if moment.tzinfo is None:
        raise ValueError("no offset")
    micros = (moment - _EPOCH) // timedelta(microseconds=1)
    if not FIRST_TIME <= micros <= LAST_TIME:
        raise ValueError("its year in UTC is not 1 to 9999")
    return micros


def parse_moment(text: str, now: int) -> int:
    """Return the microseconds of a time that a person gives: RFC 3339, or a time before `now`, such as `10m`.

    Raises ValueError, whose text names the valid forms.
    """
    if ago := _AGO.fullmatch(text):
        return max(now - round(float(ago[1]) * _UNITS[ago[2]]), FIRST_TIME)
    try:
        return parse_time(text)
    except (ValueError, OverflowError):
        forms = "30s, 10m, 2h or 1d before now, or RFC 3339 such as 2026-11-22T13:33:06Z"
        raise ValueError(f"expected {forms}, got {text!r}") from None


def format_time(micros: int) -> str:
    """Return RFC 3339 in UTC with six decimals and `Z` (contract §3)."""
    second = micros // 1_000_000
    rest = micros % 1_000_000
    return f"{_SECONDS[second]}.{_THREE[rest // 1000]}{_THREE[rest % 1000]}Z"


class _Seconds(dict[int, str]):
    """Cache from a second to its text, at most 1024 entries: times are formatted nearly in order."""

    def __missing__(self, second: int) -> str:
        if len(self) >= 1024:
            self.clear()
        self[second] = text = (_EPOCH + timedelta(seconds=second)).isoformat()[:19]
        return text


_SECONDS: Final = _Seconds()
_THREE: Final = tuple(f"{number:03}" for number in range(1000))


def ago(micros: int | None, now: int) -> str:
    """Return the time since `micros` as people say it, such as `12s`, `5m`, `3h` or `2d`; "" for None."""
    if micros is None:
        return ""
    seconds = max(0, now - micros) // 1_000_000
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
