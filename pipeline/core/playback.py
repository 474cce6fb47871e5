"""The rows of the state table about the playback of a room (contract §5). Each returns a `Decision`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pipeline.core.decision import PAUSED, PLAYING, STOPPED, Decision, accept, event_meta, forget_idle, no_op, replace
from pipeline.core.interning import interned
from pipeline.core.watchdog import Rules, Timeout
from pipeline.model import events, signals
from pipeline.model.events import Event, Meta
from pipeline.model.records import Member, Room
from pipeline.model.signals import AnySignal, PlayFailed, PlayFinished, PlayProgress

_NOT_LIVE: Final[dict[str, Any]] = {
    "playback_status": STOPPED, "operation_id": "", "urls": (), "files_finished": 0, "deadline": None, "remaining": None
}  # fmt: skip


def is_live(room: Room) -> bool:
    """Return whether a playback is playing or paused."""
    return room.playback_status != STOPPED


def names_live(room: Room, signal: PlayProgress | PlayFinished | PlayFailed) -> bool:
    """Return whether the signal names the live playback."""
    return is_live(room) and _names(signal, room.operation_id, room.urls)


def names_stopped(room: Room, signal: PlayFinished) -> bool:
    """Return whether the signal names a playback that a stop ended and that has files yet to be reported."""
    return room.stopped_files_left > 0 and _names(signal, room.stopped_operation_id, room.stopped_urls)


def _names(signal: PlayProgress | PlayFinished | PlayFailed, operation_id: str, urls: tuple[str, ...]) -> bool:
    if signal.operation_id is not None:
        return signal.operation_id == operation_id
    if isinstance(signal, PlayFailed):
        return not signal.urls or any(url in urls for url in signal.urls)
    return signal.url in urls


def started(room: Room, signal: signals.ConferencePlay, now: int, rules: Rules) -> Decision:
    """Start a playback and its watchdog."""
    meta = event_meta(room, signal, playback_id=signal.operation_id)
    return accept(
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


def paused(room: Room, signal: signals.ConferencePause, now: int) -> Decision:
    """Pause the playback and keep the time that its watchdog has left."""
    assert room.deadline is not None, "a playing room has a deadline"
    event = events.PlayPaused(room.room_id, signal.operation_id, playback_meta(room, signal))
    remaining = room.deadline - now
    return accept(room, signal, event, playback_status=PAUSED, deadline=None, remaining=remaining)


def resumed(room: Room, signal: signals.ConferencePause, now: int) -> Decision:
    """Resume the playback; its watchdog gets the time it had left."""
    assert room.remaining is not None, "a paused room keeps the time that its watchdog has left"
    event = events.PlayResumed(room.app_id, room.room_id, signal.operation_id, playback_meta(room, signal))
    deadline = now + room.remaining
    return accept(room, signal, event, playback_status=PLAYING, deadline=deadline, remaining=None)


def stopped(room: Room, signal: signals.ConferenceStop, members: Mapping[str, Member]) -> Decision:
    """Stop the playback and remember its files: the engine may still report their ends."""
    meta = playback_meta(room, signal, ends=True)
    return _ended(
        room,
        signal,
        members,
        events.PlayStopped(room.room_id, signal.operation_id, meta),
        stopped_operation_id=room.operation_id,
        stopped_urls=room.urls,
        stopped_files_left=len(room.urls) - room.files_finished,
    )


def volume_changed(room: Room, signal: signals.ConferenceVolume) -> Decision:
    """Change the volume, with or without a playback."""
    meta = playback_meta(room, signal) if is_live(room) else event_meta(room, signal)
    return accept(room, signal, events.PlayVolumeChanged(room.room_id, signal.volume, signal.operation_id, meta))


def progressed(room: Room, signal: PlayProgress, now: int, rules: Rules) -> Decision:
    """Restart the watchdog if the playback is playing and the watchdog mode is `progress`."""
    if rules.progress and room.playback_status == PLAYING and names_live(room, signal):
        room = replace(room, deadline=now + rules.watchdog)
    return no_op(room, signal, "progress")


def file_finished(room: Room, signal: PlayFinished, members: Mapping[str, Member], now: int, rules: Rules) -> Decision:
    """Count a file of the live playback: the last one ends it, an earlier one restarts the watchdog."""
    finished = room.files_finished + 1
    last = finished == len(room.urls)
    meta = playback_meta(room, signal, ends=last)
    event = events.PlayFinished(room.room_id, room.operation_id, (signal.url,), meta)
    if last:
        return _ended(room, signal, members, event)
    if room.playback_status == PAUSED:
        return accept(room, signal, event, files_finished=finished, remaining=rules.watchdog)
    return accept(room, signal, event, files_finished=finished, deadline=now + rules.watchdog)


def stopped_file_finished(room: Room, signal: PlayFinished) -> Decision:
    """Count a file of the stopped playback; its end is not a natural one, so it causes no event."""
    return no_op(replace(room, stopped_files_left=room.stopped_files_left - 1), signal, "after_stop")


def other_file_finished(room: Room, signal: PlayFinished) -> Decision:
    """Report a file that belongs to no known playback."""
    event = events.PlayFinished(room.room_id, "", (signal.url,), event_meta(room, signal))
    return accept(room, signal, event)


def failed(room: Room, signal: PlayFailed, members: Mapping[str, Member]) -> Decision:
    """End the live playback with an error."""
    urls = signal.urls or room.urls
    meta = playback_meta(room, signal, ends=True)
    event = events.PlayFailed(room.room_id, room.operation_id, urls, "playback_error", meta)
    return _ended(room, signal, members, event)


def other_failed(room: Room, signal: PlayFailed) -> Decision:
    """Report the error of a playback that is not the live one."""
    event = events.PlayFailed(room.room_id, "", signal.urls, "playback_error", event_meta(room, signal))
    return accept(room, signal, event)


def timed_out(room: Room, signal: Timeout, members: Mapping[str, Member]) -> Decision:
    """End the playing playback because its deadline has passed."""
    meta = playback_meta(room, signal, ends=True, synthetic=True)
    event = events.PlayFailed(room.room_id, room.operation_id, room.urls, "playback_timeout", meta)
    return _ended(room, signal, members, event)


def playback_meta(room: Room, signal: AnySignal | Timeout, *, ends: bool = False, synthetic: bool = False) -> Meta:
    """Return the `meta` of the first event of this signal, an event of the live playback."""
    return event_meta(room, signal, playback_id=room.operation_id, ends=ends, synthetic=synthetic)


def _ended(
    room: Room, signal: AnySignal | Timeout, members: Mapping[str, Member], event: Event, **stopped: Any
) -> Decision:
    """End the live playback with `event`; `stopped` are the fields that remember a stopped one."""
    return forget_idle(accept(room, signal, event, **_NOT_LIVE, **stopped), len(members))
