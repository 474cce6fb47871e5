"""What a unit writes: headers, no-ops, and the rows of gone rooms."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.structs import TopicPartition

from pipeline.core.merge import Input, Record
from pipeline.core.partition import Partition
from pipeline.core.watchdog import Rules
from pipeline.kafka.record_batch import header
from pipeline.model import signal_ids
from pipeline.model import signals as s
from pipeline.model.avro import LONG
from pipeline.model.codec import signal_json
from pipeline.model.records import Gone, NoOp
from pipeline.model.row_keys import decode_key
from pipeline.model.trace_context import Headers
from pipeline.model.wire import DECODERS, SCHEMAS
from pipeline.worker import unit
from pipeline.worker.output_encoder import OutputEncoder
from pipeline.worker.unit import Unit
from tests.kafka.test_record_batch import read
from tests.model.test_trace_context import BOTH

T = 1_795_354_386_106_600


IDS = {record: number for number, record in enumerate(SCHEMAS)}


def unit_of(
    headers: Headers, *signals: s.AnySignal, on: bool = True, partition: Partition | None = None, now: int = T
) -> Unit:
    """Return a unit of these signals, all with these headers, on partition 0."""
    made, partition = Unit(OutputEncoder("conference", IDS, trace=on), "owner"), partition or Partition(Rules())
    for offset, signal in enumerate(signals):
        source = Input(f"conference.{signal.TOPIC}.signals", 0, 0)
        record = Record(now, offset, signal.room_id.encode(), signal_json(signal), encode_headers(headers))
        before, gone = partition.rooms.get(signal.room_id), partition.gone.get(signal.room_id)
        made.decided(source, record, signal, before, gone, partition.apply(signal, now))
    return made


def encode_headers(headers: Headers) -> bytes:
    """Return headers as a Record has them."""
    return b"".join((LONG[len(headers)], *(header(*one) for one in headers))) if headers else b""


def written(made: Unit, topic: str) -> list[tuple[bytes | None, list[tuple[str, bytes]]]]:
    """Return value and headers of the records that a unit writes to a topic."""
    return [(r.value, r.headers) for r in records(made, topic)]


def records(made: Unit, topic: str) -> list[Any]:
    """Return the records that a unit writes to a topic."""
    inputs = (Input("conference.api.signals", 0, 0), Input("conference.media.signals", 0, 0))
    return read(made.records({0: inputs}).get(TopicPartition(f"conference.{topic}", 0), []))


def rows(made: Unit) -> list[tuple[list[str], Any]]:
    """Return kind and ids of the rows that a unit writes, with the record or None, sorted; without the position."""
    names = {number: record for record, number in IDS.items()}
    found = []
    for record in records(made, "rooms"):
        number = None if record.value is None else int.from_bytes(record.value[1:5])
        row = None if number is None else DECODERS[names[number]](record.value)
        found.append((decode_key(record.key), row))
    assert [key for key, _ in found].count(["position"]) == 1
    return sorted((key, row) for key, row in found if key != ["position"])


LIFE: list[s.AnySignal] = [
    s.ConferenceCreate("c", "room", T, "app", "name"),
    s.MemberJoined("j", "room", T, "alice", "+1", True),
    s.ConferenceDestroy("d", "room", T),
]


def test_every_event_of_a_signal_carries_its_context_last() -> None:
    events = written(unit_of(BOTH, *LIFE), "events")
    assert len(events) == 5
    for _, headers in events:
        assert tuple(headers[-2:]) == BOTH
        assert [name for name, _ in headers].count("traceparent") == 1
        assert headers[-3][0] == "ce_signal"


@pytest.mark.parametrize(("headers", "on"), [((), True), (BOTH, False), ((("x", b"y"),), True)])
def test_without_a_context_events_end_with_their_cause(headers: Headers, on: bool) -> None:
    events = written(unit_of(headers, *LIFE, on=on), "events")
    assert [headers[-1][0] for _, headers in events] == ["ce_signal"] * 5


def test_the_context_does_not_change_values() -> None:
    with_one, without = (written(unit_of(headers, *LIFE), "events") for headers in (BOTH, ()))
    assert [value for value, _ in with_one] == [value for value, _ in without]


@pytest.mark.parametrize(("headers", "on"), [((), True), (BOTH, False)])
def test_headers_are_not_read_without_need(headers: Headers, on: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unit, "find_headers", lambda *_: pytest.fail("the headers were read"))
    assert len(written(unit_of(headers, *LIFE, on=on), "events")) == 5


def test_the_context_counts_as_bytes_of_the_unit() -> None:
    assert unit_of(BOTH, *LIFE).bytes - unit_of((), *LIFE).bytes == 5 * sum(len(header(*one)) for one in BOTH)


def test_a_rejected_signal_carries_only_its_cause() -> None:
    """Contract §3."""
    [(_, headers)] = written(unit_of(BOTH, s.ConferenceDestroy("d", "room", T)), "signals.rejected")
    assert [name for name, _ in headers] == ["ce_signal"]


def test_each_no_op_of_the_api_leaves_a_record() -> None:
    """Contract §2: a no-op carries its cause alone; no-ops of media signals are only counted."""
    again = s.ConferenceCreate("c", "room", T, "app", "name")
    made = unit_of(BOTH, LIFE[0], again, s.ConferenceJoin("q", "room", T, "alice"), s.PlayProgress("e", "room", T))
    assert TopicPartition("conference.signals.noops", 0) in made.partitions_written()
    first, second = records(made, "signals.noops")
    assert [one.key for one in (first, second)] == [b"room", b"room"]
    no_ops = [DECODERS["conference.NoOp"](one.value) for one in (first, second)]
    assert no_ops == [
        NoOp("c", "room", "conference.create", "repeated", "conference.api.signals", 0, 1),
        NoOp("q", "room", "conference.join", "join", "conference.api.signals", 0, 2),
    ]
    assert [list(one.headers) for one in (first, second)] == [
        [("ce_signal", b"conference.api.signals/0/1")], [("ce_signal", b"conference.api.signals/0/2")]
    ]  # fmt: skip
    assert made.counts["no_ops"] == {"repeated": 1, "join": 1, "progress": 1}


def test_a_unit_without_no_ops_writes_none() -> None:
    made = unit_of((), *LIFE, s.MemberLeft("e", "room", T, "alice"))
    assert made.counts["no_ops"] == {"room_gone": 1}
    assert TopicPartition("conference.signals.noops", 0) not in made.partitions_written()
    assert records(made, "signals.noops") == []


def test_no_ops_count_as_bytes_of_the_unit() -> None:
    join = s.ConferenceJoin("q", "room", T, "alice")
    [record] = records(unit_of((), LIFE[0], join), "signals.noops")
    more = unit_of((), LIFE[0], join).bytes - unit_of((), LIFE[0]).bytes
    assert more > len(record.value) + len(signal_json(join))


def test_a_room_that_ends_leaves_a_gone_record() -> None:
    gone = Gone("room", T, signal_ids.of(["c", "d"]))
    assert rows(unit_of((), *LIFE)) == [
        (["gone", "room"], gone), (["member", "room", "alice"], None), (["room", "room"], None)
    ]  # fmt: skip


def test_a_room_that_lives_again_deletes_its_gone_record() -> None:
    partition = Partition(Rules())
    unit_of((), *LIFE, partition=partition)
    again = unit_of((), s.ConferenceCreate("again", "room", T, "app", "name"), partition=partition)
    [gone, (key, room)] = rows(again)
    assert gone == (["gone", "room"], None)
    assert key == ["room", "room"]
    assert room.recent == signal_ids.of(["c", "d", "again"])


def test_a_room_that_lives_again_deletes_an_old_record() -> None:
    partition = Partition(Rules())
    unit_of((), *LIFE, partition=partition)
    again = unit_of((), LIFE[0], partition=partition, now=T + 60_000_000)
    assert rows(again)[0] == (["gone", "room"], None)
    assert rows(again)[1][1].recent == signal_ids.of(["c"])


def test_a_room_that_is_new_writes_no_tombstone() -> None:
    assert [key for key, _ in rows(unit_of((), LIFE[0]))] == [["room", "room"]]


def test_signals_of_a_gone_room_write_no_row() -> None:
    partition = Partition(Rules())
    unit_of((), *LIFE, partition=partition)
    echoes = unit_of(
        (), s.MemberLeft("e", "room", T, "alice"), s.ConferenceStop("x", "room", T, "o"), LIFE[2], partition=partition
    )
    assert rows(echoes) == []
    assert echoes.counts["no_ops"] == {"room_gone": 1, "repeated": 1}
    assert echoes.counts["rejected"] == {"room_unknown": 1}


def test_a_deadline_that_ends_a_room_leaves_its_record() -> None:
    partition, made = Partition(Rules()), Unit(OutputEncoder("conference", IDS), "owner")
    for signal in (
        s.MemberJoined("j", "room", T, "alice", "+1"),
        s.ConferencePlay("p", "room", T, ("http://x",), "o"),
        s.MemberLeft("l", "room", T, "alice"),
    ):
        partition.apply(signal, T)
    timeout = partition.next_timeout()
    assert timeout is not None
    made.expired(0, "room", partition.expire(timeout))
    assert rows(made) == [
        (["gone", "room"], Gone("room", T + 10_000_000, signal_ids.of(["p"]))),
        (["room", "room"], None),
    ]


def test_records_of_gone_rooms_are_deleted_within_bounds() -> None:
    made = Unit(OutputEncoder("conference", IDS), "owner")
    deleted = 0
    while made.may_delete(0):
        made.gone_deleted(0, f"room-{deleted}")
        deleted += 1
    assert deleted == unit.MAX_DELETED
    assert made.may_delete(1), "each partition has its own bound"
    made.signals = 5_000
    assert made.may_delete(0), "a unit may delete as many as it has signals"
    found = rows(made)
    assert (len(found), {row for _, row in found}) == (deleted, {None})
