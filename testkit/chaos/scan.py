"""Checks that need no model: rules that hold for the events alone, and how late timeouts were published."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable
from itertools import accumulate, pairwise
from typing import Final

from testkit.chaos.logs import Key, PartitionLog

LAGGING_US: Final = 300_000
"""Microseconds from a signal's append to its event's, above which the partition counts as lagging."""
SILENT_US: Final = 500_000
"""Microseconds between two signals of a topic-partition above which it may have had no broker. The load writes several
a second to each."""
AROUND_US: Final = 1_500_000


def scan(log: PartitionLog) -> Iterable[str]:
    """Check unique ids, sequences without gaps, alternating pause and resume, one end per playback."""
    seen: set[tuple[str, Key | None]] = set()
    latest: dict[str, int] = {}
    paused: dict[str, str] = {}
    unended: Counter[tuple[str, str]] = Counter()
    """Playbacks that were started and not ended: a play repeated after 16 other requests starts the same once more."""
    for event in log.events:
        name, room, meta = event.json["event"], event.json["room_id"], event.json["meta"]
        where = f"{shown(event.at)} {name} of {room!r}"
        # The cause's offset is part of the key: a signal repeated by an engine may start two lives of a room, and
        # their first events have the same event_id.
        if (meta["event_id"], event.cause) in seen:
            yield f"{where}: event_id {meta['event_id']} a second time"
        seen.add((meta["event_id"], event.cause))
        if meta["sequence"] not in {latest.get(room, 0) + 1, 1}:
            yield f"{where}: sequence {meta['sequence']} after {latest.get(room, 0)}"
        latest[room] = meta["sequence"]
        playback = meta["playback_id"]
        if name == "conference.play.started":
            unended[room, playback] += 1
            paused.pop(playback, None)
        if name in {"conference.play.paused", "conference.play.resumed"}:
            if paused.get(playback, "conference.play.resumed") == name:
                yield f"{where}: {name} twice in a row in playback {playback}"
            paused[playback] = name
        if meta["ends_playback"]:
            unended[room, playback] -= 1
            if unended[room, playback] < 0:
                yield f"{where}: playback {playback} has ended before, or was never started"


def shown(key: Key) -> str:
    """Format a record's position without the topic's prefix."""
    return f"{key[0].partition('.')[2]}/{key[1]}/{key[2]}"


def caught_up(log: PartitionLog, timeouts: list[tuple[int, int]]) -> list[int]:
    """Return the delays (microseconds) of the timeouts that were due while the partition had no lag.

    It had none if signals and their events were appended without lag from 1.5 s before the deadline to 1.5 s after
    the timeout's event. Both topics must have got signals all the time: while a broker is away there are none that
    could lag, and no deadline can fire.
    """
    arrivals = [sorted(signal.time for signal in signals) for signals in log.signals.values()]
    appended = {signal.at: signal.time for signals in log.signals.values() for signal in signals}
    points = sorted((appended[e.cause], e.time - appended[e.cause]) for e in log.events if e.cause in appended)
    times = [time for time, _ in points]
    lagging = [0, *accumulate(int(latency > LAGGING_US) for _, latency in points)]
    found = []
    for deadline, published in timeouts:
        since, until = deadline - AROUND_US, published + AROUND_US
        first, last = bisect_left(times, since), bisect_left(times, until)
        before, after = bisect_left(times, deadline), bisect_left(times, published)
        lags = first == before or after == last or lagging[first] != lagging[last]
        if not lags and not any(_silent(one, since, until) for one in arrivals):
            found.append(published - deadline)
    return found


def _silent(times: list[int], since: int, until: int) -> bool:
    """Return whether two of these times, which are sorted, are far apart between `since` and `until`."""
    within = times[bisect_left(times, since) : bisect_right(times, until)]
    return any(after - before > SILENT_US for before, after in pairwise([since, *within, until]))
