"""The trace context of a signal on its events: what is carried, what is not, and that it costs nothing when off."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.structs import TopicPartition

from pipeline.core.merge import Input, Record
from pipeline.core.partition import Partition
from pipeline.core.watchdog import Rules
from pipeline.kafka.record_batch import header
from pipeline.model import signals as s
from pipeline.model.codec import signal_json
from pipeline.model.trace_context import Headers, context
from pipeline.model.wire import SCHEMAS
from pipeline.worker import unit
from pipeline.worker.unit import OutputEncoder, Unit
from testkit.pipe import Pipe
from tests.kafka.test_record_batch import read

T = 1_795_354_386_106_600
PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
STATE = b"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
BOTH: Headers = (("traceparent", PARENT), ("tracestate", STATE))


def changed(at: int, by: bytes) -> bytes:
    """PARENT with other bytes from `at` on."""
    return PARENT[:at] + by + PARENT[at + len(by) :]


# --- what is well-formed -------------------------------------------------------------------------------------


def test_both_are_taken_and_nothing_else() -> None:
    assert context((("baggage", b"user=1"), *BOTH, ("x", b""))) == BOTH
    assert context(BOTH[:1]) == BOTH[:1]
    assert context(()) == ()


def test_of_a_header_that_is_repeated_the_last_counts() -> None:
    other = changed(3, b"f")
    assert context((*BOTH, ("traceparent", other))) == (("traceparent", other), BOTH[1])
    assert context((*BOTH, ("traceparent", b"junk"))) == ()


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"junk",
        PARENT + b"\n",
        PARENT + b"-",
        PARENT[:-1],
        changed(0, b"01"),
        changed(0, b"ff"),
        changed(2, b"_"),
        changed(3, b"4BF9"),
        changed(3, b"g"),
        changed(3, b"0" * 32),
        changed(36, b"0" * 16),
        changed(53, b"-1"),
        "００".encode() + PARENT[2:],
    ],
)
def test_a_parent_of_another_form_is_not_spread_nor_is_its_state(value: bytes | None) -> None:
    assert context((("traceparent", value), BOTH[1])) == ()  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [None, b"", b"a" * 513, "ä=1".encode(), b"a=1\r\nb=2", b"a=\0"])
def test_a_state_of_another_form_is_left_away_alone(value: bytes | None) -> None:
    assert context((BOTH[0], ("tracestate", value))) == BOTH[:1]  # type: ignore[arg-type]


def test_a_state_of_512_bytes_is_carried() -> None:
    whole = (BOTH[0], ("tracestate", b"a=" + b"x" * 510))
    assert context(whole) == whole


# --- what a unit says ----------------------------------------------------------------------------------------


def said(headers: Headers, *signals: s.AnySignal, on: bool = True) -> Unit:
    """A unit of these signals, all with these headers, on partition 0."""
    ids = {record: number for number, record in enumerate(SCHEMAS)}
    made, partition = Unit(OutputEncoder("conference", ids, trace=on), "owner"), Partition(Rules())
    source = Input("conference.api.signals", 0, 0)
    for offset, signal in enumerate(signals):
        record = Record(T, offset, signal.room_id.encode(), signal_json(signal), headers)
        before = partition.rooms.get(signal.room_id)
        made.decided(source, record, signal, before, partition.apply(signal, T))
    return made


def written(made: Unit, topic: str) -> list[tuple[bytes | None, list[tuple[str, bytes]]]]:
    """Value and headers of what it writes to a topic."""
    inputs = (Input("conference.api.signals", 0, 0), Input("conference.media.signals", 0, 0))
    out = made.records({0: inputs})
    return [(r.value, r.headers) for r in read(out[TopicPartition(f"conference.{topic}", 0)])]


LIFE: list[s.AnySignal] = [
    s.ConferenceCreate("c", "room", T, "app", "name"),
    s.MemberJoined("j", "room", T, "alice", "+1", True),
    s.ConferenceDestroy("d", "room", T),
]


def test_every_event_of_a_signal_has_its_context_behind_its_own_headers() -> None:
    events = written(said(BOTH, *LIFE), "events")
    assert len(events) == 5
    for _, headers in events:
        assert tuple(headers[-2:]) == BOTH
        assert [name for name, _ in headers].count("traceparent") == 1
        assert headers[-3][0] == "ce_signal"


@pytest.mark.parametrize(("headers", "on"), [((), True), (BOTH, False), ((("x", b"y"),), True)])
def test_without_one_or_off_the_events_are_what_they_were(headers: Headers, on: bool) -> None:
    events = written(said(headers, *LIFE, on=on), "events")
    assert [headers[-1][0] for _, headers in events] == ["ce_signal"] * 5


def test_the_values_are_the_same_with_and_without() -> None:
    with_one, without = (written(said(headers, *LIFE), "events") for headers in (BOTH, ()))
    assert [value for value, _ in with_one] == [value for value, _ in without]


@pytest.mark.parametrize(("headers", "on"), [((), True), (BOTH, False)])
def test_off_costs_nothing(headers: Headers, on: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unit, "context", lambda _: pytest.fail("nothing was to be looked for"))
    assert len(written(said(headers, *LIFE, on=on), "events")) == 5


def test_what_is_carried_counts_as_bytes_of_the_unit() -> None:
    assert said(BOTH, *LIFE).bytes - said((), *LIFE).bytes == 5 * sum(len(header(*one)) for one in BOTH)


def test_a_rejected_signal_carries_its_place_alone() -> None:
    """Contract §3."""
    [(_, headers)] = written(said(BOTH, s.ConferenceDestroy("d", "room", T)), "signals.rejected")
    assert [name for name, _ in headers] == ["ce_signal"]


# --- through a worker ----------------------------------------------------------------------------------------


async def produce(pipe: Pipe, headers: Headers, *signals: s.AnySignal) -> None:
    async with AIOKafkaProducer(**pipe.settings.kafka(), acks="all") as producer:
        for one in signals:
            topic = pipe.topic(f"{one.TOPIC}.signals")
            await producer.send_and_wait(topic, signal_json(one), one.room_id.encode(), headers=list(headers))
            await asyncio.sleep(0.005)


def carried(record: object) -> Headers:
    """What of the trace context a record has."""
    return tuple(h for h in record.headers if h[0] in ("traceparent", "tracestate"))  # type: ignore[attr-defined]


@pytest.mark.broker
async def test_through_a_worker_to_events_and_dead_letters_and_not_to_timeouts(pipe: Pipe) -> None:
    create, play = (
        s.ConferenceCreate("c", "room", T, "app", "name"),
        s.ConferencePlay("p", "room", T, ("http://x/a.wav",), "play-1"),
    )
    joined = s.MemberJoined("j", "room", T, "alice", "+1", True)
    with pipe.worker(PIPELINE_WATCHDOG_SECONDS="0.5") as worker:
        await produce(pipe, BOTH, create, joined)
        await produce(pipe, (("traceparent", b"junk"),), play)
        await pipe.until_events(5)
        async with AIOKafkaProducer(**pipe.settings.kafka()) as producer:
            await producer.send_and_wait(pipe.topic("api.signals"), b"junk", b"room", headers=list(BOTH))
        while not (letters := await pipe.records("signals.dead")):
            await asyncio.sleep(0.1)
        assert worker.stop() == 0
    found = [
        (dict(one.headers)["ce_type"].decode().removeprefix("conference."), carried(one))
        for one in await pipe.records()
    ]
    assert found == [
        ("created", BOTH),
        ("member.joined", BOTH),
        ("member.muted", BOTH),
        ("play.started", ()),
        ("play.failed", ()),
    ]
    assert carried(letters[0]) == BOTH, "a dead letter has all headers as they came"


@pytest.mark.broker
async def test_a_worker_can_be_told_not_to(pipe: Pipe) -> None:
    with pipe.worker(PIPELINE_TRACE_CONTEXT="false"):
        await produce(pipe, BOTH, s.ConferenceCreate("c", "room", T, "app", "name"))
        await pipe.until_events(1)
    [record] = await pipe.records()
    assert carried(record) == ()
