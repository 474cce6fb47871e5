"""What was fetched, on its way from the consumer to the queues: nothing is skipped, nothing overtakes, and what got
lost on the way is asked for again.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from typing import Final

from aiokafka.structs import TopicPartition
from faust.types import TP

from pipeline.core.merge import Input
from pipeline.topics import API
from pipeline.worker.faust_consumer import Fetch
from pipeline.worker.recovery import Lane

QUEUE_RECORDS: Final = 8000
QUEUE_BYTES: Final = 8 << 20
"""Records of one input, and the bytes of their values, that wait in memory at most, but for the poll that passes it."""


def _full(source: Input) -> bool:
    return len(source.queue) >= QUEUE_RECORDS or source.size >= QUEUE_BYTES


class Intake:
    """The engine as the consumer sees it (`consumer.Sink`, but for the rebalances)."""

    def __init__(self, prefix: str) -> None:
        self._api = API.full_name(prefix)
        self.lanes: Mapping[int, Lane] = {}
        self.generation: int | None = None
        """The generation that we work in; None while nothing may be committed."""
        self.polled_at = time.monotonic()
        self._pending: Counter[TP] = Counter()
        """How many Fetches of an input are on their way through the agent."""
        self._missed: dict[TP, int] = {}
        self._wake = asyncio.Event()

    @property
    def polling(self) -> bool:
        """Whether the consumer should poll: we have a generation, and partitions."""
        return self.generation is not None and bool(self.lanes)

    def full(self) -> frozenset[TP]:
        """Called from the consumer's thread, before each poll: reads sizes only."""
        return frozenset(TP(source.topic, source.partition) for source in self._inputs() if _full(source))

    def reading(self) -> dict[TopicPartition, int]:
        """How far each input that has room for more was read; nothing while we have no generation."""
        at_work = self._inputs() if self.generation is not None else ()
        return {TopicPartition(s.topic, s.partition): s.position for s in at_work if not _full(s)}

    def _inputs(self) -> list[Input]:
        return [source for lane in list(self.lanes.values()) for source in lane.merge.inputs]

    def idle(self) -> bool:
        return not any(
            lane.partition.armed or any(s.queue for s in lane.merge.inputs) for lane in self.lanes.values()
        )

    def polled(self) -> None:
        self.polled_at = time.monotonic()

    def delivering(self, polled: list[TP]) -> None:
        for tp in polled:
            self._pending[tp] += 1
            if (source := self._input(tp)) is not None:
                source.in_flight = True  # what the same poll brought of the other topic must wait for it

    def seen(self, fetch: Fetch) -> None:
        # While a Fetch of this input is on its way through the agent, what we see here would overtake it.
        if not self._pending[fetch.tp]:
            self._take(fetch)

    def receive(self, fetch: Fetch) -> None:
        """The agent hands over what was fetched."""
        if fetch.generation == self.generation:
            self._pending[fetch.tp] -= 1
            if (source := self._input(fetch.tp)) is not None:
                source.in_flight = self._pending[fetch.tp] > 0
        self._take(fetch)

    def _take(self, fetch: Fetch) -> None:
        source = self._input(fetch.tp)
        if source is None or fetch.generation != self.generation:
            return
        if fetch.start != source.position:
            # What lies between was polled and dropped (a rebalance, a suspended flow). Never skip: read it again.
            self._missed[fetch.tp] = source.position
            return
        if fetch.records or (fetch.position, fetch.end) != (source.position, source.end):
            source.fetched(fetch.records, fetch.position, fetch.end)
            self._wake.set()

    def missed(self) -> dict[TP, int]:
        missed, self._missed = self._missed, {}
        return missed

    def _input(self, tp: TP) -> Input | None:
        lane = self.lanes.get(tp.partition)
        if lane is None:
            return None
        return lane.merge.api if tp.topic == self._api else lane.merge.media

    def positions(self) -> dict[TP, int]:
        return {TP(source.topic, source.partition): source.offset for source in self._inputs()}
