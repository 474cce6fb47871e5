"""The rooms of one partition: the table that `decide` works on, and its deadlines in order.

A partition is what a worker owns, and what `replay` has one of. It is changed in place, by `apply` and `expire`
alone; it knows no clock and no I/O, so the same signals at the same times always leave the same rooms.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from heapq import heappop, heappush
from typing import Final

from msgspec.structs import force_setattr

from pipeline.core.lazy_rooms import Rooms
from pipeline.core.room import MEMBERLESS, Decision, Rules, Timeout, decide
from pipeline.model.records import Member, Room
from pipeline.model.signals import AnySignal

NEVER: Final = 1 << 62
"""Later than any deadline."""
_NOBODY: Final[Mapping[str, Member]] = {}


class Deadlines:
    """(deadline, room_id) pairs, the first one at hand.

    Time never runs back and most deadlines are one watchdog away, so most come in order: those are a queue, and only
    the others, such as a resumed playback's, a heap. Code point order of str is the byte order of UTF-8, so ties come
    as contract §7 wants them.
    """

    __slots__ = ("_heap", "_rooms", "_times")

    def __init__(self, pairs: list[tuple[int, str]]) -> None:
        """`pairs` are sorted."""
        # Two queues: a pair is an object that the garbage collector keeps a list of, which costs most when it goes.
        self._times = deque([deadline for deadline, _ in pairs])
        self._rooms = deque([room_id for _, room_id in pairs])
        self._heap: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._times) + len(self._heap)

    def add(self, deadline: int, room_id: str) -> None:
        """One more."""
        times = self._times
        if times:
            last = times[-1]
            if deadline < last or (deadline == last and room_id < self._rooms[-1]):
                heappush(self._heap, (deadline, room_id))
                return
        times.append(deadline)
        self._rooms.append(room_id)

    def time(self) -> int:
        """The lowest deadline; NEVER when there is none."""
        if self._in_order():
            return self._times[0]
        return self._heap[0][0] if self._heap else NEVER

    def room_id(self) -> str:
        """The room of the lowest. Only with one."""
        return self._rooms[0] if self._in_order() else self._heap[0][1]

    def drop(self) -> None:
        """Without the lowest. Only with one."""
        if self._in_order():
            self._times.popleft()
            self._rooms.popleft()
        else:
            heappop(self._heap)

    def _in_order(self) -> bool:
        """Whether the lowest is in the queues."""
        if not self._times or not self._heap:
            return bool(self._times)
        return (self._times[0], self._rooms[0]) <= self._heap[0]


class Partition:
    """Rooms, members and deadlines. Times are microseconds since the epoch.

    `rooms` maps room_id to its room, `members` maps room_id to its members by session_uuid (no entry for a room
    without members), `armed` is how many playbacks have a watchdog running.
    """

    __slots__ = ("_deadlines", "_rules", "armed", "members", "rooms")

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.rooms = Rooms()
        self.members: dict[str, dict[str, Member]] = {}
        self.armed = 0
        self._deadlines = Deadlines([])
        """One that is no longer its room's deadline is skipped when it is met."""

    def expire(self, timeout: Timeout) -> Decision:
        """Let a deadline of this partition fire (see `next_timeout`)."""
        return self.apply(timeout, timeout.occurred_at)

    def apply(self, signal: AnySignal | Timeout, now: int) -> Decision:
        """Decide what `signal` does at time `now`, and do it. The room's deadlines <= `now` must have fired."""
        return self.step(self.rooms.get(signal.room_id), signal, now)

    def step(self, before: Room | None, signal: AnySignal | Timeout, now: int) -> Decision:
        """The same for whoever has looked the signal's room up."""
        room_id = signal.room_id
        members = _NOBODY if signal.TYPE in MEMBERLESS else self.members.get(room_id, _NOBODY)
        decision = decide(before, members, signal, now, self._rules)
        room = decision.room
        if decision.members:
            self._change_members(room_id, decision)
        if room is before:
            return decision
        deadline = None if room is None else room.deadline
        was = None if before is None else before.deadline
        if room is None:
            del self.rooms[room_id]
            self.members.pop(room_id, None)
        else:
            self.rooms[room_id] = room
        if deadline != was:
            self.armed += (deadline is not None) - (was is not None)
            if room is not None and deadline is not None:
                self._deadlines.add(deadline, room.room_id)  # the room's own string, not one more
        return decision

    def _change_members(self, room_id: str, decision: Decision) -> None:
        members = self.members.setdefault(room_id, {})
        for session, member in decision.members:
            if member is None:
                del members[session]
            else:
                members[session] = member
        if not members:
            del self.members[room_id]

    @property
    def earliest(self) -> int | None:
        """The earliest time at which a deadline may be due: a cheap bound, None when none is armed."""
        first = self._deadlines.time()
        return None if first == NEVER else first

    def next_timeout(self) -> Timeout | None:
        """The earliest deadline that is still one, as the signal that lets it fire; None when none is armed."""
        deadlines = self._deadlines
        while (deadline := deadlines.time()) != NEVER:
            room_id = deadlines.room_id()
            room = self.rooms.get(room_id)
            if room is not None and room.deadline == deadline:
                return Timeout(room_id, deadline, room.operation_id)
            deadlines.drop()
        return None

    def due(self, now: int) -> Iterator[Timeout]:
        """The deadlines <= `now`, in the order of (deadline, room_id); each must be given to `expire` at once."""
        while (timeout := self.next_timeout()) is not None and timeout.occurred_at <= now:
            yield timeout

    # --- recovery: the table's records, in the order of their log --------------------------------------------

    def restore_room(self, room_id: str, room: Room | None) -> None:
        """Take a room (None: its tombstone) as the table's log has it."""
        if room is None:
            self.rooms.discard(room_id)
            return
        self.rooms[room_id] = room

    def restore_row(self, room_id: str, row: bytes) -> None:
        """Take a room as the table's log has it, in our own schema; it is read when it is asked for."""
        self.rooms.pack(room_id, row)

    def restore_member(self, room_id: str, session: str, member: Member | None) -> None:
        """Take a member (None: its tombstone) as the table's log has it."""
        members = self.members.get(room_id)
        if member is None:
            if members is not None:
                members.pop(session, None)
                if not members:
                    del self.members[room_id]
        elif members is None:
            self.members[member.room_id] = {member.session_uuid: member}
        else:
            # Each row brings strings of its own; the room's name is kept once, and the session's once.
            force_setattr(member, "room_id", next(iter(members.values())).room_id)
            members[member.session_uuid] = member

    def restored(self) -> None:
        """Arm the deadlines of what was restored. Raises FatalError for a row that is no room."""
        self._deadlines = Deadlines(sorted(self.rooms.deadlines()))
        self.armed = len(self._deadlines)
