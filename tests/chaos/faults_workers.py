"""Faults of workers: killed, terminated, frozen, many joining at once, with a shifted clock."""

from __future__ import annotations

import signal
import time

from testkit.chaos.testbed import Slot, Testbed


def kill(testbed: Testbed) -> None:
    """Kill a worker with SIGKILL."""
    slot = testbed.victim()
    with testbed.injecting("kill", slot):
        testbed.kill(slot)


def term(testbed: Testbed) -> None:
    """Stop a worker with SIGTERM."""
    slot = testbed.victim()
    with testbed.injecting("term", slot):
        terminate(slot)


def terminate(slot: Slot) -> None:
    """Send SIGTERM to the slot's worker."""
    if slot.process is not None:
        slot.process.signal(signal.SIGTERM)


def freeze_short(testbed: Testbed) -> None:
    """Stop a worker with SIGSTOP for less than the session timeout."""
    _freeze(testbed, "freeze_short", testbed.rng.uniform(0.15, 0.8) * testbed.config.session)


def freeze_long(testbed: Testbed) -> None:
    """Stop a worker with SIGSTOP for about the session timeout or longer."""
    _freeze(testbed, "freeze_long", testbed.rng.uniform(0.9, 2.2) * testbed.config.session)


def _freeze(testbed: Testbed, name: str, seconds: float) -> None:
    slot = testbed.victim()
    process = slot.process
    if process is None:
        return
    with testbed.injecting(name, slot):
        process.signal(signal.SIGSTOP)
        time.sleep(seconds)
        process.signal(signal.SIGCONT)


def storm(testbed: Testbed) -> None:
    """Start and stop two additional workers, one change per second."""
    with testbed.injecting("storm"):
        extra = testbed.slots[testbed.config.workers :][:2]
        for _ in range(testbed.rng.randint(4, 7)):
            slot = testbed.rng.choice(extra)
            with slot.held:
                if slot.process is None:
                    testbed.start(slot)
                else:
                    slot.wanted = False
                    (terminate if testbed.rng.random() < 0.6 else testbed.kill)(slot)
                    testbed.record_exit(slot)
            time.sleep(1)
        for slot in extra:
            with slot.held:
                slot.wanted = False
                terminate(slot)
                testbed.record_exit(slot)


def rolling(testbed: Testbed) -> None:
    """Restart every worker in turn, each when the previous one is ready."""
    with testbed.injecting("rolling"):
        for slot in testbed.slots[: testbed.config.workers]:
            old = slot.process
            terminate(slot)
            limit = time.monotonic() + 20
            while time.monotonic() < limit and (slot.process in {None, old} or not _ready(slot)):
                time.sleep(0.1)


def _ready(slot: Slot) -> bool:
    process = slot.process
    return process is not None and bool(process.log) and process.get("/readyz")[0] == 200


def newcomer(testbed: Testbed) -> None:
    """Start one more worker and kill it as soon as it has partitions, or shortly after."""
    slot = testbed.slots[testbed.config.workers % len(testbed.slots)]
    with slot.held, testbed.injecting("newcomer"):
        if slot.process is not None:  # all slots are in use: kill a worker, then its successor
            testbed.kill(slot)
            testbed.record_exit(slot)
        testbed.start(slot)
        limit = time.monotonic() + 20
        while not testbed.partitions_of(slot) and time.monotonic() < limit:
            time.sleep(0.002)
        time.sleep(testbed.rng.uniform(0, 0.3))
        testbed.kill(slot)
        testbed.record_exit(slot)
        slot.wanted = slot.number < testbed.config.workers


def clock(testbed: Testbed) -> None:
    """Restart a worker with a clock that is wrong by seconds or minutes."""
    slot = testbed.victim()
    slot.clock = testbed.rng.choice((-300, -5, 5, 300)) * testbed.rng.uniform(0.5, 1)
    with testbed.injecting("clock", slot):
        terminate(slot)
