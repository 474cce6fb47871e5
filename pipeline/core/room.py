"""The state table of contract §5: `decide` returns what one signal does to one room.

Its single `match` is the contract's table: one case per row, tried from the top; the first that fits is taken. The
rows' events and changes are built in `playback` and below.

The code is pure. The time of a signal is an argument, a deadline is a value in the room, and a deadline that is
reached comes back as a signal, `Timeout`. All times are microseconds since the epoch, UTC.

The state is three kinds of frozen records, which the table topic holds, too: `Room`, one `Member` per session, and
`Gone` for a room that has ended. `decide` looks members up in a mapping and returns the ones that change, so the cost
of a signal does not grow with the size of the room; only a destroy iterates over the members.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pipeline.core import playback
from pipeline.core.decision import (
    GONE_FOR,
    PAUSED,
    PLAYING,
    REMEMBERED,
    Decision,
    accept,
    end_idle,
    event_meta,
    no_op,
    reject,
    replace,
)
from pipeline.core.interning import interned
from pipeline.core.watchdog import Rules, Timeout
from pipeline.model import events, signal_ids, signals
from pipeline.model.events import Event
from pipeline.model.records import Gone, Member, Recent, Room
from pipeline.model.signals import AnySignal

MAX_TEXT: Final = 1024
"""Code points that are kept of a caller_id and of a reason (contract §4)."""
ECHOES: Final = frozenset(
    ("member.left", "member.muted", "member.unmuted", "play.progress", "play.finished", "play.failed")
)
"""What an engine reports about a room after its end."""


def decide(
    room: Room | None,
    gone: Gone | None,
    members: Mapping[str, Member],
    signal: AnySignal | Timeout,
    now: int,
    rules: Rules,
) -> Decision:
    """Return what `signal` does to `room` at time `now`.

    `gone` is the record of a room that has ended, if there is one; it counts for 60 s, and only while `room` is None.
    `members` maps session_uuid to the room's members; it is read, never changed. Every deadline of the room that is
    <= `now` must have fired before (contract §5). Pure: the same arguments give the same decision.
    """
    known = room.recent if room is not None else _known(gone, now)
    match signal.TYPE:
        # Repeated signals, gone and unknown rooms. These rows come first: all rows below need a known room, and a
        # repeated request must not reach them.
        case _ if known is not None and signal.TOPIC == "api" and signal_ids.remembers(known, signal.signal_id):
            return Decision(room, no_op="repeated")
        case _ if room is None and known is not None and signal.TYPE in ECHOES:
            return Decision(None, no_op="room_gone")
        case "conference.create" if room is None:
            return created(_begun(signal, known, now), signal, now)
        case "member.joined" if room is None:
            return joined(_begun(signal, known, now), signal, now)
        case _ if room is None:
            return Decision(None, rejected="room_unknown")

        # The room.
        case "conference.create" if not room.app_id:
            return created(room, signal, now)
        case "conference.create":
            return reject(room, signal, "room_exists")
        case "conference.destroy":
            return destroyed(room, signal, members, now)

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
            return playback.stopped(room, signal, members, now)
        case "conference.pause" | "conference.stop":
            return reject(room, signal, "playback_inactive")
        case "conference.volume" if -50 <= signal.volume <= 7:
            return playback.volume_changed(room, signal, now)
        case "conference.volume":
            return reject(room, signal, "volume_out_of_range")

        # Members. The rows after `not_a_member` look the member up, so those two precede them.
        case "conference.join":
            return no_op(room, signal, "join")
        case "member.joined" if signal.session_uuid not in members:
            return joined(room, signal, now)
        case "member.joined":
            return no_op(room, signal, "already_member")
        case "conference.leave" | "conference.mute" | "conference.unmute" if signal.session_uuid not in members:
            return reject(room, signal, "not_a_member")
        case "member.muted" | "member.unmuted" | "member.left" if signal.session_uuid not in members:
            return reject(room, signal, "not_a_member")
        case "conference.leave":
            return leave_requested(room, signal, members)
        case "conference.mute" | "member.muted":
            return mute_changed(room, signal, members, now, muted=True)
        case "conference.unmute" | "member.unmuted":
            return mute_changed(room, signal, members, now, muted=False)
        case "member.left":
            return left(room, signal, members, now)

        # Reports about the playback, and the watchdog. The last rows of `finished` and `failed` are for a report that
        # names neither the live playback nor one that a signal has ended.
        case "play.progress":
            return playback.progressed(room, signal, now, rules)
        case "play.finished" | "play.failed" if playback.names_file_left(room, signal, now):
            return playback.ended_again(room, signal)
        case "play.finished" if playback.names_live(room, signal):
            return playback.file_finished(room, signal, members, now, rules)
        case "play.failed" if playback.names_live(room, signal):
            return playback.failed(room, signal, members, now)
        case "play.finished" | "play.failed" if playback.names_ended(room, signal):
            return playback.ended_again(room, signal)
        case "play.finished":
            return playback.other_file_finished(room, signal, now)
        case "play.failed":
            return playback.other_failed(room, signal, now)
        case "timeout":
            return playback.timed_out(room, signal, members, now)


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


def _known(gone: Gone | None, now: int) -> Recent | None:
    """Return the known signal_ids of a gone room; None if the room is unknown."""
    return None if gone is None or now - gone.forgotten_at >= GONE_FOR else gone.recent


def _begun(signal: signals.ConferenceCreate | signals.MemberJoined, known: Recent | None, now: int) -> Room:
    """Return the room that this signal makes known. It takes over the known signal_ids of a gone one, nothing else."""
    return Room(signal.room_id, created_at=now, recent=signal_ids.NONE if known is None else known)


def created(room: Room, signal: signals.ConferenceCreate, now: int) -> Decision:
    """Give a new or a discovered room its app and name."""
    room = replace(room, app_id=interned(signal.app_id), name=signal.name)
    event = events.Created(room.app_id, room.room_id, room.name, event_meta(room, signal))
    return accept(room, signal, now, event)


def destroyed(room: Room, signal: signals.ConferenceDestroy, members: Mapping[str, Member], now: int) -> Decision:
    """End the playback, remove all members in the order in which they joined, and end the room."""
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
    gone = Gone(room.room_id, now, signal_ids.remember(room.recent, signal.signal_id, REMEMBERED))
    return Decision(None, tuple((member.session_uuid, None) for member in leaving), tuple(happened), gone=gone)


def joined(room: Room, signal: signals.MemberJoined, now: int) -> Decision:
    """Add a member. A room that this makes known is discovered: it has no app."""
    session, caller, muted = signal.session_uuid, signal.caller_id[:MAX_TEXT], signal.muted
    happened: tuple[Event, ...] = (events.MemberJoined(session, room.room_id, caller, event_meta(room, signal)),)
    if muted:
        happened += (events.MemberMuted(session, room.room_id, caller, event_meta(room, signal, 2)),)
    muted_at = now if muted else None
    member = Member(room.room_id, session, caller, muted, False, room.sequence + 1, now, muted_at)
    return accept(room, signal, now, *happened, members=((session, member),))


def leave_requested(room: Room, signal: signals.ConferenceLeave, members: Mapping[str, Member]) -> Decision:
    """Remember the request: it is the reason of the end that the engine reports."""
    member = members[signal.session_uuid]
    return no_op(room, signal, "leave", ((member.session_uuid, replace(member, leaving=True)),))


def mute_changed(
    room: Room,
    signal: signals.ConferenceMute | signals.ConferenceUnmute | signals.MemberMuted | signals.MemberUnmuted,
    members: Mapping[str, Member],
    now: int,
    *,
    muted: bool,
) -> Decision:
    """Mute or unmute the member."""
    member = members[signal.session_uuid]
    if member.muted == muted:
        return no_op(room, signal, "already_muted" if muted else "already_unmuted")
    kind = events.MemberMuted if muted else events.MemberUnmuted
    event = kind(member.session_uuid, room.room_id, member.caller_id, event_meta(room, signal))
    changed = replace(member, muted=muted, muted_at=now if muted else None)
    return accept(room, signal, now, event, members=((member.session_uuid, changed),))


def left(room: Room, signal: signals.MemberLeft, members: Mapping[str, Member], now: int) -> Decision:
    """Remove the member."""
    member = members[signal.session_uuid]
    reason = signal.reason
    if reason is None:
        reason = "removed" if member.leaving else "hangup"
    reason = reason[:MAX_TEXT]
    event = events.MemberLeft(member.session_uuid, room.room_id, reason, member.caller_id, event_meta(room, signal))
    decision = accept(room, signal, now, event, members=((member.session_uuid, None),))
    return end_idle(decision, len(members) - 1, now)
