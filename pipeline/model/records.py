"""The records of the tables (contract §2), and `Rejected`.

GENERATED from avro/ by tools/generate.py (`make events`): do not edit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, TypeAlias

import msgspec

if TYPE_CHECKING:
    Recent: TypeAlias = bytes
else:

    class Recent(bytes):
        """An array of strings as its Avro bytes (pipeline/model/signal_ids.py).

        A separate type at run time, so that msgspec calls `dec_hook` to convert a list. Elsewhere plain bytes are used.
        """

        __slots__ = ()


class Engine(msgspec.Struct, frozen=True, gc=False):
    """A bridge between a media engine and the pipeline, written every 10 s; the record key is the node."""

    RECORD: ClassVar[str] = "conference.Engine"

    kind: str
    """The kind of the engine, such as freeswitch or janus."""
    version: str
    """The engine's version; empty while it is unknown."""
    capabilities: tuple[str, ...]
    """What the engine can do: create, destroy, join, leave, mute, play, pause, stop, volume."""
    rooms: int
    """Number of rooms in the engine."""
    epoch: int
    """The offset of the bridge's own first record; -1 in that one. The highest epoch of a node holds its
    claim."""
    since: int
    """When the bridge was started."""


class Gone(msgspec.Struct, frozen=True, gc=False):
    """A room that was forgotten less than 60 s ago: the row of the table under the key ["gone",room_id]."""

    RECORD: ClassVar[str] = "conference.Gone"

    room_id: str
    """The conference room."""
    forgotten_at: int
    """The time of the signal or deadline that ended the room."""
    recent: Recent = b"\0"
    """signal_id of the last 16 API signals of the room, oldest first: those that are repeated have no
    effect."""


class Member(msgspec.Struct, frozen=True, gc=False):
    """A session that is in a room now: the row of the table under the key ["member",room_id,session_uuid]."""

    RECORD: ClassVar[str] = "conference.Member"

    room_id: str
    """The conference room."""
    session_uuid: str
    """The member's session."""
    caller_id: str = ''
    """Caller ID of the member."""
    muted: bool = False
    """True while the member is muted."""
    leaving: bool = False
    """True after a leave was accepted: when the member's end comes without a reason, the reason is removed."""
    sequence: int = 0
    """meta.sequence of the event that the member joined with; it orders the members of a room."""
    joined_at: int | None = None
    """The time of the signal with which the member joined."""
    muted_at: int | None = None
    """The time of the signal that muted the member. Null unless muted."""


class NoOp(msgspec.Struct, frozen=True, gc=False):
    """An API signal that was processed and caused no event, such as a repeated request."""

    RECORD: ClassVar[str] = "conference.NoOp"

    signal_id: str
    """The signal's idempotency key."""
    room_id: str
    """The conference room. Also the record key."""
    type: str
    """The signal's type, such as conference.join."""
    reason: str
    """Why it caused no event, such as repeated, join, leave, already_muted, already_unmuted."""
    topic: str
    """The topic the signal came on."""
    partition: int
    """The partition the signal came on."""
    offset: int
    """The offset the signal came at."""


class TopicPosition(msgspec.Struct, frozen=True, gc=False):
    """The position on one topic-partition of signals."""

    RECORD: ClassVar[str] = "conference.TopicPosition"

    topic: str
    """The topic."""
    partition: int
    """The partition."""
    offset: int
    """The next offset to process."""
    time: int
    """The highest record time so far, in microseconds since 1970-01-01T00:00:00Z; time never runs back."""
    topic_id: str = ''
    """Kafka's id of the topic, a UUID. Another id under the same name is a topic that was deleted and
    created again. Empty where the broker has no topic ids."""


class Position(msgspec.Struct, frozen=True, gc=False):
    """How far one partition has been processed: the row of the table under the key ["position"]."""

    RECORD: ClassVar[str] = "conference.Position"

    transactional_id: str
    """The transactional id of the worker that wrote it."""
    positions: tuple[TopicPosition, ...] = ()
    """The position on each of the two topics of signals."""
    group_id: str = ''
    """The consumer group of the worker that wrote it."""


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """A valid signal that makes no sense in the state of its room. It had no effect."""

    RECORD: ClassVar[str] = "conference.Rejected"

    signal_id: str
    """The signal's idempotency key."""
    room_id: str
    """The conference room. Also the record key."""
    type: str
    """The signal's type, such as conference.pause."""
    reason: str
    """Why it was rejected, such as room_unknown, room_exists, playback_active, playback_inactive,
    not_a_member, volume_out_of_range."""
    topic: str
    """The topic the signal came on."""
    partition: int
    """The partition the signal came on."""
    offset: int
    """The offset the signal came at."""
    signal: bytes
    """The value of the signal's record, byte for byte as it came (Avro or JSON)."""


class Room(msgspec.Struct, frozen=True, gc=False):
    """State of one room: the row of the table under the key ["room",room_id]. Its members are rows of their
    own."""

    RECORD: ClassVar[str] = "conference.Room"

    room_id: str
    """The conference room."""
    app_id: str = ''
    """The application that owns the room. Empty while the room is only discovered: a media signal made it
    known and no create has named it."""
    name: str = ''
    """Name of the room for people to read. Empty while the room is only discovered."""
    sequence: int = 0
    """meta.sequence of the room's latest event; 0 before the first."""
    playback_status: str = 'stopped'
    """stopped, playing or paused."""
    operation_id: str = ''
    """The live playback. Empty when stopped."""
    urls: tuple[str, ...] = ()
    """The files of the live playback. Empty when stopped."""
    files_finished: int = 0
    """How many files of the live playback have finished."""
    deadline: int | None = None
    """When the watchdog fails the playback, in microseconds since 1970-01-01T00:00:00Z by the broker's
    clock. Null unless playing."""
    remaining: int | None = None
    """Microseconds that the watchdog had left when the playback was paused. Null unless paused."""
    ended_operation_id: str = ''
    """The playback that ended last. It is kept over plays that are accepted later. Empty before the first
    end."""
    ended_by: str = ''
    """What ended that playback: stop, finished or failed (a signal), or timeout (the watchdog). Empty before
    the first end."""
    ended_at: int | None = None
    """The time of the signal or deadline that ended that playback. Null before the first end."""
    ended_urls: tuple[str, ...] = ()
    """After a stop, the files of that playback whose end the engine has not reported yet. Else empty."""
    created_at: int | None = None
    """The time of the signal that made the room known."""
    last_event_at: int | None = None
    """The time of the signal or deadline that caused the room's latest event."""
    started_at: int | None = None
    """The time of the play that started the live playback. Null when stopped."""
    recent: Recent = b"\0"
    """signal_id of the last 16 API signals of the room, oldest first: those that are repeated have no
    effect."""
