"""Ranges of topics: order, ends, one partition, aborted transactions, broken batches."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest
from aiokafka import AIOKafkaProducer

from pipeline.errors import ConfigError
from pipeline.kafka.ranges import ALL, OLDEST, Found, RangeReader, Span
from pipeline.topics import API, EVENTS, MEDIA, Topic
from testkit import raw_batches as raw
from testkit.pipe import Pipe

pytestmark = pytest.mark.broker
BOTH = (API, MEDIA)


async def append(pipe: Pipe, *values: tuple[str, str, bytes]) -> list[int]:
    """Append (topic, room, value), each in a millisecond of its own; return the append times in microseconds."""
    times = []
    async with AIOKafkaProducer(**pipe.settings.kafka(), acks="all") as producer:
        for topic, room, value in values:
            await asyncio.sleep(0.003)
            done = await producer.send_and_wait(pipe.topic(topic), value, room.encode(), headers=[("h", b"\xff")])
            times.append(done.timestamp * 1000)
    return times


async def read(
    pipe: Pipe, span: Span = ALL, room: str | None = None, topics: tuple[Topic, ...] = BOTH
) -> tuple[list[Found], RangeReader]:
    async with RangeReader(pipe.settings, topics, span, room=room) as reader:
        return [found async for found in reader], reader


def values(found: Iterable[Found]) -> list[bytes | None]:
    return [one.record.value for one in found]


async def test_records_come_in_append_order_over_all_partitions(pipe: Pipe) -> None:
    wanted = [(BOTH[n % 2].name, f"room-{n % 7}", b"%d" % n) for n in range(60)]
    await append(pipe, *wanted)
    found, reader = await read(pipe)
    assert values(found) == [value for *_, value in wanted]
    assert (reader.total, reader.read) == (60, 60)
    assert found[0].headers == {"h": "\ufffd"}
    assert found[0].place == f"{pipe.topic('api.signals')}/{pipe.partition('room-0')}/0"


async def test_a_range_begins_and_ends_at_append_times(pipe: Pipe) -> None:
    times = await append(pipe, *((API.name, f"room-{n % 5}", b"%d" % n) for n in range(20)))
    found, _ = await read(pipe, Span(times[5], times[15]))
    assert values(found) == [b"%d" % n for n in range(5, 15)]
    found, _ = await read(pipe, Span(times[5] - 999, times[15] - 999))
    assert values(found) == [b"%d" % n for n in range(5, 15)], "a part of a millisecond does not count"


async def test_only_the_partition_of_a_room_is_read(pipe: Pipe) -> None:
    await append(pipe, *((API.name, f"room-{n}", b"%d" % n) for n in range(20)))
    found, reader = await read(pipe, room="room-3")
    number = pipe.partition("room-3")
    assert {one.partition for one in found} == {number}
    assert b"3" in values(found)
    assert {tp.partition for tp in reader.begins} == {number}


async def test_aborted_records_and_markers_end_a_range(pipe: Pipe) -> None:
    producer = AIOKafkaProducer(**pipe.settings.kafka(), transactional_id=f"{pipe.prefix}-x")
    await producer.start()
    for value, commits in ((b"kept", True), (b"aborted", False)):
        await producer.begin_transaction()
        await producer.send_and_wait(pipe.topic("events"), value, b"room")
        await (producer.commit_transaction() if commits else producer.abort_transaction())
    await producer.begin_transaction()
    await producer.send_and_wait(pipe.topic("events"), b"open", b"room")
    found, reader = await read(pipe, topics=(EVENTS,))
    assert values(found) == [b"kept"]
    assert reader.read == reader.total
    await producer.abort_transaction()
    await producer.stop()


@pytest.mark.parametrize(
    ("since", "wanted"), [(None, [b"late"]), (1, [b"1", b"late"]), (OLDEST, [b"0", b"1", b"late"])]
)
async def test_following_starts_now_or_where_it_is_told(pipe: Pipe, since: int | None, wanted: list[bytes]) -> None:
    times = await append(pipe, (API.name, "room", b"0"), (MEDIA.name, "room", b"1"))
    span = Span(times[since] if since else since, follow=True)
    got: list[bytes | None] = []
    async with asyncio.timeout(30), RangeReader(pipe.settings, BOTH, span) as reader:
        appended = asyncio.create_task(append(pipe, (API.name, "room", b"late")))
        async for found in reader:
            got.append(found.record.value)
            if found.record.value == b"late":
                break
        await appended
    assert got == wanted


async def test_a_broken_batch_is_reported_and_skipped(pipe: Pipe) -> None:
    good = raw.Record(b"room", b"first", [])
    twisted = raw.batch([good, raw.Record(b"room", b"second", [], offset_delta=40)])
    number, lines = pipe.partition("room"), list[str]()
    with raw.RawProducer(pipe.settings.bootstrap_servers) as producer:
        assert producer.send_all([(pipe.topic("api.signals"), number, twisted)])[0].stored
    await append(pipe, (API.name, "room", b"third"))
    async with RangeReader(pipe.settings, BOTH, on_bad_batch=lines.append) as reader:
        assert values([found async for found in reader]) == [b"third"]
    [line] = lines
    assert line.startswith(f"{pipe.topic('api.signals')}/{number}/0: the batch of offsets 0 to 1 can't be read")


async def test_one_record_is_found_by_its_offset(pipe: Pipe) -> None:
    await append(pipe, *((API.name, "room", b"%d" % n) for n in range(3)))
    number = pipe.partition("room")
    for offset, value in ((1, b"1"), (3, None), (99, None)):
        async with RangeReader(pipe.settings, (API,)) as reader:
            record = await reader.record(number, offset)
        assert (record.value if record else None) == value
    async with RangeReader(pipe.settings, (API,)) as reader:
        with pytest.raises(ConfigError, match="has partitions 0 to 3, not 4"):
            await reader.record(4, 0)
