"""What a dead letter must hold of its record or batch (contract §2, §4)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from testkit.chaos.accounting import letter_problems
from testkit.chaos.logs import Signal
from testkit.raw_fetch import StoredRecord

MIB = 1 << 20
PLACE = ("t.api.signals", 3, 7)
OWN = (
    (b"__connect.errors.exception.class.name", b"SignalError"),
    (b"__connect.errors.exception.message", b"why"),
    (b"ce_signal", b"t.api.signals/3/7"),
)


def record(value: bytes | None = b"v", key: bytes | None = b"k", *headers: tuple[bytes, bytes | None]) -> Signal:
    return Signal(PLACE, 0, None, value, key, headers)


def letter(value: bytes | None, key: bytes | None, *headers: tuple[bytes, bytes | None]) -> StoredRecord:
    return StoredRecord(0, 0, key, value, (*headers, *OWN))


LONG = b"x" * (MIB + 1)
BATCH = Signal(PLACE, 0, None, b"b" * 70_000, last=9)
RIGHT = {
    "small": (record(), letter(b"v", b"k")),
    "null": (record(None, None), letter(None, None)),
    "empty": (record(b"", b""), letter(b"", b"")),
    "its headers": (record(b"v", b"k", (b"\xff", None)), letter(b"v", b"k", (b"\xff", None))),
    "a header of our name": (record(b"v", b"k", (b"ce_signal", b"x")), letter(b"v", b"k", (b"ce_signal", b"x"))),
    "1 MiB": (record(LONG[:MIB], LONG[:MIB]), letter(LONG[:MIB], LONG[:MIB])),
    "a large value": (record(LONG), letter(LONG[:65_536], b"k", (b"original-size", b"1048577"))),
    "a large key": (record(b"v", LONG), letter(b"v", LONG[:65_536], (b"original-key-size", b"1048577"))),
    "large headers": (record(b"v", b"k", (b"h", LONG)), letter(b"v", b"k", (b"original-headers-size", b"1048578"))),
    "a batch": (BATCH, letter(b"b" * 65_536, None, (b"last-offset", b"9"))),
}
WRONG = {
    "another value": (record(), letter(b"w", b"k")),
    "another key": (record(), letter(b"v", None)),
    "null for empty": (record(b""), letter(None, b"k")),
    "a header lost": (record(b"v", b"k", (b"\xff", None)), letter(b"v", b"k")),
    "a header changed": (record(b"v", b"k", (b"\xff", None)), letter(b"v", b"k", (b"?", None))),
    "headers out of order": (
        record(b"v", b"k", (b"a", None), (b"b", None)),
        letter(b"v", b"k", (b"b", None), (b"a", None)),
    ),
    "a whole large value": (record(LONG), letter(LONG, b"k", (b"original-size", b"1048577"))),
    "no size of the value": (record(LONG), letter(LONG[:65_536], b"k")),
    "no size of the key": (record(b"v", LONG), letter(b"v", LONG[:65_536])),
    "no size of the headers": (record(b"v", b"k", (b"h", LONG)), letter(b"v", b"k")),
    "a batch with a key": (BATCH, letter(b"b" * 65_536, b"k", (b"last-offset", b"9"))),
    "a whole batch": (BATCH, letter(b"b" * 70_000, None, (b"last-offset", b"9"))),
    "no last offset": (BATCH, letter(b"b" * 65_536, None)),
    "another last offset": (BATCH, letter(b"b" * 65_536, None, (b"last-offset", b"8"))),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_letter(name: str) -> None:
    assert list(letter_problems(*RIGHT[name])) == []


@pytest.mark.parametrize("name", WRONG)
def test_wrong_letter(name: str) -> None:
    assert list(letter_problems(*WRONG[name]))


@pytest.mark.parametrize("missing", [name for name, _ in OWN])
def test_letter_without_a_header_of_the_worker(missing: bytes) -> None:
    signal, right = RIGHT["small"]
    headers = tuple(header for header in right.headers if header[0] != missing)
    assert list(letter_problems(signal, replace(right, headers=headers)))
