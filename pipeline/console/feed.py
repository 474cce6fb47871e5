"""The shared reader: one follower of all topics but that of the rooms, for all viewers.

It gives the records of a room to the histories that are open, and dead letters, rejections and announcements of bridges
to `letters`. Records of other rooms are not decoded.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from functools import partial
from typing import Final, Self

from aiokafka import errors as Errors
from aiokafka.structs import TopicPartition

from pipeline.console.history import RoomHistory
from pipeline.console.letters import DAY, Letters
from pipeline.console.room_hub import TooManyViewedError
from pipeline.core.merge import Record
from pipeline.errors import PipelineError
from pipeline.kafka.cancelled import cancelled_requests
from pipeline.kafka.log_offsets import LogOffsets
from pipeline.kafka.partitioning import partition_of
from pipeline.kafka.ranges import Found
from pipeline.kafka.schema_registry import Registry, RegistryDownError
from pipeline.kafka.stored_batch import StoredBatch
from pipeline.settings import Settings
from pipeline.topics import DEAD, ENGINES, EVENTS, NOOPS, REJECTED
from pipeline.view.follower import REGISTRY_SECONDS, RETRY_SECONDS, Follower, Notice
from pipeline.view.timeline_reader import TOPICS, Values

MOST_BACK: Final = 2000
"""Offsets before the end, of each partition, from which on dead letters and rejections are read at start."""
KEEP_SECONDS: Final = 30.0
"""Time for which the history of a room is kept after its last viewer has gone."""
MOST_HISTORIES: Final = 300
"""Histories that are open at a time. One more closes one without a viewer, or is refused."""
READERS: Final = 4
"""Histories that are read at a time."""
AGAIN_SECONDS: Final = 3.0
"""Seconds before a history is read again that could not be read."""
READ_SECONDS: Final = 120.0
"""Longest time for a history to be read."""
STALL_SECONDS: Final = 15.0
"""Longest time without a record: a broker that is killed meanwhile is not noticed otherwise."""


class Feed:
    """An asynchronous context manager; `run` reads. Entering raises KafkaError, ConfigError.

    Args:
        notice: receives lines of text for a log.
        changed: called with the ids of rooms whose history has changed; with none, when `letters` have.
    """

    def __init__(self, settings: Settings, notice: Notice, changed: Callable[[set[str]], object]) -> None:
        self._settings, self._notice, self._changed = settings, notice, changed
        self._follower = Follower(settings, self._apply, self._bad_batch, notice)
        self._offsets = LogOffsets(settings)
        self._names = {topic: topic.full_name(settings.topic_prefix) for topic in (*TOPICS, ENGINES)}
        self._outcomes = {self._names[topic] for topic in (EVENTS, REJECTED, NOOPS)}
        self._histories: dict[str, _Open] = {}
        self._by_key: dict[bytes, RoomHistory] = {}
        self._readers = asyncio.Semaphore(READERS)
        self._tasks: set[asyncio.Task[None]] = set()
        self._last: dict[int, Found] = {}
        """The last outcome on each partition."""
        self._open = contextlib.AsyncExitStack()
        self._seen = 0
        self.failure = ""

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as opened:
            registry = await opened.enter_async_context(Registry(self._settings))
            self._values, self.letters = Values(registry), Letters(registry)
            self._add = {
                self._names[DEAD]: self.letters.add_letter,
                self._names[REJECTED]: self.letters.add_rejection,
                self._names[ENGINES]: self.letters.add_engine,
            }
            opened.push_async_callback(self._offsets.stop)
            opened.push_async_callback(self._follower.stop)
            await asyncio.gather(self._offsets.start(), self._follower.start())
            opened.push_async_callback(self._cancel)
            await self._begin()
            self._open = opened.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def _begin(self) -> None:
        """Begin at the ends of the logs; of letters and rejections up to a day earlier; of the bridges at the start."""
        described = await self._offsets.describe(self._names.values())
        tps = [TopicPartition(name, number) for name, found in described.items() for number in range(found.partitions)]
        self._partitions = described[self._names[EVENTS]].partitions
        self._last.clear()
        consumer = self._follower.consumer
        starts, ends = await consumer.beginning_offsets(tps), await consumer.end_offsets(tps)
        recent = [tp for tp in tps if tp.topic in (self._names[DEAD], self._names[REJECTED])]
        since = int(time.time() * 1000) - DAY // 1000
        found = await consumer.offsets_for_times(dict.fromkeys(recent, since))
        begin = dict(ends)
        for tp in recent:
            first = ends[tp] if found.get(tp) is None else found[tp].offset
            begin[tp] = max(starts[tp], min(first, ends[tp]), ends[tp] - MOST_BACK)
        begin |= {tp: starts[tp] for tp in tps if tp.topic == self._names[ENGINES]}
        self._follower.begin(begin)

    async def run(self) -> None:
        """Read until cancelled. After an error of Kafka it begins again, and so do the histories."""
        while True:
            try:
                await self._follower.turn()
                self.failure = ""
                await self._settle()
            except (Errors.KafkaError, RegistryDownError) as error:
                self.failure = str(error)
                self._notice(f"the shared reader begins again: {error}")
                await self._begin_again()

    async def _begin_again(self) -> None:
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            with contextlib.suppress(Errors.KafkaError):
                await self._begin()
                break
        for room_id, opened in list(self._histories.items()):
            self._start(room_id, opened)

    async def _apply(self, tp: TopicPartition, records: list[Record]) -> None:
        add = self._add.get(tp.topic)
        if self._histories and tp.topic in self._outcomes:
            self._last[tp.partition] = Found(tp.topic, tp.partition, records[-1])
        for record in records:
            history = self._by_key.get(record.key or b"")
            if add is not None:
                await self._add_letter(add, Found(tp.topic, tp.partition, record))
            if history is not None:
                history.take(Found(tp.topic, tp.partition, record))

    async def _add_letter(self, add: Callable[[Found], object], found: Found) -> None:
        while True:
            try:
                await add(found)  # type: ignore[misc]
                return
            except RegistryDownError as error:
                self._notice(f"waiting for the registry: {error}")
                await asyncio.sleep(REGISTRY_SECONDS)

    async def _settle(self) -> None:
        positions = self._follower.positions
        changed = set[str]()
        for room_id, opened in list(self._histories.items()):
            number = partition_of(opened.history.key, self._partitions)
            if await opened.history.settle(lambda tp: positions.get(tp, 1 << 63), self._last.get(number)):
                changed.add(room_id)
        if changed or self._seen != self.letters.version:
            self._seen = self.letters.version
            self._changed(changed)

    def _bad_batch(self, tp: TopicPartition, batch: StoredBatch, fault: str) -> None:
        self._notice(f"{tp.topic}/{tp.partition}/{batch.first}: {fault}; skipped")

    # --- histories -------------------------------------------------------------------------------------------

    def acquire(self, room_id: str, since: int | None) -> RoomHistory:
        """Return the history of a room, for one viewer more; its reading begins at `since` if it is new.

        Raises TooManyViewedError.
        """
        opened = self._histories.get(room_id)
        if opened is None:
            if len(self._histories) >= MOST_HISTORIES:
                unused = next((one for one, other in self._histories.items() if not other.viewers), None)
                if unused is None:
                    raise TooManyViewedError
                self._forget(unused)
            opened = self._histories[room_id] = _Open(since)
            self._start(room_id, opened)
        opened.viewers += 1
        if opened.timer is not None:
            opened.timer.cancel()
            opened.timer = None
        return opened.history

    def current(self, room_id: str) -> RoomHistory | None:
        """Return the history of a room if it is open."""
        opened = self._histories.get(room_id)
        return None if opened is None else opened.history

    def release(self, room_id: str) -> None:
        """Note that a viewer has gone."""
        opened = self._histories[room_id]
        opened.viewers -= 1
        if not opened.viewers:
            opened.timer = asyncio.get_running_loop().call_later(KEEP_SECONDS, self._forget, room_id)

    def _forget(self, room_id: str) -> None:
        opened = self._histories.pop(room_id)
        if opened.timer is not None:
            opened.timer.cancel()
        self._by_key.pop(opened.history.key, None)
        if opened.task is not None:
            opened.task.cancel()

    def _start(self, room_id: str, opened: _Open) -> None:
        if opened.task is not None:
            opened.task.cancel()
        self._renew(room_id, opened)
        opened.task = asyncio.create_task(self._read(room_id, opened))
        self._tasks.add(opened.task)
        opened.task.add_done_callback(self._tasks.discard)

    def _renew(self, room_id: str, opened: _Open) -> None:
        """Give an empty history the records from now on."""
        opened.history = RoomHistory(self._settings, room_id, self._values, self._notice)
        self._by_key[opened.history.key] = opened.history

    async def _read(self, room_id: str, opened: _Open) -> None:
        """Read a history; after an error, begin again with an empty one."""
        while True:
            try:
                async with self._readers, asyncio.timeout(READ_SECONDS), asyncio.timeout(STALL_SECONDS) as stall:
                    with cancelled_requests():
                        await opened.history.read(opened.since, partial(_prolong, stall))
                self._changed({room_id})
                return
            except (PipelineError, Errors.KafkaError, OSError, TimeoutError) as error:
                opened.history.fail(str(error) or "Kafka does not answer, or it has too many records")
            self._changed({room_id})
            await asyncio.sleep(AGAIN_SECONDS)
            self._renew(room_id, opened)

    async def _cancel(self) -> None:
        for opened in self._histories.values():
            if opened.timer is not None:
                opened.timer.cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _prolong(stall: asyncio.Timeout) -> None:
    """Begin the time without progress anew."""
    stall.reschedule(asyncio.get_running_loop().time() + STALL_SECONDS)


class _Open:
    """A history and its viewers."""

    history: RoomHistory

    def __init__(self, since: int | None) -> None:
        self.since = since
        self.viewers = 0
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
