"""Waits for the outcomes of signals: follows the topics of events, rejections, no-ops and dead letters."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable
from functools import partial
from typing import Any, Final, Self

from aiokafka import errors as Errors
from aiokafka.structs import TopicPartition

from pipeline import topics
from pipeline.core.merge import Record
from pipeline.errors import SignalError
from pipeline.kafka import acls
from pipeline.kafka.authorization import require_topics
from pipeline.kafka.log_offsets import LogOffsets
from pipeline.kafka.schema_registry import Registry
from pipeline.kafka.stored_batch import StoredBatch
from pipeline.settings import Settings
from pipeline.view.follower import RETRY_SECONDS, Follower, Notice, learn_schemas
from pipeline.view.log_ends import LogEnds
from pipeline.view.tables.outcomes_table import KEEP_SECONDS, REPEATED, Outcome, OutcomesTable, Place

Offsets = dict[TopicPartition, int]
EXPIRE_SECONDS: Final = 1.0
"""Seconds between two looks for outcomes that are too old."""


class Outcomes:
    """What became of signals that are appended after entering. An asynchronous context manager.

    Args:
        partitions: the partition numbers to read; None: all.
        media: also keep the outcomes of media signals. They have none when the signal had no effect.
        keep: seconds for which an outcome is kept after it was read.
        back: also read the records of the last `back` seconds; `loaded` waits for them.
        notice: receives lines of text for a log: what is no outcome, the registry is down.

    Entering raises ConfigError, KafkaError.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        partitions: Iterable[int] | None = None,
        media: bool = False,
        keep: float = KEEP_SECONDS,
        back: float = 0.0,
        notice: Notice = lambda _: None,
    ) -> None:
        self._settings, self._partitions, self._back, self._notice = settings, partitions, back, notice
        names = topics.signal_topics(settings.topic_prefix)
        self._table = OutcomesTable(names.values() if media else [names["api"]], keep)
        self._dead = topics.DEAD.full_name(settings.topic_prefix)
        self._events = topics.EVENTS.full_name(settings.topic_prefix)
        # A response has all partitions of its request: those that rarely have records would make each one large.
        self._frequent, self._rare = (Follower(settings, self._apply, self._bad_batch, notice) for _ in range(2))
        self._waiting: dict[Place, set[asyncio.Future[Outcome]]] = {}
        self._named: dict[str, set[asyncio.Future[Outcome]]] = {}
        """The same by signal_id."""
        self._offsets = LogOffsets(settings)
        self._log_ends = LogEnds(self._offsets.ends)
        self._failure: BaseException | None = None
        self._open = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        found = await require_topics(self._settings, acls.outcomes(self._settings))
        async with contextlib.AsyncExitStack() as opened:
            self._registry: Registry = await opened.enter_async_context(Registry(self._settings))
            opened.push_async_callback(self._offsets.stop)
            opened.push_async_callback(self._frequent.stop)
            opened.push_async_callback(self._rare.stop)
            await asyncio.gather(self._offsets.start(), self._frequent.start(), self._rare.start())
            opened.push_async_callback(self._log_ends.stop)
            numbers = None if self._partitions is None else set(self._partitions)
            followed = [
                TopicPartition(name, number)
                for name, count in found.items()
                for number in range(count)
                if numbers is None or number in numbers
            ]
            self._ends = await self._frequent.consumer.end_offsets(followed)
            for follower, starts in self._divided(await self._starts(followed)):
                follower.begin(starts)
            self._tasks = [asyncio.create_task(self._run(one)) for one in (self._frequent, self._rare)]
            opened.push_async_callback(self._cancel)
            self._open = opened.pop_all()
        return self

    def _divided(self, offsets: Offsets) -> list[tuple[Follower, Offsets]]:
        """Return the followers, each with those of the offsets that it follows."""
        events = {tp: offset for tp, offset in offsets.items() if tp.topic == self._events}
        others = {tp: offset for tp, offset in offsets.items() if tp.topic != self._events}
        return [(self._frequent, events), (self._rare, others)]

    async def _reached(self, offsets: Offsets) -> None:
        """Wait until these offsets were read. Raises KafkaError, FatalError."""
        for follower, ends in self._divided(offsets):
            await follower.until(partial(_is_at, follower, ends))

    async def _starts(self, followed: list[TopicPartition]) -> dict[TopicPartition, int]:
        if not self._back:
            return dict(self._ends)
        since = int((time.time() - self._back) * 1000)
        found = await self._frequent.consumer.offsets_for_times(dict.fromkeys(followed, since))
        return {tp: self._ends[tp] if at is None else min(at.offset, self._ends[tp]) for tp, at in found.items()}

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._fail(ConnectionError("the reader of outcomes was closed"))

    async def _run(self, follower: Follower) -> None:
        checked = 0.0
        try:
            while True:
                await self._turn(follower)
                now = time.monotonic()
                if now - checked > EXPIRE_SECONDS:
                    self._table.expire(now)
                    checked = now
        except Exception as error:
            for one in (self._frequent, self._rare):
                one.fail(error)
            self._fail(error)

    async def _turn(self, follower: Follower) -> None:
        """Take a turn. What was deleted unread is left out: then the outcomes of some signals stay unknown."""
        try:
            await follower.turn()
        except Errors.OffsetOutOfRangeError as error:
            self._notice(f"records were deleted before they were read: {error}")
            await asyncio.sleep(RETRY_SECONDS)
            follower.begin(await follower.consumer.beginning_offsets(list(follower.positions)))
        except Errors.KafkaError as error:
            if not error.retriable:
                raise
            self._notice(f"reading outcomes: {error}")
            await asyncio.sleep(RETRY_SECONDS)

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        for futures in (*self._waiting.values(), *self._named.values()):
            for future in futures:
                if not future.done():
                    future.set_exception(error)

    async def _apply(self, tp: TopicPartition, records: list[Record]) -> None:
        letter, now = tp.topic == self._dead, time.monotonic()
        if not letter:
            await learn_schemas(self._registry, self._table.decoders, records, self._notice)
        complete: dict[Place, None] = {}
        for record in records:
            try:
                place = self._table.apply(tp.topic, tp.partition, record, now, letter=letter)
            except (SignalError, ValueError) as error:
                self._notice(f"{tp.topic}/{tp.partition}/{record.offset}: no outcome: {error}; skipped")
                continue
            if place is not None:
                complete[place] = None
        # Only now: the events of a joined that is muted are two.
        for place in complete if self._waiting or self._named else ():
            self._resolve(place)

    def _resolve(self, place: Place) -> None:
        outcome, last = self._table.get(place), self._table.covered(place)
        if outcome is not None and outcome.reason != REPEATED:
            for future in self._named.get(outcome.signal_id, ()):
                if not future.done():
                    future.set_result(outcome)
        places = [place] if last == place.offset else _within(self._waiting, place, last)
        for one in places:
            for future in self._waiting.get(one, ()):
                if not future.done() and outcome is not None:
                    future.set_result(outcome)

    def _bad_batch(self, tp: TopicPartition, batch: StoredBatch, fault: str) -> None:
        self._notice(f"{tp.topic}/{tp.partition}/{batch.first}: no outcomes: {fault}; skipped")

    async def loaded(self) -> None:
        """Wait until everything has been read that was there on entering. Raises KafkaError, FatalError."""
        await self._reached(self._ends)

    async def outcome(self, place: Place) -> Outcome:
        """Wait for the outcome of the signal at this place. Set a time limit: nothing may come, and means nothing.

        Raises the error that ended the reading.
        """
        if (known := self._table.get(place)) is not None:
            return known
        if self._failure is not None:
            raise self._failure
        return await _resolved(self._waiting, place)

    async def first(self, signal_id: str, acknowledged: asyncio.Future[Any]) -> tuple[Place, Outcome]:
        """Wait for the outcome of a signal by its signal_id, or by the place in its acknowledgement; return both.

        Of several signals with one signal_id it is the one that is no `repeated`, if it is known. An acknowledgement
        that is an error is not waited for: the signal may have been written. Raises like `outcome`.
        """
        known, place = self._table.find(signal_id), self._table.place(signal_id)
        if known is not None and place is not None and known.reason != REPEATED:
            return place, known
        if self._failure is not None:
            raise self._failure
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        written: list[Place] = []

        def wait_for_place(done: asyncio.Future[Any]) -> None:
            if not done.cancelled() and done.exception() is None and not future.done():
                written.append(place_of(done.result()))
                if (outcome := self._table.get(written[0])) is not None:
                    future.set_result(outcome)
                else:
                    self._waiting.setdefault(written[0], set()).add(future)

        self._named.setdefault(signal_id, set()).add(future)
        acknowledged.add_done_callback(wait_for_place)
        try:
            outcome = await future
        finally:
            acknowledged.remove_done_callback(wait_for_place)
            _forget(self._named, signal_id, future)
            for one in written:
                _forget(self._waiting, one, future)
        if written and self._table.get(written[0]) is outcome:
            return written[0], outcome
        return self._table.place(signal_id) or written[0], outcome

    async def read_end(self, partition: int | None = None) -> None:
        """Wait until a partition number (None: all) was read to the ends that its topics have after this call.

        Then a signal has no outcome that was there at the call, unless it is known. Raises KafkaError.
        """
        tps = [tp for tp in self._ends if partition in (None, tp.partition)]
        await self._reached(dict(zip(tps, await asyncio.gather(*map(self._log_ends.after_now, tps)), strict=True)))

    @property
    def failure(self) -> BaseException | None:
        """The error that ended the reading, None while it goes on."""
        return self._failure

    def place(self, signal_id: str) -> Place | None:
        """Return the place of the signal whose outcome `find` returns."""
        return self._table.place(signal_id)

    def get(self, place: Place) -> Outcome | None:
        """Return the outcome of the signal at this place if it is known. None does not mean that it had none."""
        return self._table.get(place)

    def find(self, signal_id: str) -> Outcome | None:
        """Return the outcome of a signal by its signal_id if it is known; of a repeated one that of the first."""
        return self._table.find(signal_id)


async def _resolved(waiting: dict[Any, set[asyncio.Future[Outcome]]], name: Any) -> Outcome:
    """Wait for an outcome under a name."""
    future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    waiting.setdefault(name, set()).add(future)
    try:
        return await future
    finally:
        _forget(waiting, name, future)


def _forget(waiting: dict[Any, set[asyncio.Future[Outcome]]], name: Any, future: asyncio.Future[Outcome]) -> None:
    if (others := waiting.get(name)) is not None:
        others.discard(future)
        if not others:
            del waiting[name]


def _is_at(follower: Follower, ends: Offsets) -> bool:
    return all(follower.positions.get(tp, -1) >= end for tp, end in ends.items())


def _within(waiting: Iterable[Place], first: Place, last: int) -> list[Place]:
    """Return the places of one partition from `first` to the offset `last`."""
    return [one for one in waiting if one[:2] == first[:2] and first.offset <= one.offset <= last]


def place_of(metadata: Any) -> Place:
    """Return the place that a producer's acknowledgement names."""
    return Place(metadata.topic, metadata.partition, metadata.offset)
