"""Bad records on both signal topics: one dead letter each, no other signal lost, and the worker continues."""

from __future__ import annotations

import asyncio
import json
import re
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from pipeline.kafka.schema_registry import Registry
from pipeline.model import signals as s
from pipeline.model.avro import long
from pipeline.model.codec import signal_json
from pipeline.model.wire import DECODERS, ENCODERS
from pipeline.topics import API, MEDIA
from testkit.pipe import Pipe, WorkerProcess
from testkit.servers import Servers

pytestmark = pytest.mark.broker

ROOM = "acW68-room"
T = 1_795_354_386_106_600
MIB = 1 << 20
CREATE = s.ConferenceCreate("c", ROOM, T, "my-app", "Näme")
PLAY = s.ConferencePlay("p", ROOM, T, ("https://x/a.wav",), "op")
OWN = [("trace", b"abc"), ("trace", b"\xff\0"), ("nothing", None), ("", b"")]
"""Headers of a producer: repeated, not text, null, without a name. A dead letter must carry them."""


def string(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return long(len(data)) + data


def js(**fields: Any) -> bytes:
    """Return a create as JSON with some fields changed; `...` removes one."""
    plain = {**json.loads(signal_json(CREATE)), **fields}
    return json.dumps({k: v for k, v in plain.items() if v is not ...}, ensure_ascii=False).encode(
        "utf-8", "surrogatepass"
    )


Ids = dict[str, int]
Value = bytes | None | Callable[[Ids], bytes]


def avro(record: str, body: bytes) -> Callable[[Ids], bytes]:
    """Return bytes after the schema id of one of the pipeline's records."""
    return lambda ids: b"\0" + struct.pack(">I", ids[record]) + body


HEAD = string("s") + string(ROOM) + long(T)
PLAY_RECORD, CREATE_RECORD, VOLUME_RECORD = PLAY.RECORD, CREATE.RECORD, s.ConferenceVolume.RECORD
GOOD_CREATE = ENCODERS[s.ConferenceCreate](CREATE, b"")


class Bad(NamedTuple):
    """A bad record. `told` are patterns that its dead letter's message must match."""

    value: Value
    told: tuple[str, ...]
    key: bytes | None = ROOM.encode()
    topic: str = "api"
    misplaced: bool = False


BAD: dict[str, Bad] = {
    "empty value": Bad(b"", ("value is empty",)),
    "null value": Bad(None, ("value is null",)),
    "null value, media": Bad(None, ("value is null",), topic="media"),
    "null value, no key": Bad(None, ("value is null",), key=None),
    "unknown magic byte": Bad(b"\x07abcdef", ("magic byte 0", "0x07")),
    "text": Bad(b"hello", ("magic byte 0 or a JSON object", "0x68")),
    "too short": Bad(b"\0\0\0\1", ("4 bytes", "too few")),
    "only a header": Bad(avro(CREATE_RECORD, b""), ("signal_id", "expected", "end of the data")),
    "unknown schema id": Bad(b"\0\x7f\xff\xff\xff" + GOOD_CREATE, ("no schema with id 2147483647",)),
    "schema id of 32 bits": Bad(b"\0\xff\xff\xff\xff" + GOOD_CREATE, ("no schema with id 4294967295",)),
    "schema id 0": Bad(b"\0\0\0\0\0" + GOOD_CREATE, ("no schema with id 0",)),
    "an event": Bad(avro("conference.Destroyed", GOOD_CREATE), ("conference.Destroyed", "a record of this topic")),
    "a rejected signal": Bad(avro("conference.Rejected", GOOD_CREATE), ("conference.Rejected", "a record of this topic")),
    "a table row": Bad(avro("conference.Room", GOOD_CREATE), ("conference.Room", "a record of this topic")),
    "cut": Bad(avro(CREATE_RECORD, GOOD_CREATE[:-1]), ("ConferenceCreate", "name", "expected a string", "bytes are left")),
    "bytes behind the end": Bad(avro(CREATE_RECORD, GOOD_CREATE + b"xyz"), ("expected the end", "3 more bytes")),
    "2^60 items": Bad(avro(PLAY_RECORD, HEAD + long(2**60)), ("urls", "items", str(2**60))),
    "2^60 items, with a size": Bad(avro(PLAY_RECORD, HEAD + long(-(2**60)) + long(5)), ("urls", "5 bytes")),
    "129 items": Bad(avro(PLAY_RECORD, HEAD + long(129) + string("http://x") * 129 + b"\0" + string("o")), ("urls", "1 to 128")),
    "a string of 2^62": Bad(avro(CREATE_RECORD, long(2**62) + b"abc"), ("signal_id", str(2**62))),
    "a string of -1": Bad(avro(CREATE_RECORD, long(-1)), ("signal_id", "length of -1")),
    "an endless number": Bad(avro(CREATE_RECORD, b"\xff" * 30), ("signal_id", "10 bytes")),
    "Avro that is not UTF-8": Bad(
        avro(CREATE_RECORD, HEAD + string("app") + string(b"\xc3\x28")), ("name", "not UTF-8")
    ),
    "a surrogate in Avro": Bad(
        avro(CREATE_RECORD, HEAD + string("app") + string(b"\xed\xa0\x80")), ("name", "not UTF-8")
    ),
    "an empty id": Bad(avro(CREATE_RECORD, HEAD + string("") + string("n")), ("app_id", "1 to 255 characters", "0")),
    "a volume of 33 bits": Bad(
        avro(VOLUME_RECORD, HEAD + long(2**31) + string("o")), ("volume", "-2147483648 to 2147483647", str(2**31))
    ),
    "JSON that is not UTF-8": Bad(js().replace("ä".encode(), b"\xe4"), ("not UTF-8", "byte")),
    "JSON cut": Bad(js()[:-1], ("JSON",)),
    "JSON and more": Bad(js() + b"{}", ("JSON",)),
    "NaN": Bad(js().replace(b'"my-app"', b"NaN"), ("JSON",)),
    "a JSON array": Bad(b"[1]", ("magic byte 0 or a JSON object",)),
    "no type": Bad(js(type=...), ("type",)),
    "a strange type": Bad(js(type="conference.explode"), ("type", "conference.explode")),
    "a type that is a number": Bad(js(type=7), ("type", "str")),
    "no room_id": Bad(js(room_id=...), ("room_id",)),
    "room_id null": Bad(js(room_id=None), ("room_id", "str", "null")),
    "app_id a number": Bad(js(app_id=7), ("app_id", "str", "int")),
    "app_id of 256": Bad(js(app_id="x" * 256), ("app_id", "255")),
    "a lone surrogate": Bad(js(name="?").replace(b"?", rb"\ud800"), ("surrogate",)),
    "a raw surrogate": Bad(js(name="\ud800"), ("not UTF-8",)),
    "no offset": Bad(js(occurred_at="2026-01-01T00:00:00"), ("occurred_at", "RFC 3339", "offset")),
    "a time that is a number": Bad(js(occurred_at=1), ("occurred_at", "RFC 3339", "int")),
    "the year 0": Bad(js(occurred_at="0000-01-01T00:00:00Z"), ("occurred_at", "RFC 3339")),
    "deep": Bad(js(x=1).replace(b'"x": 1', b'"x": ' + b"[" * 100_000), ("nested|JSON",)),
    "volume in quotes": Bad(js(type="conference.volume", volume="2", operation_id="o"), ("volume", "int", "str")),
    "volume 1.5": Bad(js(type="conference.volume", volume=1.5, operation_id="o"), ("volume", "int", "float")),
    "volume 2^31": Bad(js(type="conference.volume", volume=2**31, operation_id="o"), ("volume", "2147483647", "2147483648")),
    "no urls": Bad(js(type="conference.play", urls=[], operation_id="o"), ("urls", "1")),
    "a file": Bad(js(type="conference.play", urls=["http://x", "/etc/passwd"], operation_id="o"), (r"urls\[1\]", "passwd")),
    "a key of another room": Bad(js(), ("key", "other", ROOM), key=b"other"),
    "a key that is not UTF-8": Bad(js(), ("key", ROOM), key=b"\xff\xfe"),
    "an empty key": Bad(js(), ("key", ROOM), key=b""),
    "no key": Bad(js(), ("no key", "room_id"), key=None),
    "API signal on media": Bad(js(), ("conference.create belongs on the api topic", "media.signals"), topic="media"),
    "media signal on API": Bad(
        signal_json(s.MemberLeft("m", ROOM, T, "alice")), ("member.left belongs on the media topic", "api.signals")
    ),
    "Avro API signal on media": Bad(avro(CREATE_RECORD, GOOD_CREATE), ("belongs on the api topic",), topic="media"),
    "1 MB of text in an id": Bad(js(app_id="x" * 1_000_000), ("app_id", "255")),
    "2 MB": Bad(js(name="x" * (2 * MIB)), ("more than 1048576",)),
    "1 MiB and a byte, of zeros": Bad(b"\0" * (MIB + 1), ("1048577 bytes, more than 1048576",)),
    "create elsewhere": Bad(js(), ("murmur2", "partition"), misplaced=True),
    "member.joined elsewhere": Bad(
        signal_json(s.MemberJoined("m", ROOM, T, "alice", "+1")), ("murmur2_random",), topic="media", misplaced=True
    ),
}  # fmt: skip


@dataclass
class Outcome:
    """What the worker made of the records."""

    pipe: Pipe
    worker: WorkerProcess
    ids: Ids
    sent: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    letters: dict[tuple[str, int, int], list[ConsumerRecord]] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[ConsumerRecord] = field(default_factory=list)


@pytest.fixture(scope="module")
def outcome(servers: Servers) -> Iterator[Outcome]:
    """Send bad and good records alternately, to one worker."""
    pipe = Pipe(servers, partitions=2)
    ids = asyncio.run(prepare(pipe))
    with pipe.worker() as worker:
        found = Outcome(pipe, worker, ids)
        asyncio.run(send(found))
        asyncio.run(collect(found))
        yield found
    if servers.lasting:
        asyncio.run(pipe.remove_topics())


async def prepare(pipe: Pipe) -> Ids:
    """Create topics that accept larger records than the contract does. Return the schemas' ids."""
    await pipe.set_up()
    admin = AIOKafkaAdminClient(bootstrap_servers=pipe.settings.bootstrap_servers)
    await admin.start()
    resources = [
        ConfigResource(
            ConfigResourceType.TOPIC,
            topic.full_name(pipe.prefix),
            {**topic.config, "max.message.bytes": str(3 * MIB)},
        )
        for topic in (API, MEDIA)
    ]
    for answer in await admin.alter_configs(resources):
        assert [resource[0] for resource in answer.resources] == [0] * len(answer.resources)
    await admin.close()
    async with Registry(pipe.settings) as registry:
        return await registry.schema_ids(pipe.prefix)


async def send(found: Outcome) -> None:
    pipe = found.pipe
    home = pipe.partition(ROOM)
    options = {"max_request_size": 4 * MIB, "acks": "all"}
    async with AIOKafkaProducer(**pipe.settings.kafka(), **options) as producer:
        for number, (name, bad) in enumerate(BAD.items()):
            value = bad.value(found.ids) if callable(bad.value) else bad.value
            partition = 1 - home if bad.misplaced else home
            topic = pipe.topic(f"{bad.topic}.signals")
            batch = producer.create_batch()  # `send` itself would refuse a record without key and value
            batch.append(timestamp=None, key=bad.key, value=value, headers=OWN)
            sent = await (await producer.send_batch(batch, topic, partition=partition))
            found.sent[name] = (topic, partition, sent.offset)
            good = s.ConferenceCreate(f"c-{number}", f"good-{number}", T, "my-app", "Näme")
            prefix = b"\0" + struct.pack(">I", found.ids[good.RECORD])
            body = ENCODERS[s.ConferenceCreate](good, prefix) if number % 2 else signal_json(good)
            await producer.send_and_wait(pipe.topic("api.signals"), body, good.room_id.encode())
        # A signal of an unknown room is no dead letter, on whatever partition it is.
        mute = signal_json(s.ConferenceMute("mute", ROOM, T, "alice"))
        await producer.send_and_wait(pipe.topic("api.signals"), mute, ROOM.encode(), 1 - home, headers=OWN)


async def collect(found: Outcome) -> None:
    found.events = await found.pipe.until_events(len(BAD))
    limit = time.monotonic() + 20
    while True:
        letters = await found.pipe.records("signals.dead")
        found.rejected = await found.pipe.records("signals.rejected")
        if (len(letters) >= len(BAD) and found.rejected) or time.monotonic() > limit:
            break
        await asyncio.sleep(0.1)
    for letter in letters:
        headers = dict(letter.headers)
        place = [headers[f"__connect.errors.{name}"].decode() for name in ("topic", "partition", "offset")]
        found.letters.setdefault((place[0], int(place[1]), int(place[2])), []).append(letter)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_record_gives_one_dead_letter(outcome: Outcome, name: str) -> None:
    bad = BAD[name]
    place = outcome.sent[name]
    (letter,) = outcome.letters[place]
    value = bad.value(outcome.ids) if callable(bad.value) else bad.value
    large = value is not None and len(value) > MIB
    assert letter.partition == place[1], "records keep their partition number"
    assert letter.key == bad.key
    assert letter.value == (value[: 64 << 10] if large and value else value)
    count = len(OWN)
    assert list(letter.headers[:count]) == OWN, "the record's own headers come first, unchanged"
    added = dict(letter.headers[count:])
    errors = {
        f"__connect.errors.{n}" for n in ("topic", "partition", "offset", "exception.class.name", "exception.message")
    }
    assert set(added) == errors | {"ce_signal"} | ({"original-size"} if large else set())
    assert added["ce_signal"] == "/".join(map(str, place)).encode()
    if large:
        assert added["original-size"] == str(len(value or b"")).encode()
    assert added["__connect.errors.exception.class.name"] == b"pipeline.errors.SignalError"
    message = added["__connect.errors.exception.message"].decode()
    for pattern in bad.told:
        assert re.search(pattern, message), message
    assert len(message) < 400, "short enough to read"
    assert message.isprintable(), message
    if bad.misplaced:
        assert f"partition {1 - place[1]}, this is {place[1]}" in message


def test_good_records_give_no_dead_letter(outcome: Outcome) -> None:
    assert set(outcome.letters) == set(outcome.sent.values())
    topics = [topic for topic, _, _ in outcome.sent.values()]
    for name in ("api.signals", "media.signals"):
        topic = outcome.pipe.topic(name)
        counted = outcome.worker.metric(f'pipeline_dead_letters_total{{topic="{topic}"}}')
        assert counted == topics.count(topic)
    assert outcome.worker.metric("pipeline_wrong_partition_total") == 3


def test_good_signals_between_bad_ones_are_processed(outcome: Outcome) -> None:
    assert {event["room_id"] for event in outcome.events} == {f"good-{number}" for number in range(len(BAD))}
    assert {event["event"] for event in outcome.events} == {"conference.created"}
    assert len(outcome.events) == len(BAD)
    assert outcome.worker.metric('pipeline_signals_total{type="conference.create"}') == len(BAD)


def test_a_misplaced_signal_of_an_unknown_room_is_rejected(outcome: Outcome) -> None:
    (record,) = outcome.rejected
    home = outcome.pipe.partition(ROOM)
    rejected = DECODERS["conference.Rejected"](record.value, 5)
    assert (rejected.signal_id, rejected.room_id, rejected.type) == ("mute", ROOM, "conference.mute")
    assert rejected.reason == "room_unknown"
    assert rejected.signal == signal_json(s.ConferenceMute("mute", ROOM, T, "alice")), "the bytes as they came"
    topic, partition = outcome.pipe.topic("api.signals"), 1 - home
    assert (rejected.topic, rejected.partition, record.partition) == (topic, partition, partition)
    assert record.headers == (("ce_signal", f"{topic}/{partition}/{rejected.offset}".encode()),)
    assert record.key == ROOM.encode()
    assert record.value[:5] == b"\0" + struct.pack(">I", outcome.ids["conference.Rejected"])


def test_the_worker_continues(outcome: Outcome) -> None:
    assert outcome.worker.returncode is None
    assert outcome.worker.get("/livez")[0] == 200
    assert outcome.worker.get("/readyz")[0] == 200
    complaints = [line["msg"] for line in outcome.worker.log if line["level"] in ("warning", "error")]
    assert [text for text in complaints if "fine for development" not in text] == []
    assert outcome.worker.stop() == 0


async def test_large_compressed_keys_and_headers_are_cut(servers: Servers) -> None:
    """8 MiB of key or headers arrive as some KiB of gzip. The broker would refuse a dead letter that carries them."""
    pipe = Pipe(servers, partitions=1)
    await pipe.set_up()
    topic, large = pipe.topic("api.signals"), 8 * MIB
    with pipe.worker() as worker:
        async with AIOKafkaProducer(**pipe.settings.kafka(), compression_type="gzip") as producer:
            for key, headers in ((b"k" * large, []), (b"other", [("h", b"h" * large)])):
                batch = producer.create_batch()
                batch.append(timestamp=None, key=key, value=signal_json(CREATE), headers=headers)
                await (await producer.send_batch(batch, topic, partition=0))
        await pipe.send(CREATE)
        await pipe.until_events(1)
        letters = await pipe.records("signals.dead")
        assert [(letter.key or b"")[:5] for letter in letters] == [b"kkkkk", b"other"]
        assert all(sum(map(len, (n for n, _ in letter.headers))) < MIB for letter in letters)
        assert worker.stop() == 0
    if servers.lasting:
        await pipe.remove_topics()
