"""The rows of the state table about the members of a room (contract §5). Each returns a `Decision`."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.core.decision import Decision, accepted, event_meta, forget_if_empty, no_op, replace
from pipeline.model import events
from pipeline.model.events import Event
from pipeline.model.records import Member, Room
from pipeline.model.signals import (
    ConferenceLeave,
    ConferenceMute,
    ConferenceUnmute,
    MemberJoined,
    MemberLeft,
    MemberMuted,
    MemberUnmuted,
)


def joined(room: Room | None, signal: MemberJoined) -> Decision:
    """Add a member. An unknown room becomes known as discovered: it has no app."""
    if room is None:
        room = Room(signal.room_id)
    session, caller = signal.session_uuid, signal.caller_id
    happened: tuple[Event, ...] = (events.MemberJoined(session, room.room_id, caller, event_meta(room, signal)),)
    if signal.muted:
        happened += (events.MemberMuted(session, room.room_id, caller, event_meta(room, signal, 2)),)
    member = Member(
        room_id=room.room_id,
        session_uuid=session,
        caller_id=caller,
        muted=signal.muted,
        leaving=False,
        sequence=room.sequence + 1,
    )
    return accepted(room, signal, *happened, members=((session, member),))


def leave_requested(room: Room, signal: ConferenceLeave, members: Mapping[str, Member]) -> Decision:
    """Remember the request: it is the reason of the end that the engine reports."""
    member = members[signal.session_uuid]
    return no_op(room, signal, "leave", ((member.session_uuid, replace(member, leaving=True)),))


def muted(room: Room, signal: ConferenceMute | MemberMuted, members: Mapping[str, Member]) -> Decision:
    """Mute the member."""
    member = members[signal.session_uuid]
    if member.muted:
        return no_op(room, signal, "already_muted")
    event = events.MemberMuted(member.session_uuid, room.room_id, member.caller_id, event_meta(room, signal))
    return accepted(room, signal, event, members=((member.session_uuid, replace(member, muted=True)),))


def unmuted(room: Room, signal: ConferenceUnmute | MemberUnmuted, members: Mapping[str, Member]) -> Decision:
    """Unmute the member."""
    member = members[signal.session_uuid]
    if not member.muted:
        return no_op(room, signal, "already_unmuted")
    event = events.MemberUnmuted(member.session_uuid, room.room_id, member.caller_id, event_meta(room, signal))
    return accepted(room, signal, event, members=((member.session_uuid, replace(member, muted=False)),))


def left(room: Room, signal: MemberLeft, members: Mapping[str, Member]) -> Decision:
    """Remove the member."""
    member = members[signal.session_uuid]
    reason = signal.reason
    if reason is None:
        reason = "removed" if member.leaving else "hangup"
    meta = event_meta(room, signal)
    event = events.MemberLeft(member.session_uuid, room.room_id, reason, member.caller_id, meta)
    decision = accepted(room, signal, event, members=((member.session_uuid, None),))
    return forget_if_empty(decision, len(members) - 1)
