"""Looks up the ends of the logs that due deadlines wait for (the barrier of contract §5).

No deadline fires from here. The end is stored in the input, and the task compares it when it is next advanced. Records
of gone rooms are deleted behind the same barrier. Where signals arrive, those signals reach it; for an idle partition
the ends are looked up every GONE_SECONDS as long as it has such records.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final

from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from pipeline.core.deadlines import NEVER
from pipeline.core.merge import GRACE, Input
from pipeline.kafka.log_offsets import LogOffsets
from pipeline.worker.broker_clock import BrokerClock
from pipeline.worker.task import PartitionTask

TICK_SECONDS: Final = 0.05
"""Longest time between two looks while a watchdog runs: a resumed playback may have little time left."""
GAP_SECONDS: Final = 0.02
"""Shortest time between two looks. Deadlines that are due within it share a request."""
ROUNDING_SECONDS: Final = 0.001
"""Resolution of the loop's timers: a look must not come just before a deadline is due."""
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
        """Look when the next deadline is due, at least every tick, until cancelled."""
        looked_at: int | None = None
        least = 0.0
        while True:
            await asyncio.sleep(self._pause(least))
            now, earliest = self._broker_time(), self._earliest()
            waiting = self._waiting(now)
            # The same deadline again waits for more than a look-up, as for the end of a producer's transaction. And
            # what has passed the barrier keeps the engine busy: more look-ups would only take its time.
            late = earliest == looked_at or any(task.due() is not None for task in self._tasks.values())
            least = 0.0 if not waiting else TICK_SECONDS if late else GAP_SECONDS
            looked_at = earliest if waiting else None
            waiting += self._waiting_gone(now)
            if waiting and now is None:
                self._request_broker_time(waiting[0].partition)
            elif waiting and now is not None:
                await self._look_up(waiting, now)

    def _earliest(self) -> int | None:
        return min(
            (time for task in self._tasks.values() if (time := task.partition.earliest) is not None), default=None
        )

    def _pause(self, least: float) -> float:
        """Return the seconds, at least `least`, until the next deadline is due and the barrier can be asked for."""
        now, earliest = self._broker_time(), self._earliest()
        if earliest is None:
            return UNARMED_SECONDS
        due = TICK_SECONDS if now is None else (earliest + GRACE - now) / 1e6
        pause = min(due + ROUNDING_SECONDS, TICK_SECONDS) if due > 0 else GAP_SECONDS
        return max(pause, least)

    def _broker_time(self) -> int | None:
        """Return the broker's time (microseconds); None when it is unknown or stale."""
        return None if self._clock.age > STALE_SECONDS else self._clock.now()

    def _waiting(self, now: int | None) -> list[Input]:
        """Return the inputs that may block a due deadline: of tasks that have one, those whose log is not known up to
        the latest deadline that can be due."""
        waiting = []
        for task in self._tasks.values():
            timeout = task.partition.next_timeout()
            if timeout is not None:
                waiting += _blocking(task, timeout.occurred_at, now)
        return waiting

    def _waiting_gone(self, now: int | None) -> list[Input]:
        """Return, every GONE_SECONDS, the inputs that keep the record of a gone room from being deleted."""
        if time.monotonic() - self._looked_for_gone < GONE_SECONDS:
            return []
        self._looked_for_gone = time.monotonic()
        waiting = []
        for task in self._tasks.values():
            until = task.partition.gone_until
            if until != NEVER:
                waiting += _blocking(task, until, now)
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


def _blocking(task: PartitionTask, when: int, now: int | None) -> list[Input]:
    """Return the inputs of `task` that keep the time `when` from being behind the barrier; none if it is not due."""
    if now is not None and when + GRACE > now:
        return []
    last = when if now is None else now - GRACE
    return [source for source in task.merge.inputs if not source.queue and not source.reached(last)]
