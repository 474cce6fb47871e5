"""A published event, or a no-op → what the engine must do (decide first, then perform)."""

from __future__ import annotations

from typing import Final

import msgspec

from pipeline.model import events as e
from pipeline.model.records import NoOp

MAX_AGE: Final = 5_000_000
"""Microseconds after its event within which a play is performed."""


class Command(msgspec.Struct, frozen=True):
    """Something that the engine must do in a room."""

    room_id: str


class Create(Command, frozen=True):
    """Make the room, if the engine needs that."""


class Destroy(Command, frozen=True):
    """Everyone out, then delete the room."""


class Play(Command, frozen=True):
    """Play these files, one after the other."""

    operation_id: str
    urls: tuple[str, ...]


class Pause(Command, frozen=True):
    """Hold what plays."""


class Resume(Command, frozen=True):
    """Go on with what is held."""


class Stop(Command, frozen=True):
    """Stop all files of the room. `operation_id`: the playback that ended, None if an audit found files that play."""

    operation_id: str | None = None


class Volume(Command, frozen=True):
    """Set the volume of what plays (-50 to 7)."""

    volume: int


class Mute(Command, frozen=True):
    """Mute a member, or with `on=False` unmute it."""

    session_uuid: str
    on: bool = True


class Join(Command, frozen=True):
    """Transfer a session into the room."""

    session_uuid: str


class Leave(Command, frozen=True):
    """Remove a session from the room."""

    session_uuid: str


CAPABILITIES: Final[dict[type[Command], str]] = {
    Create: "create", Destroy: "destroy", Play: "play", Pause: "pause", Resume: "pause", Stop: "stop",
    Volume: "volume", Mute: "mute", Join: "join", Leave: "leave",
}  # fmt: skip
"""Command → the capability that an engine needs for it."""


class Refused(msgspec.Struct, frozen=True):
    """The engine's refusal. `reported`: its own event tells of it, so that the bridge must not."""

    reason: str
    reported: bool = False


def of_event(event: e.Event, *, by_api: bool) -> Command | None:
    """Return what an event commands; None if nothing. `by_api`: whether an API signal caused it."""
    if isinstance(event, e.PlayStopped) and event.meta.synthetic:
        return None  # of a destroy, only the destroyed counts
    if isinstance(event, e.PlayStopped | e.PlayFailed) and event.meta.ends_playback:
        return Stop(event.room_id, event.meta.playback_id)
    if not by_api:
        return None
    match event:
        case e.Created():
            return Create(event.room_id)
        case e.Destroyed():
            return Destroy(event.room_id)
        case e.PlayStarted():
            return Play(event.room_id, event.operation_id, tuple(event.urls))
        case e.PlayPaused():
            return Pause(event.room_id)
        case e.PlayResumed():
            return Resume(event.room_id)
        case e.PlayVolumeChanged():
            return Volume(event.room_id, event.volume)
        case e.MemberMuted() | e.MemberUnmuted():
            return Mute(event.room_id, event.session_uuid, isinstance(event, e.MemberMuted))
    return None


def of_no_op(record: NoOp, session_uuid: str) -> Command | None:
    """Return what the no-op of a join or leave commands; None for all others. The record does not name the session."""
    if record.reason == "join":
        return Join(record.room_id, session_uuid)
    if record.reason == "leave":
        return Leave(record.room_id, session_uuid)
    return None
