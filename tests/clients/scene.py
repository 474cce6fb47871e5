"""Topics for the examples in examples/: every event, and what a consumer must survive."""

from __future__ import annotations

import asyncio
import io
import json
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from fastavro import parse_schema, schemaless_writer

from pipeline.model import signals as s
from pipeline.model.times import format_time
from pipeline.model.wire import SCHEMAS
from testkit.pipe import Pipe
from tests.test_interop import NAMES, URLS, T, history

ROOM_A, ROOM_B, FULL, NEW = "acW68-räum-☎", 'quote"room', "node1-room-full", "node1-room-new"
RENAMED = {
    "type": "record",
    "name": "Renamed",
    "namespace": "conference",
    "fields": [
        {"name": "event", "type": "string"},
        {"name": "how", "type": {"type": "enum", "name": "How", "symbols": ["BY_HAND"]}},
    ],
}


@dataclass(frozen=True)
class Seen:
    """An event as every example prints it."""

    room: str
    sequence: int
    name: str
    time: str


@dataclass
class Scene:
    """Filled topics, and what a consumer must see of them."""

    pipe: Pipe
    events: list[Seen]
    headers: list[dict[str, str]]
    """The headers of the committed records."""


async def scene(pipe: Pipe) -> Scene:
    """Fill the topics of a pipe with a worker."""
    for room in (ROOM_A, ROOM_B):
        for step in history(room):
            await pipe.send(step)
    await pipe.send(
        s.ConferenceCreate("c-1", FULL, T, "my-app", "Full"),
        s.MemberJoined("m-1", FULL, T, "alice", "+1", False),
        s.MemberJoined("m-2", FULL, T, "bob", "+2", False),
        s.ConferencePlay("c-2", FULL, T, URLS, "play-1"),
        s.ConferenceStop("c-3", FULL, T, "stop-1"),
    )
    lines = await pipe.until_events(2 * len(NAMES) + 5)
    await _survive(pipe)
    seen = [Seen(e["room_id"], e["meta"]["sequence"], e["event"], e["meta"]["occurred_at"]) for e in lines]
    for sequence, name in ((1, "conference.member.joined"), (2, "conference.member.left")):
        seen.append(Seen(NEW, sequence, name, format_time(T + sequence)))
    headers = [{name: value.decode() for name, value in r.headers} for r in await pipe.records()]
    return Scene(pipe, seen, headers)


async def _survive(pipe: Pipe) -> None:
    """Append, on one partition: a join, an unknown type, a repeat, an aborted event, and a leave of a newer schema."""
    registry = SchemaRegistryClient({"url": pipe.settings.registry_url})
    topic = pipe.topic("events")

    def value(record: dict[str, Any], values: dict[str, Any]) -> bytes:
        """Return a Kafka value; registers the schema if it is new."""
        subject = f"{topic}-conference.{record['name']}"
        number = registry.register_schema(subject, Schema(json.dumps(record), "AVRO"))
        out = io.BytesIO()
        schemaless_writer(out, parse_schema(record), values)
        return b"\0" + number.to_bytes(4, "big") + out.getvalue()

    joined, left = (json.loads(SCHEMAS[f"conference.{name}"]) for name in ("MemberJoined", "MemberLeft"))
    left["fields"].append({"name": "region", "type": ["null", "string"], "default": None})
    left["fields"][-2]["type"]["fields"].append({"name": "shard", "type": "int", "default": 0})
    first = value(joined, _member("conference.member.joined", 1))
    last = value(left, {**_member("conference.member.left", 2), "reason": "hangup", "region": "eu"})
    other = await asyncio.to_thread(value, RENAMED, {"event": "conference.renamed", "how": "BY_HAND"})
    options = {"partition": pipe.partition(NEW), "key": NEW.encode()}

    def headers(name: str, sequence: int) -> list[tuple[str, bytes]]:
        attributes = {"specversion": "1.0", "id": f"id-{sequence}", "type": name, "source": f"/{pipe.prefix}"}
        attributes |= {"subject": NEW, "time": format_time(T + sequence)}
        made = [(f"ce_{key}", text.encode()) for key, text in attributes.items()]
        return [*made, ("content-type", b"application/avro")]

    async with AIOKafkaProducer(**pipe.settings.kafka()) as producer:
        for data, name, sequence in (
            (first, "conference.member.joined", 1),
            (other, "conference.renamed", 0),
            (first, "conference.member.joined", 1),
        ):
            await producer.send_and_wait(topic, data, headers=headers(name, sequence), **options)
        async with AIOKafkaProducer(**pipe.settings.kafka(), transactional_id=f"{pipe.prefix}-aborts") as aborting:
            await aborting.begin_transaction()
            aborted = {**options, "key": b"ABORTED"}
            await aborting.send_and_wait(topic, first, headers=headers("conference.member.joined", 1), **aborted)
            await aborting.abort_transaction()
        await producer.send_and_wait(topic, last, headers=headers("conference.member.left", 2), **options)


def _member(name: str, sequence: int) -> dict[str, Any]:
    meta = {
        "event_id": f"id-{sequence}", "sequence": sequence, "occurred_at": T + sequence, "app_id": "", "cause": "c",
        "playback_id": None, "ends_playback": False, "synthetic": False, "shard": 7,
    }  # fmt: skip
    return {"event": name, "session_uuid": "carol", "room_id": NEW, "caller_id": "+3", "meta": meta}
