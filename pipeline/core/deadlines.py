"""The deadlines of a partition in order."""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import Final

NEVER: Final = 1 << 62  # a time later than any deadline


class Deadlines:
    """A priority queue of (deadline, room_id) pairs.

    Time never runs back and most deadlines are one watchdog away, so most arrive in order. Those go into a FIFO queue;
    only the others, such as a resumed playback's, need a heap. Equal deadlines are ordered by room_id: Python orders
    strings by code points, which is the order of their UTF-8 bytes that contract §7 requires.
    """

    __slots__ = ("_heap", "_rooms", "_times")

    def __init__(self, pairs: list[tuple[int, str]]) -> None:
        """`pairs` must be sorted."""
        # Two queues instead of one of pairs: the garbage collector tracks each tuple, most costly when freed.
        self._times = deque([deadline for deadline, _ in pairs])
        self._rooms = deque([room_id for _, room_id in pairs])
        self._heap: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._times) + len(self._heap)

    def add(self, deadline: int, room_id: str) -> None:
        """Add a deadline."""
        times = self._times
        if times:
            last = times[-1]
            if deadline < last or (deadline == last and room_id < self._rooms[-1]):
                heappush(self._heap, (deadline, room_id))
                return
        times.append(deadline)
        self._rooms.append(room_id)

    def first_time(self) -> int:
        """Return the earliest deadline, NEVER if there is none."""
        if self._first_is_queued():
            return self._times[0]
        return self._heap[0][0] if self._heap else NEVER

    def first_room_id(self) -> str:
        """Return the room of the earliest deadline. There must be one."""
        return self._rooms[0] if self._first_is_queued() else self._heap[0][1]

    def drop_first(self) -> None:
        """Remove the earliest deadline. There must be one."""
        if self._first_is_queued():
            self._times.popleft()
            self._rooms.popleft()
        else:
            heappop(self._heap)

    def _first_is_queued(self) -> bool:
        if not self._times or not self._heap:
            return bool(self._times)
        return (self._times[0], self._rooms[0]) <= self._heap[0]
