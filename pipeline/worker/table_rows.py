"""Loads the table's records, in the order of their log, into a partition: rooms, members, gone rooms, and the position.

Rows written with the current schemas take the fast path: a room stays encoded (pipeline/core/lazy_rooms.py), a member
is read by its generated decoder. Rows of kinds that this version does not know are skipped (contract §2).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from aiokafka.structs import TopicPartition

from pipeline.core.merge import Record
from pipeline.core.partition import Partition
from pipeline.errors import FatalError, SignalError
from pipeline.kafka.batch_reader import records_of
from pipeline.kafka.record_reader import BatchError
from pipeline.kafka.schema_registry import Registry
from pipeline.kafka.stored_batch import StoredBatch
from pipeline.model import row_keys
from pipeline.model.decoders import Decoders, UnknownSchemaError
from pipeline.model.framing import HEAD
from pipeline.model.records import Gone, Member, Position, Room
from pipeline.model.row_keys import decode_key
from pipeline.model.wire import decode_member
from pipeline.worker.schemas import ask

Row = Room | Member | Gone | Position
_BAD: Final = (msgspec.DecodeError, SignalError, ValueError, TypeError, LookupError)


def table_records(tp: TopicPartition, batches: Iterable[StoredBatch]) -> list[Record]:
    """Return the records of batches of a table partition. Raises FatalError for a batch that can't be read."""
    try:
        return records_of(batches)
    except BatchError as error:
        raise FatalError(
            f"{tp.topic} partition {tp.partition}: {error}: only workers may write to this topic"
        ) from None


class TableRows:
    """Loads the records of table partitions. It requests each schema id once."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._decoders = Decoders((Room, Member, Gone, Position))
        self._current: dict[bytes, type[Room | Member] | None] = {}
        """Magic byte and schema id → the record of a current schema; None for all others."""

    async def decode(self, value: bytes) -> Row:
        """Return the row in `value`, written by any version of the workers.

        Raises SignalError if it is not a row, FatalError if the registry does not have its schema.
        """
        row: Row
        try:
            row = self._decoders.decode(value)
        except UnknownSchemaError as error:
            await self._learn(error.schema_id)
            row = self._decoders.decode(value)
        return row

    async def _learn(self, schema_id: int) -> None:
        text = await ask(self._registry, schema_id)
        if text is None:
            raise FatalError(
                f"the registry has lost schema id {schema_id}, which rows of the table are written with: restore it"
            )
        self._decoders.learn(schema_id, text)

    async def restore(
        self, partition: Partition, positions: dict[int, Position], tp: TopicPartition, records: list[Any]
    ) -> None:
        """Load fetched records of a table partition. Raises FatalError for a record that is not a row."""
        current = self._current
        record: Any = None
        try:
            for record in records:
                value = record.value
                kind = None if value is None else current.get(value[:HEAD])
                if kind is Room:
                    parts = decode_key(record.key)
                    if parts[0] == row_keys.ROOM and len(parts) == 2 and _begins_with(value, parts[1]):
                        partition.restore_row(parts[1], value)
                        continue
                elif kind is Member:
                    parts = decode_key(record.key)
                    if parts[0] == row_keys.MEMBER and len(parts) == 3:
                        partition.restore_member(parts[1], parts[2], decode_member(value))
                        continue
                await self._restore(partition, positions, tp, record)
        except _BAD as error:
            raise FatalError(
                f"{tp.topic}/{tp.partition}/{record.offset} is not a row of the table ({error}): "
                "only workers may write to this topic"
            ) from None

    async def _restore(
        self, partition: Partition, positions: dict[int, Position], tp: TopicPartition, record: Any
    ) -> None:
        """Load a record of any kind."""
        word, *ids = decode_key(record.key)
        if word not in row_keys.KINDS:
            return
        value = record.value
        row = None if value is None else await self.decode(value)
        if value is not None and value[:HEAD] not in self._current:
            current = isinstance(row, Room | Member) and self._decoders.is_current(value)
            self._current[value[:HEAD]] = type(row) if current else None  # type: ignore[assignment]
        match word, row:
            case row_keys.ROOM, Room() | None:
                partition.restore_room(ids[0], row)
            case row_keys.MEMBER, Member() | None:
                partition.restore_member(ids[0], ids[1], row)
            case row_keys.GONE, Gone() | None:
                partition.restore_gone(ids[0], row)
            case row_keys.POSITION, Position():
                positions[tp.partition] = row
            case _:
                raise FatalError(
                    f"{tp.topic}/{tp.partition}/{record.offset}: the row does not match the kind of its key, {word!r}"
                )


def _begins_with(row: bytes, room_id: str) -> bool:
    """Return whether the first field of the row is this (short) room_id: a cheap check that it is a room."""
    name = room_id.encode()
    return row[HEAD] == 2 * len(name) < 128 and row.startswith(name, HEAD + 1)
