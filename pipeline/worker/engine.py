"""Units, one after another: merge, barrier, decide, commit.

A unit is what has arrived since the last one was closed, on all partitions. The engine decides it in memory, writes it
in one transaction, and only then counts it. When the write fails the process ends and memory with it, so the rooms
may be changed before the commit: nobody else sees them. For the same reason the next unit is decided while one is
being written; it stays open, and takes in what comes, until that one is committed.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

import structlog
from aiokafka.partitioner import murmur2
from aiokafka.structs import TopicPartition

from pipeline.core.merge import Input, Record
from pipeline.errors import PipelineError, SignalError
from pipeline.metrics import Metrics
from pipeline.model.decoders import SignalDecoder, UnknownSchemaError
from pipeline.model.signals import AnySignal, ConferenceCreate, MemberJoined
from pipeline.settings import Settings
from pipeline.worker.intake import Intake
from pipeline.worker.recovery import Lane
from pipeline.worker.schemas import Learner
from pipeline.worker.transactions import SealedUnit, Transactions
from pipeline.worker.unit import MAX_SIGNALS, OutputEncoder, Unit

SLICE: Final = 100
"""Signals that are decided in one go: the consumer, the agent, the writer and the web server share this loop. A commit
takes a dozen turns of it, so with 500 it took longer than to decide the next unit, and that had to wait."""
log = structlog.get_logger("worker")


class Engine(Intake):
    """Takes fetched records, commits units. It runs from `resume` to `quiesce`, again and again."""

    def __init__(
        self,
        settings: Settings,
        names: OutputEncoder,
        signals: SignalDecoder,
        learner: Learner,
        writer: Transactions,
        metrics: Metrics,
    ) -> None:
        super().__init__(settings.topic_prefix)
        self._settings, self._names = settings, names
        self._signals, self._learner = signals, learner
        self._writer, self._metrics = writer, metrics
        self._unit = Unit(names, settings.worker_id)
        """The open one."""
        self._enough = 0
        """Signals in the open unit with which it is written as soon as it can be, though there is more."""
        self._writing: asyncio.Task[None] | None = None
        self._began: float | None = None
        self._rows_due = False
        """Whether to encode the open unit's rows after this slice, see `unit`."""
        self._lock = asyncio.Lock()
        self._touch: set[int] = set()
        self._also: set[TopicPartition] = set()
        self._ended: set[TopicPartition] = set()
        self._turn = self._slices = 0
        """The busy lane whose turn it is, and how many slices it has had."""
        self._fatal: PipelineError | None = None
        self._asking: dict[int, asyncio.Task[None]] = {}
        self._stopping = False

    # --- rebalances -------------------------------------------------------------------------------------------

    async def quiesce(self) -> None:
        self.generation = None
        await self._settle()
        for source in self._inputs():
            source.rewind()
        self._pending.clear()

    def resume(self, generation: int, member_id: str) -> None:
        self._writer.join(generation, member_id)
        self._pending.clear()
        self._missed.clear()
        for source in self._inputs():
            source.rewind()
        self.generation = generation
        self.polled_at = time.monotonic()
        self._wake.set()

    # --- the loop --------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Something has changed: look for work."""
        self._wake.set()

    def touch(self, partition: int) -> None:
        """Write the position of `partition`, to hear the broker's time."""
        self._touch.add(partition)
        self._wake.set()

    def include(self, partitions: set[TopicPartition]) -> None:
        """The next unit ends what is open of ours there."""
        self._also |= partitions
        for tp in partitions:
            self.touch(tp.partition)

    def ended(self) -> set[TopicPartition]:
        """Where a commit since the last call has ended what `include` was asked for."""
        ended, self._ended = self._ended, set()
        return ended

    async def stop(self) -> None:
        """Finish what is decided, start no other unit."""
        self._stopping = True
        self._wake.set()
        self.generation = None
        await self._settle()

    async def run(self) -> None:
        """Commit units until `stop`. Raises PipelineError: the process must end."""
        while not self._stopping:
            if self._fatal is not None:
                raise self._fatal
            if self._writing is not None and self._writing.done():
                self._writing.result()  # one that failed stays here: `_settle` must not write what follows it
                self._writing = None
            self._wake.clear()
            more = self.generation is not None and self._decide()
            due = self._unit and (not more or self._unit.signals >= self._enough)
            if self.generation is not None and self._writing is None and due:
                self._write()
                more = True  # rows: they are encoded once the question to the broker is on its way
            await (asyncio.sleep(0) if more else self._wake.wait())

    async def _settle(self) -> None:
        """Wait for the unit in flight, and commit the open one. An error is left to `run` to be raised."""
        async with self._lock:
            while (writing := self._writing) is not None or self._unit:
                if writing is None:
                    writing = self._write()
                await asyncio.wait({writing})
                if writing.exception() is not None:
                    return
                if self._writing is writing:
                    self._writing = None

    def _decide(self) -> bool:
        """Decide a slice of what is there, for the open unit; whether there may be more that it can take."""
        self._learner.tick()
        unit = self._unit
        while self._touch:
            number = self._touch.pop()
            if number in self.lanes:
                unit.touch(number)
        until = unit.signals + SLICE
        for busy, lane in self._in_turn():
            self._advance(lane, unit, until)
            if unit.full or unit.signals >= until:
                if busy and self._had_its_share(lane.number):
                    self._rows_due = True
                break
        unit.pack()
        if self._rows_due:
            unit.encode_rows()
            self._rows_due = False
        return unit.signals >= until and not unit.full

    def _write(self) -> asyncio.Task[None]:
        """Begin to write the open unit."""
        writing = asyncio.create_task(self._commit(), name="unit")
        writing.add_done_callback(lambda _: self._wake.set())
        self._writing, self._began, self._rows_due = writing, time.monotonic(), True
        return writing

    async def _commit(self) -> None:
        unit = self._unit
        closed = await self._writer.write(unit.places(), self._close)
        self._began = None
        self._ended |= closed.also
        self._count(unit)

    def _close(self) -> SealedUnit:
        """Close the open unit, with the positions that are behind it now."""
        unit, self._unit = self._unit, Unit(self._names, self._settings.worker_id)
        self._enough = self._enough_after(unit.signals)
        self._wake.set()  # what a full one could not take in waits for nobody
        inputs = {number: lane.merge.inputs for number, lane in self.lanes.items()}
        also, self._also = {tp for tp in self._also if tp.partition in self.lanes}, set()
        return SealedUnit(unit.records(inputs), unit.offsets(inputs), also)

    def _enough_after(self, last: int) -> int:
        """How many signals are enough for the unit after one of `last`: a quarter more if more than another one is
        queued behind it, or a queue is full; a quarter less if less than half of one is. So in a backlog units grow
        until they are full, and close to the end of the log none waits until all that has come meanwhile is decided,
        too, nor do they stay as large as some pause has made them."""
        queued = sum(lane.merge.queued for lane in self.lanes.values())
        if queued > last or self.full():
            return last + last // 4
        return last - last // 4 if 2 * queued < last else last

    def _in_turn(self) -> list[tuple[bool, Lane]]:
        """The lanes, and whether they are busy: have more to do than a slice. Those that are not come first, for they
        make nobody wait; then the busy ones, beginning with the one whose turn it is."""
        lanes = [(lane.merge.queued > SLICE, lane) for lane in self.lanes.values()]
        return sorted(lanes, key=lambda one: (one[0], one[1].number < self._turn, one[1].number))

    def _had_its_share(self, number: int) -> bool:
        """A busy lane has had a slice. It goes on, for its rooms are in the processor's cache now, until it has had its
        share of a unit: whether it has."""
        self._slices = self._slices + 1 if number == self._turn else 1
        self._turn = number
        if self._slices * SLICE * len(self.lanes) < MAX_SIGNALS:
            return False
        self._turn, self._slices = number + 1, 0
        return True

    def _advance(self, lane: Lane, unit: Unit, until: int) -> None:
        """Apply what is next of a lane, as long as something is, need not wait, and fits: `until` is in signals."""
        merge, partition = lane.merge, lane.partition
        earliest = partition.earliest
        if earliest is not None:
            self._expire(lane, unit)
        while unit.signals < until and not unit.full:
            source = merge.next()
            if source is None:
                return
            record = source.queue[0]
            now = record.time if record.time > source.time else source.time
            try:
                signal = self._read(source, record)
            except SignalError as error:
                unit.buried(source, record, error)
                source.applied(record, source.time)
                continue
            except UnknownSchemaError as error:
                self._ask(error.schema_id)
                return
            room = partition.rooms.get(signal.room_id)
            if room is not None and room.deadline is not None and room.deadline <= now:
                self._expire(lane, unit)
                room = partition.rooms.get(signal.room_id)
                if room is not None and room.deadline is not None and room.deadline <= now:
                    if lane.waits_for != (source, record.offset):
                        lane.waits_for = source, record.offset
                        self._metrics.barrier_waits.inc()
                    return  # the signal waits for the barrier, and what is behind it too (contract §5)
            if room is None and self._misplaced(source, record, signal, unit):
                continue
            decision = partition.step(room, signal, now)
            source.applied(record, now)
            unit.decided(source, record, signal, room, decision)

    def _ask(self, schema_id: int) -> None:
        """Learn an id behind the others' backs: only the partition that met it waits for the registry."""
        if schema_id not in self._asking:

            async def ask() -> None:
                try:
                    await self._learner.learn(schema_id)
                except PipelineError as error:
                    self._fatal = error
                finally:
                    del self._asking[schema_id]
                    self._wake.set()

            self._asking[schema_id] = asyncio.create_task(ask(), name=f"schema {schema_id}")

    def _expire(self, lane: Lane, unit: Unit) -> None:
        """Let the deadlines fire that are behind the barrier, earliest first."""
        partition = lane.partition
        while (timeout := partition.next_timeout()) is not None and lane.merge.reached(timeout.occurred_at):
            unit.expired(lane.number, timeout.room_id, partition.expire(timeout))

    def _read(self, source: Input, record: Record) -> AnySignal:
        """The signal of a record. Raises SignalError, UnknownSchemaError."""
        signal = self._signals.decode(record.value)
        topic = "api" if source.topic == self._api else "media"
        if topic != signal.TOPIC:
            raise SignalError(f"{signal.TYPE} belongs on the {signal.TOPIC} topic, not on {source.topic}")
        if record.key != signal.room_id.encode():
            if record.key is None:
                raise SignalError("the record has no key: expected the room_id in UTF-8")
            shown = record.key[:60].decode("utf-8", "replace")
            raise SignalError(f"the record's key {shown!r} is not its room_id {signal.room_id[:60]!r}")
        return signal

    def _misplaced(self, source: Input, record: Record, signal: AnySignal, unit: Unit) -> bool:
        """Whether this signal would make a room known on a partition that is not the room's (contract §2)."""
        right = (murmur2(record.key) & 0x7FFFFFFF) % self._settings.partitions
        if right == source.partition:
            return False
        self._metrics.wrong_partition.inc()
        if not isinstance(signal, ConferenceCreate | MemberJoined):
            return False
        error = SignalError(
            f"room {signal.room_id[:60]!r} belongs on partition {right}, this is {source.partition}: signals must be "
            "produced with the murmur2 partitioner of the Java client (librdkafka: partitioner=murmur2_random)"
        )
        unit.buried(source, record, error)
        source.applied(record, source.time)
        return True

    # --- what the metrics learn ------------------------------------------------------------------------------

    def stalled(self) -> float:
        """Seconds that a unit has been under way, or that the consumer has not polled; a worker whose loops turn, be
        the broker there or not, has little of both."""
        now = time.monotonic()
        unit = 0.0 if self._began is None else now - self._began
        return max(unit, now - self.polled_at if self.polling else 0.0)

    def _count(self, unit: Unit) -> None:
        metrics = self._metrics
        families = {
            "signals": metrics.signals,
            "events": metrics.events,
            "rejected": metrics.rejected,
            "no_ops": metrics.no_ops,
            "dead": metrics.dead,
        }
        metrics.timeouts.inc(sum(unit.counts["timeouts"].values()))
        for family, metric in families.items():
            for label, number in unit.counts[family].items():
                metric.labels(label).inc(number)
        metrics.units.observe(time.monotonic() - unit.began)
        metrics.unit_signals.inc(unit.signals)
        now = self._writer.clock.now()
        if now is not None:
            for appended, times in unit.event_times.items():
                metrics.latency.observe(max(0, now - appended) / 1e6, times)

    def gauge(self) -> None:
        """Bring the gauges up to date; called when they are read."""
        metrics, lanes = self._metrics, self.lanes
        partitions = [lane.partition for lane in lanes.values()]
        metrics.partitions.set(len(lanes))
        metrics.rooms.set(sum(len(partition.rooms) for partition in partitions))
        metrics.members.set(sum(len(m) for partition in partitions for m in partition.members.values()))
        metrics.armed.set(sum(partition.armed for partition in partitions))
        metrics.renewed.set(self._writer.renewed)
        metrics.lag.clear()
        hidden = 0
        for lane in lanes.values():
            for source in lane.merge.inputs:
                end = max(source.end or 0, source.probe[1] if source.probe else 0)
                # From the position, not from the offset: markers of transactions are nothing to be applied.
                behind = max(0, end - source.position) + len(source.queue)
                metrics.lag.labels(source.topic, str(source.partition)).set(behind)
                if source.probe is not None and source.caught_up and source.position < source.probe[1]:
                    hidden += 1
        metrics.foreign_open.set(hidden)
