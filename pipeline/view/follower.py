"""Reads partitions read_committed and follows them: what has been applied so far, and whose leaders are silent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Final

from aiokafka import AIOKafkaConsumer
from aiokafka import errors as Errors
from aiokafka.structs import TopicPartition

from pipeline.core.merge import Record
from pipeline.kafka.batch_reader import check_tasks
from pipeline.kafka.cancelled import cancelled_requests
from pipeline.kafka.log_offsets import assign_and_seek, batch_consumer, start_batch_consumer
from pipeline.kafka.schema_registry import Registry, RegistryDownError
from pipeline.kafka.stored_batch import StoredBatch
from pipeline.model.decoders import Decoders
from pipeline.settings import Settings

IDLE_MS: Final = 250
"""Milliseconds to wait for records while nobody waits for a position."""
AWAITED_MS: Final = 10
"""The same while somebody does: markers and aborted records move a position without a record."""
RECORDS_PER_TURN: Final = 250
"""Records applied without yielding to the loop."""
REGISTRY_SECONDS: Final = 1.0
"""Seconds between two requests to a registry that is down."""
STALE_SECONDS: Final = 5.0
"""Seconds without an answer of a partition's leader after which what was read is stale."""
GAP_SECONDS: Final = 5.0
"""Seconds without progress, while leaders answer, after which only a compaction gap is left before the end."""
RETRY_SECONDS: Final = 0.2
"""Seconds before a request is sent again that may succeed later."""
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
        self.consumer: AIOKafkaConsumer = None

    async def start(self) -> None:
        """Connect. Raises ConfigError, KafkaError."""
        self.consumer = batch_consumer(self._settings, "read_committed", "none")
        await start_batch_consumer(self.consumer, on_corrupt=self._corrupt, on_answer=self.answered)

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
        with cancelled_requests():
            fetched = await self.consumer.getmany(timeout_ms=AWAITED_MS if self._waiting else IDLE_MS)
        for tp, batches in fetched.items():
            for batch in batches:
                await self._read(tp, batch)
        if not fetched:
            check_tasks(self.consumer)
        before = self._positions
        # Only after the records are applied: the consumer's position is behind all that it has returned.
        with cancelled_requests():
            self._positions = {tp: await self.consumer.position(tp) for tp in before}
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

    async def _read(self, tp: TopicPartition, batch: StoredBatch) -> None:
        try:
            records = batch.read_all()
        except Exception as error:  # BatchError; whatever else a codec raises on foreign bytes
            self._on_bad_batch(tp, batch, str(error))
            return
        for begin in range(0, len(records), RECORDS_PER_TURN):
            await self._apply(tp, records[begin : begin + RECORDS_PER_TURN])
            await asyncio.sleep(0)

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


class LogEnds:
    """Asks for the ends of logs, again while a leader is away. Calls for a partition that come while a request is under
    way share the next one."""

    def __init__(self, ask: Callable[[TopicPartition], Awaitable[int]]) -> None:
        self._ask = ask
        self._running: dict[TopicPartition, asyncio.Task[int]] = {}
        self._next: dict[TopicPartition, asyncio.Task[int]] = {}

    async def after_now(self, tp: TopicPartition) -> int:
        """Return the end of a log, asked for after this call. Raises KafkaError."""
        task = self._next.get(tp)
        if task is None:
            task = self._next[tp] = asyncio.create_task(self._request(tp, self._running.get(tp)))
        return await asyncio.shield(task)

    async def _request(self, tp: TopicPartition, before: asyncio.Task[int] | None) -> int:
        if before is not None:
            await asyncio.wait([before])
        task = self._running[tp] = self._next.pop(tp)
        try:
            return await self._answer(tp)
        finally:
            if self._running.get(tp) is task:
                del self._running[tp]

    async def _answer(self, tp: TopicPartition) -> int:
        while True:
            try:
                return await self._ask(tp)
            except Errors.KafkaError as error:
                if not error.retriable:
                    raise
            await asyncio.sleep(RETRY_SECONDS)

    async def stop(self) -> None:
        """End all requests."""
        tasks = [*self._running.values(), *self._next.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
