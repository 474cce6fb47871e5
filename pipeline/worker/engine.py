"""Schedules the tasks of a worker and commits their output in units.

A unit is what was decided since the last one was sealed, on all partitions. The engine decides it in memory and writes
it in one transaction. When the write fails the process ends and its memory with it, so rooms may change before the
commit: nothing else reads them. For the same reason the next unit is decided while one is being written.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, Final

from aiokafka.structs import TopicPartition

from pipeline.core.merge import PackedError
from pipeline.errors import FatalError, PipelineError
from pipeline.metrics import Metrics
from pipeline.model.decoders import SignalDecoder, UnknownSchemaError
from pipeline.settings import Settings
from pipeline.worker.damaged import DamagedBatches
from pipeline.worker.intake import Intake
from pipeline.worker.output_encoder import OutputEncoder
from pipeline.worker.schemas import Learner
from pipeline.worker.statistics import Gauges, count_unit
from pipeline.worker.task import PartitionTask, SignalReader
from pipeline.worker.transactions import SealedUnit, Transactions
from pipeline.worker.unit import MAX_SIGNALS, Unit
from pipeline.worker.unpacker import Unpacker

SLICE_SIGNALS: Final = 100
"""Signals decided without yielding to the loop, which the consumer, the agent, the transactions and the probes share.
Slices of 500 starved the commit, which needs about 12 turns of the loop. A deadline that fires counts as a signal."""
SLICE_DEADLINES: Final = SLICE_SIGNALS // 2
"""Deadlines that a slice takes before the signals that are queued: neither must wait for all of the other."""


class Engine:
    """Decides and commits units from `resume` to `quiesce`, again and again."""

    def __init__(
        self,
        settings: Settings,
        encoder: OutputEncoder,
        decoder: SignalDecoder,
        learner: Learner,
        transactions: Transactions,
        metrics: Metrics,
    ) -> None:
        self._settings, self._encoder, self._learner = settings, encoder, learner
        self._transactions, self._metrics = transactions, metrics
        self._gauges = Gauges(metrics)
        self._signals = SignalReader(settings, decoder, metrics)
        self.tasks: dict[int, PartitionTask] = {}
        """The tasks of this worker by partition number. The table's store adds and removes them."""
        self._wake = asyncio.Event()
        self.intake = Intake(settings.topic_prefix, self.tasks, self._wake.set, DamagedBatches(metrics))
        self._unit = Unit(encoder, settings.worker_id)
        """The open unit."""
        self._enough = 0
        """Signals with which the open unit is written as soon as it can be, even if more are queued."""
        self._writing: asyncio.Task[None] | None = None
        self._interval = settings.commit_interval_ms / 1000
        self._next_write = 0.0
        """When the next unit may be written, unless it is full (monotonic seconds)."""
        self._timer: asyncio.TimerHandle | None = None
        self._began: float | None = None
        """When the unit that is being written began (monotonic seconds)."""
        self._encode_rows = False
        """Whether to encode the open unit's rows after this slice (see unit.py)."""
        self._lock = asyncio.Lock()
        self._positions_due: set[int] = set()
        self._also_end: set[TopicPartition] = set()
        self._ended: set[TopicPartition] = set()
        self._burst = False
        """Whether more deadlines have passed the barrier than a slice takes."""
        self._turn = self._slices = 0
        """The busy task whose turn it is, and the slices that it has had."""
        self._fatal: PipelineError | None = None
        self._lookups: set[int] = set()
        """Partitions that wait for the registry."""
        self._unpacker = Unpacker()
        self._background: set[asyncio.Task[None]] = set()
        self._stopping = False

    # --- rebalances ------------------------------------------------------------------------------------------

    async def quiesce(self) -> None:
        """Commit what is decided, begin no other unit, drop what is queued."""
        self.intake.close()
        await self._flush()
        self.intake.discard()

    def resume(self, generation: int, member_id: str) -> None:
        """Work as this member of this generation; the inputs are at their positions."""
        self._transactions.join(generation, member_id)
        self.intake.open(generation)
        self._wake.set()

    async def stop(self) -> None:
        """Commit what is decided and begin no other unit; `run` returns."""
        self._stopping = True
        self._wake.set()
        self.intake.close()
        await self._flush()

    # --- requests of others ----------------------------------------------------------------------------------

    def wake(self) -> None:
        """Look for work: something has changed."""
        self._wake.set()

    def request_broker_time(self, partition: int) -> None:
        """Write the position of `partition` with the next unit; its acknowledgement carries the broker's time."""
        self._positions_due.add(partition)
        self._wake.set()

    def include(self, partitions: set[TopicPartition]) -> None:
        """Add these partitions to the next transaction, to end an earlier one of this worker that is open there."""
        self._also_end |= partitions
        for tp in partitions:
            self.request_broker_time(tp.partition)

    def take_ended(self) -> set[TopicPartition]:
        """Return the partitions passed to `include` that a transaction has ended since the last call."""
        ended, self._ended = self._ended, set()
        return ended

    # --- the loop --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Commit units until `stop`. Raises PipelineError when the process must end."""
        while not self._stopping:
            if self._fatal is not None:
                raise self._fatal
            if self._writing is not None and self._writing.done():
                self._writing.result()  # one that failed stays set: `_flush` must write nothing after it
                self._writing = None
            self._wake.clear()
            working = self.intake.generation is not None
            more = working and self._decide()
            due = self._unit and (not more or self._burst or self._unit.signals >= self._enough)
            if working and self._writing is None and due and self._may_write():
                self._write()
                more = True  # encode rows in the next turn, when the request to the broker has been sent
            await (asyncio.sleep(0) if more else self._wake.wait())

    def _decide(self) -> bool:
        """Decide a slice for the open unit. Return whether there may be more that it can take."""
        self._learner.tick()
        unit = self._unit
        while self._positions_due:
            number = self._positions_due.pop()
            if number in self.tasks:
                unit.output_for(number)
        until = unit.signals + SLICE_SIGNALS
        self._burst = self._expire(unit)
        for busy, task in self._in_turn():
            self._advance(task, unit, until)
            if unit.full or unit.signals >= until:
                if busy and self._had_its_share(task.number):
                    self._encode_rows = True
                break
        unit.pack()
        if self._encode_rows:
            unit.encode_rows()
            self._encode_rows = False
        return (self._burst or unit.signals >= until) and not unit.full

    def _expire(self, unit: Unit) -> bool:
        """Fire deadlines that have passed the barrier, the earliest tasks first. Return whether more may be left."""
        due = [(time, number) for number, task in self.tasks.items() if (time := task.due()) is not None]
        if not due:
            return False
        queued = any(task.merge.queued for task in self.tasks.values())
        until = unit.signals + (SLICE_DEADLINES if queued else SLICE_SIGNALS)
        for _, number in sorted(due):
            self.tasks[number].expire(unit, until)
            if unit.signals >= until:
                return True
        return False

    def _advance(self, task: PartitionTask, unit: Unit, until: int) -> None:
        """Let a task decide. What it waits for is done in the background; only this partition waits."""
        while True:
            try:
                return task.advance(unit, until, self._signals)
            except UnknownSchemaError as error:
                if self._learner.gives_up(task.number):
                    task.dead_letter_head(unit, error)
                    continue
                if task.number not in self._lookups:
                    self._lookups.add(task.number)
                    self._in_background(self._look_up(task))
            except PackedError as error:
                if not self._unpacker.waits(error.batch):
                    self._in_background(self._unpacker.unpack(error.batch))
            return None

    def _in_turn(self) -> list[tuple[bool, PartitionTask]]:
        """Return the tasks in order, and whether each is busy: has more queued than a slice.

        Tasks that are not busy come first, since they delay no other; then the busy ones, from the one whose turn it
        is.
        """
        tasks = [(task.merge.queued > SLICE_SIGNALS, task) for task in self.tasks.values()]
        return sorted(tasks, key=lambda one: (one[0], one[1].number < self._turn, one[1].number))

    def _had_its_share(self, number: int) -> bool:
        """Count a slice of a busy task. Return whether it has had its share of a unit.

        Until then it keeps its turn, because its rooms are in the processor's cache.
        """
        self._slices = self._slices + 1 if number == self._turn else 1
        self._turn = number
        if self._slices * SLICE_SIGNALS * len(self.tasks) < MAX_SIGNALS:
            return False
        self._turn, self._slices = number + 1, 0
        return True

    async def _look_up(self, task: PartitionTask) -> None:
        try:
            await self._learner.learn(task.number, task.unknown_ids(self._signals))
        finally:
            self._lookups.discard(task.number)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        doing = asyncio.create_task(work)
        self._background.add(doing)
        doing.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._fatal = (
                error if isinstance(error, PipelineError) else FatalError(f"a signal can't be read: {error!r}")
            )
        self._wake.set()

    # --- units -----------------------------------------------------------------------------------------------

    async def _flush(self) -> None:
        """Await the unit in flight and commit the open one. An error is left for `run` to raise."""
        async with self._lock:
            while (writing := self._writing) is not None or self._unit:
                if writing is None:
                    writing = self._write()
                await asyncio.wait({writing})
                if writing.exception() is not None:
                    return
                if self._writing is writing:
                    self._writing = None

    def _may_write(self) -> bool:
        """Return whether the commit interval has passed, or the unit is full. If not, `run` is woken when it has."""
        wait = self._next_write - time.monotonic()
        if wait <= 0 or self._unit.full:
            return True
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(wait, self._interval_passed)
        return False

    def _interval_passed(self) -> None:
        self._timer = None
        self._wake.set()

    def _write(self) -> asyncio.Task[None]:
        """Begin to write the open unit."""
        writing = asyncio.create_task(self._commit(), name="unit")
        writing.add_done_callback(lambda _: self._wake.set())
        self._writing, self._began, self._encode_rows = writing, time.monotonic(), True
        self._next_write = self._began + self._interval
        return writing

    async def _commit(self) -> None:
        await self._transactions.begin(self._unit.partitions_written())
        unit, sealed = self._seal()
        await self._transactions.commit(sealed)
        self._began = None
        self._ended |= sealed.also_end
        count_unit(self._metrics, unit, self._transactions.clock.now())

    def _seal(self) -> tuple[Unit, SealedUnit]:
        """Close the open unit, with the positions after it, and open the next.

        It is sealed after the broker has begun the transaction, so that signals which arrive meanwhile still join it.
        """
        unit, self._unit = self._unit, Unit(self._encoder, self._settings.worker_id)
        self._enough = self._enough_after(unit.signals)
        self._wake.set()  # a full unit could not take everything
        inputs = {number: task.merge.inputs for number, task in self.tasks.items()}
        also_end = {tp for tp in self._also_end if tp.partition in self.tasks}
        self._also_end = set()
        return unit, SealedUnit(unit.records(inputs), unit.offsets(inputs), also_end)

    def _enough_after(self, last: int) -> int:
        """Return how many signals are enough for the unit after one of `last` signals.

        A quarter more if more than another unit is queued behind it or a queue is full, a quarter less if less than
        half a unit is. So units grow to their maximum in a backlog, and near the end of the log a unit neither waits
        for all that has arrived nor stays as large as a pause has made it.
        """
        queued = sum(task.merge.queued for task in self.tasks.values())
        if queued > last or self.intake.full():
            return last + last // 4
        return last - last // 4 if 2 * queued < last else last

    # --- probes and metrics ----------------------------------------------------------------------------------

    def stalled(self) -> float:
        """Return the seconds that a unit has been in flight or that the consumer has not polled, whichever is more.

        Both stay small while the loops of the worker run, whether Kafka is reachable or not.
        """
        now = time.monotonic()
        unit = 0.0 if self._began is None else now - self._began
        return max(unit, now - self.intake.polled_at if self.intake.polling else 0.0)

    def update_gauges(self) -> None:
        """Set the gauges to their current values, before a scrape."""
        self._gauges.update(list(self.tasks.values()), self._transactions.clock)
        self._metrics.renewed.set(self._transactions.renewed)
