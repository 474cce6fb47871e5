"""When events became visible: the effect of faults as a consumer of the events notices it."""

from __future__ import annotations

import itertools
import secrets
import threading
import time

from confluent_kafka import Consumer, TopicPartition


class EventMonitor(threading.Thread):
    """A read_committed consumer that records when it received events of each partition."""

    def __init__(self, servers: str, topic: str, partitions: int) -> None:
        super().__init__(name="event-monitor", daemon=True)
        self._topic, self._partitions = topic, partitions
        self.seen: list[list[float]] = [[] for _ in range(partitions)]
        """Per partition, the monotonic times (seconds) at which events arrived."""
        self._ending = threading.Event()
        self._consumer = Consumer(
            {
                "bootstrap.servers": servers,
                "group.id": f"monitor-{secrets.token_hex(4)}",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 20,
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
            }
        )
        self.start()

    def run(self) -> None:
        self._consumer.assign([TopicPartition(self._topic, number, 0) for number in range(self._partitions)])
        while not self._ending.is_set():
            now = {record.partition() for record in self._consumer.consume(1000, 0.1) if record.error() is None}
            for number in now:
                self.seen[number].append(time.monotonic())
        self._consumer.close()

    def stop(self) -> None:
        """Stop consuming and wait for the thread."""
        self._ending.set()
        self.join(10)

    def silence(self, number: int, since: float, until: float) -> float:
        """Return the longest time without an event of a partition between two monotonic times, in seconds."""
        times = [since, *(moment for moment in self.seen[number] if since <= moment <= until), until]
        return max(b - a for a, b in itertools.pairwise(times))
