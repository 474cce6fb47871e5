"""What the checks share: their result, connections, and the last records of the table."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal, NamedTuple, TypeVar

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from pipeline.core.merge import Record
from pipeline.errors import ConfigError, PipelineError
from pipeline.kafka.admin import TopicMetadata, admin_client, describe_topics
from pipeline.kafka.batch_reader import by_batch
from pipeline.kafka.log_offsets import assign_and_seek
from pipeline.kafka.oauth import client_options
from pipeline.kafka.record_reader import BatchError
from pipeline.kafka.schema_registry import Registry
from pipeline.kafka.stored_batch import StoredBatch
from pipeline.model import framing
from pipeline.model.decoders import Decoders
from pipeline.model.records import Position
from pipeline.model.row_keys import POSITION_KEY
from pipeline.model.wire import SCHEMAS
from pipeline.settings import Settings
from pipeline.topics import ROOMS, Topic

WINDOW: Final = 500
"""Offsets before the end of the table that are read first; eight times as many while no position is among them."""
RETRIES: Final = 6
RETRY_SECONDS: Final = 0.5
"""Retries of a call, and the time before each, while Kafka returns retriable errors."""
_T = TypeVar("_T")
State = Literal["ok", "warning", "wrong"]


class CheckResult(NamedTuple):
    """One finding of a check, and what to do about it."""

    state: State
    found: str
    remedy: str = ""


class NotCheckedError(Exception):
    """The check is impossible, for a reason that another check reports."""


class LastRecords(NamedTuple):
    """The end of a partition of the table."""

    position: Position | None
    """The last position record; None before the first unit."""
    time: int
    """The last append time, in milliseconds of the broker's clock; 0 of an empty partition."""


@dataclass
class CheckContext:
    """Settings and connections for the checks of one run."""

    settings: Settings
    seconds: float
    """Time limit of each check."""
    failed: set[str] = field(default_factory=set)
    """Names of the checks that raised an error."""

    @property
    def _request_timeout_ms(self) -> int:
        """A third of the limit: after a failed connection, the diagnosis takes time, too."""
        return max(1000, round(self.seconds * 1000 / 3))

    def admin(self) -> AbstractAsyncContextManager[AIOKafkaAdminClient]:
        """Open an admin client. Raises ConfigError, KafkaConnectionError."""
        return admin_client(self.settings, request_timeout_ms=self._request_timeout_ms)

    @contextlib.asynccontextmanager
    async def consumer(self, isolation: str = "read_committed") -> AsyncIterator[AIOKafkaConsumer]:
        """Open a consumer without a group and without an assignment, which returns batches. Raises KafkaError."""
        reader = AIOKafkaConsumer(
            **client_options(self.settings),
            isolation_level=isolation,
            auto_offset_reset="none",
            enable_auto_commit=False,
            request_timeout_ms=self._request_timeout_ms,
        )
        try:
            await reader.start()
            by_batch(reader)
            yield reader
        finally:
            await reader.stop()

    async def described(self, topics: Iterable[Topic]) -> dict[str, TopicMetadata]:
        """Describe these topics, by full name. Raises NotCheckedError when one can't be described."""
        names = [topic.full_name(self.settings.topic_prefix) for topic in topics]
        async with self.admin() as admin:
            described = (await describe_topics(admin, names)).topics
        for name, topic in described.items():
            if topic.error.errno:
                raise NotCheckedError(f"topic {name} does not exist, or this user may not describe it")
        return described

    async def partitions(self, topics: Iterable[Topic]) -> list[TopicPartition]:
        """Return all partitions of these topics. Raises NotCheckedError when one can't be described."""
        described = await self.described(topics)
        return [TopicPartition(name, n) for name, topic in described.items() for n in range(topic.partitions)]

    @cached_property
    def _last_records(self) -> asyncio.Task[dict[int, LastRecords]]:
        return asyncio.create_task(_read_last_records(self))

    @cached_property
    def _committed(self) -> asyncio.Task[dict[TopicPartition, OffsetAndMetadata]]:
        return asyncio.create_task(_read_committed(self))

    async def committed(self) -> dict[TopicPartition, OffsetAndMetadata]:
        """Return the group's committed offsets, read once and before `last_records`; empty when unavailable."""
        return await asyncio.shield(self._committed)

    async def last_records(self) -> dict[int, LastRecords]:
        """Return the last records of the table by partition; read once. Raises NotCheckedError, KafkaError."""
        return await asyncio.shield(self._last_records)

    async def close(self) -> None:
        """End the background read of the table, if any; its error was reported by the check that awaited it."""
        for name in ("_last_records", "_committed"):
            if (task := vars(self).get(name)) is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


async def _read_last_records(context: CheckContext) -> dict[int, LastRecords]:
    """Read the end of the table: each unit writes a position record, and the rest may be large."""
    await context.committed()  # later ones may be ahead of what is read here
    last: dict[TopicPartition, tuple[bytes | None, int]] = {}
    async with context.consumer() as reader:
        tables, window = await context.partitions([ROOMS]), WINDOW
        starts, ends = await reader.beginning_offsets(tables), await reader.end_offsets(tables)
        while ends:
            begins = {tp: max(starts[tp], end - window) for tp, end in ends.items()}
            last |= await _read_windows(reader, begins, ends)
            ends = {tp: end for tp, end in ends.items() if begins[tp] > starts[tp] and last[tp][0] is None}
            window *= 8
    decoders = await decoders_for((value for value, _ in last.values() if value), context.settings)
    return {
        tp.partition: LastRecords(None if value is None else decoders.decode(value), time)
        for tp, (value, time) in last.items()
    }


async def _read_committed(context: CheckContext) -> dict[TopicPartition, OffsetAndMetadata]:
    with contextlib.suppress(KafkaError, ConfigError):
        async with context.admin() as admin:
            return await admin.list_consumer_group_offsets(context.settings.group_id)  # type: ignore[no-any-return]
    return {}


async def _read_windows(
    reader: AIOKafkaConsumer, begins: dict[TopicPartition, int], ends: dict[TopicPartition, int]
) -> dict[TopicPartition, tuple[bytes | None, int]]:
    """Return the last position record's value and the last append time, of each partition from `begins` to `ends`."""
    assign_and_seek(reader, begins)
    found: dict[TopicPartition, tuple[bytes | None, int]] = dict.fromkeys(begins, (None, 0))
    left = {tp for tp, begin in begins.items() if begin < ends[tp]}
    while left:
        fetched: dict[TopicPartition, list[StoredBatch]] = await reader.getmany(*left, timeout_ms=200)
        for tp, batches in fetched.items():
            for batch in batches:
                for record in table_records(tp, batch):
                    value, time = found[tp]
                    found[tp] = record.value if record.key == POSITION_KEY else value, max(time, record.time // 1000)
        left = {tp for tp in left if await reader.position(tp) < ends[tp]}
    return found


def table_records(tp: TopicPartition, batch: StoredBatch) -> list[Record]:
    """Return the records of a batch of the table. Raises ConfigError if it can't be read."""
    try:
        return batch.read_all()
    except BatchError as error:
        raise ConfigError(f"{tp.topic} partition {tp.partition}: {error}: only workers may write to it") from None


async def decoders_for(values: Iterable[bytes], settings: Settings, record: type[Any] = Position) -> Decoders:
    """Return decoders for these values of one record: by their writers' schemas, or by its own if the registry fails.

    Raises SignalError for a value that is not in the registry's wire format.
    """
    decoders = Decoders([record])
    ids = {framing.schema_id(value) for value in values}
    async with Registry(settings) as registry:
        try:
            for schema_id in ids:
                decoders.learn(schema_id, await registry.schema(schema_id))
        except PipelineError:
            for schema_id in ids:
                decoders.learn(schema_id, SCHEMAS[record.RECORD])
    return decoders


async def retried(call: Callable[[], Awaitable[_T]]) -> _T:
    """Call; retry after retriable errors of Kafka, as a broker returns them shortly after its start."""
    for _ in range(RETRIES):
        try:
            return await call()
        except KafkaError as error:
            if isinstance(error, KafkaConnectionError) or not error.retriable:
                raise
        await asyncio.sleep(RETRY_SECONDS)
    return await call()


def counted(number: int, noun: str) -> str:
    """Return "1 member" or "2 members"."""
    return f"{number} {noun}{'s' if number != 1 else ''}"
