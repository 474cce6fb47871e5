"""Reads partitions read_committed and follows them: what has been applied so far, and whose leaders are silent."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Final

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from pipeline.core.merge import Record
from pipeline.kafka.batch_reader import check_tasks, read_up_to
from pipeline.kafka.cancelled import cancelled_requests
from pipeline.kafka.fetch_pacing import pace, pause_after
from pipeline.kafka.log_offsets import assign_and_seek, batch_consumer, start_batch_consumer
from pipeline.kafka.schema_registry import Registry, RegistryDownError
from pipeline.kafka.stored_batch import StoredBatch
from pipeline.model.decoders import Decoders
from pipeline.settings import Settings

IDLE_SECONDS: Final = 0.25
"""Longest time to wait for records in a turn."""
FETCH_WAIT_MS: Final = 500
"""Milliseconds after which a broker answers a fetch that finds nothing."""
RECORDS_PER_TURN: Final = 250
"""Records applied without yielding to the loop."""
REGISTRY_SECONDS: Final = 1.0
"""Seconds between two requests to a registry that is down."""
STALE_SECONDS: Final = 5.0
"""Seconds without an answer of a partition's leader after which what was read is stale."""
GAP_SECONDS: Final = 5.0
"""Seconds without progress, while leaders answer, after which only a compaction gap is left before the end."""
RETRY_SECONDS: Final = 0.2
"""Seconds before reading goes on after an error that may pass."""
Apply = Callable[[TopicPartition, list[Record]], Awaitable[None]]
"""Applies records of a partition, in their order."""
OnBadBatch = Callable[[TopicPartition, StoredBatch, str], object]
Notice = Callable[[str], object]
"""Receives one line of text about something that a person may want to know."""


class Follower:
    """Follows partitions from given offsets on.

    Args:
        apply: called with all committed records.
        on_bad_batch: called with a partition, a batch of it that can't be read, and the reason; then it is skipped.
        notice: receives lines of text for a log.
    """

    def __init__(self, settings: Settings, apply: Apply, on_bad_batch: OnBadBatch, notice: Notice) -> None:
        self._settings, self._apply, self._on_bad_batch, self._notice = settings, apply, on_bad_batch, notice
        self._positions: dict[TopicPartition, int] = {}
        self._answered: dict[TopicPartition, float] = {}
        self._waiting: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self._failure: BaseException | None = None
        self._interruption: Exception | None = None
        self._arrived = asyncio.Event()
        """Set while the consumer has something to return."""
        self.consumer: AIOKafkaConsumer = None

    async def start(self) -> None:
        """Connect. Raises ConfigError, KafkaError."""
        self.consumer = batch_consumer(self._settings, "read_committed", "none", FETCH_WAIT_MS)
        await start_batch_consumer(
            self.consumer,
            on_corrupt=self._corrupt,
            on_answer=self.answered,
            on_result=self._arrived.set,
        )
        self._pace = pace(self.consumer)

    def _corrupt(self, tp: TopicPartition, offset: int) -> None:
        self._notice(f"{tp.topic}/{tp.partition}/{offset}: wrong checksum of a batch: fetching it again")

    async def stop(self) -> None:
        """Disconnect, and end all waiting."""
        self.fail(ConnectionError("the reader was closed"))
        await self.consumer.stop()

    def begin(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Follow these partitions from these offsets on, and no others."""
        assign_and_seek(self.consumer, offsets)
        self._positions = dict(offsets)
        now = time.monotonic()
        self._answered = dict.fromkeys(offsets, now)

    def answered(self, tp: TopicPartition) -> None:
        """Note that the leader of a partition has answered."""
        self._answered[tp] = time.monotonic()

    @property
    def silent(self) -> float:
        """Seconds since the leader answered whose last answer is the oldest; infinity before `begin`."""
        return time.monotonic() - min(self._answered.values(), default=-float("inf"))

    @property
    def positions(self) -> Mapping[TopicPartition, int]:
        """The next offset of each partition: everything before it that is committed has been applied."""
        return self._positions

    async def turn(self) -> bool:
        """Apply what has come, or wait a little; return whether a position moved.

        Raises KafkaError, FatalError, what `apply` and `on_bad_batch` raise, and the error given to `interrupt`.
        """
        if (interruption := self._interruption) is not None:
            self._interruption = None
            raise interruption
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(IDLE_SECONDS):
                await self._arrived.wait()
        self._arrived.clear()
        with cancelled_requests():
            fetched = await self.consumer.getmany(timeout_ms=0)
        count = 0
        for tp, batches in fetched.items():
            for batch in batches:
                count += await self._read(tp, batch)
        if not fetched:
            check_tasks(self.consumer)
        # A broker answers as soon as it has one record: after a pause it has those of several transactions.
        self._pace.pause_next(pause_after(count))
        before = self._positions
        # Only after the records are applied: the consumer's position is behind all that it has returned.
        self._positions = read_up_to(self.consumer, before)
        self.wake()
        return self._positions != before

    async def up_to(self, ends: Mapping[TopicPartition, int]) -> AsyncIterator[int]:
        """Take turns until these ends are reached. Yield how many offsets are missing, before each turn.

        Compaction may leave no record between a position and an open transaction; then the end is not awaited.
        """
        moved = time.monotonic()
        while missing := sum(max(0, ends[tp] - at) for tp, at in self._positions.items()):
            yield missing
            if await self.turn():
                moved = time.monotonic()
            elif time.monotonic() - moved > GAP_SECONDS and self.silent < STALE_SECONDS:
                return

    async def _read(self, tp: TopicPartition, batch: StoredBatch) -> int:
        """Apply a batch and return the number of its records."""
        try:
            records = batch.read_all()
        except Exception as error:  # BatchError; whatever else a codec raises on foreign bytes
            self._on_bad_batch(tp, batch, str(error))
            return 0
        for begin in range(0, len(records), RECORDS_PER_TURN):
            await self._apply(tp, records[begin : begin + RECORDS_PER_TURN])
            await asyncio.sleep(0)
        return len(records)

    async def until(self, check: Callable[[], bool]) -> None:
        """Wait until `check` returns true; it is called after each turn. Raises the error that ended the reading."""
        if self._failure is not None:
            raise self._failure
        if check():
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((check, future))
        try:
            await future
        finally:
            self._waiting = [one for one in self._waiting if one[1] is not future]

    def wake(self) -> None:
        """Let those go on whose check returns true now."""
        for check, future in self._waiting:
            if not future.done() and check():
                future.set_result(None)

    def interrupt(self, error: Exception) -> None:
        """Raise this error in the next turn."""
        self._interruption = error

    def fail(self, error: BaseException) -> None:
        """Give all that wait, now or later, this error."""
        self._failure = error
        for _, future in self._waiting:
            if not future.done():
                future.set_exception(error)


async def learn_schemas(registry: Registry, decoders: Decoders, records: Iterable[Record], notice: Notice) -> None:
    """Teach decoders the schemas of these records. While the registry is down, wait."""
    for schema_id in decoders.unknown(record.value for record in records):
        while True:
            try:
                text = await registry.schema(schema_id)
                break
            except RegistryDownError as error:
                notice(f"waiting for the registry: {error}")
                await asyncio.sleep(REGISTRY_SECONDS)
        decoders.learn(schema_id, text)
