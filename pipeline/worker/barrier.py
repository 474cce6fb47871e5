"""Looks up the ends of the logs that due deadlines wait for (the barrier of contract §5).

No deadline fires from here. The end is stored in the input, and the task compares it when it is next advanced.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from pipeline.core.merge import GRACE, Input
from pipeline.kafka.log_offsets import LogOffsets
from pipeline.worker.broker_clock import BrokerClock
from pipeline.worker.task import PartitionTask

TICK_SECONDS: Final = 0.05
UNARMED_SECONDS: Final = 0.2
"""The tick while no watchdog runs: it was a third of an idle worker's wake-ups."""
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
        self.lookups = 0
        """Ends of logs that were asked for."""

    async def run(self) -> None:
        """Look every tick, until cancelled."""
        while True:
            armed = any(task.partition.armed for task in self._tasks.values())
            await asyncio.sleep(TICK_SECONDS if armed else UNARMED_SECONDS)
            waiting = self._waiting()
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

    def _waiting(self) -> list[Input]:
        """Return the inputs that block a due deadline."""
        now = self._broker_time()
        waiting = []
        for task in self._tasks.values():
            timeout = task.partition.next_timeout()
            if timeout is None or (now is not None and timeout.occurred_at + GRACE > now):
                continue
            waiting += [s for s in task.merge.inputs if not s.queue and not s.reached(timeout.occurred_at)]
        return waiting

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
