"""Faults of the broker, of one of three brokers, and of the schema registry."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from typing import Final

from testkit.chaos.logs import API, MEDIA
from testkit.chaos.testbed import Testbed
from tests.chaos.faults_workers import terminate

_BROKERS: Final = threading.Lock()
"""Held while a server is down: two faults at once must not take down two."""


def _down(testbed: Testbed, fault: str, name: str, number: signal.Signals, seconds: float) -> None:
    with _BROKERS, testbed.injecting(fault):
        testbed.stack.kill(name, number)
        time.sleep(seconds)
        if number == signal.SIGSTOP:
            testbed.stack.kill(name, signal.SIGCONT)
        else:
            _until_gone(testbed, name)
            testbed.stack.up()


def _until_gone(testbed: Testbed, name: str) -> None:
    limit = time.monotonic() + 30
    while any(p.name == name and p.state == "running" for p in testbed.stack.status().processes):
        if time.monotonic() > limit:
            testbed.stack.kill(name, signal.SIGKILL)
        time.sleep(0.05)


def broker_kill(testbed: Testbed) -> None:
    """Kill the broker with SIGKILL and start it again."""
    _down(testbed, "broker_kill", "kafka-1", signal.SIGKILL, testbed.rng.uniform(0, 3))


def broker_restart(testbed: Testbed) -> None:
    """Restart the broker with SIGTERM."""
    _down(testbed, "broker_restart", "kafka-1", signal.SIGTERM, 0)


def broker_freeze(testbed: Testbed) -> None:
    """Stop the broker with SIGSTOP for up to twice the session timeout."""
    _down(
        testbed,
        "broker_freeze",
        "kafka-1",
        signal.SIGSTOP,
        testbed.rng.uniform(1, 2.2 * testbed.config.session),
    )


def registry_gone(testbed: Testbed) -> None:
    """Stop the schema registry and restart a worker, which must wait for it; the others continue."""
    slot = testbed.victim()
    with _BROKERS, testbed.injecting("registry_gone", slot):
        testbed.stack.kill("registry")
        terminate(slot)
        time.sleep(testbed.rng.uniform(1, 4))
        testbed.stack.up()


def cluster(fault: str, choose: Callable[[Testbed], int]) -> Callable[[Testbed], None]:
    """Return a fault that kills, restarts or freezes the broker that `choose` returns."""

    def inject(testbed: Testbed) -> None:
        number = testbed.rng.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP))
        seconds = testbed.rng.uniform(1, 10) if number == signal.SIGSTOP else testbed.rng.uniform(0, 5)
        _down(testbed, fault, f"kafka-{choose(testbed)}", number, seconds)

    return inject


def any_node(testbed: Testbed) -> int:
    """Return a random broker id."""
    return testbed.rng.randint(1, testbed.config.nodes)


def _leader(testbed: Testbed, topic: str, partition: int) -> int:
    number = testbed.admin().list_topics(topic, timeout=20).topics[topic].partitions[partition].leader
    return int(number) if number > 0 else any_node(testbed)


def leader_of_signals(testbed: Testbed) -> int:
    """Return the leader of a random partition of the signals."""
    return _leader(
        testbed,
        testbed.pipe.topic(testbed.rng.choice((API, MEDIA))),
        testbed.rng.randrange(testbed.config.partitions),
    )


def _coordinator(testbed: Testbed, topic: str, name: str) -> int:
    """Return the coordinator of a group or transactional id: partition |Java's hash of its name| mod partitions."""
    value = 0
    for character in name:
        value = (31 * value + ord(character)) & 0xFFFFFFFF
    value = abs(value - (1 << 32) if value >= 1 << 31 else value)
    return _leader(testbed, topic, value % len(testbed.admin().list_topics(topic, timeout=20).topics[topic].partitions))


def group_coordinator(testbed: Testbed) -> int:
    """Return the coordinator of the workers' group."""
    return _coordinator(testbed, "__consumer_offsets", testbed.pipe.env["PIPELINE_GROUP_ID"])


def transaction_coordinator(testbed: Testbed) -> int:
    """Return the coordinator of a random worker's transactional id."""
    process = testbed.victim().process
    started = [line for line in process.log if line["msg"] == "starting"] if process else []
    return (
        _coordinator(testbed, "__transaction_state", started[-1]["transactional_id"]) if started else any_node(testbed)
    )
