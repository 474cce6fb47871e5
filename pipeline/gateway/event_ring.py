"""The events of the last minutes, in the order in which they were read. Pure: time is an argument."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

KEEP_SECONDS: Final = 300.0
_SLACK: Final = 1024
"""Old entries that may stay before the lists are cut."""


class Entry(NamedTuple):
    """One event: its place, when it was read, whose it is, its JSON, and its id in a stream that reads along."""

    partition: int
    offset: int
    time: float
    app: str
    room_id: str
    type: str
    data: bytes
    id: str


class EventRing:
    """Entries by a number that rises by one. `begin`: the next offset of each partition."""

    def __init__(self, begin: Mapping[int, int], keep: float = KEEP_SECONDS) -> None:
        self._keep = keep
        self._entries: list[Entry] = []
        self._base = 0
        self._floor = dict(begin)
        self._offsets: dict[int, list[int]] = {number: [] for number in begin}
        self._numbers: dict[int, list[int]] = {number: [] for number in begin}

    @property
    def end(self) -> int:
        """The number of the next entry."""
        return self._base + len(self._entries)

    def add(self, entry: Entry) -> None:
        """Add an entry, and drop those that are too old."""
        self._offsets[entry.partition].append(entry.offset)
        self._numbers[entry.partition].append(self.end)
        self._entries.append(entry)
        if len(self._entries) > _SLACK and self._entries[_SLACK - 1].time < entry.time - self._keep:
            self._drop(_SLACK)

    def _drop(self, count: int) -> None:
        self._base += count
        for entry in self._entries[:count]:
            self._floor[entry.partition] = entry.offset + 1
        del self._entries[:count]
        for number, numbers in self._numbers.items():
            old = bisect_left(numbers, self._base)
            del numbers[:old], self._offsets[number][:old]

    def covers(self, positions: Mapping[int, int]) -> bool:
        """Return whether all entries from these positions on are here."""
        return all(positions[number] >= floor for number, floor in self._floor.items())

    def start(self, positions: Mapping[int, int]) -> int:
        """Return the number of the first entry that may be at or behind these positions."""
        found = self.end
        for number, offsets in self._offsets.items():
            at = bisect_left(offsets, positions[number])
            if at < len(offsets):
                found = min(found, self._numbers[number][at])
        return found

    def entries(self, begin: int, most: int) -> Iterator[Entry]:
        """Yield up to `most` entries from a number on. Raises LookupError when they were dropped."""
        if begin < self._base:
            raise LookupError(f"the entry {begin} was dropped")
        at = begin - self._base
        return iter(self._entries[at : at + most])
