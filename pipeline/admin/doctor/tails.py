"""The ends of the table's partitions: where the workers are, who wrote last, and when.

The position record is written with every unit, so it is near the end; the rest of a table, which may be large, is not
read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from pipeline.errors import PipelineError
from pipeline.kafka.log_offsets import assign_and_seek
from pipeline.kafka.schema_registry import Registry
from pipeline.model.codec import decoder
from pipeline.model.records import Position
from pipeline.model.wire import DECODERS
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
    read = await reading({value for value, _ in last.values() if value}, settings)
    return {
        tp.partition: Tail(None if value is None else read[value[:5]](value), time)
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


async def reading(values: Iterable[bytes], settings: Settings) -> dict[bytes, Callable[[bytes], Position]]:
    """How to read positions, by the head that names their schema: as written, or by our own schema where the registry
    can't be asked."""
    found: dict[bytes, Callable[[bytes], Position]] = {}
    async with Registry(settings) as registry:
        for head in {value[:5] for value in values}:
            schema_id = int.from_bytes(head[1:])
            try:
                text = await registry.schema(schema_id)
            except PipelineError:
                return defaultdict(lambda: _ours)
            found[head] = decoder(schema_id, text, {Position.RECORD: Position})
    return found


def _ours(value: bytes) -> Position:
    return DECODERS[Position.RECORD](value, 5)  # type: ignore[no-any-return]
