"""A snapshot of an engine compared with the rooms view. A difference counts only if two looks in a row show it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from pipeline.engines.rules.commands import Command, Create, Destroy, Stop
from pipeline.engines.rules.ids import bounded_id
from pipeline.engines.rules.snapshot import EngineMember, EngineRoom, Snapshot
from pipeline.model import signals as s
from pipeline.model.records import Member, Room

MAX_TEXT: Final = 1024
TWO_ROOMS: Final = "two_rooms"
KINDS: Final = ("joined", "left", "muted", "unmuted", "play_failed", "stop", "create", "destroy", TWO_ROOMS)
"""The kinds of differences. TWO_ROOMS: two engine rooms have one room_id; no audit repairs that."""
LOOK_SECONDS: Final = 2.0
"""Seconds between two looks."""


class Difference(NamedTuple):
    """Something that the engine and the view disagree about.

    kind     one of KINDS: what makes them agree
    subject  the session_uuid or the operation_id; "" of a room
    """

    kind: str
    room_id: str
    subject: str = ""


class ViewRoom(NamedTuple):
    """A room of the view with its members."""

    room: Room
    members: tuple[Member, ...]


def differences(
    snapshot: Snapshot, view: Mapping[str, ViewRoom], *, needs_rooms: bool = False
) -> dict[Difference, EngineMember | None]:
    """Compare a snapshot with the rooms of the node in the view. `needs_rooms`: rooms must be made in the engine."""
    found: dict[Difference, EngineMember | None] = {}
    for room_id in {**snapshot.rooms, **view}:
        here, there = snapshot.rooms.get(room_id), view.get(room_id)
        found.update(_members(room_id, here, there))
        found.update(dict.fromkeys(_playback(room_id, here, there)))
        if here is None and needs_rooms:
            found[Difference("create", room_id)] = None
        if here is not None and len(here.names) > 1:
            found[Difference(TWO_ROOMS, room_id)] = None
        if there is None and here is not None and here.made and not here.members:
            found[Difference("destroy", room_id)] = None
    return found


def _members(
    room_id: str, here: EngineRoom | None, there: ViewRoom | None
) -> Iterator[tuple[Difference, EngineMember | None]]:
    engine = here.members if here is not None else {}
    known = {one.session_uuid: one for one in there.members} if there is not None else {}
    for session, member in engine.items():
        if session not in known:
            yield Difference("joined", room_id, session), member
        elif member.muted != known[session].muted:
            yield Difference("muted" if member.muted else "unmuted", room_id, session), None
    for session in known:
        if session not in engine:
            yield Difference("left", room_id, session), None


def _playback(room_id: str, here: EngineRoom | None, there: ViewRoom | None) -> Iterator[Difference]:
    plays = here is not None and here.plays
    live = there is not None and there.room.playback_status != "stopped"
    if live and there is not None:
        operation_id = there.room.operation_id
        if operation_id and (not plays or (here is not None and here.playing not in (None, operation_id))):
            yield Difference("play_failed", room_id, operation_id)
    elif plays and there is not None:
        yield Difference("stop", room_id)


def both(first: Iterable[Difference], second: Mapping[Difference, EngineMember | None]) -> list[Difference]:
    """Return the differences that two looks show."""
    return [one for one in first if one in second]


def repair(difference: Difference, member: EngineMember | None, snapshot: Snapshot) -> s.MediaSignal | Command:
    """Return the signal or the command that makes engine and view agree."""
    kind, room_id, subject = difference
    signal_id = bounded_id(f"audit/{snapshot.life}/{snapshot.taken}/{kind}/{subject}")
    at = s.Micros(snapshot.taken)
    match kind:
        case "joined":
            found = member or EngineMember()
            return s.MemberJoined(signal_id, room_id, at, subject, found.caller_id[:MAX_TEXT], found.muted)
        case "left":
            return orphan(signal_id, room_id, snapshot.taken, subject)
        case "muted":
            return s.MemberMuted(signal_id, room_id, at, subject)
        case "unmuted":
            return s.MemberUnmuted(signal_id, room_id, at, subject)
        case "play_failed":
            return s.PlayFailed(signal_id, room_id, at, subject, ())
        case "stop":
            return Stop(room_id)
        case "create":
            return Create(room_id)
    return Destroy(room_id)


def orphan(signal_id: str, room_id: str, at: int, session_uuid: str) -> s.MemberLeft:
    """Return the signal that a member left without a report of the engine."""
    return s.MemberLeft(signal_id, room_id, s.Micros(at), session_uuid, "orphan")
