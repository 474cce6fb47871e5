"""Which timeouts the fault suite measures as those of a partition without lag."""

from __future__ import annotations

from collections.abc import Callable

from testkit.chaos.logs import API, MEDIA, Event, PartitionLog, Signal
from testkit.chaos.scan import caught_up, scan
from tests.chaos.made_logs import START

DEADLINE = START + 10_000_000
LATE = DEADLINE + 6_000_000
"""When the timeout of the tests is published."""
STEP = 100_000
THIN = 800_000


def made(present: Callable[[str, int], bool], latency: int = 20_000, step: int = STEP) -> PartitionLog:
    """Return the log of 60 s with a signal per topic and step, and its event; without those not `present`."""
    log = PartitionLog(0)
    for time in range(START, START + 60_000_000, step):
        for name in (API, MEDIA):
            if present(name, time):
                at = (f"t.{name}", 0, len(log.signals[name]))
                log.signals[name].append(Signal(at, time, {}))
                log.events.append(Event(("t.events", 0, len(log.events)), time + latency, at, {}))
    return log


def away(time: int) -> bool:
    return DEADLINE - 2 * STEP < time < LATE


def test_late_timeout_between_signals_without_lag_counts() -> None:
    assert caught_up(made(lambda _name, _time: True), [(DEADLINE, LATE)]) == [LATE - DEADLINE]


def test_timeout_between_signals_with_lag_does_not_count() -> None:
    assert caught_up(made(lambda _name, _time: True, latency=400_000), [(DEADLINE, LATE)]) == []


def test_timeout_of_a_deadline_without_a_broker_does_not_count() -> None:
    """No signal was appended while the broker was away, so none had lag."""
    log = made(lambda _name, time: not away(time))
    assert caught_up(log, [(DEADLINE, LATE)]) == []
    before = DEADLINE - 5_000_000
    assert caught_up(log, [(before, before + 100_000)]) == [100_000]


def test_timeout_while_one_topic_has_no_leader_does_not_count() -> None:
    """The deadline waits for the end of that topic; signals of the other topic do not."""
    for silent in (API, MEDIA):
        log = made(lambda name, time, silent=silent: name != silent or not away(time))
        assert caught_up(log, [(DEADLINE, LATE)]) == []


def test_silence_that_begins_late_bounds_the_delay() -> None:
    """The timeout was late by 8 s before the broker was away, so it is no timeout of an outage."""
    published, begin = DEADLINE + 10_000_000, DEADLINE + 8_000_000
    for silent in ((API,), (MEDIA,), (API, MEDIA)):
        log = made(lambda name, time, silent=silent: name not in silent or not begin < time < begin + 1_000_000)
        assert caught_up(log, [(DEADLINE, published)]) == [begin - DEADLINE]
        assert caught_up(log, [(DEADLINE, DEADLINE + 7_000_000)]) == [7_000_000]


def test_lag_that_begins_late_bounds_the_delay() -> None:
    """The worker may have been stalled since the last signal without lag."""
    log = made(lambda _name, _time: True)
    begin = DEADLINE + 3_000_000
    for event in log.events:
        if begin < event.time - 20_000 < LATE:
            event.time += 1_000_000
    assert caught_up(log, [(DEADLINE, LATE)]) == [begin - DEADLINE]
    assert caught_up(log, [(begin - 300_000, LATE), (begin + 300_000, LATE)]) == []


def test_load_that_ends_late_bounds_the_delay() -> None:
    end = DEADLINE + 2_000_000
    assert caught_up(made(lambda _name, time: time <= end), [(DEADLINE, LATE)]) == [end - DEADLINE]


def test_thin_load_is_no_outage() -> None:
    assert caught_up(made(lambda _name, _time: True, step=THIN), [(DEADLINE, DEADLINE + 100_000)]) == [100_000]


def test_outage_in_a_thin_load_is_one() -> None:
    """Also several outages, whose gaps must not raise the limit."""
    begins = [DEADLINE - 1_000_000 + 9_000_000 * number for number in range(5)]
    log = made(lambda _name, time: not any(0 <= time - begin < 3_000_000 for begin in begins), step=THIN)
    late = [(begin + 1_000_000, begin + 3_200_000) for begin in begins]
    assert caught_up(log, late) == []
    assert caught_up(log, [(DEADLINE - 6_000_000, DEADLINE - 5_900_000)]) == [100_000]


def test_backlog_does_not_make_a_thin_load_silent() -> None:
    """Its signals are appended in batches, each with one time."""
    log = made(lambda _name, _time: True, step=THIN)
    for name in (API, MEDIA):
        first = len(log.signals[name])
        log.signals[name] += [Signal((f"t.{name}", 0, first + n), START, {}) for n in range(1000)]
    assert caught_up(log, [(DEADLINE, DEADLINE + 100_000)]) == [100_000]


def lives(*lengths: int) -> PartitionLog:
    """Return the log of a room with a life per length: a play, and timeouts of it; ids repeat in each life."""
    log = PartitionLog(0)
    for life, timeouts in enumerate(lengths):
        for number in range(1 + timeouts):
            name = "conference.play.failed" if number else "conference.play.started"
            sequence = min(number, 1) + 1
            meta = {
                "event_id": f"id-{sequence}",
                "sequence": sequence,
                "playback_id": "p",
                "ends_playback": bool(number),
            }
            cause = None if number else ("t.api.signals", 0, life)
            json = {"event": name, "room_id": "room", "meta": meta}
            log.events.append(Event(("t.events", 0, len(log.events)), START, cause, json))
    return log


def test_a_play_repeated_in_a_next_life_fails_again() -> None:
    """Its timeout has the same place in both lives, so the same id."""
    assert list(scan(lives(1, 1))) == []
    assert "events/0/2 conference.play.failed of 'room': event_id id-2 a second time" in list(scan(lives(2)))
