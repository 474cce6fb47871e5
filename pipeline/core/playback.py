"""The rows of the state table about the playback of a room (contract §5). Each returns a `Decision`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pipeline.core.decision import PAUSED, PLAYING, STOPPED, Decision, accept, end_idle, event_meta, no_op, replace
from pipeline.core.interning import interned
from pipeline.core.watchdog import SECOND, Rules, Timeout
from pipeline.model import events, signals
from pipeline.model.events import Event, Meta
from pipeline.model.records import Member, Room
from pipeline.model.signals import AnySignal, PlayFailed, PlayFinished, PlayProgress

# The values of Room.ended_by: what ended the playback that ended last.
BY_STOP: Final = "stop"
BY_FINISHED: Final = "finished"
BY_FAILED: Final = "failed"
BY_TIMEOUT: Final = "timeout"

LATE: Final = 2 * SECOND
"""Time after a stop during which a report without an operation_id is of the stopped playback, even if another one is
live (contract §5)."""


def is_live(room: Room) -> bool:
    """Return whether a playback is playing or paused."""
    return room.playback_status != STOPPED


def names_live(room: Room, signal: PlayProgress | PlayFinished | PlayFailed) -> bool:
    """Return whether the signal names the live playback."""
    return is_live(room) and _names(signal, room.operation_id, room.urls)


def names_file_left(room: Room, signal: PlayFinished | PlayFailed, now: int) -> bool:
    """Return whether the signal reports, by its url alone, the late end of a file of the playback that a stop ended.

    `ended_urls` holds a url only after a stop.
    """
    if signal.operation_id is not None or _only_url(signal) not in room.ended_urls or room.ended_at is None:
        return False
    return not is_live(room) or now - room.ended_at < LATE


def names_ended(room: Room, signal: PlayFinished | PlayFailed) -> bool:
    """Return whether the signal has the operation_id of the playback that ended last, not by the watchdog."""
    return signal.operation_id is not None and (
        signal.operation_id == room.ended_operation_id and room.ended_by != BY_TIMEOUT
    )


def _only_url(signal: PlayFinished | PlayFailed) -> str | None:
    """Return the url of the signal, None unless it has exactly one."""
    if isinstance(signal, PlayFinished):
        return signal.url
    return signal.urls[0] if len(signal.urls) == 1 else None


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
        now,
        events.PlayStarted(room.room_id, signal.urls, signal.operation_id, meta),
        playback_status=PLAYING,
        operation_id=signal.operation_id,
        urls=interned(signal.urls),
        files_finished=0,
        deadline=now + rules.watchdog,
        remaining=None,
        started_at=now,
    )


def paused(room: Room, signal: signals.ConferencePause, now: int) -> Decision:
    """Pause the playback and keep the time that its watchdog has left."""
    assert room.deadline is not None, "a playing room has a deadline"
    event = events.PlayPaused(room.room_id, signal.operation_id, playback_meta(room, signal))
    remaining = room.deadline - now
    return accept(room, signal, now, event, playback_status=PAUSED, deadline=None, remaining=remaining)


def resumed(room: Room, signal: signals.ConferencePause, now: int) -> Decision:
    """Resume the playback; its watchdog gets the time it had left."""
    assert room.remaining is not None, "a paused room keeps the time that its watchdog has left"
    event = events.PlayResumed(room.app_id, room.room_id, signal.operation_id, playback_meta(room, signal))
    deadline = now + room.remaining
    return accept(room, signal, now, event, playback_status=PLAYING, deadline=deadline, remaining=None)


def stopped(room: Room, signal: signals.ConferenceStop, members: Mapping[str, Member], now: int) -> Decision:
    """Stop the playback and keep its files left: the engine may still report their ends."""
    event = events.PlayStopped(room.room_id, signal.operation_id, playback_meta(room, signal, ends=True))
    return _ended(room, signal, members, now, event, BY_STOP, room.urls[room.files_finished :])


def volume_changed(room: Room, signal: signals.ConferenceVolume, now: int) -> Decision:
    """Change the volume, with or without a playback."""
    meta = playback_meta(room, signal) if is_live(room) else event_meta(room, signal)
    event = events.PlayVolumeChanged(room.room_id, signal.volume, signal.operation_id, meta)
    return accept(room, signal, now, event)


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
        return _ended(room, signal, members, now, event, BY_FINISHED)
    if room.playback_status == PAUSED:
        return accept(room, signal, now, event, files_finished=finished, remaining=rules.watchdog)
    return accept(room, signal, now, event, files_finished=finished, deadline=now + rules.watchdog)


def ended_again(room: Room, signal: PlayFinished | PlayFailed) -> Decision:
    """Take another report of the playback that ended last, or of a file of it: it causes no event."""
    if room.ended_by != BY_STOP:
        return no_op(room, signal, "already_ended")
    url = signal.url if isinstance(signal, PlayFinished) else signal.urls[0] if signal.urls else None
    left = room.ended_urls
    if url in left:
        at = left.index(url)
        room = replace(room, ended_urls=left[:at] + left[at + 1 :])
    return no_op(room, signal, "after_stop")


def other_file_finished(room: Room, signal: PlayFinished, now: int) -> Decision:
    """Report a file that belongs to no known playback, or to one that the watchdog has ended."""
    event = events.PlayFinished(room.room_id, "", (signal.url,), event_meta(room, signal))
    return accept(room, signal, now, event)


def failed(room: Room, signal: PlayFailed, members: Mapping[str, Member], now: int) -> Decision:
    """End the live playback with an error."""
    urls = signal.urls or room.urls
    meta = playback_meta(room, signal, ends=True)
    event = events.PlayFailed(room.room_id, room.operation_id, urls, "playback_error", meta)
    return _ended(room, signal, members, now, event, BY_FAILED)


def other_failed(room: Room, signal: PlayFailed, now: int) -> Decision:
    """Report the error of no known playback, or of one that the watchdog has ended."""
    event = events.PlayFailed(room.room_id, "", signal.urls, "playback_error", event_meta(room, signal))
    return accept(room, signal, now, event)


def timed_out(room: Room, signal: Timeout, members: Mapping[str, Member], now: int) -> Decision:
    """End the playing playback because its deadline has passed."""
    meta = playback_meta(room, signal, ends=True, synthetic=True)
    event = events.PlayFailed(room.room_id, room.operation_id, room.urls, "playback_timeout", meta)
    return _ended(room, signal, members, now, event, BY_TIMEOUT)


def playback_meta(room: Room, signal: AnySignal | Timeout, *, ends: bool = False, synthetic: bool = False) -> Meta:
    """Return the `meta` of the first event of this signal, an event of the live playback."""
    return event_meta(room, signal, playback_id=room.operation_id, ends=ends, synthetic=synthetic)


def _ended(
    room: Room,
    signal: AnySignal | Timeout,
    members: Mapping[str, Member],
    now: int,
    event: Event,
    by: str,
    left: tuple[str, ...] = (),
) -> Decision:
    """End the live playback with `event`. It becomes the one that ended last; `left` are its files left by a stop."""
    decision = accept(
        room,
        signal,
        now,
        event,
        playback_status=STOPPED,
        operation_id="",
        urls=(),
        files_finished=0,
        deadline=None,
        remaining=None,
        started_at=None,
        ended_operation_id=room.operation_id,
        ended_by=by,
        ended_at=now,
        ended_urls=left,
    )
    return end_idle(decision, len(members), now)
