"""The events, and `Meta`, which every event carries.

GENERATED from avro/ by tools/generate.py (`make events`): do not edit.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, TypeAlias

import msgspec


class Meta(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What every event carries besides the fields of its own: its identity, its place in the life of its
    room, and its cause."""

    RECORD: ClassVar[str] = "conference.Meta"

    event_id: str
    """Identity of the event: UUIDv5, in the URL namespace, of {room_id}/{sequence}/{cause}. The same signals
    give the same id again, so it is fit for deduplication."""
    sequence: int
    """1, 2, 3 and so on within one life of the room, without gaps or repeats. It starts again at 1 when a
    room_id that was forgotten becomes known again."""
    occurred_at: datetime
    """When the cause happened at its source; for a playback_timeout, the deadline that passed."""
    app_id: str
    """The application that owns the room. Empty while no create has named it."""
    cause: str
    """signal_id of the signal that caused the event; for a playback_timeout, the operation_id of the
    playback."""
    playback_id: str | None = None
    """operation_id of the live playback that a conference.play.* event concerns. Null on all other events,
    and where no live playback is concerned."""
    ends_playback: bool
    """True on the one event that ends a live playback: stopped, failed, or the finished of its last file."""
    synthetic: bool
    """True when the pipeline inferred the event (a timeout, or what a destroy leaves to tidy up) instead of
    being told by a signal."""


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="event"):
    """One event; all its fields are keyword arguments. In JSON its name is the first field, `event`."""

    EVENT: ClassVar[str]
    """Name of the event: `conference.member.joined`, for example."""
    RECORD: ClassVar[str]
    """Full name of its Avro record: `conference.MemberJoined`, for example."""

    if TYPE_CHECKING:  # fields of every event

        @property
        def room_id(self) -> str: ...
        @property
        def meta(self) -> Meta: ...


class Created(Event, frozen=True, kw_only=True, gc=False, tag="conference.created"):
    """A conference room was created, by POST /api/v1/conferences."""

    EVENT: ClassVar[str] = "conference.created"
    RECORD: ClassVar[str] = "conference.Created"

    app_id: str
    """The application that owns the conference."""
    room_id: str
    """The conference room, prefixed with the hash of its node. Also the record key."""
    name: str
    """Name of the room for people to read."""
    meta: Meta
    """Identity, order and cause of the event."""


class Destroyed(Event, frozen=True, kw_only=True, gc=False, tag="conference.destroyed"):
    """A conference room was deleted, by DELETE /api/v1/conferences/{room_id}. It is the last event of the
    room's life: its playback was stopped and its members have left before."""

    EVENT: ClassVar[str] = "conference.destroyed"
    RECORD: ClassVar[str] = "conference.Destroyed"

    app_id: str
    """The application that owned the conference. Empty if no create had named it."""
    room_id: str
    """The conference room, prefixed with the hash of its node. Also the record key."""
    meta: Meta
    """Identity, order and cause of the event."""


class MemberJoined(Event, frozen=True, kw_only=True, gc=False, tag="conference.member.joined"):
    """A call joined a conference room. The media engine confirmed it; the join command alone does not fire
    this event."""

    EVENT: ClassVar[str] = "conference.member.joined"
    RECORD: ClassVar[str] = "conference.MemberJoined"

    session_uuid: str
    """Session of the joining member."""
    room_id: str
    """The conference room, prefixed with the hash of its node. Also the record key."""
    caller_id: str
    """Caller ID of the joining member."""
    meta: Meta
    """Identity, order and cause of the event."""


class MemberLeft(Event, frozen=True, kw_only=True, gc=False, tag="conference.member.left"):
    """A call left a conference room: by the leave command, kicked, hung up, or because the room was
    destroyed."""

    EVENT: ClassVar[str] = "conference.member.left"
    RECORD: ClassVar[str] = "conference.MemberLeft"

    session_uuid: str
    """Session of the departing member."""
    room_id: str
    """The conference room, prefixed with the hash of its node. Also the record key."""
    reason: str
    """Why: "hangup" (the member's channel hung up), "removed" (an explicit leave or kick, or the room was
    destroyed), "orphan" (a janitor cleaned up a session whose channel was lost). Accept any other string:
    engines may say more."""
    caller_id: str
    """Caller ID of the departing member, as it was when the member joined."""
    meta: Meta
    """Identity, order and cause of the event."""


class MemberMuted(Event, frozen=True, kw_only=True, gc=False, tag="conference.member.muted"):
    """A conference member was muted."""

    EVENT: ClassVar[str] = "conference.member.muted"
    RECORD: ClassVar[str] = "conference.MemberMuted"

    session_uuid: str
    """Session of the muted member."""
    room_id: str
    """The conference room, prefixed with the hash of its node. Also the record key."""
    caller_id: str
    """Caller ID of the muted member, as it was when the member joined."""
    meta: Meta
    """Identity, order and cause of the event."""


class MemberUnmuted(Event, frozen=True, kw_only=True, gc=False, tag="conference.member.unmuted"):
    """A conference member was unmuted."""

    EVENT: ClassVar[str] = "conference.member.unmuted"
    RECORD: ClassVar[str] = "conference.MemberUnmuted"

    session_uuid: str
    """Session of the unmuted member."""
    room_id: str
    """The conference room, prefixed with the hash of its node. Also the record key."""
    caller_id: str
    """Caller ID of the unmuted member, as it was when the member joined."""
    meta: Meta
    """Identity, order and cause of the event."""


class PlayFailed(Event, frozen=True, kw_only=True, gc=False, tag="conference.play.failed"):
    """A playback can't complete: the media engine reported a failure, or nothing ended it within 10 seconds
    of its dispatch. The room accepts a new play."""

    EVENT: ClassVar[str] = "conference.play.failed"
    RECORD: ClassVar[str] = "conference.PlayFailed"

    room_id: str
    """The conference room, prefixed with the hash of its node. Also the record key."""
    operation_id: str
    """Identifies the playback that conference.play.started announced. Empty if the failure belongs to no
    live playback."""
    urls: tuple[str, ...]
    """The files that failed to play. Empty if the source could not be identified."""
    error: str
    """Coarse class of the failure: "playback_error" (the media engine reported it) or "playback_timeout"
    (the 10 seconds passed)."""
    meta: Meta
    """Identity, order and cause of the event."""


class PlayFinished(Event, frozen=True, kw_only=True, gc=False, tag="conference.play.finished"):
    """An audio file played to its natural end (not stopped). A playback of several files fires one for each;
    the last has meta.ends_playback."""

    EVENT: ClassVar[str] = "conference.play.finished"
    RECORD: ClassVar[str] = "conference.PlayFinished"

    room_id: str
    """The conference room, prefixed with the hash of its node. Also the record key."""
    operation_id: str
    """Identifies the playback that conference.play.started announced. Empty if the file belongs to no live
    playback."""
    urls: tuple[str, ...]
    """The one file that finished."""
    meta: Meta
    """Identity, order and cause of the event."""


class PlayPaused(Event, frozen=True, kw_only=True, gc=False, tag="conference.play.paused"):
    """Playback was paused: POST /api/v1/conferences/{room_id}/pause while it was playing. Pause is a toggle,
    the next one resumes."""

    EVENT: ClassVar[str] = "conference.play.paused"
    RECORD: ClassVar[str] = "conference.PlayPaused"

    room_id: str
    """The conference room, prefixed with the hash of its node. Also the record key."""
    operation_id: str
    """The operation that the request returned to its caller. The playback it acted on is in
    meta.playback_id."""
    meta: Meta
    """Identity, order and cause of the event."""


class PlayResumed(Event, frozen=True, kw_only=True, gc=False, tag="conference.play.resumed"):
    """Playback was resumed: POST /api/v1/conferences/{room_id}/pause while it was paused."""

    EVENT: ClassVar[str] = "conference.play.resumed"
    RECORD: ClassVar[str] = "conference.PlayResumed"

    app_id: str
    """The application that owns the conference. Empty if no create has named it."""
    room_id: str
    """The conference room, prefixed with the hash of its node. Also the record key."""
    operation_id: str
    """The operation that the request returned to its caller. The playback it acted on is in
    meta.playback_id."""
    meta: Meta
    """Identity, order and cause of the event."""


class PlayStarted(Event, frozen=True, kw_only=True, gc=False, tag="conference.play.started"):
    """Playback in a conference room began, by POST /api/v1/conferences/{room_id}/play."""

    EVENT: ClassVar[str] = "conference.play.started"
    RECORD: ClassVar[str] = "conference.PlayStarted"

    room_id: str
    """The conference room, prefixed with the hash of its node. Also the record key."""
    urls: tuple[str, ...]
    """The audio files of the playback, in the order they are played."""
    operation_id: str
    """Identifies the playback. It is meta.playback_id of all events of this playback."""
    meta: Meta
    """Identity, order and cause of the event."""


class PlayStopped(Event, frozen=True, kw_only=True, gc=False, tag="conference.play.stopped"):
    """Playback was stopped, by POST /api/v1/conferences/{room_id}/stop or because the room was destroyed. It
    ends the playback."""

    EVENT: ClassVar[str] = "conference.play.stopped"
    RECORD: ClassVar[str] = "conference.PlayStopped"

    room_id: str
    """The conference room, prefixed with the hash of its node. Also the record key."""
    operation_id: str
    """The operation of the stop request; when a destroy stopped the playback, the playback's own. The
    playback is in meta.playback_id."""
    meta: Meta
    """Identity, order and cause of the event."""


class PlayVolumeChanged(Event, frozen=True, kw_only=True, gc=False, tag="conference.play.volume_changed"):
    """The playback volume of a room was changed, by POST /api/v1/conferences/{room_id}/volume."""

    EVENT: ClassVar[str] = "conference.play.volume_changed"
    RECORD: ClassVar[str] = "conference.PlayVolumeChanged"

    room_id: str
    """The conference room, prefixed with the hash of its node. Also the record key."""
    volume: int
    """The new level, -50 to 7: negative values attenuate, positive ones amplify."""
    operation_id: str
    """The operation that the request returned to its caller."""
    meta: Meta
    """Identity, order and cause of the event."""


AnyEvent: TypeAlias = (
    Created
    | Destroyed
    | MemberJoined
    | MemberLeft
    | MemberMuted
    | MemberUnmuted
    | PlayFailed
    | PlayFinished
    | PlayPaused
    | PlayResumed
    | PlayStarted
    | PlayStopped
    | PlayVolumeChanged
)
"""Any event; msgspec decodes this union by `event`."""

EVENTS: tuple[type[Event], ...] = (
    Created,
    Destroyed,
    MemberJoined,
    MemberLeft,
    MemberMuted,
    MemberUnmuted,
    PlayFailed,
    PlayFinished,
    PlayPaused,
    PlayResumed,
    PlayStarted,
    PlayStopped,
    PlayVolumeChanged,
)
"""All events."""
