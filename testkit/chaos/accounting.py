"""Checks that need no model: each record of a signal topic has its outcome, dead letters have their content."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from testkit.chaos.logs import API, PartitionLog, Signal
from testkit.chaos.scan import shown
from testkit.raw_fetch import StoredRecord

LARGEST: Final = 1 << 20
"""Bytes of a value, a key, or all headers of a letter above which only a part is kept."""
KEPT: Final = 64 << 10


def account(log: PartitionLog) -> Iterable[str]:
    """Yield what is wrong with the outcomes of the records, with the dead letters and with the position."""
    signals = {signal.at: signal for records in log.signals.values() for signal in records}
    letters: Counter[tuple[str, int, int]] = Counter()
    for place, letter in log.dead:
        letters[place] += 1
        if place in signals and signals[place].value is None:
            yield from (
                f"{shown(place)}: its dead letter {problem}" for problem in letter_problems(signals[place], letter)
            )
    reasons = {place: letter.header(b"__connect.errors.exception.message") for place, letter in log.dead}
    dead = {place for place, signal in signals.items() if signal.value is None}
    for place in sorted(dead | letters.keys()):
        if letters[place] != (place in dead):
            why = signals[place].broken if place in signals else "there is no such record"
            found = f"{letters[place]} dead letters ({reasons.get(place)!r})"
            yield f"{shown(place)}: {found}, invalid: {place in dead} {why}"
    others = {event.cause for event in log.events if event.cause is not None}
    others |= {place for place, _ in (*log.rejected, *log.noops)}
    for place in sorted(others - (signals.keys() - dead)):
        yield f"{shown(place)}: an outcome, but there is no such signal"
    for signal in log.signals[API]:
        if signal.value is not None and signal.at not in others:
            yield f"{shown(signal.at)}: an API signal without event, rejection or no-op: {signal.value}"
    yield from _position(log)


def _position(log: PartitionLog) -> Iterable[str]:
    for name, records in log.signals.items():
        position = [offset for topic, offset in log.positions.items() if topic.endswith(name)]
        if records and position != [records[-1].end]:
            yield f"{shown(records[-1].at)} is the last signal, the position is {position}"
        time = [time for topic, time in log.times.items() if topic.endswith(name)]
        valid = [signal.time for signal in records if signal.value is not None]
        if valid and time != valid[-1:]:
            yield f"{name}: the time of the position is {time}, that of the last signal {valid[-1]}"


def letter_problems(signal: Signal, letter: StoredRecord) -> Iterable[str]:
    """Yield what a dead letter lacks of the record or broken batch that it stands for (contract §2, §4)."""
    place = "{}/{}/{}".format(*signal.at).encode()
    if letter.header(b"ce_signal") != place:
        yield f"has ce_signal {letter.header(b'ce_signal')!r}"
    for name in (b"class.name", b"message"):
        if not letter.header(b"__connect.errors.exception." + name):
            yield f"has no exception.{name.decode()}"
    if signal.last is not None:
        if (letter.key, letter.value) != (None, (signal.raw or b"")[:KEPT]):
            yield "has a key, or another value than the batch"
        if letter.header(b"last-offset") != str(signal.last).encode():
            yield f"has last-offset {letter.header(b'last-offset')!r}, not {signal.last}"
        return
    for what, sent, kept, size in (
        ("value", signal.raw, letter.value, b"original-size"),
        ("key", signal.key, letter.key, b"original-key-size"),
    ):
        large = len(sent or b"") > LARGEST
        if kept != (sent[:KEPT] if large and sent is not None else sent):
            yield f"has another {what}: {(kept or b'')[:80]!r}"
        if large and letter.header(size) != str(len(sent or b"")).encode():
            yield f"has {size.decode()} {letter.header(size)!r}, not {len(sent or b'')}"
    if sum(len(key) + len(value or b"") for key, value in signal.headers) > LARGEST:
        if letter.header(b"original-headers-size") is None:
            yield "has no original-headers-size"
    elif letter.headers[: len(signal.headers)] != signal.headers:
        yield f"has other headers: {letter.headers}, not {signal.headers}"
