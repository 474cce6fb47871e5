"""Watches whether Kafka answers while a worker runs, and reports when it does not.

A worker waits while brokers are away. Then it goes on, or ends with code 3 if the group has continued without it. The
libraries repeat their requests without a word.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Final

import structlog
from aiokafka import errors as Errors
from aiokafka.structs import TopicPartition

from pipeline import topics
from pipeline.kafka.admin import diagnose_connection
from pipeline.kafka.log_offsets import LogOffsets
from pipeline.settings import Settings

CHECK_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 5.0
"""Time limit of one check. A partition without a leader, as on a broker whose disk is full, is no answer either."""
LOG_SECONDS: Final = 30.0
LOST_SECONDS: Final = 30.0
"""Seconds without an answer after which the worker is not ready. A new leader is elected sooner."""
log = structlog.get_logger("kafka")


class KafkaWatch:
    """When Kafka answered last for the partitions of this worker."""

    def __init__(self, settings: Settings, offsets: LogOffsets) -> None:
        self._settings, self._offsets = settings, offsets
        self._names = [topic.full_name(settings.topic_prefix) for topic in topics.TOPICS]
        self._answered = time.monotonic()

    @property
    def silent(self) -> float:
        """Seconds since the last answer; up to CHECK_SECONDS while all is well."""
        return time.monotonic() - self._answered

    @property
    def lost(self) -> str:
        """Why the worker is not ready: Kafka is lost. Else ""."""
        silent = self.silent
        return f"Kafka has not answered for {silent:.0f} s" if silent > LOST_SECONDS else ""

    async def run(self, numbers: Callable[[], Iterable[int]]) -> None:
        """Check until cancelled. `numbers` returns the partitions of this worker; without any, 0 is asked for."""
        lost_at: float | None = None
        logged = 0.0
        while True:
            error = await self._check(list(numbers()) or [0])
            now = time.monotonic()
            if error is None:
                if lost_at is not None:
                    log.info("Kafka answers again", seconds=round(now - lost_at))
                self._answered, lost_at = now, None
            elif lost_at is None or now - logged >= LOG_SECONDS:
                lost_at = self._answered if lost_at is None else lost_at
                logged = now
                why = await diagnose_connection(error, self._settings)
                log.warning(
                    "Kafka does not answer: the worker waits",
                    seconds=round(now - lost_at),
                    error=str(next(iter(why.args), why)),
                )
            await asyncio.sleep(CHECK_SECONDS)

    async def _check(self, numbers: list[int]) -> Errors.KafkaError | None:
        """Ask the leaders of these partitions, of all topics, where their logs end. Return the error, if any."""
        partitions = [TopicPartition(name, number) for name in self._names for number in numbers]
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._offsets.ends(partitions)
        except TimeoutError:
            return Errors.KafkaTimeoutError(f"no answer within {ANSWER_SECONDS:g} s")
        except Errors.KafkaError as error:
            return error
        return None
