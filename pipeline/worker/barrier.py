"""Looks up the ends of the logs that due deadlines wait for (the barrier of contract §5).

No deadline fires from here. The end is stored in the input, and the task compares it when it is next advanced. Records
of gone rooms are deleted behind the same barrier. Where signals arrive, those signals reach it; for an idle partition
the ends are looked up every GONE_SECONDS as long as it has such records.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from pipeline.core.deadlines import NEVER
from pipeline.core.merge import GRACE, Input
from pipeline.kafka.log_offsets import LogOffsets
from pipeline.worker.broker_clock import BrokerClock
from pipeline.worker.task import PartitionTask

TICK_SECONDS: Final = 0.05
UNARMED_SECONDS: Final = 0.2
"""The tick while no watchdog runs: it was a third of an idle worker's wake-ups."""
GONE_SECONDS: Final = 10.0
"""Seconds between two looks for gone rooms whose 60 s are over in idle partitions. Nothing waits for their deletion."""
STALE_SECONDS: Final = 60.0
"""Age of the broker's time after which two monotonic clocks may have drifted apart, so that it is read again."""


class Barrier:
    """Finds deadlines that are due and have not passed the barrier, and asks Kafka for what they wait for."""

    def __init__(
        self,
        offsets: LogOffsets,
        clock: BrokerClock,
        tasks: Mapping[int, PartitionTask],
        wake: Callable[[], None],
        request_broker_time: Callable[[int], None],
    ) -> None:
        """`wake` makes the engine look for work; `request_broker_time` makes it write a partition's position."""
        self._offsets, self._clock, self._tasks = offsets, clock, tasks
        self._wake, self._request_broker_time = wake, request_broker_time
        self._looked_for_gone = time.monotonic()
        self.lookups = 0
        """Ends of logs that were asked for."""

    async def run(self) -> None:
        """Look every tick, until cancelled."""
        while True:
            armed = any(task.partition.armed for task in self._tasks.values())
            await asyncio.sleep(TICK_SECONDS if armed else UNARMED_SECONDS)
            waiting = self._blocking(self._due_deadlines())
            if time.monotonic() - self._looked_for_gone > GONE_SECONDS:
                self._looked_for_gone = time.monotonic()
                waiting += self._blocking(self._over_of_gone())
            if not waiting:
                continue
            now = self._broker_time()
            if now is None:
                self._request_broker_time(waiting[0].partition)
            else:
                await self._look_up(waiting, now)

    def _broker_time(self) -> int | None:
        """Return the broker's time (microseconds); None when it is unknown or stale."""
        return None if self._clock.age > STALE_SECONDS else self._clock.now()

    def _due_deadlines(self) -> Iterable[tuple[PartitionTask, int]]:
        """Yield the earliest deadline of each task that has one."""
        for task in self._tasks.values():
            timeout = task.partition.next_timeout()
            if timeout is not None:
                yield task, timeout.occurred_at

    def _over_of_gone(self) -> Iterable[tuple[PartitionTask, int]]:
        """Yield the earliest end of the 60 s of a gone room, of each task that has one."""
        for task in self._tasks.values():
            until = task.partition.gone_until
            if until != NEVER:
                yield task, until

    def _blocking(self, times: Iterable[tuple[PartitionTask, int]]) -> list[Input]:
        """Return the inputs that keep a time which has come from being behind the barrier."""
        now = self._broker_time()
        return [
            source
            for task, when in times
            if now is None or when + GRACE <= now
            for source in task.merge.inputs
            if not source.queue and not source.reached(when)
        ]

    async def _look_up(self, inputs: list[Input], now: int) -> None:
        by_partition = {TopicPartition(source.topic, source.partition): source for source in inputs}
        self.lookups += len(by_partition)
        try:
            ends = await self._offsets.ends(by_partition)
        except KafkaError:
            return  # Kafka is away: the next tick asks again, and no deadline fires meanwhile
        for tp, source in by_partition.items():
            source.observe_end(now, ends[tp])
        self._wake()
