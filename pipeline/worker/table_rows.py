"""The rows of the table's log, applied to the rooms, members and position of a partition.

Rows written with the current schemas take the short path: a room stays encoded (pipeline/core/lazy_rooms.py), a member
is read by its generated decoder. Everything else, other versions of a schema included, goes through `RowDecoder`.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from aiokafka.structs import TopicPartition

from pipeline.core.partition import Partition
from pipeline.errors import FatalError, SignalError
from pipeline.kafka.schema_registry import Registry
from pipeline.model import row_keys
from pipeline.model.avro import HEAD
from pipeline.model.records import Member, Position, Room
from pipeline.model.row_keys import decode_key
from pipeline.model.wire import SCHEMAS, decode_member
from pipeline.worker.schemas import RowDecoder, ask

_BAD: Final = (msgspec.DecodeError, SignalError, ValueError, TypeError, LookupError)


class TableRows:
    """Restores the rows of table partitions. Each schema id is looked up once."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._decoder = RowDecoder(registry)
        self._own: dict[bytes, type[Room | Member] | None] = {}
        """Magic byte and schema id to the record whose schema, ours to the letter, has that id; None: another one."""

    async def decode(self, value: bytes) -> Room | Member | Position:
        """A row. Raises ValueError for bytes that are no row, FatalError for a schema that is no row's."""
        return await self._decoder.decode(value)

    async def restore(
        self, partition: Partition, positions: dict[int, Position], tp: TopicPartition, records: list[Any]
    ) -> None:
        """Apply records of a table partition, in their order. Raises FatalError for a record that is no row."""
        own = self._own
        record: Any = None
        try:
            for record in records:
                value = record.value
                kind = None if value is None else own.get(value[:HEAD])
                if kind is Room:
                    word, room_id = decode_key(record.key)
                    if word == row_keys.ROOM and _begins_with(value, room_id):
                        partition.restore_row(room_id, value)
                        continue
                elif kind is Member:
                    word, room_id, session = decode_key(record.key)
                    if word == row_keys.MEMBER:
                        partition.restore_member(room_id, session, decode_member(value))
                        continue
                await self._restore(partition, positions, tp, record)
        except _BAD as error:
            raise FatalError(
                f"{tp.topic}/{tp.partition}/{record.offset} is no row of ours ({error}): "
                "nothing but the workers may write this topic"
            ) from None

    async def _restore(
        self, partition: Partition, positions: dict[int, Position], tp: TopicPartition, record: Any
    ) -> None:
        """Apply one record of any kind."""
        word, *ids = decode_key(record.key)
        value = record.value
        row = None if value is None else await self.decode(value)
        if value is not None and value[:HEAD] not in self._own:
            await self._learn(value[:HEAD], row)
        match word, row:
            case row_keys.ROOM, Room() | None:
                partition.restore_room(ids[0], row)
            case row_keys.MEMBER, Member() | None:
                partition.restore_member(ids[0], ids[1], row)
            case row_keys.POSITION, Position():
                positions[tp.partition] = row
            case _:
                raise FatalError(
                    f"{tp.topic}/{tp.partition}/{record.offset} has a key of another kind: {word}"
                )

    async def _learn(self, head: bytes, row: Room | Member | Position | None) -> None:
        """Find out whether the schema of this row is ours to the letter."""
        text = await ask(self._registry, int.from_bytes(head[1:]))
        kind = type(row) if isinstance(row, Room | Member) else None
        same = kind is not None and text is not None and _same(text, SCHEMAS[kind.RECORD])
        self._own[head] = kind if same else None


def _same(one: str, other: str) -> bool:
    parsed: bool = msgspec.json.decode(one) == msgspec.json.decode(other)
    return parsed


def _begins_with(row: bytes, room_id: str) -> bool:
    """Whether the first field of a room's row is this (short) id: a cheap sign that the row is one."""
    name = room_id.encode()
    return row[HEAD] == 2 * len(name) < 128 and row.startswith(name, HEAD + 1)
