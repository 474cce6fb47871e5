"""The context and the result of a check."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import cached_property
from typing import Literal, NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import TopicPartition

from pipeline.admin.doctor.last_records import LastRecords, read_last_records
from pipeline.kafka.admin import admin_client, describe_topics
from pipeline.settings import Settings
from pipeline.topics import ROOMS, Topic

State = Literal["ok", "warning", "wrong"]


class CheckResult(NamedTuple):
    """One finding of a check, and what to do about it."""

    state: State
    found: str
    remedy: str = ""


class NotCheckedError(Exception):
    """The check is impossible, for a reason that another check reports."""


def partition_list(numbers: Sequence[int]) -> str:
    """Return "partition 3" or "partitions 3, 4"."""
    return f"partition{'s' if len(numbers) != 1 else ''} {', '.join(map(str, numbers))}"


class CheckContext:
    """Settings and connections for the checks of one run.

    `seconds` is the time limit of each check, `failed` the names of the checks that raised an error.
    """

    def __init__(self, settings: Settings, seconds: float) -> None:
        self.settings = settings
        self.seconds = seconds
        self.failed: set[str] = set()

    @property
    def _request_timeout_ms(self) -> int:
        """A third of the limit: after a failed connection, the diagnosis takes time, too."""
        return max(1000, round(self.seconds * 1000 / 3))

    def admin(self) -> AbstractAsyncContextManager[AIOKafkaAdminClient]:
        """Open an admin client. Raises ConfigError, KafkaConnectionError."""
        return admin_client(self.settings, request_timeout_ms=self._request_timeout_ms)

    @contextlib.asynccontextmanager
    async def consumer(self, isolation: str = "read_committed") -> AsyncIterator[AIOKafkaConsumer]:
        """Open a consumer without a group and without an assignment. Raises KafkaError."""
        reader = AIOKafkaConsumer(
            **self.settings.kafka(),
            isolation_level=isolation,
            auto_offset_reset="none",
            enable_auto_commit=False,
            request_timeout_ms=self._request_timeout_ms,
        )
        try:
            await reader.start()
            yield reader
        finally:
            await reader.stop()

    async def partitions(self, topics: Iterable[Topic]) -> list[TopicPartition]:
        """Return all partitions of these topics. Raises NotCheckedError when one can't be described."""
        names = [topic.full_name(self.settings.topic_prefix) for topic in topics]
        async with self.admin() as admin:
            described = (await describe_topics(admin, names)).topics
        for name, topic in described.items():
            if topic.error.errno:
                raise NotCheckedError(f"topic {name} does not exist, or this user may not describe it")
        return [TopicPartition(name, n) for name, topic in described.items() for n in range(topic.partitions)]

    @cached_property
    def _last_records(self) -> asyncio.Task[dict[int, LastRecords]]:
        async def read() -> dict[int, LastRecords]:
            async with self.consumer() as reader:
                return await read_last_records(reader, await self.partitions([ROOMS]), self.settings)

        return asyncio.create_task(read())

    async def last_records(self) -> dict[int, LastRecords]:
        """Return the last records of the table by partition; read once. Raises NotCheckedError, KafkaError."""
        return await asyncio.shield(self._last_records)

    async def close(self) -> None:
        """End the background read of the table, if any; its error was reported by the check that awaited it."""
        if "_last_records" in vars(self):
            self._last_records.cancel()
            await asyncio.gather(self._last_records, return_exceptions=True)
