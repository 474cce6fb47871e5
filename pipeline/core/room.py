"""The state table of contract §5: `decide` returns what one signal does to one room.

All behaviour of a room is in `decide`. Its single `match` is the contract's table: one case per row, tried from
the top; the first that fits is taken. The rows' events and changes are built in `membership`, in `playback` and
below.

The code is pure. The time of a signal is an argument, a deadline is a value in the room, and a deadline that is
reached comes back as a signal, `Timeout`.

The state is two kinds of frozen records, which the table topic holds, too: `Room`, and one `Member` per session.
`decide` looks members up in a mapping and returns the ones that change, so the cost of a signal does not grow with
the size of the room; only a destroy iterates over the members.

All times are microseconds since the epoch, UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pipeline.core.decision import PAUSED, PLAYING, Decision, accepted, event_meta, no_op, rejected, replace
from pipeline.core.interning import interned
from pipeline.core.membership import joined, leave_requested, left, muted, unmuted
from pipeline.core.playback import (
    failed,
    file_finished,
    is_live,
    names_live,
    names_stopped,
    other_failed,
    other_file_finished,
    paused,
    playback_meta,
    progressed,
    resumed,
    started,
    stopped,
    stopped_file_finished,
    timed_out,
    volume_changed,
)
from pipeline.core.watchdog import Rules, Timeout
from pipeline.model import events, signal_ids
from pipeline.model.events import Event
from pipeline.model.records import Member, Room
from pipeline.model.signals import AnySignal, ConferenceCreate, ConferenceDestroy


def decide(
    room: Room | None,
    members: Mapping[str, Member],
    signal: AnySignal | Timeout,
    now: int,
    rules: Rules,
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
            return rejected(room, signal, "room_exists")
        case "conference.destroy":
            return destroyed(room, signal, members)

        # Requests for the playback. A pause or a stop reaches `playback_inactive` only in a stopped room.
        case "conference.play" if is_live(room):
            return rejected(room, signal, "playback_active")
        case "conference.play":
            return started(room, signal, now, rules)
        case "conference.pause" if room.playback_status == PLAYING:
            return paused(room, signal, now)
        case "conference.pause" if room.playback_status == PAUSED:
            return resumed(room, signal, now)
        case "conference.stop" if is_live(room):
            return stopped(room, signal, members)
        case "conference.pause" | "conference.stop":
            return rejected(room, signal, "playback_inactive")
        case "conference.volume" if -50 <= signal.volume <= 7:
            return volume_changed(room, signal)
        case "conference.volume":
            return rejected(room, signal, "volume_out_of_range")

        # Members. The rows after `not_a_member` look the member up, so that row precedes them.
        case "conference.join":
            return no_op(room, signal, "join")
        case "member.joined" if signal.session_uuid not in members:
            return joined(room, signal)
        case "member.joined":
            return no_op(room, signal, "already_member")
        case (
            "conference.leave"
            | "conference.mute"
            | "conference.unmute"
            | "member.muted"
            | "member.unmuted"
            | "member.left"
        ) if signal.session_uuid not in members:
            return rejected(room, signal, "not_a_member")
        case "conference.leave":
            return leave_requested(room, signal, members)
        case "conference.mute" | "member.muted":
            return muted(room, signal, members)
        case "conference.unmute" | "member.unmuted":
            return unmuted(room, signal, members)
        case "member.left":
            return left(room, signal, members)

        # Reports about the playback, and the watchdog. The last row of `finished` and of `failed` is for a report that
        # names no known playback.
        case "play.progress":
            return progressed(room, signal, now, rules)
        case "play.finished" if names_live(room, signal):
            return file_finished(room, signal, members, now, rules)
        case "play.finished" if names_stopped(room, signal):
            return stopped_file_finished(room, signal)
        case "play.finished":
            return other_file_finished(room, signal)
        case "play.failed" if names_live(room, signal):
            return failed(room, signal, members)
        case "play.failed":
            return other_failed(room, signal)
        case "timeout":
            return timed_out(room, signal, members)


MEMBERLESS: Final = frozenset(
    {
        "conference.create",
        "conference.play",
        "conference.pause",
        "conference.volume",
        "conference.join",
        "play.progress",
    }
)
"""Signals for which `decide` reads no member: looking a room's members up costs as much as looking the room up."""


def created(room: Room | None, signal: ConferenceCreate) -> Decision:
    """Create an unknown room, or give a discovered one its app and name."""
    app_id, name = interned(signal.app_id), signal.name
    room = replace(room, app_id=app_id, name=name) if room else Room(signal.room_id, app_id, name)
    event = events.Created(room.app_id, room.room_id, room.name, event_meta(room, signal))
    return accepted(room, signal, event)


def destroyed(room: Room, signal: ConferenceDestroy, members: Mapping[str, Member]) -> Decision:
    """End the playback, remove all members in the order in which they joined, and forget the room."""
    happened: list[Event] = []
    if is_live(room):
        meta = playback_meta(room, signal, ends=True, synthetic=True)
        happened.append(events.PlayStopped(room.room_id, room.operation_id, meta))
    leaving = sorted(members.values(), key=lambda member: member.sequence)
    for member in leaving:
        meta = event_meta(room, signal, len(happened) + 1, synthetic=True)
        happened.append(events.MemberLeft(member.session_uuid, room.room_id, "removed", member.caller_id, meta))
    meta = event_meta(room, signal, len(happened) + 1)
    happened.append(events.Destroyed(room.app_id, room.room_id, meta))
    return Decision(None, tuple((member.session_uuid, None) for member in leaving), tuple(happened))
