"""The state: who is in which conference of which switch. Facts in order → signals.

It is kept by conference, not by room_id: two conferences may be one room (`lobby` and `n1-room-lobby`). Their ends,
lives, sizes and orders are their own; their signals have one room_id, so that the room has the members of both.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from pipeline.engines.freeswitch.adapter.facts import HANGUP, OF_ROOM, Fact
from pipeline.engines.freeswitch.adapter.hold import Hold
from pipeline.engines.freeswitch.adapter.order import MAX_CORES, MAX_SWITCHES
from pipeline.engines.freeswitch.adapter.playbacks import Playbacks
from pipeline.engines.rules.bounds import remember
from pipeline.model import signals
from pipeline.model.signals import Micros

MAX_MEMBERS: Final = 20_000  # in all conferences; beyond it the oldest is forgotten
MAX_ROOMS: Final = 20_000  # conferences; beyond it the oldest is forgotten, with its members
MAX_SEEN: Final = 16_384  # last events, of which a repeat is recognised
STILL_ALIVE: Final = (
    10_000_000  # microseconds after its successor's first event: a process with later ones has not ended
)


class Report(NamedTuple):
    """Something that an operator, or a bridge, must know."""

    kind: str
    """`restart` of a switch; `stale`: an event of a process before it; `shared`: two switches have one name;
    `order`: Event-Sequence ran backwards in a room; `late`: it did so only between rooms, which harms nothing;
    `size`: Conference-Size is not the number of members that is known, so that events are missing."""
    switch: str
    room: str
    """The room_id; empty if it is about the whole switch."""
    text: str


class _Room:
    """A conference, or the half of a room that has two."""

    def __init__(self, fact: Fact, others: int | None) -> None:
        self.switch, self.name, self.room_id, self.life = fact.switch, fact.conference, fact.room, fact.life
        self.members: dict[str, int] = {}
        """session_uuid → Event-Sequence of its add-member."""
        self.others = others
        """Members that FreeSWITCH counts, but that are not known; None until the first size is known."""
        self.last = -1

    @property
    def key(self) -> tuple[str, str]:
        return self.switch, self.name


class _Switch:
    def __init__(self, core: str, since: int) -> None:
        self.core, self.since = core, since
        self.past: list[str] = []
        """The processes before this one."""
        self.last = -1
        self.newest = since


class _Left(NamedTuple):
    conference: str
    core: str
    sequence: int
    derived: bool
    """Whether its del-member is still to come."""


class Rooms:
    """Applies facts. Signals go to `hold`, what must be known to `reports`."""

    def __init__(self, hold: Hold) -> None:
        self._hold = hold
        self.reports: list[Report] = []
        self._switches: dict[str, _Switch] = {}
        self._rooms: dict[tuple[str, str], _Room] = {}  # switch, conference
        self._shared: dict[str, None] = {}  # names of several switches
        self._members: dict[tuple[str, str, str], _Room] = {}  # session_uuid, switch, conference
        self._room_of: dict[str, _Room] = {}  # session_uuid → the conference that it entered last
        self._removing: dict[str, tuple[str, str]] = {}  # session_uuid → where it was kicked, hung up, transferred
        self._left: dict[str, _Left] = {}
        self._seen: dict[int, None] = {}
        self._playbacks = Playbacks(hold)

    def take_reports(self) -> list[Report]:
        """Return the reports since the last call."""
        taken, self.reports = self.reports, []
        return taken

    def apply(self, fact: Fact, now: int | None) -> str:
        """Apply a fact; return under which kind it counts as ignored, "" if it has a signal.

        `now` is the time of a live feed in microseconds; None: the newest time of an event of the switch.
        """
        if fact.switch in self._shared:
            fact = msgspec.structs.replace(fact, switch=f"{fact.switch} {fact.core}")
        if not self._is_current(fact):
            return self.apply(fact, now) if fact.switch in self._shared else "stale"
        is_new = self._is_in_order(fact)
        switch = self._switches.get(fact.switch)
        at = now if now is not None else switch.newest if switch else fact.time
        if fact.action != HANGUP:
            self._hold.expire(at, fact.switch if now is None else None)
        made = fact.action and not self._is_repeat(fact) and self._apply(fact, at, is_new=is_new)
        if is_new and fact.size is not None and fact.action != "conference-destroy":
            self._check_size(fact, fact.size)
        return "" if made else fact.kind

    def _apply(self, fact: Fact, now: int, *, is_new: bool) -> bool:
        """Apply a fact; return whether it has a signal."""
        if fact.action == HANGUP:
            return self._hung_up(fact)
        if fact.action in OF_ROOM:
            return self._ended(fact)
        orphans = self._next_life(fact) if is_new else False
        match fact.action:
            case "add-member":
                return self._joined(fact) or orphans
            case "del-member":
                return self._deleted(fact, now, is_new=is_new) or orphans
            case "mute-member":
                self._hold.add(signals.MemberMuted(*fact.origin, session_uuid=fact.member))
            case "unmute-member":
                self._hold.add(signals.MemberUnmuted(*fact.origin, session_uuid=fact.member))
            case "play-file":
                self._playbacks.started(fact)
            case "play-file-done":
                return self._playbacks.done(fact) or orphans
            case _:  # kick-member, hup-member, transfer
                remember(self._removing, fact.member, (fact.switch, fact.conference), MAX_MEMBERS)
                return orphans
        return True

    # --- the switch ---

    def _is_current(self, fact: Fact) -> bool:
        """Return whether an event is of the process of its switch that runs now. Another one is a restart."""
        if not fact.switch:
            return True
        switch = self._switches.get(fact.switch)
        if switch is None:
            switch = remember(self._switches, fact.switch, _Switch(fact.core, fact.time), MAX_SWITCHES)
        if fact.core in switch.past:
            self._of_the_past(fact, switch)
            return False
        if fact.core != switch.core:
            self._restarted(fact, switch)
        switch.newest = max(switch.newest, fact.time)
        return True

    def _is_in_order(self, fact: Fact) -> bool:
        """Return whether no later event of the room was seen; report an event that is late."""
        switch, room = self._switches.get(fact.switch), self._rooms.get((fact.switch, fact.conference))
        before = room.last if room is not None else -1
        if fact.sequence < before:
            text = f"Event-Sequence {fact.sequence} after {before}: the order of the room's events is lost"
            self._report("order", fact, text)
            return False
        if room is not None:
            room.last = fact.sequence
        if switch is not None:
            if fact.action and fact.sequence < switch.last:
                text = f"Event-Sequence {fact.sequence} after {switch.last}, of other rooms: the order is lost"
                self._report("late", fact, text)
            switch.last = max(switch.last, fact.sequence)
        return True

    def _restarted(self, fact: Fact, switch: _Switch) -> None:
        rooms = [room for room in self._rooms.values() if room.switch == fact.switch]
        count = sum(len(room.members) for room in rooms)
        text = f"it was restarted (process {switch.core}, now {fact.core}); {count} members left as orphan"
        self._report("restart", fact, text)
        for room in rooms:
            self._orphan(room, fact)
            self._forget_room(room)
        switch.past = [*switch.past, switch.core][-MAX_CORES:]
        switch.core, switch.since, switch.last, switch.newest = fact.core, fact.time, -1, fact.time

    def _of_the_past(self, fact: Fact, switch: _Switch) -> None:
        """Ignore a late event of a process that was replaced, unless it lives on: then two switches have one name."""
        if fact.time > switch.since + STILL_ALIVE:
            remember(self._shared, fact.switch, None, MAX_SWITCHES)
            text = f"two switches have this name (processes {fact.core} and {switch.core}): restarts can't be seen"
            self._report("shared", fact, text)
        else:
            self._report("stale", fact, f"an event of process {fact.core}, which {switch.core} has replaced; ignored")

    def _is_repeat(self, fact: Fact) -> bool:
        """Return whether this very event was seen before: Kafka producers without idempotence repeat events."""
        file = fact.played.urls[0] if fact.played else ""
        key = hash((fact.core, fact.sequence, fact.action, fact.room, fact.member, file, fact.time))
        if key in self._seen:
            return True
        remember(self._seen, key, None, MAX_SEEN)
        return False

    # --- conferences ---

    def _ended(self, fact: Fact) -> bool:
        """A conference was created or destroyed: whoever is remembered in it has left before."""
        room = self._rooms.get((fact.switch, fact.conference))
        made = False
        if room is not None:
            made = self._orphan(room, fact)
            if not room.members:  # otherwise the event is late, and the conference is a later one
                self._forget_room(room)
        here = (fact.switch, fact.conference)
        for session in [session for session, where in self._removing.items() if where == here]:
            if room is None or session not in room.members:
                del self._removing[session]
        if fact.action == "conference-create" and here not in self._rooms:
            self._new_room(fact, 0)
        return made

    def _next_life(self, fact: Fact) -> bool:
        """Note the life of a conference; return whether it is another one, so that its create was lost."""
        room = self._rooms.get((fact.switch, fact.conference))
        if room is None:
            room = self._new_room(fact, None)
        elif fact.life and room.life and fact.life != room.life:
            made = self._orphan(room, fact)
            self._forget_room(room)
            self._new_room(fact, None)
            return made
        room.life = fact.life or room.life
        return False

    def _new_room(self, fact: Fact, others: int | None) -> _Room:
        room = _Room(fact, others)
        room.last = fact.sequence
        self._rooms[fact.switch, fact.conference] = room
        if len(self._rooms) > MAX_ROOMS:
            self._forget_room(next(iter(self._rooms.values())))
        return room

    def _orphan(self, room: _Room, fact: Fact) -> bool:
        """Let everyone leave who entered before the fact; return whether anyone did."""
        same_core = self._switches[fact.switch].core == fact.core if fact.switch else True
        gone = [one for one, sequence in room.members.items() if not same_core or sequence < fact.sequence]
        for session in gone:
            self._lose(session, room, fact)
        return bool(gone)

    def _lose(self, session: str, room: _Room, fact: Fact, *, is_there: bool = False) -> None:
        """Let a member leave, as a fact shows that it must have left."""
        self._hold.decide(session)
        signal_id = fact.derived_id(session, "orphan")
        self._hold.add(signals.MemberLeft(signal_id, room.room_id, Micros(fact.time), session, "orphan"))
        self._forget(session, room, is_there=is_there)
        self._remember_left(session, room.name, fact, derived=True)

    def _forget_room(self, room: _Room) -> None:
        self._rooms.pop(room.key, None)
        for session in list(room.members):
            self._forget(session, room)

    def _check_size(self, fact: Fact, size: int) -> None:
        room = self._rooms.get((fact.switch, fact.conference))
        if room is None or (fact.life and room.life and fact.life != room.life):
            return
        others = size - len(room.members)
        if room.others is not None and room.others not in {others, others + fact.ghosts}:
            known = len(room.members) + room.others
            self._report("size", fact, f"Conference-Size is {size}, the events give {known}: events are missing")
        elif room.others is not None:
            return
        room.others = others

    # --- members ---

    def _joined(self, fact: Fact) -> bool:
        left = self._left.get(fact.member)
        if left and left[:2] == (fact.conference, fact.core) and left.sequence > fact.sequence:
            return False  # it came too late: the member has left already
        if (twin := self._in_twin(fact)) is not None:  # its del-member was lost, or comes late
            if twin.members[fact.member] > fact.sequence:
                return False  # it came too late: the member has gone on to the other one
            self._lose(fact.member, twin, fact, is_there=True)
        self._hold.decide(fact.member)
        joined = signals.MemberJoined(
            *fact.origin, session_uuid=fact.member, caller_id=fact.caller_id, muted=fact.muted
        )
        self._hold.add(joined)
        room = self._rooms.get((fact.switch, fact.conference)) or self._new_room(fact, None)
        room.members[fact.member] = fact.sequence
        if twin is None:  # otherwise the del-member of the other one may still come
            self._left.pop(fact.member, None)
        # A transfer may be reported after the member left; on a new entry it no longer counts.
        self._unmark(fact.member, room)
        remember(self._room_of, fact.member, room, MAX_MEMBERS)
        remember(self._members, (fact.member, *room.key), room, MAX_MEMBERS + 1)
        if len(self._members) > MAX_MEMBERS:  # the events of their leaving were lost
            (session, *_), oldest = next(iter(self._members.items()))
            self._forget(session, oldest, is_there=True)
        return True

    def _deleted(self, fact: Fact, now: int, *, is_new: bool) -> bool:
        room = self._rooms.get((fact.switch, fact.conference))
        if room is not None and room.others is not None and is_new and fact.member not in room.members:
            room.others -= 1
        left = self._left.get(fact.member)
        if left and left.derived and left.conference == fact.conference:
            self._left[fact.member] = left._replace(derived=False)
            return False  # its hang-up, the end of the conference, or its move has a signal already
        if (twin := self._in_twin(fact)) is not None:
            if twin.members[fact.member] > fact.sequence:
                return False  # it left when it entered the other one
            self._forget(fact.member, twin, is_there=True)  # two events were lost: it left that one and entered this
        is_marked = self._removing.get(fact.member) == (fact.switch, fact.conference)
        reason = "hangup" if fact.hung_up and not is_marked else "removed"
        signal = signals.MemberLeft(*fact.origin, session_uuid=fact.member, reason=reason)
        if is_marked or fact.hung_up:
            self._hold.decide(fact.member)
            self._hold.add(signal)
        else:
            self._hold.add_open(signal, fact.switch, now)
        if room is not None:
            self._forget(fact.member, room)
        if is_marked:
            del self._removing[fact.member]
        self._remember_left(fact.member, fact.conference, fact, derived=False)
        return True

    def _hung_up(self, fact: Fact) -> bool:
        room = self._room_of.get(fact.member)
        if self._hold.hang_up(fact.member, fact.time) or room is None:
            if room is None:  # it had a del-member, or was in no conference
                self._removing.pop(fact.member, None)
            return False
        reason = "removed" if self._removing.get(fact.member) == room.key else "hangup"
        self._hold.add(signals.MemberLeft(fact.signal_id, room.room_id, Micros(fact.time), fact.member, reason))
        self._forget(fact.member, room, is_there=True)
        self._unmark(fact.member, room)
        self._remember_left(fact.member, room.name, fact, derived=True)
        return True

    def _in_twin(self, fact: Fact) -> _Room | None:
        """Return the other conference of a member's room, if the member is there."""
        other = fact.room if fact.conference != fact.room else fact.room.partition("-room-")[2]
        room = self._members.get((fact.member, fact.switch, other))
        return room if room is not None and room.room_id == fact.room else None

    def _forget(self, session: str, room: _Room, *, is_there: bool = False) -> None:
        """Forget a member of a conference. `is_there`: FreeSWITCH still counts it."""
        if room.members.pop(session, None) is not None and is_there and room.others is not None:
            room.others += 1
        self._members.pop((session, *room.key), None)
        if self._room_of.get(session) is room:  # after a transfer it may already be in the next one
            del self._room_of[session]

    def _unmark(self, session: str, room: _Room) -> None:
        if self._removing.get(session) == room.key:  # after a transfer it may be another one's
            del self._removing[session]

    def _remember_left(self, session: str, conference: str, fact: Fact, *, derived: bool) -> None:
        remember(self._left, session, _Left(conference, fact.core, fact.sequence, derived), MAX_MEMBERS)

    def _report(self, kind: str, fact: Fact, text: str) -> None:
        where = f"switch {fact.switch}" + (f", room {fact.room}" if fact.room and kind != "restart" else "")
        self.reports.append(Report(kind, fact.switch, "" if kind == "restart" else fact.room, f"{where}: {text}"))
