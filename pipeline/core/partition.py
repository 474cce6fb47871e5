"""The rooms of one partition, also the gone ones: the state that `decide` works on, and its deadlines in order.

A worker has one `Partition` per partition number, a replay has one. Only `apply`, `step`, `expire` and
`delete_gone` change it after recovery. It uses no clock and no I/O, so the same signals at the same times always give
the same rooms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec.structs import force_setattr

from pipeline.core.deadlines import NEVER, Deadlines
from pipeline.core.decision import GONE_FOR, Decision
from pipeline.core.lazy_rooms import Rooms
from pipeline.core.room import MEMBERLESS, decide
from pipeline.core.watchdog import Rules, Timeout
from pipeline.model.records import Gone, Member, Room
from pipeline.model.signals import AnySignal

_NO_MEMBERS: Final[Mapping[str, Member]] = {}


class Partition:
    """Rooms, members and deadlines. Times are microseconds since the epoch.

    `rooms` maps room_id to its room, `members` maps room_id to its members by session_uuid (no entry for a room
    without members), `gone` maps room_id to the record of a room that has ended, until `delete_gone`; a known room has
    none that counts. `armed` is the number of playbacks whose watchdog is running.
    """

    __slots__ = ("_deadlines", "_gone_until", "_rules", "armed", "gone", "members", "rooms")

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.rooms = Rooms()
        self.members: dict[str, dict[str, Member]] = {}
        self.gone: dict[str, Gone] = {}
        self.armed = 0
        # A deadline that its room no longer has stays queued; `next_timeout` skips it. The same holds for gone rooms.
        self._deadlines = Deadlines([])
        self._gone_until = Deadlines([])

    def expire(self, timeout: Timeout) -> Decision:
        """Apply a deadline that `next_timeout` or `due` returned."""
        return self.apply(timeout, timeout.occurred_at)

    def apply(self, signal: AnySignal | Timeout, now: int) -> Decision:
        """Decide what `signal` does at time `now`, and do it. The room's deadlines <= `now` must have fired."""
        before = self.rooms.get(signal.room_id)
        return self.step(before, None if before is not None else self.gone.get(signal.room_id), signal, now)

    def step(self, before: Room | None, gone: Gone | None, signal: AnySignal | Timeout, now: int) -> Decision:
        """Do the same as `apply` for a caller that has already looked up the room, `before`.

        `gone` is the record of the room in `gone` if `before` is None. If the signal makes that room known, the record
        is deleted.
        """
        room_id = signal.room_id
        members = _NO_MEMBERS if signal.TYPE in MEMBERLESS else self.members.get(room_id, _NO_MEMBERS)
        decision = decide(before, gone, members, signal, now, self._rules)
        room = decision.room
        if decision.members:
            self._change_members(room_id, decision)
        if room is before:
            return decision
        deadline = None if room is None else room.deadline
        deadline_before = None if before is None else before.deadline
        if room is None:
            del self.rooms[room_id]
            self.members.pop(room_id, None)
            if decision.gone is not None:
                self._add_gone(decision.gone)
        else:
            self.rooms[room_id] = room
            if gone is not None:
                del self.gone[room_id]
        if deadline != deadline_before:
            self.armed += (deadline is not None) - (deadline_before is not None)
            if room is not None and deadline is not None:
                # room.room_id instead of the equal room_id of the signal, so that only one string is kept.
                self._deadlines.add(deadline, room.room_id)
        return decision

    def _add_gone(self, gone: Gone) -> None:
        self.gone[gone.room_id] = gone
        self._gone_until.add(gone.forgotten_at + GONE_FOR, gone.room_id)

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
        """A lower bound of the next deadline, cheap to read; None if there is none."""
        first = self._deadlines.first_time()
        return None if first == NEVER else first

    def next_timeout(self) -> Timeout | None:
        """Return the signal of the earliest deadline that a room still has, None if no room has one."""
        deadlines = self._deadlines
        while (deadline := deadlines.first_time()) != NEVER:
            room_id = deadlines.first_room_id()
            room = self.rooms.get(room_id)
            if room is not None and room.deadline == deadline:
                return Timeout(room_id, deadline, room.operation_id)
            deadlines.drop_first()
        return None

    def due(self, now: int) -> Iterator[Timeout]:
        """Yield the deadlines <= `now`, ordered by (deadline, room_id). Give each to `expire` before the next."""
        while (timeout := self.next_timeout()) is not None and timeout.occurred_at <= now:
            yield timeout

    # --- gone rooms ------------------------------------------------------------------------------------------

    @property
    def gone_until(self) -> int:
        """The earliest end of the 60 s of a gone room, NEVER if there is none.

        Its record may be deleted once that time is behind the barrier (contract §2).
        """
        queue = self._gone_until
        while (until := queue.first_time()) != NEVER:
            gone = self.gone.get(queue.first_room_id())
            if gone is not None and gone.forgotten_at + GONE_FOR == until:
                return until
            queue.drop_first()
        return NEVER

    def delete_gone(self) -> str:
        """Delete the record that `gone_until` is the time of. Return its room_id. There must be one."""
        room_id = self._gone_until.first_room_id()
        del self.gone[room_id]
        self._gone_until.drop_first()
        return room_id

    # --- recovery: the rows of the table's log, in its order --------------------------------------------------

    def restore_room(self, room_id: str, room: Room | None) -> None:
        """Restore a room; None is its tombstone."""
        if room is None:
            self.rooms.discard(room_id)
            return
        self.rooms[room_id] = room

    def restore_row(self, room_id: str, row: bytes) -> None:
        """Restore a room from its row, written with this version's schema. It is decoded on first access."""
        self.rooms.put_row(room_id, row)

    def restore_gone(self, room_id: str, gone: Gone | None) -> None:
        """Restore the record of a gone room; None is its tombstone. Of a room and this record the room holds."""
        if gone is None:
            self.gone.pop(room_id, None)
        else:
            self.gone[gone.room_id] = gone

    def restore_member(self, room_id: str, session: str, member: Member | None) -> None:
        """Restore a member; None is its tombstone."""
        members = self.members.get(room_id)
        if member is None:
            if members is not None:
                members.pop(session, None)
                if not members:
                    del self.members[room_id]
        elif members is None:
            self.members[member.room_id] = {member.session_uuid: member}
        else:
            # Each row brings its own strings: keep one copy of the room_id.
            force_setattr(member, "room_id", next(iter(members.values())).room_id)
            members[member.session_uuid] = member

    def restored(self) -> None:
        """End the recovery: queue the rooms' deadlines. Raises FatalError if a row is no valid room."""
        self._deadlines = Deadlines(sorted(self.rooms.deadlines()))
        self.armed = len(self._deadlines)
        self._gone_until = Deadlines(
            sorted((gone.forgotten_at + GONE_FOR, gone.room_id) for gone in self.gone.values())
        )
