"""The ends of the table's partitions: where the workers are, who wrote last, and when.

The position record is written with every unit, so it is near the end; the rest of a table, which may be large, is not
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
from pipeline.model.wire import SCHEMAS
from pipeline.settings import Settings

KEY: Final = b'["position"]'
WINDOW: Final = 500
"""How many offsets before the end are read first; eight times as many when no position is among them."""


class Tail(NamedTuple):
    """The last position record of a partition, None before the first unit; the time of the last record, in
    milliseconds of the broker's clock, 0 of an empty partition."""

    position: Position | None
    time: int


async def tails(
    reader: AIOKafkaConsumer, tables: list[TopicPartition], settings: Settings
) -> dict[int, Tail]:
    """By partition number. `reader` is read_committed. Raises KafkaError."""
    starts, ends = await reader.beginning_offsets(tables), await reader.end_offsets(tables)
    last: dict[TopicPartition, tuple[bytes | None, int]] = {}
    todo, window = {tp: ends[tp] for tp in tables}, WINDOW
    while todo:
        begins = {tp: max(starts[tp], end - window) for tp, end in todo.items()}
        found = await _read(reader, begins, todo)
        last |= found
        todo = {tp: end for tp, end in todo.items() if begins[tp] > starts[tp] and found[tp][0] is None}
        window *= 8
    decoders = await position_decoders((value for value, _ in last.values() if value), settings)
    return {
        tp.partition: Tail(None if value is None else decoders.decode(value), time)
        for tp, (value, time) in last.items()
    }


async def _read(
    reader: AIOKafkaConsumer, begins: dict[TopicPartition, int], ends: dict[TopicPartition, int]
) -> dict[TopicPartition, tuple[bytes | None, int]]:
    """The value of the last position record, and the time of the last record, of each partition in its window."""
    assign_and_seek(reader, begins)
    found: dict[TopicPartition, tuple[bytes | None, int]] = dict.fromkeys(begins, (None, 0))
    left = {tp for tp, begin in begins.items() if begin < ends[tp]}
    while left:
        fetched: dict[TopicPartition, list[Any]] = await reader.getmany(*left, timeout_ms=200)
        for tp, records in fetched.items():
            value, time = found[tp]
            for record in records:
                value = record.value if record.key == KEY else value
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
