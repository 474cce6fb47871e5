"""Checks that need no model: rules that hold for the events alone, and how late timeouts were published."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from testkit.chaos.logs import Key, PartitionLog

LAGGING_US: Final = 300_000
"""Microseconds from a signal's append to its event's, above which the partition counts as lagging."""
SILENT_US: Final = 500_000
"""Microseconds between two appends to a topic-partition up to which it certainly had a broker (see `_silences`)."""
SILENT_GAPS: Final = 3
"""A silence is also longer than so many of the topic-partition's long gaps: a thin load has gaps of its own."""
AROUND_US: Final = 1_500_000
DUE_US: Final = 500_000
"""Microseconds after its deadline within which a timeout is due (contract §6)."""
FOREVER_US: Final = 1 << 61


def scan(log: PartitionLog) -> Iterable[str]:
    """Check unique ids, sequences without gaps, alternating pause and resume, one end per playback."""
    seen: set[tuple[str, Key | None]] = set()
    born: dict[str, Key] = {}
    latest: dict[str, int] = {}
    paused: dict[str, str] = {}
    unended: Counter[tuple[str, str]] = Counter()
    """Playbacks that were started and not ended: a play repeated after 16 other requests starts the same once more."""
    for event in log.events:
        name, room, meta = event.json["event"], event.json["room_id"], event.json["meta"]
        where = f"{shown(event.at)} {name} of {room!r}"
        if meta["sequence"] == 1:
            born[room] = event.at
        # The cause's offset is part of the key: a signal repeated by an engine may start two lives of a room, and
        # their first events have the same event_id.
        key = meta["event_id"], event.cause or born.get(room)
        if key in seen:
            yield f"{where}: event_id {meta['event_id']} a second time"
        seen.add(key)
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
    could lag, and no deadline can fire. A timeout whose 0.5 s were over before the first lag or silence counts too:
    it was late without them, at least by the time up to them.
    """
    silences = [_silences(sorted({signal.time for signal in signals})) for signals in log.signals.values()]
    lags = Lags(log)
    found = []
    for deadline, published in timeouts:
        since, until = deadline - AROUND_US, published + AROUND_US
        begins = [_first(one, since, until) for one in silences]
        begin = min(*begins, lags.begin(deadline, published))
        if begin >= deadline + DUE_US:
            found.append(min(begin, published) - deadline)
    return found


class Lags:
    """Tells when the events of a partition began to lag behind their signals."""

    def __init__(self, log: PartitionLog) -> None:
        appended = {signal.at: signal.time for signals in log.signals.values() for signal in signals}
        points = sorted((appended[e.cause], e.time - appended[e.cause]) for e in log.events if e.cause in appended)
        self._times = [time for time, _ in points]
        self._lagging = [place for place, (_, latency) in enumerate(points) if latency > LAGGING_US]

    def begin(self, deadline: int, published: int) -> int:
        """Return the time of the last signal before the first with lag, from 1.5 s before to 1.5 s after a timeout.

        From that signal on a worker may have been stalled. If no signal with an event came in the 1.5 s before or
        after, nothing shows that there was no lag.
        """
        times = self._times
        first, last = bisect_left(times, deadline - AROUND_US), bisect_left(times, published + AROUND_US)
        if first == bisect_left(times, deadline):
            return 0
        place = bisect_left(self._lagging, first)
        if place < len(self._lagging) and self._lagging[place] < last:
            return times[self._lagging[place] - 1] if self._lagging[place] > first else 0
        return times[last - 1] if bisect_left(times, published) == last else FOREVER_US


def _silences(times: list[int]) -> list[tuple[int, int]]:
    """Return begin and end of each gap between these append times, which are sorted, that may be an outage.

    The limit follows from the gaps up to which nine of ten are, so that a few outages do not raise it.
    """
    gaps = sorted(after - before for before, after in pairwise(times))
    limit = max(SILENT_US, SILENT_GAPS * gaps[len(gaps) * 9 // 10] if gaps else 0)
    around = pairwise([0, *times, FOREVER_US])
    return [(before, after) for before, after in around if after - before > limit]


def _first(silences: list[tuple[int, int]], since: int, until: int) -> int:
    """Return the begin of the first of these silences that reaches into the time from `since` to `until`."""
    return next((begin for begin, end in silences if end > since and begin < until), FOREVER_US)
