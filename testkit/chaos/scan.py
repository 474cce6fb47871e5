"""What needs no model: promises that show in the events alone, and how late timeouts came."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate
from typing import Final

from testkit.chaos.logs import Key, PartitionLog

BEHIND_US: Final = 300_000
"""An event that was appended later than this after its signal: its partition was not caught up."""
AROUND_US: Final = 1_500_000


def scan(log: PartitionLog) -> Iterable[str]:
    """What needs no model: ids are unique, sequences have no gap, pauses alternate, a playback ends once."""
    seen: set[tuple[str, Key | None]] = set()
    latest: dict[str, int] = {}
    paused: dict[str, str] = {}
    ended: set[tuple[str, str]] = set()
    for event in log.events:
        name, room, meta = event.json["event"], event.json["room_id"], event.json["meta"]
        where = f"{shown(event.at)} {name} of {room!r}"
        # By its cause's place, too: an engine that repeats a signal may well cause the same first event of two lives.
        if (meta["event_id"], event.cause) in seen:
            yield f"{where}: event_id {meta['event_id']} a second time"
        seen.add((meta["event_id"], event.cause))
        if meta["sequence"] not in {latest.get(room, 0) + 1, 1}:
            yield f"{where}: sequence {meta['sequence']} after {latest.get(room, 0)}"
        latest[room] = meta["sequence"]
        playback = meta["playback_id"]
        if name in {"conference.play.paused", "conference.play.resumed"}:
            if paused.get(playback, "conference.play.resumed") == name:
                yield f"{where}: {name} twice in a row in playback {playback}"
            paused[playback] = name
        if meta["ends_playback"]:
            if (room, playback) in ended:
                yield f"{where}: a second end of playback {playback}"
            ended.add((room, playback))


def shown(key: Key) -> str:
    """A place in a log, without the prefix of the topic."""
    return f"{key[0].partition('.')[2]}/{key[1]}/{key[2]}"


def caught_up(log: PartitionLog, timeouts: list[tuple[int, int]]) -> list[int]:
    """By how many microseconds those timeouts were late that came due while the partition was caught up.

    It was, when around the deadline and the event (1.5 s before and behind) signals came and their events with them.
    """
    appended = {signal.at: signal.time for signals in log.signals.values() for signal in signals}
    points = sorted(
        (appended[e.cause], e.time - appended[e.cause]) for e in log.events if e.cause in appended
    )
    times = [time for time, _ in points]
    late = [0, *accumulate(int(latency > BEHIND_US) for _, latency in points)]
    found = []
    for deadline, said in timeouts:
        first, last = bisect_left(times, deadline - AROUND_US), bisect_left(times, said + AROUND_US)
        before, behind = bisect_left(times, deadline), bisect_left(times, said)
        if first < before and behind < last and late[first] == late[last]:
            found.append(said - deadline)
    return found
