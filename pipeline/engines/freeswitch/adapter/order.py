"""Puts the events of one switch into the order of `Event-Sequence`, within a window of time."""

from __future__ import annotations

import heapq
from collections import deque
from typing import Final

from pipeline.engines.freeswitch.adapter.facts import Fact

MAX_HELD: Final = 10_000  # events that wait, of all switches; beyond it those of the largest window are released
MAX_WEIGHT: Final = 16 << 20  # characters that they hold, roughly
MAX_SWITCHES: Final = 1_000  # whose order is known; beyond it the oldest is released and forgotten
MAX_CORES: Final = 8  # processes of one switch, one after the other, that are remembered


class _Queue:
    """The events of one switch that wait: by process, in the order in which these were first seen, and sequence."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, int, Fact]] = []
        self._due: deque[tuple[int, int, int]] = deque()  # (time of release, process, sequence) by arrival
        self._cores: dict[str, int] = {}
        self._arrived = self._next_core = 0
        self.newest = 0

    def note(self, time: int) -> int:
        """Return the newest time of an event so far, this one included."""
        self.newest = max(self.newest, time)
        return self.newest

    def push(self, fact: Fact, due: int) -> None:
        if fact.core not in self._cores:
            self._cores[fact.core] = self._next_core
            self._next_core += 1
            if len(self._cores) > MAX_CORES:
                del self._cores[next(iter(self._cores))]
        core = self._cores[fact.core]
        self._arrived += 1
        heapq.heappush(self._heap, (core, fact.sequence, self._arrived, fact))
        self._due.append((due, core, fact.sequence))

    def release(self, now: int | None) -> list[Fact]:
        """Return the events that are due at `now`, and those before them in the order; None: all."""
        if now is None:
            limit = (self._next_core, 0)
        else:
            limit = (-1, 0)
            while self._due and self._due[0][0] <= now:
                limit = max(limit, self._due.popleft()[1:])
        out = []
        while self._heap and self._heap[0][:2] <= limit:
            out.append(heapq.heappop(self._heap)[3])
        if not self._heap:
            self._due.clear()
        return out

    def __len__(self) -> int:
        return len(self._heap)


class Order:
    """Delays every event by `window` microseconds and releases the events of each switch in their order.

    Time is an argument: of a live feed the time of arrival; of a recording None, for the newest time of an event of
    that switch.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._queues: dict[str, _Queue] = {}
        self._held = self._weight = 0

    @property
    def waits(self) -> bool:
        """Whether an event waits."""
        return self._held > 0

    def push(self, fact: Fact, now: int | None) -> list[Fact]:
        """Add an event; return those that are due, in order. An event without a switch does not wait."""
        if not fact.switch or not self._window:
            return [fact]
        out = []
        queue = self._queues.get(fact.switch)
        if queue is None:
            queue = self._queues[fact.switch] = _Queue()
            if len(self._queues) > MAX_SWITCHES:
                out += self._count_out(self._queues.pop(next(iter(self._queues))).release(None))
        newest = queue.note(fact.time)
        at = newest if now is None else now
        queue.push(fact, at + self._window)
        self._held += 1
        self._weight += fact.weight
        out += self._count_out(queue.release(at))
        while self._held > MAX_HELD or self._weight > MAX_WEIGHT:
            out += self._count_out(max(self._queues.values(), key=len).release(None))
        return out

    def release(self, now: int | None) -> list[Fact]:
        """Return the events that are due at the time `now`; None: all."""
        return [fact for queue in self._queues.values() for fact in self._count_out(queue.release(now))]

    def _count_out(self, facts: list[Fact]) -> list[Fact]:
        self._held -= len(facts)
        self._weight -= sum(fact.weight for fact in facts)
        return facts
