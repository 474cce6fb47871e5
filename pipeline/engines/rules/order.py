"""Events and no-ops of one partition in the order in which a bridge performs them.

Events keep their order. A no-op goes before the first event that a later API signal caused. What is next is known only
when both topics have been read to an end that was asked for after the record was read; `mark` and `release` say so.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, NamedTuple, TypeVar

_Item = TypeVar("_Item")


class Entry(NamedTuple, Generic[_Item]):
    """A record to perform: its offset, that of the API signal that caused it (-1: another cause), what it is."""

    offset: int
    api: int
    item: _Item


class Order(Generic[_Item]):
    """The records of one partition that wait. `events` and `no_ops` hold them in the order of their topics."""

    def __init__(self) -> None:
        self.events: deque[Entry[_Item]] = deque()
        self.no_ops: deque[Entry[_Item]] = deque()
        self._events_before = self._no_ops_before = -1

    def mark(self) -> bool:
        """Begin a round with all records that wait; return whether there are any.

        Ask for the ends of both topics then, read up to them, and call `next`.
        """
        self._events_before = self.events[-1].offset if self.events else -1
        self._no_ops_before = self.no_ops[-1].offset if self.no_ops else -1
        return bool(self.events or self.no_ops)

    def next(self) -> tuple[bool, Entry[_Item]] | None:
        """Remove the next record of the round and return it with whether it is an event; None: the round is over."""
        event = self.events[0] if self.events else None
        no_op = self.no_ops[0] if self.no_ops else None
        marked = event is not None and event.offset <= self._events_before
        may_go = no_op is not None and (marked or no_op.offset <= self._no_ops_before)
        if no_op is not None and may_go and (event is None or event.api > no_op.api):
            return False, self.no_ops.popleft()
        if marked:
            return True, self.events.popleft()
        return None
