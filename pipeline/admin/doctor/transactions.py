"""Open transactions that hold back read_committed consumers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from pipeline.admin.doctor.context import CheckContext, CheckResult
from pipeline.admin.doctor.last_records import position_decoders
from pipeline.kafka.log_offsets import assign_and_seek
from pipeline.model.row_keys import POSITION_KEY
from pipeline.topics import ROOMS, SIGNAL_TOPICS, TOPICS

MAX_OPEN_SECONDS: Final = 3.0
"""A unit of a healthy worker takes a fraction of this."""


class FirstRecord(NamedTuple):
    """The first record of an open transaction."""

    time: int
    """Its append time in milliseconds; 0 when the transaction has ended."""
    owner: str
    """The transactional id in a position record, which is the first record of a worker's transaction; else ""."""


_ENDED: Final = FirstRecord(0, "")


async def check_transactions(context: CheckContext) -> list[CheckResult]:
    """Find partitions whose last stable offset stays before the end."""
    partitions = await context.partitions(TOPICS)
    async with context.consumer() as committed, context.consumer("read_uncommitted") as uncommitted:

        async def open_transactions() -> dict[TopicPartition, int]:
            stable = await committed.end_offsets(partitions)
            ends = await uncommitted.end_offsets(partitions)
            return {tp: offset for tp, offset in stable.items() if offset < ends[tp]}

        blocked = await open_transactions()
        if blocked:
            await asyncio.sleep(MAX_OPEN_SECONDS)
            blocked = dict(blocked.items() & (await open_transactions()).items())
        # A worker may read only these topics.
        readable = {topic.full_name(context.settings.topic_prefix) for topic in (*SIGNAL_TOPICS, ROOMS)}
        first = {
            tp: await _read_first(context, uncommitted, tp, offset)
            for tp, offset in blocked.items()
            if tp.topic in readable
        }
    results = [_result(context, tp, offset, first) for tp, offset in sorted(blocked.items())]
    ok = f"no transaction is open for longer than {MAX_OPEN_SECONDS:g} s on {len(partitions)} partitions"
    return results or [CheckResult("ok", ok)]


async def _read_first(context: CheckContext, reader: AIOKafkaConsumer, tp: TopicPartition, offset: int) -> FirstRecord:
    assign_and_seek(reader, {tp: offset})
    fetched: dict[TopicPartition, list[Any]] = await reader.getmany(tp, timeout_ms=2000)
    if not fetched:
        return _ENDED
    record = fetched[tp][0]
    if record.key != POSITION_KEY or not record.value:
        return FirstRecord(record.timestamp, "")
    decoders = await position_decoders([record.value], context.settings)
    return FirstRecord(record.timestamp, decoders.decode(record.value).transactional_id)


def _result(
    context: CheckContext, tp: TopicPartition, offset: int, first: Mapping[TopicPartition, FirstRecord]
) -> CheckResult:
    prefix = context.settings.topic_prefix
    in_table = first.get(TopicPartition(ROOMS.full_name(prefix), tp.partition), _ENDED)
    record = first.get(tp, in_table)
    since = f", since {datetime.fromtimestamp(record.time / 1000, UTC):%H:%M:%S}Z" if record.time else ""
    name = f"{tp.topic} partition {tp.partition}"
    abort = f"kafka-transactions.sh abort --topic {tp.topic} --partition {tp.partition} --start-offset {offset}"
    if tp.topic in {topic.full_name(prefix) for topic in SIGNAL_TOPICS}:
        found = (
            f"an open transaction of a producer hides signals and delays timeouts of {name} "
            f"from offset {offset} on{since}"
        )
        return CheckResult("warning", found, f"stop that producer, or run {abort}")
    owner = f" of {record.owner!r}" if record.owner else ""
    found = f"an open transaction{owner} blocks readers of {name} at offset {offset}{since}"
    remedy = f"the partition's next worker ends it, or the broker after a minute; if it stays, run {abort}"
    return CheckResult("wrong", found, remedy)
