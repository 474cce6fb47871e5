"""Signals written with other versions of the schemas, and a registry that is asked rarely and may be away."""

from __future__ import annotations

import asyncio
import io
import json
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import fastavro
import pytest
from aiokafka import AIOKafkaProducer

from pipeline.model import signals as s
from pipeline.model.avro import long
from pipeline.model.wire import ENCODERS, SCHEMAS
from testkit.pipe import Pipe, WorkerProcess
from testkit.servers import Servers
from tests.support.fronts import Front, serve

pytestmark = pytest.mark.broker

T = 1_795_354_386_106_600
CREATE = s.ConferenceCreate
BODY = ENCODERS[CREATE](CREATE("c", "odd", T, "app", "name"), b"")


@dataclass
class Behind:
    """A worker whose registry is behind a test server. Each test uses its own rooms."""

    pipe: Pipe
    worker: WorkerProcess
    front: Front

    async def register(self, subject: str, schema: Any, **more: Any) -> int:
        """Register a schema at the real registry. Return its id."""
        url = f"{self.pipe.settings.registry_url}/subjects/{subject}/versions"
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, json={"schema": json.dumps(schema), **more}) as answer,
        ):
            found = await answer.json(content_type=None)
        assert "id" in found, found
        return int(found["id"])

    async def send(self, room: str, *values: bytes) -> None:
        """Send values of one room to the API topic in one batch."""
        async with AIOKafkaProducer(**self.pipe.settings.kafka(), linger_ms=20) as producer:
            topic = self.pipe.topic("api.signals")
            sent = [await producer.send(topic, value, room.encode()) for value in values]
            await asyncio.gather(*sent)

    async def created(self, prefix: str, number: int) -> list[dict[str, Any]]:
        """Await `number` events `created` of rooms whose ids begin with `prefix`."""
        limit = time.monotonic() + 15
        while True:
            found = [event for event in await self.pipe.events() if event["room_id"].startswith(prefix)]
            if len(found) >= number or time.monotonic() > limit:
                assert len(found) == number, self.worker.lines
                return found
            await asyncio.sleep(0.1)

    async def letters(self, room: str, number: int) -> list[str]:
        """Await `number` dead letters of a room. Return their messages."""
        limit = time.monotonic() + 15
        while True:
            records = [record for record in await self.pipe.records("signals.dead") if record.key == room.encode()]
            if len(records) >= number or time.monotonic() > limit:
                assert len(records) == number, self.worker.lines
                return [dict(record.headers)["__connect.errors.exception.message"].decode() for record in records]
            await asyncio.sleep(0.1)


@pytest.fixture(scope="module")
def behind(servers: Servers) -> Iterator[Behind]:
    pipe = Pipe(servers, partitions=2)
    asyncio.run(pipe.set_up())
    front = Front(servers.registry_url)
    with serve(front) as url, pipe.worker(SCHEMA_REGISTRY_URL=url) as worker:
        yield Behind(pipe, worker, front)
        assert worker.stop() == 0
    if servers.lasting:
        asyncio.run(pipe.remove_topics())


def evolved(*more: dict[str, Any], record: str = CREATE.RECORD) -> dict[str, Any]:
    """Return the pipeline's schema with more fields."""
    schema: dict[str, Any] = json.loads(SCHEMAS[record])
    return {**schema, "fields": [*schema["fields"], *more]}


def wire(schema_id: int, body: bytes) -> bytes:
    return b"\0" + struct.pack(">I", schema_id) + body


def written(schema_id: int, schema: dict[str, Any], **fields: Any) -> bytes:
    """Return a create in the wire format, written by another library."""
    out = io.BytesIO()
    plain = {"signal_id": "c", "occurred_at": T, "app_id": "my-app", "name": "Näme", **fields}
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), plain)
    return wire(schema_id, out.getvalue())


TAGS = {"name": "tags", "type": {"type": "array", "items": "string"}, "default": []}
LEVEL = {
    "name": "level",
    "type": {"type": "enum", "name": "Level", "symbols": ["low", "high"]},
    "default": "low",
}
PRICE = {"name": "price", "type": ["null", {"type": "map", "values": "double"}], "default": None}


async def test_a_newer_schema_is_read_and_looked_up_once(behind: Behind) -> None:
    subject = f"{behind.pipe.topic('api.signals')}-{CREATE.RECORD}"
    first, second = evolved(TAGS), evolved(TAGS, LEVEL, PRICE)
    ids = [await behind.register(subject, schema) for schema in (first, second)]
    values = [
        written(
            ids[n % 2], (first, second)[n % 2],
            room_id=f"new-{n}", tags=["a", "b"], level="high", price={"x": 1.5}, signal_id=f"c-{n}",
        )
        for n in range(200)
    ]  # fmt: skip
    async with AIOKafkaProducer(**behind.pipe.settings.kafka(), linger_ms=20) as producer:
        topic = behind.pipe.topic("api.signals")
        sent = [await producer.send(topic, value, f"new-{n}".encode()) for n, value in enumerate(values)]
        await asyncio.gather(*sent)
    events = await behind.created("new-", 200)
    assert {(event["app_id"], event["name"]) for event in events} == {("my-app", "Näme")}
    assert {event["meta"]["occurred_at"] for event in events} == {"2026-11-22T13:33:06.106600Z"}
    assert [behind.front.schemas_asked(schema_id) for schema_id in ids] == [1, 1]


async def test_a_thousand_unknown_ids_are_few_look_ups(behind: Behind) -> None:
    before = len(behind.front.asked)
    await behind.send("unknown", *[wire(2_000_000_001, BODY)] * 1000)
    messages = await behind.letters("unknown", 1000)
    assert set(messages) == {"the registry has no schema with id 2000000001"}
    # An answer that the registry has no such id is asked for again, once or twice.
    assert len(behind.front.asked) - before == behind.front.schemas_asked(2_000_000_001) <= 3


async def test_unknown_ids_wait_while_the_registry_is_away(behind: Behind) -> None:
    schema = evolved({"name": "later", "type": "string", "default": ""})
    schema_id = await behind.register(f"{behind.pipe.prefix}.elsewhere", schema)
    behind.front.down = True
    try:
        await behind.send("away", written(schema_id, schema, room_id="away", later="x"))
        line = await asyncio.to_thread(behind.worker.until_log, "waiting for the registry", 10)
        assert line["level"] == "warning"
        assert line["schema_id"] == schema_id
        assert "503" in line["error"]
        await behind.pipe.send(s.ConferenceDestroy("d", "away", T))
        assert behind.worker.get("/livez")[0] == 200
        assert not [event for event in await behind.pipe.events() if event["room_id"] == "away"]
    finally:
        behind.front.down = False
    events = await behind.created("away", 2)
    assert [event["event"] for event in events] == ["conference.created", "conference.destroyed"]
    assert not [one for one in await behind.pipe.records("signals.dead") if one.key == b"away"]


CYCLE = {"name": "more", "type": ["null", "conference.signal.ConferenceCreate"], "default": None}
NOTHINGS = {"name": "more", "type": {"type": "array", "items": "null"}, "default": []}
ODD: dict[str, tuple[Any, bytes, str]] = {
    "a string": ("string", BODY, "no record"),
    "a union": (["null", evolved(TAGS)], b"\2" + BODY + b"\0", "no record"),
    "another record": ({"type": "record", "name": "x.Y", "fields": []}, b"", "x.Y"),
    "another room_id": (
        {**evolved(), "fields": [{**f, "type": "int"} if f["name"] == "room_id" else f for f in evolved()["fields"]]},
        b"\2c\2" + long(T) + b"\2a\2n",
        "room_id",
    ),
    "without an id": (
        {**evolved(), "fields": [f for f in evolved()["fields"] if f["name"] != "app_id"]},
        BODY.replace(b"\6app", b""),
        "app_id",
    ),
    "no fields": ({**evolved(), "fields": []}, b"", "signal_id"),
    "a cycle": (evolved(CYCLE), (BODY + b"\2") * 5000 + b"\0", "nested too deeply"),
    "2^60 nothings": (evolved(NOTHINGS), BODY + long(2**60) + b"\0", "more than there are bytes"),
    "a long blob": (
        evolved({"name": "more", "type": "bytes", "default": ""}), BODY + long(2**40), "bytes"
    ),
    "a branch too far": (evolved(PRICE), BODY + b"\x0e", "branch"),
    "a decimal": (
        evolved({"name": "more", "type": {"type": "bytes", "logicalType": "decimal", "precision": 4}, "default": ""}),
        BODY + b"\4\0", "bytes",
    ),
}  # fmt: skip
"""The writer's schema, the bytes it wrote, and the message of the dead letter."""


async def test_odd_schemas_give_dead_letters(behind: Behind) -> None:
    for number, (name, (schema, body, told)) in enumerate(ODD.items()):
        schema_id = await behind.register(f"{behind.pipe.prefix}.odd-{number}", schema)
        await behind.send("odd", wire(schema_id, body))
        messages = await behind.letters("odd", number + 1)
        assert any(told in message for message in messages), (name, messages)
    await behind.pipe.send(CREATE("c", "alive", T, "app", "name"))
    await behind.created("alive", 1)


async def test_a_schema_with_references_gives_a_dead_letter(behind: Behind) -> None:
    prefix = behind.pipe.prefix
    part = {"type": "record", "name": "x.Part", "fields": [{"name": "n", "type": "int"}]}
    await behind.register(f"{prefix}.part", part)
    schema = evolved({"name": "part", "type": "x.Part"})
    reference = {"name": "x.Part", "subject": f"{prefix}.part", "version": 1}
    schema_id = await behind.register(f"{prefix}.whole", schema, references=[reference])
    await behind.send("part", wire(schema_id, BODY + b"\2"))
    (message,) = await behind.letters("part", 1)
    assert "x.Part" in message
    await behind.pipe.send(CREATE("c", "still-alive", T, "app", "name"))
    await behind.created("still-alive", 1)
