"""Events and signals as JSON."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from conference_events import (
    InvalidDataError,
    UnknownTypeError,
    event_from_json,
    event_json,
    events,
    events_from_lines,
    signal_json,
    signals,
)

from tests.samples import T, example, joined


@pytest.mark.parametrize("kind", events.EVENTS, ids=lambda kind: kind.__name__)
def test_every_event_reads_back_from_json(kind: type[events.Event]) -> None:
    event = example(kind)
    assert event_from_json(event_json(event)) == event


def test_json_has_the_documented_order_and_time() -> None:
    assert event_json(joined()).decode() == (
        '{"event":"conference.member.joined","session_uuid":"alice","room_id":"räum-☎","caller_id":"+1555",'
        '"meta":{"event_id":"id-1","sequence":1,"occurred_at":"2026-11-22T13:33:21.000400Z","app_id":"my-app",'
        '"cause":"s-1","playback_id":null,"ends_playback":false,"synthetic":false}}\n'
    )


@pytest.mark.broker
def test_lines_of_the_command_read_back_byte_for_byte() -> None:
    lines = Path(os.environ["EVENT_LINES"]).read_bytes().splitlines(keepends=True)
    found = list(events_from_lines(lines))
    assert {type(event) for event in found} == set(events.EVENTS)
    assert [event_json(event) for event in found] == lines


def test_unknown_fields_are_ignored() -> None:
    line = event_json(joined()).replace(b'"meta":{', b'"region":"eu","meta":{"shard":3,')
    assert event_from_json(line) == joined()


def test_unknown_types_and_blank_lines_are_skipped() -> None:
    line = event_json(joined())
    other = line.replace(b"member.joined", b"renamed")
    assert list(events_from_lines([line, b"\n", other, line])) == [joined(), joined()]
    with pytest.raises(UnknownTypeError, match=r"event 'conference\.renamed' is not known: skip it"):
        event_from_json(other)


@pytest.mark.parametrize("line", [b"{", b"[]", b'{"event":5}', b"\xff", b'{"event":"conference.created"}', b"[" * 9999])
def test_bad_lines_are_named(line: bytes) -> None:
    with pytest.raises(InvalidDataError, match=r"^line 2: no event: "):
        list(events_from_lines([event_json(joined()), line]))


def test_signals_make_ids_and_times() -> None:
    first, second = (signals.ConferencePlay(room_id="r", urls=("http://x/a",)) for _ in range(2))
    assert len({first.signal_id, second.signal_id, first.operation_id, second.operation_id}) == 4
    assert first.occurred_at.tzinfo is not None
    assert signal_json(first).startswith(b'{"type":"conference.play","signal_id":"')


def test_times_of_signals_are_written_in_utc() -> None:
    moment = T.astimezone(timezone(timedelta(hours=2)))
    signal = signals.ConferenceDestroy(room_id="r", signal_id="s", occurred_at=moment)
    assert signal_json(signal) == (
        b'{"type":"conference.destroy","signal_id":"s","room_id":"r","occurred_at":"2026-11-22T13:33:21.000400Z"}\n'
    )


@pytest.mark.parametrize(
    ("signal", "message"),
    [
        (signals.ConferenceDestroy(room_id=""), "length >= 1"),
        (signals.ConferenceCreate(room_id="r", app_id="a" * 256, name=""), "length <= 255"),
        (signals.ConferencePlay(room_id="r", urls=()), "length >= 1"),
        (signals.ConferencePlay(room_id="r", urls=("ftp://x",)), "matching regex"),
        (signals.ConferenceVolume(room_id="r", volume=2**31), "2147483647"),
        (signals.ConferenceDestroy(room_id="r", occurred_at=datetime(2026, 1, 1)), "an offset"),
        (signals.ConferenceDestroy(room_id="\ud800"), "surrogates"),
    ],
)
def test_signals_that_break_a_rule_are_refused(signal: signals.Signal, message: str) -> None:
    with pytest.raises(InvalidDataError, match=rf"^{signal.TYPE}: .*{message}"):
        signal_json(signal)
