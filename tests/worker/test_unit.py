"""The headers of what a unit writes."""

from __future__ import annotations

import pytest
from aiokafka.structs import TopicPartition

from pipeline.core.merge import Input, Record
from pipeline.core.partition import Partition
from pipeline.core.watchdog import Rules
from pipeline.kafka.record_batch import header
from pipeline.model import signals as s
from pipeline.model.codec import signal_json
from pipeline.model.trace_context import Headers
from pipeline.model.wire import SCHEMAS
from pipeline.worker import unit
from pipeline.worker.output_encoder import OutputEncoder
from pipeline.worker.unit import Unit
from tests.kafka.test_record_batch import read
from tests.model.test_trace_context import BOTH

T = 1_795_354_386_106_600


def unit_of(headers: Headers, *signals: s.AnySignal, on: bool = True) -> Unit:
    """Return a unit of these signals, all with these headers, on partition 0."""
    ids = {record: number for number, record in enumerate(SCHEMAS)}
    made, partition = Unit(OutputEncoder("conference", ids, trace=on), "owner"), Partition(Rules())
    source = Input("conference.api.signals", 0, 0)
    for offset, signal in enumerate(signals):
        record = Record(T, offset, signal.room_id.encode(), signal_json(signal), headers)
        before, gone = partition.rooms.get(signal.room_id), partition.gone.get(signal.room_id)
        made.decided(source, record, signal, before, gone, partition.apply(signal, T))
    return made


def written(made: Unit, topic: str) -> list[tuple[bytes | None, list[tuple[str, bytes]]]]:
    """Return value and headers of the records that a unit writes to a topic."""
    inputs = (Input("conference.api.signals", 0, 0), Input("conference.media.signals", 0, 0))
    out = made.records({0: inputs})
    return [(r.value, r.headers) for r in read(out[TopicPartition(f"conference.{topic}", 0)])]


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
    monkeypatch.setattr(unit, "context", lambda _: pytest.fail("the headers were read"))
    assert len(written(unit_of(headers, *LIFE, on=on), "events")) == 5


def test_the_context_counts_as_bytes_of_the_unit() -> None:
    assert unit_of(BOTH, *LIFE).bytes - unit_of((), *LIFE).bytes == 5 * sum(len(header(*one)) for one in BOTH)


def test_a_rejected_signal_carries_only_its_cause() -> None:
    """Contract §3."""
    [(_, headers)] = written(unit_of(BOTH, s.ConferenceDestroy("d", "room", T)), "signals.rejected")
    assert [name for name, _ in headers] == ["ce_signal"]
