"""The signals, with the rules of their fields.

GENERATED from avro/ by tools/generate.py (`make events`): do not edit.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, ClassVar, TypeAlias

import msgspec
from msgspec import field

Id: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
"""1 to 255 code points, compared as they are."""
Int: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
"""A signed number of 32 bits."""
Time: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time with an offset."""


def new_id() -> str:
    """Return a random UUID."""
    return str(uuid.uuid4())


def now() -> datetime:
    """Return the time in UTC."""
    return datetime.now(UTC)


class Signal(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="type"):
    """One signal. All its fields are keyword arguments; ids and times that are not given are made.

    Construction checks nothing. `signal_json`, and so `SignalProducer.send`, check the fields.
    """

    TYPE: ClassVar[str]
    """The signal's type: `member.joined`, for example."""
    RECORD: ClassVar[str]
    """Full name of its Avro record: `conference.signal.MemberJoined`, for example."""
    TOPIC: ClassVar[str]
    """`api` or `media`: the topic it is sent to."""

    if TYPE_CHECKING:  # fields of every signal

        @property
        def signal_id(self) -> str: ...
        @property
        def room_id(self) -> str: ...
        @property
        def occurred_at(self) -> datetime: ...


class ConferenceCreate(Signal, frozen=True, kw_only=True, gc=False, tag="conference.create"):
    """A request to create a room was accepted."""

    TYPE: ClassVar[str] = "conference.create"
    RECORD: ClassVar[str] = "conference.signal.ConferenceCreate"
    TOPIC: ClassVar[str] = "api"

    signal_id: Id = field(default_factory=new_id)
    """The producer's idempotency key. An API signal that repeats one of its room's last 16 has no effect."""
    room_id: Id
    """The conference room. The record key must be the same string in UTF-8."""
    occurred_at: Time = field(default_factory=now)
    """When it happened at its source; a time in the years 1 to 9999."""
    app_id: Id
    """The application that owns the room."""
    name: Annotated[str, msgspec.Meta(max_length=1024)]
    """Name of the room for people to read, up to 1024 code points; may be empty."""


class ConferenceDestroy(Signal, frozen=True, kw_only=True, gc=False, tag="conference.destroy"):
    """A request to delete a room was accepted."""

    TYPE: ClassVar[str] = "conference.destroy"
    RECORD: ClassVar[str] = "conference.signal.ConferenceDestroy"
    TOPIC: ClassVar[str] = "api"

    signal_id: Id = field(default_factory=new_id)
    """The producer's idempotency key. An API signal that repeats one of its room's last 16 has no effect."""
    room_id: Id
    """The conference room. The record key must be the same string in UTF-8."""
    occurred_at: Time = field(default_factory=now)
    """When it happened at its source; a time in the years 1 to 9999."""


class ConferenceJoin(Signal, frozen=True, kw_only=True, gc=False, tag="conference.join"):
    """A command to join a session to a room was accepted. The media engine's member.joined tells whether it
    came."""

    TYPE: ClassVar[str] = "conference.join"
    RECORD: ClassVar[str] = "conference.signal.ConferenceJoin"
    TOPIC: ClassVar[str] = "api"

    signal_id: Id = field(default_factory=new_id)
    """The producer's idempotency key. An API signal that repeats one of its room's last 16 has no effect."""
    room_id: Id
    """The conference room. The record key must be the same string in UTF-8."""
    occurred_at: Time = field(default_factory=now)
    """When it happened at its source; a time in the years 1 to 9999."""
    session_uuid: Id
    """Session of the member."""


class ConferenceLeave(Signal, frozen=True, kw_only=True, gc=False, tag="conference.leave"):
    """A command to remove a member was accepted. The media engine's member.left tells when it is gone."""

    TYPE: ClassVar[str] = "conference.leave"
    RECORD: ClassVar[str] = "conference.signal.ConferenceLeave"
    TOPIC: ClassVar[str] = "api"

    signal_id: Id = field(default_factory=new_id)
    """The producer's idempotency key. An API signal that repeats one of its room's last 16 has no effect."""
    room_id: Id
    """The conference room. The record key must be the same string in UTF-8."""
    occurred_at: Time = field(default_factory=now)
    """When it happened at its source; a time in the years 1 to 9999."""
    session_uuid: Id
    """Session of the member."""


class ConferenceMute(Signal, frozen=True, kw_only=True, gc=False, tag="conference.mute"):
    """A command to mute a member was accepted."""

    TYPE: ClassVar[str] = "conference.mute"
    RECORD: ClassVar[str] = "conference.signal.ConferenceMute"
    TOPIC: ClassVar[str] = "api"

    signal_id: Id = field(default_factory=new_id)
    """The producer's idempotency key. An API signal that repeats one of its room's last 16 has no effect."""
    room_id: Id
    """The conference room. The record key must be the same string in UTF-8."""
    occurred_at: Time = field(default_factory=now)
    """When it happened at its source; a time in the years 1 to 9999."""
    session_uuid: Id
    """Session of the member."""


class ConferencePause(Signal, frozen=True, kw_only=True, gc=False, tag="conference.pause"):
    """A request to pause was accepted. It is a toggle: it resumes a paused playback."""

    TYPE: ClassVar[str] = "conference.pause"
    RECORD: ClassVar[str] = "conference.signal.ConferencePause"
    TOPIC: ClassVar[str] = "api"

    signal_id: Id = field(default_factory=new_id)
    """The producer's idempotency key. An API signal that repeats one of its room's last 16 has no effect."""
    room_id: Id
    """The conference room. The record key must be the same string in UTF-8."""
    occurred_at: Time = field(default_factory=now)
    """When it happened at its source; a time in the years 1 to 9999."""
    operation_id: Id = field(default_factory=new_id)
    """The operation that the request returned to its caller."""


class ConferencePlay(Signal, frozen=True, kw_only=True, gc=False, tag="conference.play"):
    """A request to play audio files in a room was accepted."""

    TYPE: ClassVar[str] = "conference.play"
    RECORD: ClassVar[str] = "conference.signal.ConferencePlay"
    TOPIC: ClassVar[str] = "api"

    signal_id: Id = field(default_factory=new_id)
    """The producer's idempotency key. An API signal that repeats one of its room's last 16 has no effect."""
    room_id: Id
    """The conference room. The record key must be the same string in UTF-8."""
    occurred_at: Time = field(default_factory=now)
    """When it happened at its source; a time in the years 1 to 9999."""
    urls: Annotated[tuple[Annotated[str, msgspec.Meta(max_length=2048, pattern='^[Hh][Tt][Tt][Pp][Ss]?://[\\s\\S]')], ...], msgspec.Meta(min_length=1, max_length=128)]
    """1 to 128 URLs that begin with http:// or https://, each of up to 2048 code points."""
    operation_id: Id = field(default_factory=new_id)
    """Identifies the playback from now on."""


class ConferenceStop(Signal, frozen=True, kw_only=True, gc=False, tag="conference.stop"):
    """A request to stop the playback was accepted."""

    TYPE: ClassVar[str] = "conference.stop"
    RECORD: ClassVar[str] = "conference.signal.ConferenceStop"
    TOPIC: ClassVar[str] = "api"

    signal_id: Id = field(default_factory=new_id)
    """The producer's idempotency key. An API signal that repeats one of its room's last 16 has no effect."""
    room_id: Id
    """The conference room. The record key must be the same string in UTF-8."""
    occurred_at: Time = field(default_factory=now)
    """When it happened at its source; a time in the years 1 to 9999."""
    operation_id: Id = field(default_factory=new_id)
    """The operation that the request returned to its caller."""


class ConferenceUnmute(Signal, frozen=True, kw_only=True, gc=False, tag="conference.unmute"):
    """A command to unmute a member was accepted."""

    TYPE: ClassVar[str] = "conference.unmute"
    RECORD: ClassVar[str] = "conference.signal.ConferenceUnmute"
    TOPIC: ClassVar[str] = "api"

    signal_id: Id = field(default_factory=new_id)
    """The producer's idempotency key. An API signal that repeats one of its room's last 16 has no effect."""
    room_id: Id
    """The conference room. The record key must be the same string in UTF-8."""
    occurred_at: Time = field(default_factory=now)
    """When it happened at its source; a time in the years 1 to 9999."""
    session_uuid: Id
    """Session of the member."""


class ConferenceVolume(Signal, frozen=True, kw_only=True, gc=False, tag="conference.volume"):
    """A request to change the playback volume was accepted."""

    TYPE: ClassVar[str] = "conference.volume"
    RECORD: ClassVar[str] = "conference.signal.ConferenceVolume"
    TOPIC: ClassVar[str] = "api"

    signal_id: Id = field(default_factory=new_id)
    """The producer's idempotency key. An API signal that repeats one of its room's last 16 has no effect."""
    room_id: Id
    """The conference room. The record key must be the same string in UTF-8."""
    occurred_at: Time = field(default_factory=now)
    """When it happened at its source; a time in the years 1 to 9999."""
    volume: Int
    """The level asked for. Outside of -50 to 7 the signal is rejected, not dead."""
    operation_id: Id = field(default_factory=new_id)
    """The operation that the request returned to its caller."""


class MemberJoined(Signal, frozen=True, kw_only=True, gc=False, tag="member.joined"):
    """The media engine saw a call join a room."""

    TYPE: ClassVar[str] = "member.joined"
    RECORD: ClassVar[str] = "conference.signal.MemberJoined"
    TOPIC: ClassVar[str] = "media"

    signal_id: Id = field(default_factory=new_id)
    """The producer's idempotency key. An API signal that repeats one of its room's last 16 has no effect."""
    room_id: Id
    """The conference room. The record key must be the same string in UTF-8."""
    occurred_at: Time = field(default_factory=now)
    """When it happened at its source; a time in the years 1 to 9999."""
    session_uuid: Id
    """Session of the member."""
    caller_id: str
    """Caller ID of the member; may be empty. Only its first 1024 code points are kept."""
    muted: bool = False
    """True if the member joined muted."""


class MemberLeft(Signal, frozen=True, kw_only=True, gc=False, tag="member.left"):
    """The media engine, or its janitor, saw a call leave a room."""

    TYPE: ClassVar[str] = "member.left"
    RECORD: ClassVar[str] = "conference.signal.MemberLeft"
    TOPIC: ClassVar[str] = "media"

    signal_id: Id = field(default_factory=new_id)
    """The producer's idempotency key. An API signal that repeats one of its room's last 16 has no effect."""
    room_id: Id
    """The conference room. The record key must be the same string in UTF-8."""
    occurred_at: Time = field(default_factory=now)
    """When it happened at its source; a time in the years 1 to 9999."""
    session_uuid: Id
    """Session of the member."""
    reason: str | None = None
    """hangup, removed, orphan or anything else. Null lets the pipeline tell: removed after a leave command,
    else hangup. Only its first 1024 code points are kept."""


class MemberMuted(Signal, frozen=True, kw_only=True, gc=False, tag="member.muted"):
    """The media engine saw a member being muted."""

    TYPE: ClassVar[str] = "member.muted"
    RECORD: ClassVar[str] = "conference.signal.MemberMuted"
    TOPIC: ClassVar[str] = "media"

    signal_id: Id = field(default_factory=new_id)
    """The producer's idempotency key. An API signal that repeats one of its room's last 16 has no effect."""
    room_id: Id
    """The conference room. The record key must be the same string in UTF-8."""
    occurred_at: Time = field(default_factory=now)
    """When it happened at its source; a time in the years 1 to 9999."""
    session_uuid: Id
    """Session of the member."""


class MemberUnmuted(Signal, frozen=True, kw_only=True, gc=False, tag="member.unmuted"):
    """The media engine saw a member being unmuted."""

    TYPE: ClassVar[str] = "member.unmuted"
    RECORD: ClassVar[str] = "conference.signal.MemberUnmuted"
    TOPIC: ClassVar[str] = "media"

    signal_id: Id = field(default_factory=new_id)
    """The producer's idempotency key. An API signal that repeats one of its room's last 16 has no effect."""
    room_id: Id
    """The conference room. The record key must be the same string in UTF-8."""
    occurred_at: Time = field(default_factory=now)
    """When it happened at its source; a time in the years 1 to 9999."""
    session_uuid: Id
    """Session of the member."""


class PlayFailed(Signal, frozen=True, kw_only=True, gc=False, tag="play.failed"):
    """The media engine failed to play."""

    TYPE: ClassVar[str] = "play.failed"
    RECORD: ClassVar[str] = "conference.signal.PlayFailed"
    TOPIC: ClassVar[str] = "media"

    signal_id: Id = field(default_factory=new_id)
    """The producer's idempotency key. An API signal that repeats one of its room's last 16 has no effect."""
    room_id: Id
    """The conference room. The record key must be the same string in UTF-8."""
    occurred_at: Time = field(default_factory=now)
    """When it happened at its source; a time in the years 1 to 9999."""
    operation_id: Id | None = None
    """The playback's operation. Null if the engine does not know it: then the url tells."""
    urls: Annotated[tuple[Annotated[str, msgspec.Meta(max_length=2048)], ...], msgspec.Meta(max_length=128)] = ()
    """The files that failed, as the engine names them, each of up to 2048 code points. Empty means: of the
    whole playback."""


class PlayFinished(Signal, frozen=True, kw_only=True, gc=False, tag="play.finished"):
    """The media engine played a file to its end."""

    TYPE: ClassVar[str] = "play.finished"
    RECORD: ClassVar[str] = "conference.signal.PlayFinished"
    TOPIC: ClassVar[str] = "media"

    signal_id: Id = field(default_factory=new_id)
    """The producer's idempotency key. An API signal that repeats one of its room's last 16 has no effect."""
    room_id: Id
    """The conference room. The record key must be the same string in UTF-8."""
    occurred_at: Time = field(default_factory=now)
    """When it happened at its source; a time in the years 1 to 9999."""
    operation_id: Id | None = None
    """The playback's operation. Null if the engine does not know it: then the url tells."""
    url: Annotated[str, msgspec.Meta(max_length=2048)]
    """The file that ended, as the engine names it, up to 2048 code points."""


class PlayProgress(Signal, frozen=True, kw_only=True, gc=False, tag="play.progress"):
    """The media engine is playing a file."""

    TYPE: ClassVar[str] = "play.progress"
    RECORD: ClassVar[str] = "conference.signal.PlayProgress"
    TOPIC: ClassVar[str] = "media"

    signal_id: Id = field(default_factory=new_id)
    """The producer's idempotency key. An API signal that repeats one of its room's last 16 has no effect."""
    room_id: Id
    """The conference room. The record key must be the same string in UTF-8."""
    occurred_at: Time = field(default_factory=now)
    """When it happened at its source; a time in the years 1 to 9999."""
    operation_id: Id | None = None
    """The playback's operation. Null if the engine does not know it: then the url tells."""
    url: Annotated[str, msgspec.Meta(max_length=2048)] | None = None
    """The file that is being played, as the engine names it, up to 2048 code points."""


AnySignal: TypeAlias = (
    ConferenceCreate
    | ConferenceDestroy
    | ConferenceJoin
    | ConferenceLeave
    | ConferenceMute
    | ConferencePause
    | ConferencePlay
    | ConferenceStop
    | ConferenceUnmute
    | ConferenceVolume
    | MemberJoined
    | MemberLeft
    | MemberMuted
    | MemberUnmuted
    | PlayFailed
    | PlayFinished
    | PlayProgress
)
"""Any signal."""

SIGNALS: tuple[type[Signal], ...] = (
    ConferenceCreate,
    ConferenceDestroy,
    ConferenceJoin,
    ConferenceLeave,
    ConferenceMute,
    ConferencePause,
    ConferencePlay,
    ConferenceStop,
    ConferenceUnmute,
    ConferenceVolume,
    MemberJoined,
    MemberLeft,
    MemberMuted,
    MemberUnmuted,
    PlayFailed,
    PlayFinished,
    PlayProgress,
)
"""All signals."""
