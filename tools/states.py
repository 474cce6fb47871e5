"""Print the state table as Markdown, for tools/docs.py.

Each cell is the result of a run: signals bring a partition into the state of the column, then it gets the signal of the
row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pipeline.core.decision import PAUSED, PLAYING, STOPPED
from pipeline.core.partition import Partition
from pipeline.core.watchdog import SECOND, Rules
from pipeline.model import signals as s
from pipeline.model.events import Event, MemberLeft, PlayFailed, PlayFinished
from pipeline.model.records import Room
from pipeline.model.signals import AnySignal

UNKNOWN, GONE, DISCOVERED = "unknown", "gone", "discovered"
STATES: Final = (UNKNOWN, GONE, DISCOVERED, STOPPED, PLAYING, PAUSED)
KNOWN: Final = STATES[2:]
IDLE: Final = (DISCOVERED, STOPPED)
LIVE: Final = (PLAYING, PAUSED)
ROOM, MEMBER, STRANGER = "room", "member", "stranger"
PLAY, FIRST, URLS = "play-1", "play-0", ("https://x/1.wav", "https://x/2.wav")
PLAYED_AT, ENDED_AT, PAUSED_AT, NOW = 0, int(3.5 * SECOND), 4 * SECOND, 5 * SECOND
"""Times of the play, of the end of the playback before it, of the pause and of the row's signal. The deadlines in the
table follow from them."""


@dataclass(frozen=True)
class Row:
    """`signal` (None: the watchdog) in each of `states`; a playback has `files` files.

    Before it, the room has processed the signals `before`; a gone room in its life. `ended` is the signal that has
    ended an earlier playback, FIRST, which has the files of the live one.
    """

    name: str
    when: str
    signal: AnySignal | None
    states: tuple[str, ...] = STATES
    before: tuple[AnySignal, ...] = ()
    files: int = 1
    ended: AnySignal | None = None
    rules: Rules = Rules()  # noqa: RUF009 - frozen


def rows() -> Iterator[Row]:
    """Yield the rows: all signals, each with the conditions that change its result."""
    yield Row("conference.create", "", _create("s"))
    yield Row("conference.destroy", "one member", s.ConferenceDestroy("s", ROOM, NOW))
    yield Row("conference.play", "", _play("s", "play-2", 1, NOW))
    yield Row("conference.pause", "", s.ConferencePause("s", ROOM, NOW, "pause-1"))
    yield Row("conference.stop", "", s.ConferenceStop("s", ROOM, NOW, "stop-1"))
    yield Row("conference.volume", "-50 to 7", s.ConferenceVolume("s", ROOM, NOW, 7, "volume-1"))
    yield Row("conference.volume", "otherwise", s.ConferenceVolume("s", ROOM, NOW, 8, "volume-1"))
    yield Row("conference.join", "", s.ConferenceJoin("s", ROOM, NOW, STRANGER))
    yield Row("conference.leave", "a member", s.ConferenceLeave("s", ROOM, NOW, MEMBER), KNOWN)
    yield Row("conference.leave", "not a member", s.ConferenceLeave("s", ROOM, NOW, STRANGER))
    yield from _mutes("conference.mute", s.ConferenceMute, muted=True)
    yield from _mutes("conference.unmute", s.ConferenceUnmute, muted=False)
    repeated = s.ConferenceVolume("again", ROOM, NOW, 8, "volume-1")
    yield Row("any API signal", "signal_id among the room's last 16", repeated, STATES[1:], (repeated,))
    yield Row("member.joined", "not a member", _joined(STRANGER))
    yield Row("member.joined", "not a member, with `muted`", _joined(STRANGER, muted=True))
    yield Row("member.joined", "a member", _joined(MEMBER), KNOWN)
    yield Row("member.left", "a member, with a reason", _left(MEMBER, "orphan"), KNOWN)
    yield Row("member.left", "a member, without a reason", _left(MEMBER), KNOWN)
    leave = s.ConferenceLeave("leave", ROOM, NOW, MEMBER)
    yield Row("member.left", "a member, without a reason, after a leave", _left(MEMBER), KNOWN, (leave,))
    yield Row("member.left", "not a member", _left(STRANGER))
    yield from _mutes("member.muted", s.MemberMuted, muted=True)
    yield from _mutes("member.unmuted", s.MemberUnmuted, muted=False)
    yield from _playback()


def _playback() -> Iterator[Row]:
    progress = s.PlayProgress("s", ROOM, NOW, operation_id=PLAY)
    yield Row("play.progress", "mode `dispatch`", progress)
    yield Row("play.progress", "mode `progress`, the live playback", progress, LIVE, rules=Rules(progress=True))
    done = s.PlayFinished("s", ROOM, NOW, operation_id=PLAY, url=URLS[0])
    yield Row("play.finished", "the live playback, its last file", done, LIVE)
    yield Row("play.finished", "the live playback, an earlier file", done, LIVE, files=2)
    yield Row("play.finished", "otherwise", s.PlayFinished("s", ROOM, NOW, operation_id="other", url=URLS[0]))
    yield Row("play.failed", "the live playback", s.PlayFailed("s", ROOM, NOW, operation_id=PLAY), LIVE)
    yield Row("play.failed", "otherwise", s.PlayFailed("s", ROOM, NOW, operation_id="other"))
    name = "a late play.finished"
    late = s.PlayFinished("s", ROOM, NOW, url=URLS[0])
    later = s.PlayFinished("s", ROOM, NOW + SECOND, url=URLS[0])
    stop, failed = s.ConferenceStop("q", ROOM, ENDED_AT, "stop-0"), s.PlayFailed("q", ROOM, ENDED_AT)
    yield Row(name, "no operation_id, a file left of a stopped playback, 1.5 s after the stop", late, KNOWN, ended=stop)
    yield Row(name, "the same, 2.5 s after the stop", later, KNOWN, ended=stop)
    named = s.PlayFinished("s", ROOM, NOW, operation_id=FIRST, url=URLS[0])
    yield Row(name, "the operation_id of a stopped playback", named, KNOWN, ended=stop)
    yield Row(name, "the operation_id of a playback that such a signal has ended", named, KNOWN, ended=failed)
    yield Row("the watchdog", "deadline reached, behind the barrier", None, (PLAYING,))


def _mutes(name: str, kind: type, *, muted: bool) -> Iterator[Row]:
    done = s.MemberMuted("m", ROOM, NOW, MEMBER)
    mute, unmuted = (done,), ()
    yield Row(name, "a member", kind("s", ROOM, NOW, MEMBER), KNOWN, unmuted if muted else mute)
    already = "a member, already muted" if muted else "a member, already unmuted"
    yield Row(name, already, kind("s", ROOM, NOW, MEMBER), KNOWN, mute if muted else unmuted)
    yield Row(name, "not a member", kind("s", ROOM, NOW, STRANGER))


def _create(signal_id: str) -> s.ConferenceCreate:
    return s.ConferenceCreate(signal_id, ROOM, NOW, "app", "name")


def _joined(session: str, *, muted: bool = False) -> s.MemberJoined:
    return s.MemberJoined("s", ROOM, NOW, session, "caller", muted)


def _left(session: str, reason: str | None = None) -> s.MemberLeft:
    return s.MemberLeft("s", ROOM, NOW, session, reason)


def _play(signal_id: str, operation: str, files: int, at: int) -> s.ConferencePlay:
    return s.ConferencePlay(signal_id, ROOM, at, URLS[:files], operation)


# --- cells ---------------------------------------------------------------------------------------------------


def _partition(state: str, row: Row) -> Partition:
    """Return a partition whose room is in `state` and has processed the row's earlier signals."""
    partition = Partition(row.rules)
    if state in (GONE, STOPPED, *LIVE):
        partition.apply(_create("c"), PLAYED_AT)
    if state != UNKNOWN:
        partition.apply(_joined(MEMBER), PLAYED_AT)
    started_at = PLAYED_AT
    if row.ended is not None:
        partition.apply(_play("o", FIRST, row.files, PLAYED_AT), PLAYED_AT)
        started_at = row.ended.occurred_at
        partition.apply(row.ended, started_at)
    if state in LIVE:
        partition.apply(_play("p", PLAY, row.files, started_at), started_at)
    if state == PAUSED:
        partition.apply(s.ConferencePause("r", ROOM, PAUSED_AT, "pause-0"), PAUSED_AT)
    for signal in row.before:
        partition.apply(signal, NOW)
    if state == GONE:
        partition.apply(s.ConferenceDestroy("d", ROOM, NOW), NOW)
    return partition


def state_of(partition: Partition) -> str:
    """Return the column of the room."""
    room = partition.rooms.get(ROOM)
    if room is None:
        return GONE if ROOM in partition.gone else UNKNOWN
    if room.playback_status != STOPPED or room.app_id:
        return room.playback_status
    return DISCOVERED


def result(row: Row, state: str) -> str:
    """Return the cell: what the row's signal does to a room in `state`."""
    if state not in row.states:
        return ""
    partition = _partition(state, row)
    before = partition.rooms.get(ROOM)
    if row.signal is None:
        timeout = partition.next_timeout()
        assert timeout is not None, "only a playing room has a deadline"
        decision = partition.expire(timeout)
    else:
        decision = partition.apply(row.signal, row.signal.occurred_at)
    if decision.rejected:
        return f"✗ `{decision.rejected}`"
    lines = [f"○ `{decision.no_op}`"] if decision.no_op else [_event(event) for event in decision.events]
    after, timer = state_of(partition), _timer(before, decision.room)
    if after != state or timer:
        lines.append(f"→ {after}{timer}")
    return "<br>".join(lines)


def _timer(before: Room | None, room: Room | None) -> str:
    """Return the watchdog's time if it has changed."""
    if room is not None and before is not None:
        if room.deadline is not None and room.deadline != before.deadline:
            return f", {(room.deadline - NOW) // SECOND} s"
        if room.remaining is not None and room.remaining != before.remaining:
            return f", {room.remaining // SECOND} s kept"
    return ""


def _event(event: Event) -> str:
    text = event.EVENT.removeprefix("conference.")
    match event:
        case MemberLeft():
            text += f" `{event.reason}`"
        case PlayFailed():
            text += f" `{event.error}`"
    if isinstance(event, PlayFailed | PlayFinished) and not event.operation_id:
        text += " †"
    return text + (" ■" if event.meta.ends_playback else "") + (" ◇" if event.meta.synthetic else "")


def table() -> str:
    """Return the whole table in Markdown."""
    lines = [f"| signal | when | {' | '.join(STATES)} |", "|---" * (2 + len(STATES)) + "|"]
    last = ""
    for row in rows():
        name = "" if row.name == last else row.name if " " in row.name else f"`{row.name}`"
        last = row.name
        cells = " | ".join(result(row, state) for state in STATES)
        lines.append(f"| {name} | {row.when} | {cells} |")
    return "\n".join(lines)
