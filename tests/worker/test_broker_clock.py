"""The estimate of the broker's time."""

from __future__ import annotations

import time

from pipeline.worker.broker_clock import BrokerClock


def test_time_is_unknown_before_the_first_append() -> None:
    clock = BrokerClock()
    assert (clock.now(), clock.age) == (None, float("inf"))


def test_time_advances_from_the_last_append_time() -> None:
    clock = BrokerClock()
    clock.observe(1_000)
    time.sleep(0.02)
    now = clock.now()
    assert now is not None
    assert 1_020_000 <= now < 3_000_000
    assert 0.02 <= clock.age < 2
    clock.observe(500)
    later = clock.now()
    assert later is not None
    assert later < 1_000_000, "a broker's clock may be set back"
