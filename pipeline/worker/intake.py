"""Fetched records on their way from the consumer to the queues of the tasks.

Nothing is skipped and nothing overtakes. A fetch that does not begin where the last one of its input ended was preceded
by one that was dropped, in a rebalance or while the flow was suspended: the input is read again from there.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from aiokafka.structs import TopicPartition
from faust.types import TP

from pipeline.core.merge import Input
from pipeline.kafka.stored_batch import StoredBatch
from pipeline.topics import API
from pipeline.worker.damaged import DamagedBatches
from pipeline.worker.task import PartitionTask

QUEUE_RECORDS: Final = 8000
QUEUE_BYTES: Final = 4 << 20
"""Records of one input, and bytes of their packed batches, that are queued before it is no longer polled."""
TOTAL_BYTES: Final = 16 << 20
"""Bytes of packed batches of all inputs. Beyond it, an input is polled only if its partition waits for it."""


class Fetch:
    """What one poll returned for one topic-partition.

    `start` is the offset where the previous poll ended, `position` where this one ended, and `end` the end of the log
    that the latest fetch response reported. `batches` may be empty: transaction markers move the position too.
    """

    __slots__ = ("batches", "end", "position", "start", "tp")

    def __init__(self, tp: TP, batches: list[StoredBatch], start: int, position: int, end: int) -> None:
        self.tp = tp
        self.batches = batches
        self.start = start
        self.position = position
        self.end = end


class Poll(NamedTuple):
    """The fetches of one poll that have batches, and the group generation that they were polled in."""

    generation: int
    fetches: list[Fetch]


class Intake:
    """The queues of all tasks, as the consumer fills them."""

    def __init__(
        self, prefix: str, tasks: Mapping[int, PartitionTask], wake: Callable[[], None], damaged: DamagedBatches
    ) -> None:
        """`tasks` are the worker's, by partition number; `wake` is called when records were queued."""
        self.damaged = damaged
        self._api = API.full_name(prefix)
        self._tasks = tasks
        self._wake = wake
        self.generation: int | None = None
        """The group generation in which units may be committed; None during a rebalance."""
        self.polled_at = time.monotonic()
        self._pending: Counter[TP] = Counter()
        """Fetches of an input that were handed to the agent and have not come back."""
        self._missed: dict[TP, int] = {}

    def open(self, generation: int) -> None:
        """Accept fetches of this generation. The inputs are fetched again from their offsets."""
        self._pending.clear()
        self._missed.clear()
        self._rewind()
        self.generation = generation
        self.polled_at = time.monotonic()

    def close(self) -> None:
        """Accept no fetches. What is queued stays, until the units that it belongs to are committed."""
        self.generation = None

    def discard(self) -> None:
        """Drop what is queued; it is fetched again after `open`."""
        self._rewind()
        self._pending.clear()

    def _rewind(self) -> None:
        for source in self.inputs():
            source.rewind()

    # --- what the consumer asks ------------------------------------------------------------------------------

    @property
    def polling(self) -> bool:
        """Whether the consumer should poll: there is a generation, and there are partitions."""
        return self.generation is not None and bool(self._tasks)

    def full(self) -> frozenset[TP]:
        """The inputs whose queues are full. Called before each poll; reads sizes only."""
        inputs = self.inputs()
        crowded = sum(source.size for source in inputs) >= TOTAL_BYTES
        found = set()
        # Both inputs of a partition stand side by side.
        for one, other in zip(inputs[::2], inputs[1::2], strict=True):
            for source, sibling in ((one, other), (other, one)):
                needed = not crowded or (sibling.queue and not source.queue)
                if source.queued >= QUEUE_RECORDS or source.size >= QUEUE_BYTES or not needed:
                    found.add(TP(source.topic, source.partition))
        return frozenset(found)

    def idle(self) -> bool:
        """Whether no signal and no deadline waits for an input to be read further."""
        return not any(task.partition.armed or any(s.queue for s in task.merge.inputs) for task in self._tasks.values())

    def missed(self) -> dict[TP, int]:
        """The inputs that lost a fetch, and the offset from which each must be read again. Clears the list."""
        missed, self._missed = self._missed, {}
        return missed

    def positions(self) -> dict[TP, int]:
        """The offset from which each input must be read after a rebalance."""
        return {TP(source.topic, source.partition): source.offset for source in self.inputs()}

    # --- what the consumer and the agent deliver -------------------------------------------------------------

    def polled(self) -> None:
        """A poll has ended, or every queue was full."""
        self.polled_at = time.monotonic()

    def announce(self, poll: Poll) -> None:
        """These fetches are on their way through the agent, together."""
        for fetch in poll.fetches:
            self._pending[fetch.tp] += 1
            if (source := self._input(fetch.tp)) is not None:
                source.announce(True)  # records of the other topic in the same poll must wait for these

    def receive(self, poll: Poll) -> None:
        """Queue what the agent delivers."""
        for fetch in poll.fetches:
            if poll.generation == self.generation:
                self._pending[fetch.tp] -= 1
                if (source := self._input(fetch.tp)) is not None:
                    source.announce(self._pending[fetch.tp] > 0)
            self._queue(poll.generation, fetch)

    def move(self, generation: int, fetch: Fetch) -> None:
        """Take the new position of a fetch without records, which does not go through the agent."""
        # While another fetch of this input is on its way through the agent, this one would overtake it.
        if not self._pending[fetch.tp]:
            self._queue(generation, fetch)

    def _queue(self, generation: int, fetch: Fetch) -> None:
        source = self._input(fetch.tp)
        if source is None or generation != self.generation:
            return
        if fetch.start != source.position:
            self._missed[fetch.tp] = source.position
            return
        if fetch.batches or (fetch.position, fetch.end) != (source.position, source.end):
            source.fetched(fetch.batches, fetch.position, fetch.end)
            self._wake()

    # --- what the liveness checks ask ------------------------------------------------------------------------

    def reading(self) -> dict[TopicPartition, int]:
        """The position of each input whose queue has room; empty during a rebalance."""
        inputs = self.inputs() if self.generation is not None else ()
        positions = {TopicPartition(source.topic, source.partition): source.position for source in inputs}
        waiting = self.full() | self.damaged.stuck()
        return {tp: position for tp, position in positions.items() if tp not in waiting}

    def inputs(self) -> list[Input]:
        """The inputs of all tasks."""
        return [source for task in list(self._tasks.values()) for source in task.merge.inputs]

    def _input(self, tp: TP) -> Input | None:
        task = self._tasks.get(tp.partition)
        if task is None:
            return None
        return task.merge.api if tp.topic == self._api else task.merge.media
