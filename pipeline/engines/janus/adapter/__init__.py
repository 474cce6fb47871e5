"""Events of Janus' AudioBridge → media signals (contract §4). Pure: no clock, no I/O.

`read_events` reads what an event handler of Janus sends; `Adapter` turns the events into signals.

    event                  signal
    joined                 member.joined, `muted` if it says so; `display` is the caller_id
    left                   member.left, with a reason (below)
    kicked, kicked_all     none; the reason of the member's left is then `removed`
    mute, unmute           member.muted, member.unmuted
    configured             the same if `muted` is not what is known: members mute themselves this way
    announcement-started   play.progress
    announcement-stopped   play.finished: the same event for natural end and stop
    destroyed              member.left (`removed`) for everyone in the room, play.failed for what plays: Janus reports
                           neither
    a start of Janus       member.left (`orphan`) for everyone still remembered, play.failed for what played: it was
                           restarted
    all others             none, counted by kind

Reason of a left: `removed` after kicked or kicked_all, or if the member's own session caused it (the event has a
session_id: the requests leave and changeroom); else `hangup`: its session or its connection ended.

A room is `<node>-room-…`, or `<node>-room-<name>` for the AudioBridge's room <name>; a session is `<node>-<id>`.
Two rooms of the AudioBridge that have one room_id are one room: a member has left when it is in neither.
The `file_id` of an announcement is `<operation_id>#<number of the file>`, or an operation_id.

The signal_id is `<server_name>/<timestamp>/<event>/<id or file_id>`: Janus numbers neither events nor its lives. A
further signal of the same event has the session or file and `/derived` after it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Final, NamedTuple

from pipeline.engines.janus.adapter.events import JanusEvent, read_events
from pipeline.engines.janus.adapter.file_ids import PlayedFile, played_file
from pipeline.engines.rules.bounds import remember
from pipeline.engines.rules.ids import Node, bounded_id
from pipeline.model import signals as s
from pipeline.model.signals import MediaSignal

__all__ = ["Adapter", "JanusEvent", "Output", "PlayedFile", "played_file", "read_events"]

MAX_ROOMS: Final = 20_000  # beyond it the oldest is forgotten, with its members
MAX_MEMBERS: Final = 100_000  # of all rooms
MAX_FILES: Final = 1_000  # of one room that are reported as started
MAX_KICKED: Final = 20_000
MAX_KINDS: Final = 100  # that are counted by name; others count as `other`
MAX_TEXT: Final = 1024
SILENT: Final = frozenset(("created", "edited", "other", "server-stopped", "mute_room", "unmute_room"))

UrlOf = Callable[[str, PlayedFile], str]
"""room_id and file → its url, "" if it is unknown."""


class Output(NamedTuple):
    """What an event gave. `ended`: the room_id and the file of an announcement that stopped."""

    signals: list[MediaSignal]
    ended: tuple[str, PlayedFile] | None = None
    restarted: bool = False


class _Room:
    def __init__(self) -> None:
        self.members: dict[str, bool] = {}
        """session_uuid → whether it is muted."""
        self.files: dict[str, None] = {}
        """The file_ids that were reported as started."""


class Adapter:
    """Turns events of one Janus into media signals, those of a room in the order of its events.

    The memory is bounded by the constants MAX_…. `counts` has the number of events without a signal by kind.
    """

    def __init__(self, node: Node, url_of: UrlOf = lambda room_id, file: "") -> None:
        self.counts: Counter[str] = Counter()
        self._node, self._url_of = node, url_of
        self._rooms: dict[str, _Room] = {}  # by the AudioBridge's name
        self._members = 0
        self._kicked: dict[tuple[str, str], None] = {}  # name, session_uuid

    def files(self, room_id: str) -> list[str]:
        """Return the file_ids that play in a room by the reports so far."""
        rooms = [self._rooms[name] for name in self._node.room_names(room_id) if name in self._rooms]
        return [file_id for room in rooms for file_id in room.files]

    def keep(self, there: Mapping[str, Collection[str]]) -> None:
        """Forget members that a snapshot lacks, where two rooms have one room_id. `there`: session_uuids by name.

        Their `left` was lost. Remembered in one room, they would hide that they leave the other.
        """
        for name, room in list(self._rooms.items()):
            if any(twin in self._rooms for twin in self._twins(name)):
                for session in room.members.keys() - set(there.get(name, ())):
                    del room.members[session]
                    self._members -= 1
                self._tidy(name, room)

    def apply(self, event: JanusEvent) -> Output:
        """Return what an event gives."""
        if event.kind == "server-started":
            return self._restarted(event)
        room_id = self._node.room_id(event.room) if event.room else None
        if event.kind in SILENT or room_id is None:
            self._count(event.kind)
            return Output([])
        if event.kind == "destroyed":
            return Output(self._end(event, event.room, "removed"))
        if event.kind in ("announcement-started", "announcement-stopped"):
            return self._announcement(event, room_id)
        return Output(self._of_member(event, room_id))

    def _count(self, kind: str) -> None:
        self.counts[kind if kind in self.counts or len(self.counts) < MAX_KINDS else "other"] += 1

    # --- members ---------------------------------------------------------------------------------------------

    def _of_member(self, event: JanusEvent, room_id: str) -> list[MediaSignal]:
        session = self._node.session_uuid(event.member)
        if session is None:
            if event.kind == "kicked_all":
                for one in self._room(event.room).members:
                    remember(self._kicked, (event.room, one), None, MAX_KICKED)
            self._count(event.kind)
            return []
        origin = (_signal_id(event, event.member), room_id, s.Micros(event.time))
        match event.kind:
            case "joined":
                self._know(event.room, session, muted=bool(event.muted))
                return [s.MemberJoined(*origin, session, event.display[:MAX_TEXT], bool(event.muted))]
            case "left":
                reason = self._reason(event, session)
                if not self._is_in_twin(event.room, session):
                    return [s.MemberLeft(*origin, session, reason)]
            case "mute" | "unmute" | "configured":
                return self._mute(event, origin, session)
            case "kicked" | "kicked_all":
                remember(self._kicked, (event.room, session), None, MAX_KICKED)
        self._count(event.kind)
        return []

    def _mute(self, event: JanusEvent, origin: tuple[str, str, s.Micros], session: str) -> list[MediaSignal]:
        muted = event.muted if event.kind == "configured" else event.kind == "mute"
        known = self._room(event.room).members.get(session)
        if muted is None or (event.kind == "configured" and muted == known):
            self._count(event.kind)
            return []
        self._know(event.room, session, muted=muted)
        return [s.MemberMuted(*origin, session) if muted else s.MemberUnmuted(*origin, session)]

    def _reason(self, event: JanusEvent, session: str) -> str:
        room = self._room(event.room)
        self._members -= room.members.pop(session, None) is not None
        self._tidy(event.room, room)
        was_kicked = (event.room, session) in self._kicked
        self._kicked.pop((event.room, session), None)
        return "removed" if was_kicked or event.own else "hangup"

    def _is_in_twin(self, name: str, session: str) -> bool:
        """Return whether a member is in the other room of the AudioBridge that has the same room_id."""
        return any(session in self._rooms[one].members for one in self._twins(name) if one in self._rooms)

    def _twins(self, name: str) -> list[str]:
        room_id = self._node.room_id(name)
        return [one for one in self._node.room_names(room_id) if one != name] if room_id is not None else []

    def _room(self, name: str) -> _Room:
        if (room := self._rooms.get(name)) is None:
            room = self._rooms[name] = _Room()
            if len(self._rooms) > MAX_ROOMS:
                self._forget_oldest()
        return room

    def _know(self, name: str, session: str, *, muted: bool) -> None:
        room = self._room(name)
        self._members += session not in room.members
        room.members[session] = muted
        while self._members > MAX_MEMBERS:
            self._forget_oldest()

    def _tidy(self, name: str, room: _Room) -> None:
        if not room.members and not room.files:
            self._rooms.pop(name, None)

    def _forget_oldest(self) -> None:
        self._members -= len(self._rooms.pop(next(iter(self._rooms))).members)

    # --- files -----------------------------------------------------------------------------------------------

    def _announcement(self, event: JanusEvent, room_id: str) -> Output:
        if (file := played_file(event.file_id)) is None:
            self._count(event.kind)
            return Output([])
        origin = (_signal_id(event, event.file_id), room_id, s.Micros(event.time))
        url, room = self._url_of(room_id, file), self._room(event.room)
        if event.kind == "announcement-started":
            remember(room.files, event.file_id, None, MAX_FILES)
            return Output([s.PlayProgress(*origin, file.operation_id, url or None)])
        room.files.pop(event.file_id, None)
        self._tidy(event.room, room)
        return Output([s.PlayFinished(*origin, url, file.operation_id)], (room_id, file))

    # --- the end of a room, or of all ------------------------------------------------------------------------

    def _end(self, event: JanusEvent, name: str, reason: str) -> list[MediaSignal]:
        """Return the signals for everyone in a room, and for what plays there; forget the room."""
        room, room_id = self._rooms.pop(name, None), self._node.room_id(name)
        if room is None or room_id is None:
            self._count(event.kind)
            return []
        self._members -= len(room.members)
        at = s.Micros(event.time)
        files = dict.fromkeys(file.operation_id for one in room.files if (file := played_file(one)) is not None)
        found: list[MediaSignal] = [
            s.PlayFailed(_derived_id(event, room_id, operation_id), room_id, at, operation_id) for operation_id in files
        ]
        for session in room.members:
            self._kicked.pop((name, session), None)
            if not self._is_in_twin(name, session):
                found.append(s.MemberLeft(_derived_id(event, room_id, session), room_id, at, session, reason))
        return found

    def _restarted(self, event: JanusEvent) -> Output:
        found = [one for name in list(self._rooms) for one in self._end(event, name, "orphan")]
        self._kicked.clear()
        return Output(found, None, restarted=True)


def _signal_id(event: JanusEvent, subject: str) -> str:
    return bounded_id(f"{event.source}/{event.time}/{event.kind}/{subject}")


def _derived_id(event: JanusEvent, room_id: str, subject: str) -> str:
    return bounded_id(f"{event.source}/{event.time}/{event.kind}/{room_id}/{subject}/derived")
