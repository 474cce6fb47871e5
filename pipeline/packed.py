"""The rooms of a partition as a mapping in which those that recovery has loaded stay rows until they are asked for.

Of a room with 16 remembered signal_ids the row takes a third of the memory of the record, and to read it takes longer
than all the rest of recovery; most rooms of a large table are not touched for a while.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from msgspec.structs import force_setattr

from pipeline.avro import read_long
from pipeline.decision import PLAYING
from pipeline.errors import FatalError, SignalError
from pipeline.records import Room
from pipeline.wire import decode_room

HEAD: Final = 5
"""Bytes of a row before its Avro data: the magic byte and the schema id."""
_PLAYING: Final = bytes((2 * len(PLAYING),)) + PLAYING.encode()
_get: Final[Any] = dict.get
_set: Final[Any] = dict.__setitem__


class Rooms(dict[str, Room]):
    """room_id to room. `get` and `[]` give records; `values` and `items` would give rows, too: see `unpacked`."""

    __slots__ = ()

    def pack(self, room_id: str, row: bytes) -> None:
        """Take a room as a row in our own schema."""
        _set(self, room_id, row)

    def get(self, room_id: str, default: Any = None) -> Any:
        """The room, or `default`. Raises FatalError for a row that is no room."""
        room = _get(self, room_id, default)
        if type(room) is bytes:
            room = read(room)
            force_setattr(room, "room_id", room_id)  # one string instead of two
            _set(self, room_id, room)
        return room

    def __getitem__(self, room_id: str) -> Room:
        room: Room | None = self.get(room_id)
        if room is None:
            raise KeyError(room_id)
        return room

    def unpacked(self) -> Iterator[Room]:
        """Those rooms that are held as records."""
        return (room for room in self.values() if type(room) is Room)

    def is_packed(self, room_id: str) -> bool:
        """Whether this room is held as a row."""
        return type(_get(self, room_id)) is bytes

    def deadlines(self) -> Iterator[tuple[int, str]]:
        """(deadline, room_id) of all rooms that have one. Raises FatalError for a row that is no room."""
        held: Iterator[tuple[str, Room | bytes]] = iter(self.items())
        for room_id, room in held:
            if isinstance(room, bytes):
                if _PLAYING not in room:
                    continue  # most rooms: without the call
                deadline = deadline_of(room)
            else:
                deadline = room.deadline
            if deadline is not None:
                yield deadline, room_id


def read(row: bytes) -> Room:
    """The room of a row in our own schema. Raises FatalError for a row that is no room."""
    try:
        return decode_room(row, HEAD)
    except SignalError as error:
        raise FatalError(
            f"a row of the table is no room of ours ({error}): nothing but the workers may write its topic"
        ) from None


def deadline_of(row: bytes) -> int | None:
    """The deadline of a room's row (microseconds), read over what comes before it. Raises FatalError for no room."""
    if _PLAYING not in row:
        return None  # it is null unless the room is playing
    try:
        at = HEAD
        for _ in range(3):  # room_id, app_id, name
            at = _behind(row, at)
        _, at = read_long(row, at)  # sequence
        for _ in range(2):  # playback_status, operation_id
            at = _behind(row, at)
        count, at = read_long(row, at)
        while count > 0:  # urls; a block that says its size has a negative count, and we write none
            for _ in range(count):
                at = _behind(row, at)
            count, at = read_long(row, at)
        _, at = read_long(row, at)  # files_finished
        if count == 0 and row[at] == 2:
            return read_long(row, at + 1)[0]
    except (IndexError, ValueError):
        pass
    return read(row).deadline


def _behind(row: bytes, at: int) -> int:
    """Where the string that begins at `at` ends."""
    size = row[at]
    if size & 129:
        size, at = read_long(row, at)
        return at + size
    return at + 1 + (size >> 1)
