"""The barrier's questions: where does a log end, asked at a known time of the broker (contract §5).

A deadline is never fired from here: an answer is put beside the input, and the next unit looks at it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from pipeline.core.merge import GRACE, Input
from pipeline.worker.recovery import Lane, Recovery
from pipeline.worker.transactions import BrokerClock

TICK_SECONDS: Final = 0.05
UNARMED_SECONDS: Final = 0.2
"""How long nobody looks while no playback has a watchdog running: a third of an idle worker's wake-ups."""
STALE_SECONDS: Final = 60.0
"""After this long without a word from the broker, two monotonic clocks may have drifted apart: ask anew."""


class Watch:
    """Looks for deadlines that are due and not yet behind the barrier."""

    def __init__(
        self,
        recovery: Recovery,
        clock: BrokerClock,
        lanes: Callable[[], Mapping[int, Lane]],
        wake: Callable[[], None],
        ask_time: Callable[[int], None],
    ) -> None:
        """`ask_time(partition)` makes the engine write that partition's position, to hear the broker's time."""
        self._recovery, self._clock = recovery, clock
        self._lanes, self._wake, self._ask_time = lanes, wake, ask_time
        self.questions = 0

    async def run(self) -> None:
        """Look every tick; until cancelled."""
        while True:
            armed = any(lane.partition.armed for lane in self._lanes().values())
            await asyncio.sleep(TICK_SECONDS if armed else UNARMED_SECONDS)
            waiting = self._waiting()
            if not waiting:
                continue
            now = self._clock.now()
            if now is None or self._clock.age > STALE_SECONDS:
                self._ask_time(waiting[0].partition)
                continue
            await self._ask(waiting, now)

    def _waiting(self) -> list[Input]:
        """The inputs that hold a due deadline back."""
        now = self._clock.now()
        unknown = now is None or self._clock.age > STALE_SECONDS
        waiting = []
        for lane in self._lanes().values():
            timeout = lane.partition.next_timeout()
            if timeout is None or not (unknown or (now is not None and timeout.occurred_at + GRACE <= now)):
                continue
            waiting += [s for s in lane.merge.inputs if not s.queue and not s.reached(timeout.occurred_at)]
        return waiting

    async def _ask(self, inputs: list[Input], now: int) -> None:
        asked = {TopicPartition(source.topic, source.partition): source for source in inputs}
        self.questions += len(asked)
        try:
            ends = await self._recovery.ends(asked)
        except KafkaError:
            return  # a broker that is away: ask again at the next tick, nothing fires meanwhile
        for tp, source in asked.items():
            source.probe = (now, ends[tp])
        self._wake()
