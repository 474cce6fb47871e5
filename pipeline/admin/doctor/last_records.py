"""The last records of the table's partitions: the workers' position, its writer, and the last append time.

Each unit writes a position record, so the last one is near the end; the rest of the table, which may be large, is not
read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from pipeline.errors import PipelineError
from pipeline.kafka.log_offsets import assign_and_seek
from pipeline.kafka.schema_registry import Registry
from pipeline.model import framing
from pipeline.model.decoders import Decoders
from pipeline.model.records import Position
from pipeline.model.row_keys import POSITION_KEY
from pipeline.model.wire import SCHEMAS
from pipeline.settings import Settings

WINDOW: Final = 500
"""Offsets before the end that are read first; eight times as many each time no position is among them."""


class LastRecords(NamedTuple):
    """The end of a partition of the table."""

    position: Position | None
    """The last position record; None before the first unit."""
    time: int
    """The last append time, in milliseconds of the broker's clock; 0 of an empty partition."""


async def read_last_records(
    reader: AIOKafkaConsumer, tables: list[TopicPartition], settings: Settings
) -> dict[int, LastRecords]:
    """Read the last records of these partitions with a read_committed reader, by number. Raises KafkaError."""
    starts, ends = await reader.beginning_offsets(tables), await reader.end_offsets(tables)
    last: dict[TopicPartition, tuple[bytes | None, int]] = {}
    remaining, window = {tp: ends[tp] for tp in tables}, WINDOW
    while remaining:
        begins = {tp: max(starts[tp], end - window) for tp, end in remaining.items()}
        found = await _read_windows(reader, begins, remaining)
        last |= found
        remaining = {tp: end for tp, end in remaining.items() if begins[tp] > starts[tp] and found[tp][0] is None}
        window *= 8
    decoders = await position_decoders((value for value, _ in last.values() if value), settings)
    return {
        tp.partition: LastRecords(None if value is None else decoders.decode(value), time)
        for tp, (value, time) in last.items()
    }


async def _read_windows(
    reader: AIOKafkaConsumer, begins: dict[TopicPartition, int], ends: dict[TopicPartition, int]
) -> dict[TopicPartition, tuple[bytes | None, int]]:
    """Return the last position record's value and the last append time, of each partition from `begins` to `ends`."""
    assign_and_seek(reader, begins)
    found: dict[TopicPartition, tuple[bytes | None, int]] = dict.fromkeys(begins, (None, 0))
    left = {tp for tp, begin in begins.items() if begin < ends[tp]}
    while left:
        fetched: dict[TopicPartition, list[Any]] = await reader.getmany(*left, timeout_ms=200)
        for tp, records in fetched.items():
            value, time = found[tp]
            for record in records:
                value = record.value if record.key == POSITION_KEY else value
                time = max(time, record.timestamp)
            found[tp] = (value, time)
        left = {tp for tp in left if await reader.position(tp) < ends[tp]}
    return found


async def position_decoders(values: Iterable[bytes], settings: Settings) -> Decoders:
    """Return decoders for these positions: by their writers' schemas, or by the current one if the registry fails.

    Raises SignalError for a value that is not in the registry's wire format.
    """
    decoders = Decoders([Position])
    ids = {framing.schema_id(value) for value in values}
    async with Registry(settings) as registry:
        try:
            for schema_id in ids:
                decoders.learn(schema_id, await registry.schema(schema_id))
        except PipelineError:
            for schema_id in ids:
                decoders.learn(schema_id, SCHEMAS[Position.RECORD])
    return decoders
