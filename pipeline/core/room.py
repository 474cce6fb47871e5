"""The state table of contract §5: one room, one signal, what follows from it.

Two rules hold in this file. First, **all** behaviour of a room is in `decide`, whose single `match` is the
contract's table: a row there is a case here, tried from the top, and the first that fits wins. Second, nothing
here knows a clock, a topic or a loop: the time of a signal is an argument, a deadline is a value in the room,
and a deadline that is reached comes back as a signal of its own, `Timeout`.

State is two kinds of frozen records, which are also what the table topic holds: `Room`, and one `Member` per
session. `decide` reads the members of the room through a mapping and names the entries that change, so a
signal costs the same in a room of one as in a room of ten thousand; only a destroy looks at all of them.

All times are microseconds since the epoch, UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from pipeline.core.decision import PAUSED, PLAYING, REMEMBERED, STOPPED, Decision, NoOp, Rejection
from pipeline.core.event_id import event_id
from pipeline.core.interning import interned
from pipeline.core.watchdog import SECOND, Rules, Timeout
from pipeline.model import events, signal_ids
from pipeline.model.events import Event, Meta
from pipeline.model.records import Member, Room
from pipeline.model.signals import (
    AnySignal,
    ConferenceCreate,
    ConferenceDestroy,
    ConferenceMute,
    ConferencePlay,
    ConferenceUnmute,
    MemberJoined,
    MemberLeft,
    MemberMuted,
    MemberUnmuted,
    PlayFailed,
    PlayFinished,
    PlayProgress,
)

__all__ = [
    "PAUSED", "PLAYING", "REMEMBERED", "SECOND", "STOPPED", "Decision", "NoOp", "Rejection", "Rules", "Timeout",
    "decide", "event_id",
]  # fmt: skip


def decide(
    room: Room | None,
    members: Mapping[str, Member],
    signal: AnySignal | Timeout,
    now: int,
    rules: Rules,
) -> Decision:
    """What `signal` does to `room` at time `now`.

    `members` are the room's members by session_uuid; it is read, never changed. Every deadline <= `now` of the
    room must have fired before (contract §5). Pure: the same arguments give the same decision.
    """
    match signal.TYPE:
        case "conference.create" if room is None:
            new = _fresh(signal.room_id, app_id=interned(signal.app_id), name=signal.name)
            return _created(new, signal)
        case "member.joined" if room is None:
            return _joined(_fresh(signal.room_id), signal)
        case _ if room is None:
            return Decision(None, rejected="room_unknown")
        case _ if signal.TOPIC == "api" and signal_ids.remembers(room.recent, signal.signal_id):
            return Decision(room, no_op="repeated")

        case "conference.create" if not room.app_id:
            return _created(_replace(room, app_id=interned(signal.app_id), name=signal.name), signal)
        case "conference.create":
            return _rejected(room, signal, "room_exists")
        case "conference.destroy":
            return _destroyed(room, members, signal)

        case "conference.play" if _live(room):
            return _rejected(room, signal, "playback_active")
        case "conference.play":
            return _started(room, signal, now, rules)
        case "conference.pause" if room.playback_status == PLAYING:
            event = events.PlayPaused(room.room_id, signal.operation_id, _live_meta(room, signal))
            left = _deadline(room) - now
            return _step(room, signal, event, playback_status=PAUSED, deadline=None, remaining=left)
        case "conference.pause" if room.playback_status == PAUSED:
            meta = _live_meta(room, signal)
            resumed = events.PlayResumed(room.app_id, room.room_id, signal.operation_id, meta)
            at = now + _remaining(room)
            return _step(room, signal, resumed, playback_status=PLAYING, deadline=at, remaining=None)
        case "conference.stop" if _live(room):
            stopped = events.PlayStopped(
                room.room_id, signal.operation_id, _live_meta(room, signal, ends=True)
            )
            return _end(room, members, signal, stopped, by_stop=True)
        case "conference.pause" | "conference.stop":
            return _rejected(room, signal, "playback_inactive")
        case "conference.volume" if -50 <= signal.volume <= 7:
            meta = _live_meta(room, signal) if _live(room) else _meta(room, signal)
            volume = events.PlayVolumeChanged(room.room_id, signal.volume, signal.operation_id, meta)
            return _step(room, signal, volume)
        case "conference.volume":
            return _rejected(room, signal, "volume_out_of_range")

        case "conference.join":
            return _nothing(room, signal, "join")
        case "member.joined" if signal.session_uuid not in members:
            return _joined(room, signal)
        case "member.joined":
            return _nothing(room, signal, "already_member")
        case (
            "conference.leave"
            | "conference.mute"
            | "conference.unmute"
            | "member.muted"
            | "member.unmuted"
            | "member.left"
        ) if signal.session_uuid not in members:
            return _rejected(room, signal, "not_a_member")
        case "conference.leave":
            leaving = _replace(members[signal.session_uuid], leaving=True)
            return _nothing(room, signal, "leave", ((signal.session_uuid, leaving),))
        case "conference.mute" | "member.muted":
            return _muted(room, members[signal.session_uuid], signal)
        case "conference.unmute" | "member.unmuted":
            return _unmuted(room, members[signal.session_uuid], signal)
        case "member.left":
            return _left(room, members, signal)

        case "play.progress":
            if rules.progress and room.playback_status == PLAYING and _names_live(room, signal):
                room = _replace(room, deadline=now + rules.watchdog)
            return _nothing(room, signal, "progress")
        case "play.finished" if _names_live(room, signal):
            return _file_finished(room, members, signal, now, rules)
        case "play.finished" if _names_stopped(room, signal):
            room = _replace(room, stopped_files_left=room.stopped_files_left - 1)
            return _nothing(room, signal, "after_stop")
        case "play.finished":
            stray = events.PlayFinished(room.room_id, "", (signal.url,), _meta(room, signal))
            return _step(room, signal, stray)
        case "play.failed" if _names_live(room, signal):
            urls = signal.urls or room.urls
            meta = _live_meta(room, signal, ends=True)
            failed = events.PlayFailed(room.room_id, room.operation_id, urls, "playback_error", meta)
            return _end(room, members, signal, failed)
        case "play.failed":
            unnamed = events.PlayFailed(room.room_id, "", signal.urls, "playback_error", _meta(room, signal))
            return _step(room, signal, unnamed)
        case "timeout":
            meta = _live_meta(room, signal, ends=True, synthetic=True)
            late = events.PlayFailed(room.room_id, room.operation_id, room.urls, "playback_timeout", meta)
            return _end(room, members, signal, late)


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
"""Signals for which `decide` looks at no member: to find those of a room costs as much as to find the room."""
_replace: Final = msgspec.structs.replace
_NOT_LIVE: Final[dict[str, Any]] = {
    "playback_status": STOPPED,
    "operation_id": "",
    "urls": (),
    "files_finished": 0,
    "deadline": None,
    "remaining": None,
}


# --- what a room is ------------------------------------------------------------------------------------------


def _fresh(room_id: str, *, app_id: str = "", name: str = "") -> Room:
    return Room(room_id=room_id, app_id=app_id, name=name, sequence=0, playback_status=STOPPED)


def _live(room: Room) -> bool:
    return room.playback_status != STOPPED


def _deadline(room: Room) -> int:
    assert room.deadline is not None, "a playing room has a deadline"
    return room.deadline


def _remaining(room: Room) -> int:
    assert room.remaining is not None, "a paused room keeps what was left of its watchdog"
    return room.remaining


def _names(
    signal: PlayProgress | PlayFinished | PlayFailed, operation_id: str, urls: tuple[str, ...]
) -> bool:
    """Whether a media signal names the playback `operation_id` of `urls` (contract §5)."""
    if signal.operation_id is not None:
        return signal.operation_id == operation_id
    if isinstance(signal, PlayFailed):
        return not signal.urls or any(url in urls for url in signal.urls)
    return signal.url in urls


def _names_live(room: Room, signal: PlayProgress | PlayFinished | PlayFailed) -> bool:
    return _live(room) and _names(signal, room.operation_id, room.urls)


def _names_stopped(room: Room, signal: PlayFinished) -> bool:
    """Whether it names the playback that a stop ended, and files of that one are yet to end."""
    return room.stopped_files_left > 0 and _names(signal, room.stopped_operation_id, room.stopped_urls)


# --- how a step is written down ------------------------------------------------------------------------------


def _meta(
    room: Room,
    signal: AnySignal | Timeout,
    nth: int = 1,
    *,
    playback_id: str | None = None,
    ends: bool = False,
    synthetic: bool = False,
) -> Meta:
    """The `meta` of the `nth` event of this step."""
    sequence = room.sequence + nth
    cause = signal.signal_id
    uuid = event_id(room.room_id, sequence, cause)
    return Meta(uuid, sequence, signal.occurred_at, room.app_id, cause, playback_id, ends, synthetic)


def _live_meta(
    room: Room, signal: AnySignal | Timeout, nth: int = 1, *, ends: bool = False, synthetic: bool = False
) -> Meta:
    return _meta(room, signal, nth, playback_id=room.operation_id, ends=ends, synthetic=synthetic)


def _step(
    room: Room,
    signal: AnySignal | Timeout,
    *said: Event,
    members: tuple[tuple[str, Member | None], ...] = (),
    **changes: Any,
) -> Decision:
    changes["sequence"] = room.sequence + len(said)
    if signal.TOPIC == "api":
        changes["recent"] = signal_ids.remember(room.recent, signal.signal_id, REMEMBERED)
    return Decision(_replace(room, **changes), members, said)


def _remembering(room: Room, signal: AnySignal | Timeout) -> Room:
    """The room after a signal without an event: an API signal is known again all the same."""
    if signal.TOPIC != "api":
        return room
    return _replace(room, recent=signal_ids.remember(room.recent, signal.signal_id, REMEMBERED))


def _nothing(
    room: Room,
    signal: AnySignal | Timeout,
    reason: NoOp,
    members: tuple[tuple[str, Member | None], ...] = (),
) -> Decision:
    return Decision(_remembering(room, signal), members, no_op=reason)


def _rejected(room: Room, signal: AnySignal | Timeout, reason: Rejection) -> Decision:
    return Decision(_remembering(room, signal), rejected=reason)


def _forget_if_empty(decision: Decision, members_left: int) -> Decision:
    """A discovered room lives as long as it has members or a playback (last row of the table)."""
    room = decision.room
    if room is None or room.app_id or members_left or _live(room):
        return decision
    return Decision(None, decision.members, decision.events, decision.rejected, decision.no_op)


# --- rows that take more than a line -------------------------------------------------------------------------


def _created(room: Room, signal: ConferenceCreate) -> Decision:
    event = events.Created(room.app_id, room.room_id, room.name, _meta(room, signal))
    return _step(room, signal, event)


def _destroyed(room: Room, members: Mapping[str, Member], signal: ConferenceDestroy) -> Decision:
    said: list[Event] = []
    if _live(room):
        meta = _live_meta(room, signal, ends=True, synthetic=True)
        said.append(events.PlayStopped(room.room_id, room.operation_id, meta))
    leaving = sorted(members.values(), key=lambda member: member.sequence)
    for member in leaving:
        meta = _meta(room, signal, len(said) + 1, synthetic=True)
        said.append(events.MemberLeft(member.session_uuid, room.room_id, "removed", member.caller_id, meta))
    said.append(events.Destroyed(room.app_id, room.room_id, _meta(room, signal, len(said) + 1)))
    return Decision(None, tuple((member.session_uuid, None) for member in leaving), tuple(said))


def _joined(room: Room, signal: MemberJoined) -> Decision:
    session, caller = signal.session_uuid, signal.caller_id
    said: tuple[Event, ...] = (events.MemberJoined(session, room.room_id, caller, _meta(room, signal)),)
    if signal.muted:
        said += (events.MemberMuted(session, room.room_id, caller, _meta(room, signal, 2)),)
    member = Member(
        room_id=room.room_id,
        session_uuid=session,
        caller_id=caller,
        muted=signal.muted,
        leaving=False,
        sequence=room.sequence + 1,
    )
    return _step(room, signal, *said, members=((session, member),))


def _muted(room: Room, member: Member, signal: ConferenceMute | MemberMuted) -> Decision:
    if member.muted:
        return _nothing(room, signal, "already_muted")
    event = events.MemberMuted(member.session_uuid, room.room_id, member.caller_id, _meta(room, signal))
    return _step(room, signal, event, members=((member.session_uuid, _replace(member, muted=True)),))


def _unmuted(room: Room, member: Member, signal: ConferenceUnmute | MemberUnmuted) -> Decision:
    if not member.muted:
        return _nothing(room, signal, "already_unmuted")
    event = events.MemberUnmuted(member.session_uuid, room.room_id, member.caller_id, _meta(room, signal))
    return _step(room, signal, event, members=((member.session_uuid, _replace(member, muted=False)),))


def _left(room: Room, members: Mapping[str, Member], signal: MemberLeft) -> Decision:
    member = members[signal.session_uuid]
    reason = signal.reason
    if reason is None:
        reason = "removed" if member.leaving else "hangup"
    event = events.MemberLeft(
        member.session_uuid, room.room_id, reason, member.caller_id, _meta(room, signal)
    )
    decision = _step(room, signal, event, members=((member.session_uuid, None),))
    return _forget_if_empty(decision, len(members) - 1)


def _started(room: Room, signal: ConferencePlay, now: int, rules: Rules) -> Decision:
    meta = _meta(room, signal, playback_id=signal.operation_id)
    return _step(
        room,
        signal,
        events.PlayStarted(room.room_id, signal.urls, signal.operation_id, meta),
        playback_status=PLAYING,
        operation_id=signal.operation_id,
        urls=interned(signal.urls),
        files_finished=0,
        deadline=now + rules.watchdog,
        remaining=None,
        stopped_operation_id="",
        stopped_urls=(),
        stopped_files_left=0,
    )


def _file_finished(
    room: Room, members: Mapping[str, Member], signal: PlayFinished, now: int, rules: Rules
) -> Decision:
    finished = room.files_finished + 1
    last = finished == len(room.urls)
    meta = _live_meta(room, signal, ends=last)
    event = events.PlayFinished(room.room_id, room.operation_id, (signal.url,), meta)
    if last:
        return _end(room, members, signal, event)
    if room.playback_status == PAUSED:
        return _step(room, signal, event, files_finished=finished, remaining=rules.watchdog)
    return _step(room, signal, event, files_finished=finished, deadline=now + rules.watchdog)


def _end(
    room: Room,
    members: Mapping[str, Member],
    signal: AnySignal | Timeout,
    event: Event,
    *,
    by_stop: bool = False,
) -> Decision:
    """The terminal event of a live playback. A stop leaves a memory of the files whose ends are yet to come."""
    memory: dict[str, Any] = {}
    if by_stop:
        memory = {
            "stopped_operation_id": room.operation_id,
            "stopped_urls": room.urls,
            "stopped_files_left": len(room.urls) - room.files_finished,
        }
    return _forget_if_empty(_step(room, signal, event, **_NOT_LIVE, **memory), len(members))
