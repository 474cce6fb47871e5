"""The rooms view: a copy of the table's topic in memory, read from the beginning to the end and then followed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any, Final, Self

from aiokafka import errors as Errors
from aiokafka.structs import TopicPartition

from pipeline import topics
from pipeline.core.merge import Record
from pipeline.errors import FatalError, PipelineError
from pipeline.kafka import acls
from pipeline.kafka.authorization import require_topics
from pipeline.kafka.log_offsets import LogOffsets
from pipeline.kafka.schema_registry import Registry
from pipeline.kafka.stored_batch import StoredBatch
from pipeline.model.records import Member, Position, Room
from pipeline.settings import Settings
from pipeline.view.follower import RETRY_SECONDS, STALE_SECONDS, Follower, Notice, learn_schemas
from pipeline.view.log_ends import LogEnds
from pipeline.view.tables.outcomes_table import Place
from pipeline.view.tables.rooms_table import Counts, RoomsTable

TOPIC_SECONDS: Final = 30.0
"""Seconds between two looks whether the topic was deleted and created again."""


class StaleViewError(PipelineError):
    """The view does not answer: it is still loading, a leader is silent, or it has ended. The text says which."""


class _Subscriber:
    """Room_ids that changed since one reader of `changes` was last given some."""

    def __init__(self) -> None:
        self.pending: set[str] = set()
        self.event = asyncio.Event()

    def add(self, room_ids: Iterable[str]) -> None:
        self.pending |= set(room_ids)
        self.event.set()

    def take(self) -> frozenset[str]:
        taken = frozenset(self.pending)
        self.pending.clear()
        self.event.clear()
        return taken


class RoomsView:
    """The rooms now. An asynchronous context manager; entering connects, `loaded` waits for the first copy.

    Args:
        notice: receives lines of text for a log: the topic was replaced, the registry is down.
        sessions: also know the rooms of each session (`rooms_of`), for 170 bytes of memory each.

    Entering raises ConfigError, KafkaError. Methods that read raise StaleViewError while the view is not current, and
    FatalError for a row that is no room. Times are microseconds of the broker's clock.
    """

    def __init__(self, settings: Settings, notice: Notice = lambda _: None, *, sessions: bool = False) -> None:
        self._settings, self._notice, self._sessions = settings, notice, sessions
        self._topic = topics.ROOMS.full_name(settings.topic_prefix)
        self._offsets = LogOffsets(settings)
        self._follower = Follower(settings, self._apply, self._bad_batch, notice)
        self._ends = LogEnds(self._log_ends)
        self._table = RoomsTable(sessions=sessions)
        self._confirmed: dict[int, Position] = {}
        """The last position of each partition that the view is caught up to."""
        self._subscribers: set[_Subscriber] = set()
        self._is_loaded = False
        self._failure: BaseException | None = None
        self._fraction = 0.0
        self._open = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        found = await require_topics(self._settings, acls.viewer(self._settings))
        self._partitions = [TopicPartition(self._topic, number) for number in range(found[self._topic])]
        async with contextlib.AsyncExitStack() as opened:
            self._registry: Registry = await opened.enter_async_context(Registry(self._settings))
            opened.push_async_callback(self._offsets.stop)
            opened.push_async_callback(self._follower.stop)
            await asyncio.gather(self._offsets.start(), self._follower.start())
            opened.push_async_callback(self._ends.stop)
            for job in (self._run(), self._watch_topic()):
                task = asyncio.create_task(job)
                opened.push_async_callback(_cancel, task)
            self._open = opened.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    # --- reading ---------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            while True:
                try:
                    await self._load()
                    while True:
                        await self._follower.turn()
                        self._tell()
                except (_ReadAgainError, Errors.OffsetOutOfRangeError):
                    self._notice(f"{self._topic} was replaced: reading it from its beginning")
                except Errors.KafkaError as error:
                    if not error.retriable:
                        raise
                    self._notice(f"reading {self._topic} from its beginning: {error}")
                self._is_loaded = False
                await asyncio.sleep(RETRY_SECONDS)
        except Exception as error:
            self._failure = error
            self._follower.fail(error)
            for subscriber in self._subscribers:
                subscriber.event.set()

    async def _load(self) -> None:
        """Read the topic from its beginning to the end of what is committed now."""
        old = list(self._table.room_ids())
        self._is_loaded, self._fraction = False, 0.0
        self._table, self._confirmed = RoomsTable(sessions=self._sessions), {}
        starts, ends = await asyncio.gather(
            self._offsets.beginnings(self._partitions), self._offsets.stable(self._partitions)
        )
        self._topic_id = await self._current_topic_id()
        self._follower.begin(starts)
        # The garbage collector goes on: the client's fetches make cycles, and without it they take another gigabyte.
        async for missing in self._follower.up_to(ends):
            self._fraction = 1 - missing / max(1, sum(ends.values()) - sum(starts.values()))
            self._table.changed.clear()
        self._fraction, self._is_loaded = 1.0, True
        self._table.changed.clear()
        self._follower.wake()
        for subscriber in self._subscribers:
            subscriber.add([*old, *self._table.room_ids()])

    async def _apply(self, tp: TopicPartition, records: list[Record]) -> None:
        await learn_schemas(self._registry, self._table.decoders, records, self._notice)
        self._table.apply(tp.partition, records)

    def _bad_batch(self, tp: TopicPartition, batch: StoredBatch, fault: str) -> None:
        raise FatalError(f"{tp.topic}/{tp.partition}/{batch.first}: {fault}: only workers may write to this topic")

    def _tell(self) -> None:
        changed = self._table.changed
        if changed:
            for subscriber in self._subscribers:
                subscriber.add(changed)
            changed.clear()

    async def _current_topic_id(self) -> str:
        return (await self._offsets.describe([self._topic]))[self._topic].topic_id

    async def _watch_topic(self) -> None:
        """Read the topic again when it was deleted and created again."""
        while True:
            await asyncio.sleep(TOPIC_SECONDS)
            with contextlib.suppress(Errors.KafkaError):
                found = await self._current_topic_id()
                if found and self._is_loaded and found != self._topic_id:
                    self._follower.interrupt(_ReadAgainError())

    async def _log_ends(self, tps: list[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Return the ends of partitions, open transactions included. Raises KafkaError."""
        ends = await self._offsets.ends(tps)
        for tp in tps:
            self._follower.answered(tp)
        return ends

    # --- is it current? --------------------------------------------------------------------------------------

    @property
    def why_stale(self) -> str:
        """Why the view does not answer; "" if it does."""
        if self._failure is not None:
            return f"the rooms view has ended: {self._failure}"
        if not self._is_loaded:
            return f"the rooms are still being read, {self._fraction:.0%} so far"
        if (silent := self._follower.silent) > STALE_SECONDS:
            return f"a leader of {self._topic} has not answered for {silent:.0f} s"
        return ""

    @property
    def stale(self) -> bool:
        """Whether the view does not answer now."""
        return bool(self.why_stale)

    @property
    def failure(self) -> BaseException | None:
        """The error that ended the reading, None while it goes on."""
        return self._failure

    @property
    def fraction(self) -> float:
        """How much of the first copy has been read, from 0 to 1."""
        return self._fraction

    async def loaded(self) -> None:
        """Wait for the first copy. Raises FatalError, KafkaError."""
        await self._follower.until(lambda: self._is_loaded)

    async def caught_up(self, place: Place) -> None:
        """Wait until the view shows what was decided on the signal at this place, and on all before it.

        That is: a position behind the signal was read, and then everything up to the end of the log that was asked for
        after it, because the position is the first row of its transaction.
        """
        number = place.partition
        if _offset(self._confirmed.get(number), place.topic) > place.offset:
            return
        await self._follower.until(lambda: _offset(self._table.position(number), place.topic) > place.offset)
        position = self._table.position(number)
        await self.read_end(number)
        if position is not None:
            self._confirmed[number] = position

    async def read_end(self, partition: int) -> None:
        """Wait until the view has read a partition to the end that it has after this call.

        Then "there is no such room" is true of the moment of the call.
        """
        tp = TopicPartition(self._topic, partition)
        end = await self._ends.after_now(tp)
        await self._follower.until(lambda: self._is_loaded and self._follower.positions.get(tp, -1) >= end)

    def position(self, partition: int) -> Position | None:
        """Return the last position that the view was found to be caught up to; None before the first."""
        return self._confirmed.get(partition)

    @property
    def partitions(self) -> int:
        """The number of partitions."""
        return len(self._partitions)

    # --- the rooms -------------------------------------------------------------------------------------------

    def _current(self) -> RoomsTable:
        if why := self.why_stale:
            raise StaleViewError(why)
        return self._table

    def room(self, room_id: str) -> Room | None:
        """Return a room, None if there is none."""
        return self._current().room(room_id)

    def members(self, room_id: str) -> tuple[Member, ...]:
        """Return the members of a room in the order in which they joined."""
        return self._current().members(room_id)

    def member_count(self, room_id: str) -> int:
        """Return the number of a room's members."""
        return self._current().member_count(room_id)

    def rooms_of(self, session: str) -> tuple[str, ...]:
        """Return the ids of the rooms that a session is in. Needs `sessions`."""
        return self._current().rooms_of(session)

    def room_ids(self, *, app: str | None = None, node: str | None = None, live: bool | None = None) -> list[str]:
        """Return the ids of all rooms, or of those of an app, of a node, with or without a live playback."""
        return list(self._current().room_ids(app=app, node=node, live=live))

    def rooms(self, *, app: str | None = None, node: str | None = None, live: bool | None = None) -> Iterator[Room]:
        """Yield the same rooms. A room that ends meanwhile is left out."""
        for room_id in self.room_ids(app=app, node=node, live=live):
            room = self._current().room(room_id)
            if room is not None:
                yield room

    def gone_since(self, room_id: str) -> int | None:
        """Return when a gone room ended; None if it is known or unknown."""
        return self._current().gone_since(room_id)

    @property
    def counts(self) -> Counts:
        """The numbers of rooms, members and live playbacks."""
        return self._current().counts

    @property
    def nodes(self) -> Mapping[str, int]:
        """The number of rooms of each node that has some."""
        return self._current().nodes

    @property
    def apps(self) -> Mapping[str, int]:
        """The number of rooms of each app that has some."""
        return self._current().apps

    def changes(self) -> AsyncIterator[frozenset[str]]:
        """Return the ids of rooms that change, appear or go from this call on; those of one moment together.

        What is not taken in time adds up to one set. Raises StaleViewError when the view has ended.
        """
        subscriber = _Subscriber()
        self._subscribers.add(subscriber)  # here: a generator would do it only when the first set is taken
        return self._changes(subscriber)

    async def _changes(self, subscriber: _Subscriber) -> AsyncIterator[frozenset[str]]:
        try:
            while True:
                await subscriber.event.wait()
                if self._failure is not None:
                    raise StaleViewError(self.why_stale)
                yield subscriber.take()
        finally:
            self._subscribers.discard(subscriber)


class _ReadAgainError(Exception):
    """The topic must be read from its beginning."""


def _offset(position: Position | None, topic: str) -> int:
    """Return the next offset of a signal topic; -1 if it is not known."""
    positions = position.positions if position is not None else ()
    return next((one.offset for one in positions if one.topic == topic), -1)


async def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
