"""The rooms and their members, from the rows of the table's topic in the order of each partition.

Rows stay encoded, because most of a million rooms are not read for a while. A room with one member keeps that member's
row alone: a dict for each room would take twice as much memory as the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from pipeline.core.lazy_rooms import read as read_room
from pipeline.core.merge import Record
from pipeline.errors import FatalError, SignalError
from pipeline.model import framing, row_keys
from pipeline.model.avro import read_bytes, read_long
from pipeline.model.decoders import Decoders
from pipeline.model.framing import HEAD
from pipeline.model.records import Gone, Member, Position, Room
from pipeline.model.row_keys import decode_key
from pipeline.model.wire import ENCODERS, decode_member, decode_position

_BAD: Final = (msgspec.DecodeError, SignalError, ValueError, TypeError, LookupError)
_OWN_HEAD: Final = framing.head(0)
"""Precedes rows of other versions that were encoded again."""
_NODE_END: Final = "-room-"
_STOPPED: Final = ord("s")
"""The first letter of a room's status, unless it plays or is paused."""


class Counts(NamedTuple):
    """Rooms, members, and rooms whose playback is live (playing or paused)."""

    rooms: int
    members: int
    live: int


class _Entry(msgspec.Struct, gc=False):
    """A room: its row, its app, and its members' rows: none, one row, or a dict by session_uuid.

    Without a row it is no room: compaction may leave a member's row before that of its room.
    """

    row: bytes | None = None
    members: Any = None
    app: str = ""


def node_of(room_id: str) -> str:
    """Return the node in a room_id such as `NODE-room-UUID`; "" if it has none."""
    node, found, _ = room_id.partition(_NODE_END)
    return node if found else ""


class RoomsTable:
    """Rooms, members, gone rooms and positions.

    Give each partition's records to `apply`, in their order, after `decoders` have learnt their schemas. `changed`
    holds the room_ids whose rooms or members have changed; the caller clears it. With `sessions` it also knows the
    rooms of each session, which takes 170 bytes of memory for each.
    """

    def __init__(self, *, sessions: bool = False) -> None:
        self.changed: set[str] = set()
        self.decoders = Decoders((Room, Member, Gone, Position))
        self._current: dict[bytes, Any] = {}
        """Magic byte and schema id → the record of a current schema; None for all others."""
        self._entries: dict[str, _Entry] = {}
        self._gone: dict[str, int] = {}
        self._positions: dict[int, Any] = {}
        """Partition → its last position, as a row until it is read."""
        self._apps: dict[str, set[str]] = {}
        self._nodes: dict[str, set[str]] = {}
        self._names: dict[bytes, str] = {}
        """One string per app, which all its rooms share."""
        self._live: set[str] = set()
        self._sessions: dict[str, Any] | None = {} if sessions else None
        """session_uuid → its room_id, or a set of several; None: not wanted."""
        self._rooms = self._members = 0

    # --- rows ------------------------------------------------------------------------------------------------

    def apply(self, partition: int, records: Iterable[Record]) -> None:
        """Apply records of one partition. Raises FatalError for one that is no row."""
        record: Any = None
        try:
            for record in records:
                kind, *ids = decode_key(record.key or b"")
                if kind == row_keys.ROOM:
                    self._put_room(ids[0], record.value)
                elif kind == row_keys.MEMBER:
                    self._put_member(ids[0], ids[1], record.value)
                elif kind == row_keys.GONE:
                    self._put_gone(ids[0], record.value)
                elif kind == row_keys.POSITION:
                    self._positions[partition] = self._own(Position, record.value)
        except _BAD as error:
            raise FatalError(
                f"partition {partition}, offset {record.offset} is not a row of the table ({error}): "
                "only workers may write to this topic"
            ) from None

    def _own(self, kind: Any, value: bytes) -> bytes:
        """Return a row of this kind in the current encoding. Raises SignalError."""
        head = value[:HEAD]
        current = self._current.get(head)
        if current is kind:
            return value
        row = self.decoders.decode(value)
        if type(row) is not kind:
            raise SignalError(f"the row is {type(row).RECORD}, the key is that of {kind.RECORD}")
        if self.decoders.is_current(value):
            self._current[head] = kind
            return value
        own: bytes = ENCODERS[kind](row, _OWN_HEAD)
        return own

    def _put_room(self, room_id: str, value: bytes | None) -> None:
        self.changed.add(room_id)
        entry = self._entries.get(room_id)
        if value is None:
            if entry is not None and entry.row is not None:
                self._drop_room(room_id, entry)
            return
        row = self._own(Room, value)
        name, live = _front(row)
        app = self._names.get(name)
        if app is None:
            app = self._names[name] = name.decode()
        if entry is None:
            entry = self._entries[room_id] = _Entry()
        if entry.row is None:
            self._rooms += 1
            self._nodes.setdefault(node_of(room_id), set()).add(room_id)
            self._join_app(room_id, entry, app)
        elif entry.app != app:
            self._leave(self._apps, entry.app, room_id)
            self._join_app(room_id, entry, app)
        entry.row = row
        if live:
            self._live.add(room_id)
        else:
            self._live.discard(room_id)

    def _drop_room(self, room_id: str, entry: _Entry) -> None:
        self._rooms -= 1
        self._live.discard(room_id)
        self._leave(self._apps, entry.app, room_id)
        self._leave(self._nodes, node_of(room_id), room_id)
        entry.row = None
        if entry.members is None:
            del self._entries[room_id]

    def _join_app(self, room_id: str, entry: _Entry, app: str) -> None:
        rooms = self._apps.setdefault(app, set())
        rooms.add(room_id)
        entry.app = app

    @staticmethod
    def _leave(index: dict[str, set[str]], name: str, room_id: str) -> None:
        rooms = index[name]
        rooms.discard(room_id)
        if not rooms:
            del index[name]

    def _put_member(self, room_id: str, session: str, value: bytes | None) -> None:
        self.changed.add(room_id)
        entry = self._entries.get(room_id)
        if value is None:
            if entry is not None:
                self._drop_member(room_id, entry, session)
            return
        row = self._own(Member, value)
        if entry is None:
            entry = self._entries[room_id] = _Entry()
        members = entry.members
        if members is None:
            entry.members = row
            self._joined(room_id, session)
            return
        if isinstance(members, bytes):
            members = entry.members = {decode_member(members).session_uuid: members}
        if session not in members:
            self._joined(room_id, session)
        members[session] = row

    def _joined(self, room_id: str, session: str) -> None:
        self._members += 1
        if self._sessions is not None:
            known = self._sessions.get(session)
            others = known if isinstance(known, set) else set() if known is None else {known}
            self._sessions[session] = {*others, room_id} if others else room_id

    def _left(self, room_id: str, session: str) -> None:
        self._members -= 1
        if self._sessions is not None:
            known = self._sessions.pop(session)
            if isinstance(known, set):
                known.discard(room_id)
                self._sessions[session] = known if len(known) > 1 else known.pop()

    def _drop_member(self, room_id: str, entry: _Entry, session: str) -> None:
        members = entry.members
        if members is None:
            return
        if isinstance(members, bytes):
            members = {decode_member(members).session_uuid: members}
        if members.pop(session, None) is None:
            return
        self._left(room_id, session)
        if not members:
            entry.members = None
            if entry.row is None:
                del self._entries[room_id]

    def _put_gone(self, room_id: str, value: bytes | None) -> None:
        if value is None:
            self._gone.pop(room_id, None)
            return
        row = self.decoders.decode(value)
        if not isinstance(row, Gone):
            raise SignalError(f"the row is {type(row).RECORD}, the key is that of {Gone.RECORD}")
        self._gone[room_id] = row.forgotten_at

    # --- what they say ---------------------------------------------------------------------------------------

    def room(self, room_id: str) -> Room | None:
        """Return a room, None if there is none. Raises FatalError if its row is no valid room."""
        entry = self._entries.get(room_id)
        return None if entry is None or entry.row is None else read_room(entry.row)

    def members(self, room_id: str) -> tuple[Member, ...]:
        """Return the members of a room in the order in which they joined; none if there is no such room."""
        entry = self._entries.get(room_id)
        if entry is None or entry.row is None or entry.members is None:
            return ()
        if isinstance(entry.members, bytes):
            return (decode_member(entry.members),)
        return tuple(sorted(map(decode_member, entry.members.values()), key=_sequence))

    def member_count(self, room_id: str) -> int:
        """Return the number of a room's members."""
        entry = self._entries.get(room_id)
        if entry is None or entry.row is None or entry.members is None:
            return 0
        return 1 if isinstance(entry.members, bytes) else len(entry.members)

    def rooms_of(self, session: str) -> tuple[str, ...]:
        """Return the rooms that a session is in. Needs `sessions`."""
        assert self._sessions is not None, "made without sessions=True"
        known = self._sessions.get(session, ())
        rooms = (known,) if isinstance(known, str) else sorted(known)
        return tuple(room_id for room_id in rooms if self.has(room_id))

    def has(self, room_id: str) -> bool:
        """Return whether there is such a room."""
        entry = self._entries.get(room_id)
        return entry is not None and entry.row is not None

    def room_ids(self, *, app: str | None = None, node: str | None = None, live: bool | None = None) -> Iterator[str]:
        """Yield the ids of all rooms, or of those of an app, of a node, with or without a live playback.

        Do not apply records before the end.
        """
        wanted: list[set[str]] = []
        if app is not None:
            wanted.append(self._apps.get(app, set()))
        if node is not None:
            wanted.append(self._nodes.get(node, set()))
        if live:
            wanted.append(self._live)
        if len(wanted) == 1 and live is not False:
            yield from wanted[0]
            return
        wanted.sort(key=len)
        for room_id in wanted[0] if wanted else self._entries:
            if not wanted and self._entries[room_id].row is None:
                continue
            if all(room_id in one for one in wanted[1:]) and not (live is False and room_id in self._live):
                yield room_id

    def gone_since(self, room_id: str) -> int | None:
        """Return when a gone room ended (microseconds); None if it is known, unknown, or its record was deleted."""
        entry = self._entries.get(room_id)
        return None if entry is not None and entry.row is not None else self._gone.get(room_id)

    @property
    def counts(self) -> Counts:
        """The numbers of rooms, members and live playbacks."""
        return Counts(self._rooms, self._members, len(self._live))

    @property
    def nodes(self) -> Mapping[str, int]:
        """The number of rooms of each node that has some."""
        return {node: len(rooms) for node, rooms in self._nodes.items()}

    @property
    def apps(self) -> Mapping[str, int]:
        """The number of rooms of each app that has some; "" counts the rooms that no create has named."""
        return {app: len(rooms) for app, rooms in self._apps.items()}

    def position(self, partition: int) -> Position | None:
        """Return the last position of a partition that was read, None before the first. Its transaction may not be
        complete: the position is the first row of it."""
        found = self._positions.get(partition)
        if isinstance(found, bytes):
            found = self._positions[partition] = decode_position(found)
        position: Position | None = found
        return position


def _sequence(member: Member) -> int:
    return member.sequence


def _front(row: bytes) -> tuple[bytes, bool]:
    """Return the app of a room's row, and whether its playback is live, without decoding the rest."""
    n = row[HEAD]
    at = HEAD + 1 + (n >> 1) if n < 128 else _behind(row, HEAD)
    app, at = read_bytes(row, at)
    n = row[at]
    at = at + 1 + (n >> 1) if n < 128 else _behind(row, at)
    _, at = read_long(row, at)  # sequence
    return app, row[at + 1] != _STOPPED


def _behind(row: bytes, at: int) -> int:
    size, at = read_long(row, at)
    return at + size
