"""Times: microseconds since the epoch, and RFC 3339."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

import msgspec

from pipeline.model.schema_resolution import FIRST_TIME, LAST_TIME

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def parse_time(text: str) -> int:
    """Microseconds since the epoch of an RFC 3339 time with an offset (contract §4). Raises ValueError.

    What is finer than microseconds is cut.
    """
    if len(text) == LONGEST_EXACT_TIME and text[26] == "Z" and text[19] == "." and text.isascii():
        fraction = text[20:26]
        if (
            fraction.isdigit()
        ):  # what nearly all producers write: the second is read once, the rest is a number
            return _second(text[:19]) + int(fraction)
    return _parse_time(text)


@lru_cache(maxsize=1024)  # times come in order, or nearly so
def _second(text: str) -> int:
    return _parse_time(text + "Z")


def _parse_time(text: str) -> int:
    if len(text) > LONGEST_EXACT_TIME and (finer := _FINER.match(text)):
        text = finer[1] + text[finer.end() :]
    moment = msgspec.convert(text, datetime)
    if moment.tzinfo is None:
        raise ValueError("no offset")
    since = moment - _EPOCH
    micros = (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds
    if not FIRST_TIME <= micros <= LAST_TIME:
        raise ValueError("its year in UTC is not 1 to 9999")
    return micros


LONGEST_EXACT_TIME: Final = len("2026-01-01T00:00:00.123456Z")
_FINER: Final = re.compile(r"(.{19}\.[0-9]{6})[0-9]+")


def format_time(micros: int) -> str:
    """RFC 3339 in UTC with six decimals and `Z` (contract §3)."""
    second = micros // 1_000_000
    rest = micros % 1_000_000
    return f"{_SECONDS[second]}.{_THREE[rest // 1000]}{_THREE[rest % 1000]}Z"


class _Seconds(dict[int, str]):
    """Remembers the latest: times come in order, or nearly so."""

    def __missing__(self, second: int) -> str:
        if len(self) >= 1024:
            self.clear()
        self[second] = text = (_EPOCH + timedelta(seconds=second)).isoformat()[:19]
        return text


_SECONDS: Final = _Seconds()
_THREE: Final = tuple(f"{number:03}" for number in range(1000))
