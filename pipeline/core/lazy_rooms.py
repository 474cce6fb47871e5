"""The rooms of a partition as a mapping in which those that recovery has loaded stay rows until they are asked for.

Of a room with 16 remembered signal_ids the row takes a third of the memory of the record, and to read it takes longer
than all the rest of recovery; most rooms of a large table are not touched for a while.
"""

from __future__ import annotations

from collections.abc import Iterator, KeysView
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
    """room_id to room. What is asked for is a record, whatever is held. Whoever asks for a row that is no room gets a
    FatalError."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        # Not a dict with a `get` of its own: compiled code takes a dict's for granted.
        self._held: dict[str, Room | bytes] = {}

    def pack(self, room_id: str, row: bytes) -> None:
        """Take a room as a row in our own schema."""
        self._held[room_id] = row

    def get(self, room_id: str) -> Room | None:
        """The room, None if there is none."""
        held = self._held.get(room_id)
        if isinstance(held, bytes):
            held = read(held)
            force_setattr(held, "room_id", room_id)  # one string instead of two
            self._held[room_id] = held
        return held

    def __getitem__(self, room_id: str) -> Room:
        room = self.get(room_id)
        if room is None:
            raise KeyError(room_id)
        return room

    def __setitem__(self, room_id: str, room: Room) -> None:
        self._held[room_id] = room

    def __delitem__(self, room_id: str) -> None:
        del self._held[room_id]

    def discard(self, room_id: str) -> None:
        """Forget the room, if there is one."""
        self._held.pop(room_id, None)

    def __contains__(self, room_id: object) -> bool:
        return room_id in self._held

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def keys(self) -> KeysView[str]:
        """The room_ids."""
        return self._held.keys()

    def items(self) -> list[tuple[str, Room]]:
        """(room_id, room) of all."""
        return [(room_id, self[room_id]) for room_id in list(self._held)]

    def __eq__(self, other: object) -> bool:
        """Whether it holds the same rooms as another, or as a dict."""
        return dict(self.items()) == (dict(other.items()) if isinstance(other, Rooms) else other)

    __hash__ = None  # type: ignore[assignment]

    def is_packed(self, room_id: str) -> bool:
        """Whether this room is held as a row."""
        return isinstance(self._held.get(room_id), bytes)

    def deadlines(self) -> Iterator[tuple[int, str]]:
        """(deadline, room_id) of all rooms that have one."""
        for room_id, held in self._held.items():
            if isinstance(held, bytes):
                if _PLAYING not in held:
                    continue  # most rooms: without the call
                deadline = deadline_of(held)
            else:
                deadline = held.deadline
            if deadline is not None:
                yield deadline, room_id


def read(row: bytes) -> Room:
    """The room of a row in our own schema. Raises FatalError for a row that is no room."""
    try:
        return decode_room(row)
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
