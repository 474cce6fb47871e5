"""What the checks share: how they connect, and what they say."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager
from functools import cached_property
from typing import Any, Literal, NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import TopicPartition

from pipeline.admin.doctor.tails import Tail, tails
from pipeline.kafka.authorization import admin_client, look
from pipeline.settings import Settings
from pipeline.topics import ROOMS, Topic

State = Literal["ok", "warning", "wrong"]


class CheckResult(NamedTuple):
    """What a check found, and what to do about it."""

    state: State
    found: str
    remedy: str = ""


class NotCheckedError(Exception):
    """Another check has found why this one can't be made."""


class CheckContext:
    """The servers of one examination. `away` are the checks that failed; `seconds` is what each may take."""

    def __init__(self, settings: Settings, seconds: float) -> None:
        self.settings = settings
        self.seconds = seconds
        self.away: set[str] = set()

    @property
    def _patience(self) -> int:
        """Milliseconds for one answer: why it did not come is asked, too."""
        return max(1000, round(self.seconds * 1000 / 3))

    def admin(self) -> AbstractAsyncContextManager[AIOKafkaAdminClient]:
        """An admin client. Raises ConfigError, KafkaConnectionError."""
        return admin_client(self.settings, request_timeout_ms=self._patience)

    @contextlib.asynccontextmanager
    async def consumer(self, isolation: str = "read_committed") -> AsyncIterator[AIOKafkaConsumer]:
        """A reader that belongs to no group. It must be told where to begin. Raises KafkaError."""
        reader = AIOKafkaConsumer(
            **self.settings.kafka(),
            isolation_level=isolation,
            auto_offset_reset="none",
            enable_auto_commit=False,
            request_timeout_ms=self._patience,
        )
        try:
            await reader.start()
            yield reader
        finally:
            await reader.stop()

    async def partitions(self, topics: Iterable[Topic]) -> list[TopicPartition]:
        """All partitions of these topics. Raises NotCheckedError when one can't be seen: no client would find it."""
        names = [topic.full_name(self.settings.topic_prefix) for topic in topics]
        async with self.admin() as admin:
            shapes = (await look(admin, names)).topics
        for name, shape in shapes.items():
            if shape.error.errno:
                raise NotCheckedError(f"topic {name} does not exist, or can't be seen")
        return [TopicPartition(name, n) for name, shape in shapes.items() for n in range(shape.partitions)]

    @cached_property
    def _tails(self) -> asyncio.Task[dict[int, Tail]]:
        async def read() -> dict[int, Tail]:
            async with self.consumer() as reader:
                return await tails(reader, await self.partitions([ROOMS]), self.settings)

        return asyncio.create_task(read())

    async def tails(self) -> dict[int, Tail]:
        """The end of each partition of the table; read once. Raises NotCheckedError, KafkaError."""
        return await asyncio.shield(self._tails)

    async def close(self) -> None:
        """Give up what was begun and nobody waits for."""
        task: Any = vars(self).get("_tails")
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
            task.cancelled() or task.exception()  # it has been said
