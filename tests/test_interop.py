"""Interoperability with other implementations: confluent-kafka, Apache Avro, CloudEvents."""

from __future__ import annotations

import asyncio
import io
import json
import re
import subprocess
import sys
import time
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import avro.io
import avro.schema
import msgspec
import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient, topic_record_subject_name_strategy
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from pipeline.model import signals as s
from pipeline.model.events import EVENTS
from pipeline.model.times import format_time
from pipeline.model.wire import SCHEMAS
from testkit.pipe import ROOT, Pipe, WorkerProcess, event_line
from testkit.servers import Servers

pytestmark = pytest.mark.broker

T = 1_795_354_386_106_600
URLS = ("https://cdn.example.com/a.wav", "HTTP://cdn.example.com/b.wav")
NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")
ROOM_A, ROOM_B = "acW68-räum-☎", "by-confluent"


def history(room: str) -> list[s.AnySignal]:
    """Return a room's signals with every signal type; with the final timeout, they cause every event type."""
    return [
        s.ConferenceCreate("c-1", room, T, "my-app", "Team Ständup"),
        s.ConferenceJoin("c-2", room, T, "alice"),
        s.MemberJoined("m-1", room, T, "alice", "+15551234567", True),
        s.MemberJoined("m-2", room, T, "bob", ""),
        s.ConferenceUnmute("c-3", room, T, "alice"),
        s.MemberUnmuted("m-3", room, T, "alice"),
        s.ConferenceMute("c-4", room, T, "bob"),
        s.MemberMuted("m-4", room, T, "bob"),
        s.ConferencePlay("c-5", room, T, URLS, "play-1"),
        s.PlayProgress("m-5", room, T, "play-1"),
        s.ConferencePause("c-6", room, T, "pause-1"),
        s.ConferencePause("c-7", room, T, "pause-2"),
        s.ConferenceVolume("c-8", room, T, -50, "volume-1"),
        s.PlayFinished("m-6", room, T, URLS[0]),
        s.ConferenceStop("c-9", room, T, "stop-1"),
        s.ConferencePlay("c-10", room, T, URLS[:1], "play-2"),
        s.PlayFailed("m-7", room, T, "play-2"),
        s.ConferenceLeave("c-11", room, T, "bob"),
        s.MemberLeft("m-8", room, T, "bob", "orphan"),
        s.ConferencePlay("c-12", room, T, URLS[:1], "play-3"),
        s.ConferenceDestroy("c-13", room, T),
        s.ConferenceCreate("c-14", room, T, "my-app", ""),
        s.ConferencePlay("c-15", room, T, URLS[:1], "play-4"),  # never ends, so it times out
    ]


_NAMES = (
    "created member.joined member.muted member.joined member.unmuted member.muted play.started play.paused "
    "play.resumed play.volume_changed play.finished play.stopped play.started play.failed member.left play.started "
    "play.stopped member.left destroyed created play.started play.failed"
)
NAMES = _NAMES.split()


@dataclass
class Interop:
    """Two rooms, one with the pipeline's JSON signals, one with confluent-kafka's Avro; and the events by librdkafka."""

    pipe: Pipe
    worker: WorkerProcess
    messages: list[Message]

    @property
    def registry(self) -> SchemaRegistryClient:
        return registry_client(self.pipe)

    def decoded(self) -> list[dict[str, Any]]:
        """Return every event as confluent-kafka decodes it."""
        context = SerializationContext(self.pipe.topic("events"), MessageField.VALUE)
        decode = AvroDeserializer(self.registry)
        return [decode(message.value(), context) for message in self.messages]


@pytest.fixture(scope="module")
def interop(servers: Servers) -> Iterator[Interop]:
    pipe = Pipe(servers, partitions=4)
    asyncio.run(pipe.set_up())
    # A backlog: signals acknowledged in one millisecond, or while a worker polls, may be merged in another order.
    for step in history(ROOM_A):
        asyncio.run(pipe.send(step))
    send(pipe, history(ROOM_B), partitioner="murmur2_random")
    with pipe.worker(PIPELINE_WATCHDOG_SECONDS="2") as worker:
        asyncio.run(pipe.until_events(2 * len(NAMES)))
        yield Interop(pipe, worker, read(pipe, "events", 2 * len(NAMES)))
        assert worker.stop() == 0
    if servers.lasting:
        asyncio.run(pipe.remove_topics())


def registry_client(pipe: Pipe) -> SchemaRegistryClient:
    return SchemaRegistryClient({"url": pipe.settings.registry_url})


def send(pipe: Pipe, steps: list[s.AnySignal], **options: str) -> None:
    """Send signals with confluent-kafka's serializer and producer only."""
    servers = {"bootstrap.servers": pipe.settings.bootstrap_servers}
    producer = Producer({**servers, "enable.idempotence": True, **options})
    registry, serializers = registry_client(pipe), {}
    failed: list[KafkaError] = []
    for step in steps:
        if step.RECORD not in serializers:
            serializers[step.RECORD] = AvroSerializer(
                registry,
                SCHEMAS[step.RECORD],
                conf={
                    "auto.register.schemas": False,
                    "subject.name.strategy": topic_record_subject_name_strategy,
                },
            )
        topic = pipe.topic(f"{step.TOPIC}.signals")
        plain = {**msgspec.structs.asdict(step), "occurred_at": moment(step.occurred_at)}
        value = serializers[step.RECORD](plain, SerializationContext(topic, MessageField.VALUE))
        producer.produce(topic, value, step.room_id.encode(), on_delivery=lambda e, _: failed.append(e) if e else None)
        producer.flush(10)
        time.sleep(0.002)  # a later append time for the next
    assert failed == []


def read(pipe: Pipe, name: str, number: int) -> list[Message]:
    """Return a topic's messages as read by a read_committed consumer of librdkafka."""
    consumer = Consumer(
        {
            "bootstrap.servers": pipe.settings.bootstrap_servers,
            "group.id": f"{pipe.prefix}-reader",
            "isolation.level": "read_committed",
        }
    )
    consumer.assign([TopicPartition(pipe.topic(name), n, 0) for n in range(pipe.settings.partitions)])
    found: list[Message] = []
    limit = time.monotonic() + 15
    while len(found) < number and time.monotonic() < limit:
        message = consumer.poll(0.2)
        if message is not None:
            assert message.error() is None
            found.append(message)
    consumer.close()
    assert len(found) == number
    return found


def moment(micros: int) -> datetime:
    return datetime.fromtimestamp(micros // 1_000_000, UTC).replace(microsecond=micros % 1_000_000)


def as_line(event: dict[str, Any]) -> dict[str, Any]:
    """Return an event decoded by another library, with the time formatted as in the pipeline's JSON."""
    when = event["meta"]["occurred_at"]
    text = when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {**event, "meta": {**event["meta"], "occurred_at": text}}


def of(events: list[dict[str, Any]], room: str) -> list[dict[str, Any]]:
    return [event for event in events if event["room_id"] == room]


async def test_confluent_decodes_every_event_equally(interop: Interop) -> None:
    lines = {(r.partition, r.offset): json.loads(event_line(r)) for r in await interop.pipe.records()}
    for message, event in zip(interop.messages, interop.decoded(), strict=True):
        line = lines[message.partition(), message.offset()]
        assert as_line(event) == line
        assert list(event) == list(line), "the documented order of fields"
    assert {event["event"] for event in lines.values()} == {event.EVENT for event in EVENTS}
    for room in (ROOM_A, ROOM_B):
        events = of(list(lines.values()), room)
        assert [event["event"].removeprefix("conference.") for event in events] == NAMES


async def test_apache_avro_decodes_every_event_equally(interop: Interop) -> None:
    schemas: dict[int, Any] = {}
    for record in await interop.pipe.records():
        assert record.value[0] == 0
        schema_id = int.from_bytes(record.value[1:5])
        if schema_id not in schemas:
            schemas[schema_id] = avro.schema.parse(interop.registry.get_schema(schema_id).schema_str)
        stream = io.BytesIO(record.value[5:])
        event = avro.io.DatumReader(schemas[schema_id]).read(avro.io.BinaryDecoder(stream))
        assert stream.read() == b""
        assert as_line(event) == json.loads(event_line(record))
    assert len(schemas) == len(EVENTS)


def test_every_schema_is_registered_under_its_subject(interop: Interop) -> None:
    topic = interop.pipe.topic("events")
    by_id = {}
    for event in EVENTS:
        version = interop.registry.get_latest_version(f"{topic}-{event.RECORD}")
        assert not version.schema.references
        by_id[version.schema_id] = event.EVENT
    for message in interop.messages:
        assert by_id[int.from_bytes(message.value()[1:5])] == dict(message.headers())["ce_type"].decode()


def test_avro_and_json_signals_cause_equal_events(interop: Interop) -> None:
    """The events of confluent-kafka's Avro signals and of the JSON signals differ only in the room."""
    assert {step.TYPE for step in history("x")} == {signal.TYPE for signal in s.SIGNALS}
    decoded = interop.decoded()
    by_json, by_avro = of(decoded, ROOM_A), of(decoded, ROOM_B)
    assert len(by_json) == len(NAMES)
    for one, other in zip(by_json, by_avro, strict=True):
        differing = {"event_id", "occurred_at"} if one["meta"]["cause"] == "play-4" else {"event_id"}
        renamed = {**other, "room_id": ROOM_A}
        for event in (one, renamed):
            event["meta"] = {key: value for key, value in event["meta"].items() if key not in differing}
        assert renamed == one
    assert interop.worker.metric("pipeline_wrong_partition_total") == 0


def test_headers_are_cloud_events(interop: Interop) -> None:
    timeouts = 0
    for message, event in zip(interop.messages, map(as_line, interop.decoded()), strict=True):
        headers = dict(message.headers())
        assert len(headers) == len(message.headers()), "no header is repeated"
        meta = event["meta"]
        cause = headers.pop("ce_signal", None)
        assert headers == {
            "ce_specversion": b"1.0",
            "ce_id": meta["event_id"].encode(),
            "ce_type": event["event"].encode(),
            "ce_source": f"/{interop.pipe.prefix}".encode(),
            "ce_subject": event["room_id"].encode(),
            "ce_time": meta["occurred_at"].encode(),
            "content-type": b"application/avro",
        }
        name = f"{event['room_id']}/{meta['sequence']}/{meta['cause']}"
        assert meta["event_id"] == str(uuid.uuid5(NAMESPACE, name))
        assert message.key() == event["room_id"].encode()
        if event.get("error") == "playback_timeout":
            timeouts += 1
            assert cause is None
            assert meta["synthetic"] is True
        else:
            assert meta["occurred_at"] == format_time(T)
            place = re.fullmatch(r"(.+)\.(api|media)\.signals/(\d+)/(\d+)", (cause or b"").decode())
            assert place is not None
            assert (place[1], int(place[3])) == (interop.pipe.prefix, message.partition())
    assert timeouts == 2


async def test_ce_signal_names_the_causing_record(interop: Interop) -> None:
    causes = {}
    for name in ("api.signals", "media.signals"):
        for record in await interop.pipe.records(name):
            if record.value[0] == 0x7B:
                found = json.loads(record.value)
                causes[f"{record.topic}/{record.partition}/{record.offset}"] = (
                    found["room_id"],
                    found["signal_id"],
                )
    seen = set()
    for message, event in zip(interop.messages, interop.decoded(), strict=True):
        place = dict(message.headers()).get("ce_signal", b"").decode()
        if place and event["room_id"] == ROOM_A:
            assert causes[place] == (ROOM_A, event["meta"]["cause"])
            seen.add(place)
    assert len(seen) == len(NAMES) - 1 - 1 - 2, (
        "all but the timeout's; a muted join causes two events, the destroy three"
    )


async def test_dead_letter_of_the_crc32_partitioner_names_the_remedy(interop: Interop) -> None:
    """librdkafka partitions by CRC32 by default."""
    pipe = interop.pipe
    number = pipe.settings.partitions
    room = next(r for r in (f"crc-{n}" for n in range(99)) if zlib.crc32(r.encode()) % number != pipe.partition(r))
    send(interop.pipe, [s.ConferenceCreate("c", room, T, "app", "")])
    (letter,) = await asyncio.to_thread(read, pipe, "signals.dead", 1)
    assert letter.key() == room.encode()
    message = dict(letter.headers())["__connect.errors.exception.message"].decode()
    assert "murmur2_random" in message
    assert f"room '{room}' belongs on partition {pipe.partition(room)}, this is {letter.partition()}" in message
    assert letter.partition() == zlib.crc32(room.encode()) % number


async def test_example_consumer_prints_every_event(interop: Interop) -> None:
    options = ["--group", f"{interop.pipe.prefix}-example", "--max", str(2 * len(NAMES))]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "examples/consume.py",
        *options,
        cwd=ROOT,
        env=interop.pipe.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, err.decode()
    lines = out.decode().splitlines()
    assert len(lines) == 2 * len(NAMES)
    for room in (ROOM_A, ROOM_B):
        sequences = [line.split("#")[1].split()[0] for line in lines if line.startswith(f"{room} #")]
        assert sequences == [*map(str, range(1, 20)), "1", "2", "3"]
