"""The rooms of a partition as a mapping that keeps restored rooms as rows until they are first read.

The row of a room with 16 remembered signal_ids takes a third of the memory of the decoded record, and decoding it takes
longer than the rest of recovery. Most rooms of a large table are not read for a while.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec.structs import force_setattr

from pipeline.core.decision import PLAYING
from pipeline.errors import FatalError, SignalError
from pipeline.model.avro import read_long
from pipeline.model.framing import HEAD
from pipeline.model.records import Room
from pipeline.model.wire import decode_room

_PLAYING: Final = bytes((2 * len(PLAYING),)) + PLAYING.encode()


class Rooms:
    """Maps room_id to Room. Rows are decoded on first access, which raises FatalError for a row that is no room."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        # Not a subclass of dict with its own `get`: mypyc compiles calls on a subclass into calls of dict's methods.
        self._entries: dict[str, Room | bytes] = {}

    def put_row(self, room_id: str, row: bytes) -> None:
        """Set a room as a row written with this version's schema."""
        self._entries[room_id] = row

    def get(self, room_id: str) -> Room | None:
        """Return the room, None if there is none."""
        entry = self._entries.get(room_id)
        if isinstance(entry, bytes):
            entry = read(entry)
            force_setattr(entry, "room_id", room_id)  # share the key's string
            self._entries[room_id] = entry
        return entry

    def __getitem__(self, room_id: str) -> Room:
        room = self.get(room_id)
        if room is None:
            raise KeyError(room_id)
        return room

    def __setitem__(self, room_id: str, room: Room) -> None:
        self._entries[room_id] = room

    def __delitem__(self, room_id: str) -> None:
        del self._entries[room_id]

    def discard(self, room_id: str) -> None:
        """Remove the room, if there is one."""
        self._entries.pop(room_id, None)

    def __contains__(self, room_id: object) -> bool:
        return room_id in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def deadlines(self) -> Iterator[tuple[int, str]]:
        """Yield (deadline, room_id) of all rooms that have a deadline. Rows stay rows."""
        for room_id, entry in self._entries.items():
            if isinstance(entry, bytes):
                if _PLAYING not in entry:
                    continue  # most rooms: saves the call
                deadline = deadline_of(entry)
            else:
                deadline = entry.deadline
            if deadline is not None:
                yield deadline, room_id


def read(row: bytes) -> Room:
    """Decode a row written with this version's schema. Raises FatalError if it is no valid room."""
    try:
        return decode_room(row)
    except SignalError as error:
        raise FatalError(
            f"a row of the table is not a valid room ({error}): only workers may write to the table's topic"
        ) from None


def deadline_of(row: bytes) -> int | None:
    """Return the deadline of a room's row (microseconds) without decoding the rest.

    Raises FatalError if the row is no valid room.
    """
    if _PLAYING not in row:
        return None  # only a playing room has a deadline
    try:
        at = HEAD
        for _ in range(3):  # room_id, app_id, name
            at = _skip_string(row, at)
        _, at = read_long(row, at)  # sequence
        for _ in range(2):  # playback_status, operation_id
            at = _skip_string(row, at)
        count, at = read_long(row, at)
        while count > 0:  # urls; a negative count means a block with its size in bytes, which workers do not write
            for _ in range(count):
                at = _skip_string(row, at)
            count, at = read_long(row, at)
        _, at = read_long(row, at)  # files_finished
        if count == 0 and row[at] == 2:
            return read_long(row, at + 1)[0]
    except (IndexError, ValueError):
        pass
    return read(row).deadline


def _skip_string(row: bytes, at: int) -> int:
    size = row[at]
    if size & 129:
        size, at = read_long(row, at)
        return at + size
    return at + 1 + (size >> 1)
