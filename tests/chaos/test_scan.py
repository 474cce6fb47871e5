"""Which timeouts the fault suite measures as those of a partition without lag."""

from __future__ import annotations

from collections.abc import Callable

from testkit.chaos.logs import API, MEDIA, Event, PartitionLog, Signal
from testkit.chaos.scan import caught_up
from tests.chaos.made_logs import START

DEADLINE = START + 10_000_000
LATE = DEADLINE + 6_000_000
"""When the timeout of the tests is published."""
STEP = 100_000


def made(present: Callable[[str, int], bool], latency: int = 20_000) -> PartitionLog:
    """Return the log of 30 s with a signal per topic and step, and its event; without those not `present`."""
    log = PartitionLog(0)
    for time in range(START, START + 30_000_000, STEP):
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
