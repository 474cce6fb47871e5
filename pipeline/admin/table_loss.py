"""Whether the table has lost rows, as far as the group's committed offsets prove it. Pure.

A worker commits the offsets of a unit in the transaction that writes its position to the table. So an offset of the
group that is ahead of the table means that the table, or its end, was lost. The text that is committed with an offset
tells a worker's commit from a tool's, and names the table's topic: a topic that was deleted and created again while a
worker ran has that worker's later positions, but not the rows before them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from aiokafka.structs import OffsetAndMetadata, TopicPartition

from pipeline.model.records import Position

_MARK: Final = "table "
GO_ON: Final = (
    'see docs/howto/runbook.md, "The table is lost"; to go on without these rows, which publishes the events of '
    "retained signals again: worker --accept-loss"
)


def offset_text(table_id: str) -> str:
    """Return the text of an offset that a worker commits; `table_id` is the id of the table's topic, or ""."""
    return _MARK + table_id


def lost_rows(
    committed: Mapping[TopicPartition, OffsetAndMetadata], positions: Mapping[int, Position], table_id: str
) -> dict[int, str]:
    """Return the partitions whose table has lost rows, with the proof. `table_id` is the table's present id."""
    lost: dict[int, str] = {}
    for tp, (offset, text) in sorted(committed.items()):
        if offset == 0 or not text.startswith(_MARK) or tp.partition in lost:
            continue
        worked = f"the group has processed {tp.topic} partition {tp.partition} up to offset {offset}"
        position = positions.get(tp.partition)
        before = text.removeprefix(_MARK)
        if position is None:
            lost[tp.partition] = f"{worked}, but the table has no position"
        elif before and table_id and before != table_id:
            lost[tp.partition] = f"the table's topic was deleted and created again (id {before}, now {table_id})"
        elif offset > (known := _offset(position, tp.topic)):
            lost[tp.partition] = f"{worked}, but the table's position is {known}"
    return lost


def _offset(position: Position, topic: str) -> int:
    return next((one.offset for one in position.positions if one.topic == topic), 0)


def lost_text(table: str, lost: Mapping[int, str]) -> str:
    """Return one sentence about the rows that `table` has lost; GO_ON is the remedy."""
    first = min(lost)
    return f"{table} has lost rows of {partition_list(lost)}: {lost[first]}"


def partition_list(numbers: Iterable[int]) -> str:
    """Return "partition 3" or "partitions 3, 4"."""
    ordered = sorted(numbers)
    return f"partition{'s' if len(ordered) != 1 else ''} {', '.join(map(str, ordered))}"
