"""Compares the last rows of the table with the model's final state."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from testkit.chaos.logs import PartitionLog
from testkit.model import GONE_US, Model

LAZY_US: Final = 30_000_000
"""How long a Gone row may stay after the barrier of its end: a unit deletes only some."""


def differences(log: PartitionLog, room_id: str, model: Model) -> Iterable[str]:
    """Yield the differences of one room: its row, its members' rows, its Gone row."""
    row, room = log.rooms.get(room_id), model.rooms.get(room_id)
    rows = log.members.get(room_id, {})
    yield from _gone(log, room_id, model)
    if row is None or room is None:
        if row is not None or room is not None or rows:
            yield f"the table has {row} and members {list(rows)}, the model {room}"
        return
    for column, value in room.items():
        if column != "members" and row.get(column) != value:
            yield f"the table's {column} is {row.get(column)!r}, the model's {value!r}"
    has = sorted(rows.values(), key=lambda member: member["sequence"])
    expected = [{"room_id": room_id, **member} for member in room["members"]]
    if has != expected:
        different = [one for one in (*has, *expected) if (one in has) != (one in expected)]
        yield f"the table's members differ from the model's: {different[:6] or 'in their order'}"


def _gone(log: PartitionLog, room_id: str, model: Model) -> Iterable[str]:
    row, gone = log.gone.get(room_id), model.gone.get(room_id)
    if row is None:
        if room_id not in model.rooms and gone is not None and gone["forgotten_at"] + GONE_US > log.read_at:
            yield f"the table has no row of the gone room {gone}"
        return
    if room_id not in model.rooms and row != gone:  # beside a Room, a Gone has no meaning
        yield f"the table's gone room is {row}, the model's {gone}"
    ends = [records[-1].time if records else 0 for records in log.signals.values()]
    if row["forgotten_at"] + GONE_US + LAZY_US < min(ends):
        yield f"the row {row} was not deleted, the topics end at {ends}"


def rows_without_a_room(log: PartitionLog, known: Iterable[str]) -> Iterable[str]:
    """Yield the rows of rooms that no signal names."""
    members = {room_id for room_id, rows in log.members.items() if rows}
    for room_id in sorted((log.rooms.keys() | log.gone.keys() | members) - set(known)):
        yield f"the table has rows of the room {room_id!r}, which no signal names"
