"""Which events are new, and whether events are missing before them."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

from conference_events.events import Event

MAX_ROOMS: Final = 100_000  # rooms remembered per partition, the most recent


class Gap(NamedTuple):
    """Events that are missing: those after sequence `after` and before sequence `before`."""

    room_id: str
    after: int
    before: int


class Sequences:
    """The last sequence of each room. Within one life of a room it has no gaps and no repeats.

    It is in memory. After a crash, events whose offset was not committed come again: store the sequence, or the
    event_id, in the database transaction of your own write, so that they have no second effect.
    """

    def __init__(self, max_rooms: int = MAX_ROOMS) -> None:
        self._seen: OrderedDict[str, tuple[int, str]] = OrderedDict()
        self._max_rooms = max_rooms

    def take(self, event: Event) -> tuple[bool, Gap | None]:
        """Return whether the event is new, and the gap before it. A room not seen before has no gap."""
        room_id, meta = event.room_id, event.meta
        last, first_id = self._seen.get(room_id, (0, ""))
        gap = None
        if meta.sequence == 1 and meta.event_id != first_id:  # a life of the room begins
            first_id = meta.event_id
        elif meta.sequence <= last:
            return False, None
        elif last and meta.sequence > last + 1:
            gap = Gap(room_id, last, meta.sequence)
        self._seen[room_id] = meta.sequence, first_id
        self._seen.move_to_end(room_id)
        if len(self._seen) > self._max_rooms:
            self._seen.popitem(last=False)
        return True, gap
