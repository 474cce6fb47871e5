"""Rows of `conference.rooms`, and what became of a signal that caused no event.

GENERATED from avro/ by tools/generate.py (`make events`): do not edit.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

import msgspec


class Gone(msgspec.Struct, frozen=True, gc=False):
    """A room that was forgotten less than 60 s ago: the row of the table under the key ["gone",room_id]."""

    RECORD: ClassVar[str] = "conference.Gone"

    room_id: str
    """The conference room."""
    forgotten_at: datetime
    """The time of the signal or deadline that ended the room."""
    recent: tuple[str, ...] = ()
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
    joined_at: datetime | None = None
    """The time of the signal with which the member joined."""
    muted_at: datetime | None = None
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
    deadline: datetime | None = None
    """When the watchdog fails the playback by the broker's clock. Null unless playing."""
    remaining: int | None = None
    """Microseconds that the watchdog had left when the playback was paused. Null unless paused."""
    ended_operation_id: str = ''
    """The playback that ended last. It is kept over plays that are accepted later. Empty before the first
    end."""
    ended_by: str = ''
    """What ended that playback: stop, finished or failed (a signal), or timeout (the watchdog). Empty before
    the first end."""
    ended_at: datetime | None = None
    """The time of the signal or deadline that ended that playback. Null before the first end."""
    ended_urls: tuple[str, ...] = ()
    """After a stop, the files of that playback whose end the engine has not reported yet. Else empty."""
    created_at: datetime | None = None
    """The time of the signal that made the room known."""
    last_event_at: datetime | None = None
    """The time of the signal or deadline that caused the room's latest event."""
    started_at: datetime | None = None
    """The time of the play that started the live playback. Null when stopped."""
    recent: tuple[str, ...] = ()
    """signal_id of the last 16 API signals of the room, oldest first: those that are repeated have no
    effect."""
