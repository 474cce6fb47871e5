"""Fill the table's topic directly with rooms, members and a position per partition, as workers would have done.

A room has a name and 16 signal_ids (UUIDs); every third one plays a file. A member has a UUID and a phone number. Rows
are on the partition of their room_id, in transactions of the size of a full unit.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import murmur2

from pipeline.kafka.schema_registry import Registry
from pipeline.model import framing
from pipeline.model import signal_ids as remembered
from pipeline.model.records import Member, Position, Recent, Room, TopicPosition
from pipeline.model.row_keys import POSITION_KEY
from pipeline.model.wire import ENCODERS, encode_member, encode_room
from testkit.pipe import Pipe

FAR: Final = 4_000_000_000_000_000
"""A deadline (microseconds) after the end of every benchmark: in the year 2096."""
URL: Final = "https://cdn.example.com/audio/announcement.wav"
_HEAD: Final = "acW68-room-f47ac10b-58cc-4372-a567-0"
_UNIT: Final = 4000
"""Records of a transaction and partition."""
_M, _MASK = 0x5BD1E995, 0xFFFFFFFF
"""The constants of murmur2, which Kafka's default partitioner uses."""
Record = tuple[bytes, bytes]


def room(n: int, recent: Recent = remembered.NONE) -> Room:
    """Return room number `n`; every third one plays."""
    room_id, sequence = f"{_HEAD}{n:08x}", 17 + n % 50
    if n % 3:
        return Room(room_id, "my-app", f"Team Standup {n}", sequence, recent=recent)
    play = f"{n:08x}-0e02-4b2c-9b1d-3f6a7c5d8e90"
    return Room(room_id, "my-app", f"Team Standup {n}", sequence, "playing", play, (URL,), 0, FAR + n, recent=recent)


def member(room_id: str, n: int) -> Member:
    """Return member number `n`, in this room."""
    return Member(room_id, f"{n:08x}-7a1c-4f0e-8d2b-5e9f0a1b2c3d", f"+1555{n:07}", sequence=1 + n % 50)


def recents(count: int = 512) -> list[Recent]:
    """Return `count` different lists of 16 signal_ids."""
    chance = random.Random(7)
    return [
        remembered.of(str(uuid.UUID(int=chance.getrandbits(128), version=4)) for _ in range(16)) for _ in range(count)
    ]


def table(rooms: int, members: int, ids: dict[str, int], partitions: int) -> Iterator[tuple[int, Record]]:
    """Yield (partition, (key, value)) of all rows; the members are distributed evenly."""
    head = framing.head(ids[Room.RECORD])
    own = framing.head(ids[Member.RECORD])
    tails = recents()
    where = partition_of(partitions)
    for n in range(rooms):
        made = room(n)
        number = where(n)
        # A row without signal_ids ends with the byte of the empty list.
        value = encode_room(made, head)[:-1] + tails[n % len(tails)]
        yield number, (b'["room","%b"]' % made.room_id.encode(), value)
        for m in range(n * members // rooms, (n + 1) * members // rooms):
            one = member(made.room_id, m)
            key = b'["member","%b","%b"]' % (one.room_id.encode(), one.session_uuid.encode())
            yield number, (key, encode_member(one, own))


def partition_of(partitions: int) -> Callable[[int], int]:
    """Return a function from a room's number to its partition.

    It hashes the common start of all room_ids once: aiokafka's murmur2 takes 20 µs per room.
    """
    state = (0x9747B28C ^ (len(_HEAD) + 8)) & _MASK
    for at in range(0, len(_HEAD), 4):
        state = _round(state, int.from_bytes(_HEAD[at : at + 4].encode(), "little"))

    def partition(n: int) -> int:
        text = b"%08x" % n
        state_ = _round(_round(state, int.from_bytes(text[:4], "little")), int.from_bytes(text[4:], "little"))
        state_ = ((state_ ^ state_ >> 13) * _M) & _MASK
        return int(((state_ ^ state_ >> 15) & 0x7FFFFFFF) % partitions)

    for n in (0, 1, 4711):
        assert partition(n) == (murmur2(f"{_HEAD}{n:08x}".encode()) & 0x7FFFFFFF) % partitions
    return partition


def _round(state: int, four: int) -> int:
    four = (four * _M) & _MASK
    four = ((four ^ four >> 24) * _M) & _MASK
    return ((state * _M) & _MASK) ^ four


async def fill(pipe: Pipe, rooms: int, members: int) -> int:
    """Write the table. Returns its bytes in the log, positions included."""
    async with Registry(pipe.settings) as registry:
        ids = await registry.schema_ids(pipe.prefix)
    partitions = pipe.settings.partitions
    total, pending = 0, dict[int, list[Record]]()
    async with AIOKafkaProducer(
        **pipe.settings.kafka(), transactional_id=f"{pipe.prefix}-fill", max_batch_size=900_000
    ) as producer:
        write = _writer(pipe, producer, ids)
        waiting = 0
        for number, record in table(rooms, members, ids, partitions):
            pending.setdefault(number, []).append(record)
            waiting += 1
            if waiting >= _UNIT * partitions:
                total += await write(pending)
                pending, waiting = {}, 0
        return total + await write({number: pending.get(number, []) for number in range(partitions)})


def _writer(
    pipe: Pipe, producer: AIOKafkaProducer, ids: dict[str, int]
) -> Callable[[dict[int, list[Record]]], Awaitable[int]]:
    """Return a function that writes one transaction and returns its bytes."""
    topics = (pipe.topic("api.signals"), pipe.topic("media.signals"))
    head = b"\0" + ids[Position.RECORD].to_bytes(4)

    async def write(pending: dict[int, list[Record]]) -> int:
        size, sent = 0, []
        async with producer.transaction():
            for number, records in pending.items():
                position = Position(
                    f"{pipe.prefix}-fill", tuple(TopicPosition(topic, number, 0, 0) for topic in topics)
                )
                for batch in _batches(producer, [(POSITION_KEY, ENCODERS[Position](position, head)), *records]):
                    size += batch.size()
                    sent.append(await producer.send_batch(batch, pipe.topic("rooms"), partition=number))
            for one in sent:
                await one
        return size

    return write


def _batches(producer: AIOKafkaProducer, records: list[Record]) -> Iterator[Any]:
    batch = producer.create_batch()
    for key, value in records:
        if batch.append(timestamp=None, key=key, value=value) is None:
            yield batch
            batch = producer.create_batch()
            batch.append(timestamp=None, key=key, value=value)
    yield batch
