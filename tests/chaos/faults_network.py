"""Faults of the network between one worker and the brokers."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError

from testkit.chaos.proxy import LostRequest, Timing
from testkit.chaos.testbed import Testbed


def broken(fault: str, break_it: Callable[[Any, random.Random], Any], sessions: float) -> Callable[[Testbed], None]:
    """Return a fault that breaks a worker's links for up to `sessions` session timeouts."""

    def inject(testbed: Testbed) -> None:
        assert testbed.proxies is not None
        slot, seconds = testbed.victim(), testbed.rng.uniform(0.3, sessions) * testbed.config.session
        links = testbed.proxies.of(slot.number)
        with testbed.injecting(fault, slot):
            for link in links:
                testbed.proxies.call(break_it(link, testbed.rng))
            time.sleep(seconds)
            for link in links:
                if testbed.rng.random() < 0.5:
                    testbed.proxies.call(link.reset())  # otherwise the held-back data still arrives
                testbed.proxies.call(link.heal())

    return inject


def reset(testbed: Testbed) -> None:
    """Abort all connections of a worker."""
    assert testbed.proxies is not None
    slot = testbed.victim()
    with testbed.injecting("reset", slot):
        for link in testbed.proxies.of(slot.number):
            testbed.proxies.call(link.reset())


def expelled(testbed: Testbed) -> None:
    """Cut an idle worker off until the group expels it; it rejoins before it fetches another signal.

    No unit is in progress then, whose offset commit the group would reject.
    """
    assert testbed.proxies is not None
    slot = testbed.owner()
    links = testbed.proxies.of(slot.number)
    with testbed.injecting("expelled", slot):
        for link in links:
            testbed.proxies.call(link.starve())
        time.sleep(1)
        for link in links:
            testbed.proxies.call(link.cut("up", "down"))
        time.sleep(testbed.rng.uniform(1.8, 2.5) * testbed.config.session)
        for link in links:
            testbed.proxies.call(link.heal())
        time.sleep(2)
        for link in links:
            testbed.proxies.call(link.feed())


def late(fault: str, api_key: int, *timings: Timing) -> Callable[[Testbed], None]:
    """Return a fault that loses a transactional request and delivers it late, at one of `timings`."""

    def inject(testbed: Testbed) -> None:
        assert testbed.proxies is not None
        slot = testbed.owner()
        links = testbed.proxies.of(slot.number)
        # With one broker, a unit's records are one request: there is no "between".
        lost = LostRequest(api_key, testbed.rng.choice(timings if len(links) > 1 else timings[:1]))
        for link in links:
            testbed.proxies.call(link.lose(lost))
        if lost.delivered.wait(20):
            with testbed.injecting(fault, slot):
                testbed.late[f"{fault}, {lost.late}: {_answer(lost)}"] += 1
        for link in links:
            testbed.proxies.call(link.release(lost))

    return inject


def _answer(lost: LostRequest) -> str:
    return "not looked at" if lost.error is None else KafkaError(lost.error).name()


def stall(fault: str, api_key: int) -> Callable[[Testbed], None]:
    """Return a fault that cuts a worker off between two steps of a unit, for about a session timeout or more."""

    def inject(testbed: Testbed) -> None:
        assert testbed.proxies is not None
        slot = testbed.owner()
        links = testbed.proxies.of(slot.number)
        for link in links:
            testbed.proxies.call(link.trip(api_key))
        limit = time.monotonic() + 5
        while not any(link.tripped.is_set() for link in links) and time.monotonic() < limit:
            time.sleep(0.005)
        with testbed.injecting(fault, slot):
            for link in links:
                testbed.proxies.call(link.trip(-1))
                testbed.proxies.call(link.cut("up", "down"))
            time.sleep(testbed.rng.uniform(0.8, 2.0) * testbed.config.session)
            for link in links:
                testbed.proxies.call(link.heal())

    return inject
