"""The state table of contract §5: `decide` returns what one signal does to one room.

Its single `match` is the contract's table: one case per row, tried from the top; the first that fits is taken. The
rows' events and changes are built in `playback` and below.

The code is pure. The time of a signal is an argument, a deadline is a value in the room, and a deadline that is
reached comes back as a signal, `Timeout`. All times are microseconds since the epoch, UTC.

The state is two kinds of frozen records, which the table topic holds, too: `Room`, and one `Member` per session.
`decide` looks members up in a mapping and returns the ones that change, so the cost of a signal does not grow with
the size of the room; only a destroy iterates over the members.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pipeline.core import playback
from pipeline.core.decision import PAUSED, PLAYING, Decision, accept, event_meta, forget_idle, no_op, reject, replace
from pipeline.core.interning import interned
from pipeline.core.watchdog import Rules, Timeout
from pipeline.model import events, signal_ids, signals
from pipeline.model.events import Event
from pipeline.model.records import Member, Room
from pipeline.model.signals import AnySignal


def decide(
    room: Room | None, members: Mapping[str, Member], signal: AnySignal | Timeout, now: int, rules: Rules
) -> Decision:
    """Return what `signal` does to `room` at time `now`.

    `members` maps session_uuid to the room's members; it is read, never changed. Every deadline of the room that is
    <= `now` must have fired before (contract §5). Pure: the same arguments give the same decision.
    """
    match signal.TYPE:
        # Unknown rooms and repeated signals. These rows come first: all rows below need a known room, and a repeated
        # request must not reach them.
        case "conference.create" if room is None:
            return created(room, signal)
        case "member.joined" if room is None:
            return joined(room, signal)
        case _ if room is None:
            return Decision(None, rejected="room_unknown")
        case _ if signal.TOPIC == "api" and signal_ids.remembers(room.recent, signal.signal_id):
            return Decision(room, no_op="repeated")

        # The room.
        case "conference.create" if not room.app_id:
            return created(room, signal)
        case "conference.create":
            return reject(room, signal, "room_exists")
        case "conference.destroy":
            return destroyed(room, signal, members)

        # Requests for the playback. A pause or a stop reaches `playback_inactive` only in a stopped room.
        case "conference.play" if playback.is_live(room):
            return reject(room, signal, "playback_active")
        case "conference.play":
            return playback.started(room, signal, now, rules)
        case "conference.pause" if room.playback_status == PLAYING:
            return playback.paused(room, signal, now)
        case "conference.pause" if room.playback_status == PAUSED:
            return playback.resumed(room, signal, now)
        case "conference.stop" if playback.is_live(room):
            return playback.stopped(room, signal, members)
        case "conference.pause" | "conference.stop":
            return reject(room, signal, "playback_inactive")
        case "conference.volume" if -50 <= signal.volume <= 7:
            return playback.volume_changed(room, signal)
        case "conference.volume":
            return reject(room, signal, "volume_out_of_range")

        # Members. The rows after `not_a_member` look the member up, so those two precede them.
        case "conference.join":
            return no_op(room, signal, "join")
        case "member.joined" if signal.session_uuid not in members:
            return joined(room, signal)
        case "member.joined":
            return no_op(room, signal, "already_member")
        case "conference.leave" | "conference.mute" | "conference.unmute" if signal.session_uuid not in members:
            return reject(room, signal, "not_a_member")
        case "member.muted" | "member.unmuted" | "member.left" if signal.session_uuid not in members:
            return reject(room, signal, "not_a_member")
        case "conference.leave":
            return leave_requested(room, signal, members)
        case "conference.mute" | "member.muted":
            return mute_changed(room, signal, members, muted=True)
        case "conference.unmute" | "member.unmuted":
            return mute_changed(room, signal, members, muted=False)
        case "member.left":
            return left(room, signal, members)

        # Reports about the playback, and the watchdog. The last row of `finished` and of `failed` is for a report that
        # names no known playback.
        case "play.progress":
            return playback.progressed(room, signal, now, rules)
        case "play.finished" if playback.names_live(room, signal):
            return playback.file_finished(room, signal, members, now, rules)
        case "play.finished" if playback.names_stopped(room, signal):
            return playback.stopped_file_finished(room, signal)
        case "play.finished":
            return playback.other_file_finished(room, signal)
        case "play.failed" if playback.names_live(room, signal):
            return playback.failed(room, signal, members)
        case "play.failed":
            return playback.other_failed(room, signal)
        case "timeout":
            return playback.timed_out(room, signal, members)


MEMBERLESS: Final = frozenset(
    (
        "conference.create",
        "conference.play",
        "conference.pause",
        "conference.volume",
        "conference.join",
        "play.progress",
    )
)
"""Signals for which `decide` reads no member: looking a room's members up costs as much as looking the room up."""


def created(room: Room | None, signal: signals.ConferenceCreate) -> Decision:
    """Create an unknown room, or give a discovered one its app and name."""
    app_id, name = interned(signal.app_id), signal.name
    room = replace(room, app_id=app_id, name=name) if room else Room(signal.room_id, app_id, name)
    event = events.Created(room.app_id, room.room_id, room.name, event_meta(room, signal))
    return accept(room, signal, event)


def destroyed(room: Room, signal: signals.ConferenceDestroy, members: Mapping[str, Member]) -> Decision:
    """End the playback, remove all members in the order in which they joined, and forget the room."""
    happened: list[Event] = []
    if playback.is_live(room):
        meta = playback.playback_meta(room, signal, ends=True, synthetic=True)
        happened.append(events.PlayStopped(room.room_id, room.operation_id, meta))
    leaving = sorted(members.values(), key=lambda member: member.sequence)
    for member in leaving:
        meta = event_meta(room, signal, len(happened) + 1, synthetic=True)
        happened.append(events.MemberLeft(member.session_uuid, room.room_id, "removed", member.caller_id, meta))
    meta = event_meta(room, signal, len(happened) + 1)
    happened.append(events.Destroyed(room.app_id, room.room_id, meta))
    return Decision(None, tuple((member.session_uuid, None) for member in leaving), tuple(happened))


def joined(room: Room | None, signal: signals.MemberJoined) -> Decision:
    """Add a member. An unknown room becomes known as discovered: it has no app."""
    if room is None:
        room = Room(signal.room_id)
    session, caller = signal.session_uuid, signal.caller_id
    happened: tuple[Event, ...] = (events.MemberJoined(session, room.room_id, caller, event_meta(room, signal)),)
    if signal.muted:
        happened += (events.MemberMuted(session, room.room_id, caller, event_meta(room, signal, 2)),)
    member = Member(room.room_id, session, caller, signal.muted, leaving=False, sequence=room.sequence + 1)
    return accept(room, signal, *happened, members=((session, member),))


def leave_requested(room: Room, signal: signals.ConferenceLeave, members: Mapping[str, Member]) -> Decision:
    """Remember the request: it is the reason of the end that the engine reports."""
    member = members[signal.session_uuid]
    return no_op(room, signal, "leave", ((member.session_uuid, replace(member, leaving=True)),))


def mute_changed(
    room: Room,
    signal: signals.ConferenceMute | signals.ConferenceUnmute | signals.MemberMuted | signals.MemberUnmuted,
    members: Mapping[str, Member],
    *,
    muted: bool,
) -> Decision:
    """Mute or unmute the member."""
    member = members[signal.session_uuid]
    if member.muted == muted:
        return no_op(room, signal, "already_muted" if muted else "already_unmuted")
    kind = events.MemberMuted if muted else events.MemberUnmuted
    event = kind(member.session_uuid, room.room_id, member.caller_id, event_meta(room, signal))
    return accept(room, signal, event, members=((member.session_uuid, replace(member, muted=muted)),))


def left(room: Room, signal: signals.MemberLeft, members: Mapping[str, Member]) -> Decision:
    """Remove the member."""
    member = members[signal.session_uuid]
    reason = signal.reason
    if reason is None:
        reason = "removed" if member.leaving else "hangup"
    event = events.MemberLeft(member.session_uuid, room.room_id, reason, member.caller_id, event_meta(room, signal))
    decision = accept(room, signal, event, members=((member.session_uuid, None),))
    return forget_idle(decision, len(members) - 1)
