"""Bytes that brokers store and clients can't parse: one dead letter for each batch, and nothing else is delayed."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from pipeline.kafka.event_reader import EventReader
from pipeline.kafka.ranges import OLDEST, Span
from pipeline.kafka.schema_registry import Registry
from pipeline.model import framing
from pipeline.model import signals as s
from pipeline.model.codec import signal_json
from pipeline.model.records import Position, TopicPosition
from pipeline.model.row_keys import POSITION_KEY
from pipeline.model.wire import DECODERS, ENCODERS
from pipeline.topics import API
from testkit import raw_batches as raw
from testkit.pipe import Pipe, WorkerProcess
from testkit.raw_fetch import RawReader
from testkit.servers import Servers

pytestmark = pytest.mark.broker

T = 1_795_354_386_106_600
MIB = 1 << 20


def create(room: str, **options: Any) -> raw.Record:
    value = signal_json(s.ConferenceCreate(f"c-{room}", room, T, "my-app", "name"))
    return raw.Record(room.encode(), value, **options)


def bomb(codec: str, size: int) -> bytes:
    return raw.batch([raw.Record(b"k", bytes(size))], codec=codec)


A, B = create("a"), create("b")
GOOD: dict[str, tuple[bytes, list[str]]] = {
    "header name that is not UTF-8": (raw.batch([create("g1", headers=[(b"\xff\xfe", b"x")])]), ["g1"]),
    "reserved attributes of a record": (raw.batch([create("g2", attributes=0xFF), create("g3")]), ["g2", "g3"]),
    "reserved attributes of a batch": (raw.batch([create("g4")], attributes=0xFF80), ["g4"]),
    "headers without number": (
        raw.batch([create("g5", headers=[(b"", None)] * 200_000)], codec="zstd"),
        ["g5"],
    ),
    **{
        codec: (raw.batch([create(f"g-{codec}-{n}") for n in range(100)], codec=codec), [f"g-{codec}-{n}" for n in range(100)])
        for codec in raw.CODECS
    },
    "times far away": (
        raw.batch([create("g6", timestamp_delta=1 << 62)], base_timestamp=-(1 << 62)),
        ["g6"],
    ),
}  # fmt: skip
BROKEN: dict[str, bytes] = {
    "offsets 0, 40": raw.batch([A, create("b", offset_delta=40)]),
    "offsets 1, 0": raw.batch([create("a", offset_delta=1), create("b", offset_delta=0)]),
    "offsets 0, 1000000": raw.batch([A, create("b", offset_delta=1_000_000)]),
    "offsets 0, 0": raw.batch([A, create("b", offset_delta=0)]),
    "offsets -1, 1": raw.batch([create("a", offset_delta=-1), B]),
    "snappy of version 77": raw.batch([A], attributes=2, payload=raw.snappy(A.encode(0), version=77)),
    "a record beyond its length": raw.batch([create("a", length=8)], codec="gzip"),
    "65,537 records": raw.batch([raw.Record()] * 65_537, codec="zstd"),
    "700 MB of zstd": bomb("zstd", 700_000_000),
    "300 MB of gzip": bomb("gzip", 300_000_000),
    "64 MiB of lz4": bomb("lz4", 64 * MIB),
    "65 MiB of snappy": raw.batch([], attributes=2, count=1, last_offset_delta=0,
                                  payload=raw.snappy(raw.Record(b"k", bytes(65 << 20)).encode(0), chunk=1 << 20)),
}  # fmt: skip
"""Batches that Kafka 4 stores, and that can't be read."""


@dataclass
class Outcome:
    """What the worker made of the batches."""

    pipe: Pipe
    worker: WorkerProcess
    first: dict[str, int] = field(default_factory=dict)
    stored: dict[int, bytes] = field(default_factory=dict)
    letters: dict[int, Any] = field(default_factory=dict)
    rooms: set[str] = field(default_factory=set)
    slowest: float = 0.0


async def allow(pipe: Pipe, name: str, config: dict[str, str]) -> None:
    """Change the configuration of a topic."""
    admin = AIOKafkaAdminClient(bootstrap_servers=pipe.settings.bootstrap_servers)
    await admin.start()
    try:
        resource = ConfigResource(ConfigResourceType.TOPIC, pipe.topic(name), {**API.config, **config})
        for answer in await admin.alter_configs([resource]):
            assert [one[0] for one in answer.resources] == [0]
    finally:
        await admin.close()


@pytest.fixture(scope="module")
def outcome(servers: Servers) -> Iterator[Outcome]:
    """Send each batch, and a good one behind it, to one worker."""
    pipe = Pipe(servers, partitions=1)
    asyncio.run(pipe.set_up())
    asyncio.run(allow(pipe, "api.signals", {"max.message.bytes": str(4 * MIB)}))
    with pipe.worker() as worker:
        found = Outcome(pipe, worker)
        asyncio.run(send(found))
        reader = RawReader(pipe.settings.bootstrap_servers)
        found.stored = {one.first: one.raw for one in reader.batches(pipe.topic("api.signals"), 0)}
        reader.close()
        yield found
        assert worker.stop() == 0
    if servers.lasting:
        asyncio.run(pipe.remove_topics())


async def send(found: Outcome) -> None:
    """Await the event of the good batch behind each: nothing waits for a second."""
    topic, expected = found.pipe.topic("api.signals"), 0
    with raw.RawProducer(found.pipe.settings.bootstrap_servers) as producer:
        for number, (name, data) in enumerate((BROKEN | {name: data for name, (data, _) in GOOD.items()}).items()):
            expected += 1 + len(GOOD[name][1] if name in GOOD else ())
            behind = raw.batch([create(f"behind-{number}")])
            answer, good = producer.send_all([(topic, 0, data), (topic, 0, behind)])
            assert answer.stored, (name, answer)
            assert good.stored
            found.first[name] = answer.base_offset
            began = time.monotonic()
            events = await found.pipe.until_events(expected)
            found.slowest = max(found.slowest, time.monotonic() - began)
    found.rooms = {event["room_id"] for event in events}
    for letter in await found.pipe.records("signals.dead"):
        offset = int(dict(letter.headers)["__connect.errors.offset"])
        assert offset not in found.letters
        found.letters[offset] = letter


@pytest.mark.parametrize("name", BROKEN)
def test_a_batch_that_cannot_be_read_is_one_dead_letter(outcome: Outcome, name: str) -> None:
    first = outcome.first[name]
    letter, stored = outcome.letters[first], outcome.stored[first]
    last = first + int.from_bytes(stored[23:27])
    assert letter.key is None
    assert letter.value == stored[: 64 << 10]
    headers = [(key, value.decode()) for key, value in letter.headers]
    topic = outcome.pipe.topic("api.signals")
    message = dict(headers)["__connect.errors.exception.message"]
    assert headers == [
        ("__connect.errors.topic", topic),
        ("__connect.errors.partition", "0"),
        ("__connect.errors.offset", str(first)),
        ("__connect.errors.exception.class.name", "pipeline.errors.SignalError"),
        ("__connect.errors.exception.message", message),
        ("ce_signal", f"{topic}/0/{first}"),
        *([("original-size", str(len(stored)))] if len(stored) > 64 << 10 else []),
        ("last-offset", str(last)),
    ]
    assert message.startswith(f"the batch of offsets {first} to {last} can't be read: ")
    assert message.isprintable()
    assert len(message) < 300


def test_nothing_else_is_a_dead_letter_and_nothing_is_lost(outcome: Outcome) -> None:
    assert set(outcome.letters) == {outcome.first[name] for name in BROKEN}
    behind = {f"behind-{number}" for number in range(len(BROKEN) + len(GOOD))}
    assert outcome.rooms == behind.union(*(rooms for _, rooms in GOOD.values()))


def test_nothing_waits_long(outcome: Outcome) -> None:
    """Fetching all events, as the test does each time, is included."""
    assert outcome.slowest < 3.0
    assert outcome.worker.returncode is None
    complaints = [line["msg"] for line in outcome.worker.log if line["level"] in ("warning", "error")]
    assert [text for text in complaints if "fine for development" not in text] == []


async def write_position(pipe: Pipe, number: int, offset: int) -> None:
    """Write the position of the API signals of a partition into the table, as a worker."""
    async with Registry(pipe.settings) as registry:
        ids = await registry.schema_ids(pipe.prefix)
    positions = tuple(
        TopicPosition(pipe.topic(f"{name}.signals"), number, at, T) for name, at in (("api", offset), ("media", 0))
    )
    position = Position("someone", positions, pipe.settings.group_id)
    async with AIOKafkaProducer(**pipe.settings.kafka()) as producer:
        value = ENCODERS[Position](position, framing.head(ids[Position.RECORD]))
        await producer.send_and_wait(pipe.topic("rooms"), value, POSITION_KEY, partition=number)


async def test_a_position_inside_a_broken_batch_buries_it(pipe: Pipe) -> None:
    """An earlier version left the position there. Nothing behind the batch is skipped."""
    topic, number = pipe.topic("api.signals"), pipe.partition("room")
    with raw.RawProducer(pipe.settings.bootstrap_servers) as producer:
        data = raw.batch([create("room", offset_delta=n) for n in (0, 40)])
        producer.send_all([(topic, number, raw.batch([create("room")])), (topic, number, data)])
        rooms = [f"good-{n}" for n in range(200)]
        rooms = [room for room in rooms if pipe.partition(room) == number][:39]
        producer.send_all([(topic, number, raw.batch([create(room)])) for room in rooms])
    await write_position(pipe, number, 2)
    with pipe.worker() as worker:
        events = await pipe.until_events(39)
        assert {event["room_id"] for event in events} == set(rooms)
        [letter] = await pipe.records("signals.dead")
        assert dict(letter.headers)["__connect.errors.offset"] == b"1"
        assert dict(letter.headers)["last-offset"] == b"2"
        assert worker.stop() == 0


async def test_records_without_append_time_get_that_of_the_previous(pipe: Pipe) -> None:
    """One record stamped 2100 does not move the time of its partition: the watchdog still fires."""
    topic, number = pipe.topic("api.signals"), pipe.partition("room")
    year_2100 = 4_102_444_800_000
    play = s.ConferencePlay("p", "room", T, ("https://x/a.wav",), "op")
    with pipe.worker(PIPELINE_WATCHDOG_SECONDS="1") as worker:
        await pipe.send(s.ConferenceCreate("c", "room", T, "app", "name"))
        ever = str(2**63 - 1)
        config = {"message.timestamp.type": "CreateTime", "message.timestamp.after.max.ms": ever}
        await allow(pipe, "api.signals", config)
        with raw.RawProducer(pipe.settings.bootstrap_servers) as producer:
            late = raw.batch([raw.Record(b"room", signal_json(play))], base_timestamp=year_2100)
            answer = producer.send(topic, number, late)
            assert answer.stored, answer
        await pipe.until_events(2)
        await allow(pipe, "api.signals", {})
        await pipe.until_events(3)
        rows = [r.value for r in await pipe.records("rooms") if r.key == POSITION_KEY and r.partition == number]
        position = DECODERS[Position.RECORD](rows[-1], 5)
        [api] = [one for one in position.positions if one.topic == topic]
        assert api.time < year_2100 * 1000
        assert worker.stop() == 0


UNUSUAL = raw.batch([raw.Record(b"k", b"v", [(b"\xff\xfe", b"x")], attributes=0xFF)])
TWISTED = raw.batch([A, create("b", offset_delta=40)])


async def test_events_are_read_behind_broken_batches(pipe: Pipe) -> None:
    number, lines = pipe.partition("room"), list[str]()
    with raw.RawProducer(pipe.settings.bootstrap_servers) as producer:
        for answer in producer.send_all([(pipe.topic("events"), number, data) for data in (TWISTED, UNUSUAL)]):
            assert answer.stored
    with pipe.worker() as worker:
        await pipe.send(s.ConferenceCreate("c", "room", T, "app", "name"))
        async with (
            asyncio.timeout(30),
            EventReader(pipe.settings, lines.append, span=Span(OLDEST, follow=True)) as reader,
        ):
            async for event, _ in reader:
                assert event.room_id == "room"
                break
        assert worker.stop() == 0
    topic = pipe.topic("events")
    assert lines[0].startswith(f"{topic}/{number}/0: the batch of offsets 0 to 1 can't be read: record 2")
    assert lines[1].startswith(f"{topic}/{number}/2: no event: ")
    assert len(lines) == 2


async def doctor(pipe: Pipe) -> str:
    command = (sys.executable, "-m", "pipeline", "doctor")
    options: Any = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.STDOUT}
    process = await asyncio.create_subprocess_exec(*command, env=pipe.env, **options)
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode in (0, 1), out
    return re.sub(r"\s+", " ", out.decode())


async def test_doctor_reads_behind_broken_batches(pipe: Pipe) -> None:
    """The backlog is counted, whatever it consists of. A broken table is named."""
    number = pipe.partition("room")
    topics = [pipe.topic("api.signals"), pipe.topic("rooms")]
    with raw.RawProducer(pipe.settings.bootstrap_servers) as producer:
        producer.send_all([(topics[0], number, data) for data in (UNUSUAL, TWISTED)])
        found = await doctor(pipe)
        assert "backlog of at most 3 signals" in found
        assert "Traceback" not in found
        producer.send_all([(topics[1], number, data) for data in (UNUSUAL, TWISTED)])
    found = await doctor(pipe)
    assert f"{topics[1]} partition {number}: the batch of offsets 1 to 2 can't be read" in found
    assert "Traceback" not in found


async def test_a_worker_names_a_broken_batch_of_the_table(pipe: Pipe) -> None:
    number = pipe.partition("room")
    with raw.RawProducer(pipe.settings.bootstrap_servers) as producer:
        producer.send(pipe.topic("rooms"), number, TWISTED)
    with pipe.worker(ready=False) as worker:
        assert worker.wait(60) == 1
        text = "\n".join(worker.lines)
        place = f"{pipe.topic('rooms')} partition {number}"
        assert f"{place}: the batch of offsets 0 to 1 can't be read" in text
        assert "Traceback" not in text


async def test_a_flood_of_unknown_ids_delays_little(pipe: Pipe) -> None:
    """3,000 of them took 15 s, one after another."""
    topic, number = pipe.topic("api.signals"), pipe.partition("room")
    records = [raw.Record(b"r", b"\0" + (10**6 + n).to_bytes(4) + b"x" * 50) for n in range(3000)]
    with pipe.worker() as worker, raw.RawProducer(pipe.settings.bootstrap_servers) as producer:
        sent = producer.send_all([(topic, number, data) for data in (raw.batch(records), raw.batch([create("room")]))])
        await pipe.until_events(1)
        [event] = await pipe.records()
        delay = (event.timestamp - sent[-1].append_time_ms) / 1000
        assert delay < 3.0, "1 s, and some for a busy machine"
        letters = await pipe.records("signals.dead")
        assert len(letters) == 3000
        texts = {dict(one.headers)["__connect.errors.exception.message"].decode() for one in letters}
        assert any("no schema with id" in text for text in texts)
        assert worker.stop() == 0
