"""Batches of the inputs whose checksum is wrong: a fault of a disk or of a network, since brokers refuse such batches.

They are fetched again, and never skipped: another replica may have them intact. Their partition waits.
"""

from __future__ import annotations

import time
from typing import Final

import structlog
from aiokafka.structs import TopicPartition

from pipeline.metrics import Metrics

RETRY_SECONDS: Final = 1.0
LOG_SECONDS: Final = 30.0
log = structlog.get_logger("consumer")


class DamagedBatches:
    """The inputs whose next batch is damaged."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._seen: dict[TopicPartition, float] = {}
        self._logged: dict[TopicPartition, float] = {}

    def add(self, tp: TopicPartition, offset: int) -> None:
        """Note that the batch at this offset is damaged, count it, and log it every LOG_SECONDS."""
        now = time.monotonic()
        self._seen[tp] = now
        self._metrics.damaged.labels(tp.topic).inc()
        if now - self._logged.get(tp, -LOG_SECONDS) >= LOG_SECONDS:
            self._logged[tp] = now
            log.error(
                "a batch has a wrong checksum: its partition waits, and it is fetched again; see the runbook",
                topic=tp.topic,
                partition=tp.partition,
                offset=offset,
            )

    def waiting(self) -> frozenset[TopicPartition]:
        """Return the inputs that must not be polled yet."""
        return self._since(RETRY_SECONDS)

    def stuck(self) -> frozenset[TopicPartition]:
        """Return the inputs that make no progress, for a known reason."""
        return self._since(10 * RETRY_SECONDS)

    def _since(self, seconds: float) -> frozenset[TopicPartition]:
        now = time.monotonic()
        return frozenset(tp for tp, seen in list(self._seen.items()) if now - seen < seconds)
