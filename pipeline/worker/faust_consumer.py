"""Faust's consumer, with batches instead of records and positions instead of committed offsets.

Stock Faust makes four asyncio tasks per record and commits offsets on a timer. Here one Faust event carries all
records that a poll brought, offsets are committed inside the units' transactions, and a
rebalance waits for the unit in flight. This file touches private names of Faust and aiokafka; the versions are
pinned, and tests/test_private_names.py fails when a name goes away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol, cast

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka import errors as Errors
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from pipeline import topics
from pipeline.core.merge import Record
from pipeline.kafka.batch_reader import by_batch, check_tasks, look_rarely, records_of
from pipeline.kafka.fetch_pacing import pace, pause_after
from pipeline.settings import Settings

POLL_SECONDS = 0.2
"""How long a poll waits: positions move over markers without a record, and the barrier wants to know it soon."""
IDLE_POLL_SECONDS = 1.0
"""How long it waits when nobody wants to know it: polls are half of what an idle worker does."""
MAX_POLL_BATCHES = 500
"""Batches, since they come whole: without a bound, one poll after a pause returned 315,000 records."""
HEARTBEAT_SECONDS = 0.5
log = structlog.get_logger("consumer")


class Fetch:
    """What a poll brought of one topic-partition: its records, where the poll before had left the log (`start`),
    where this one left it (`position`), and the end that the latest fetch reported."""

    __slots__ = ("end", "generation", "position", "records", "start", "tp")

    def __init__(self, tp: TP, records: list[Record], start: int, position: int, end: int) -> None:
        self.tp = tp
        self.records = records
        self.start = start
        self.position = position
        self.end = end
        self.generation = -1


class Sink(Protocol):
    """What the consumer needs of the engine."""

    def full(self) -> frozenset[TP]:
        """The inputs whose queues are full: don't poll them."""

    def polled(self) -> None:
        """A poll is over, or there was no room for what it would bring. Called from the consumer's thread."""

    def delivering(self, polled: list[TP]) -> None:
        """A poll brought a Fetch of each of these, which go to the agent together."""

    def seen(self, fetch: Fetch) -> None:
        """A poll brought no records of this topic-partition; it doesn't go through the agent."""

    def idle(self) -> bool:
        """Whether no signal and no deadline waits for an input to be read on."""

    def missed(self) -> Mapping[TP, int]:
        """Inputs of which a poll got lost on its way, and where they are to be read from again."""

    async def quiesce(self) -> None:
        """Finish the unit in flight, start no other, forget what is queued."""

    def resume(self, generation: int, member_id: str) -> None:
        """The inputs are at their positions: go on, as this member of this generation."""

    def positions(self) -> Mapping[TP, int]:
        """Where each input is to be read from."""


class Consumer(driver.Consumer):
    """See the module. `sink` and `settings` are set by the app, which has no other way in."""

    sink: Sink
    settings: Settings
    expelled = False
    """Whether the group had gone on without us before this rebalance."""
    _rebalances = 0
    _draining = 0

    def _new_consumer_thread(self) -> Any:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    async def _drain_messages(self, fetcher: Any) -> None:
        # As in the original: run until consumer or fetcher stop, deliver nothing while flow is suspended and
        # nothing of an old generation. Unlike it: one message per poll, no offsets tracked.
        me = asyncio.current_task()
        self._draining += 1
        try:
            await self._polls(fetcher, me)
        finally:
            self._draining -= 1

    async def _polls(self, fetcher: Any, me: asyncio.Task[Any] | None) -> None:
        while not (self.should_stop or fetcher.should_stop):
            try:
                await self._poll()
            except self.consumer_stopped_errors:
                if not self.app.should_stop:
                    raise
                return
            except asyncio.CancelledError:
                if self.app.should_stop:
                    return
                # What was cancelled may be a call in the consumer's thread, and Faust would end the polls in silence.
                if me is None or me.cancelling() or fetcher.should_stop:
                    raise
                log.warning("a poll was cancelled: go on")

    async def _poll(self) -> None:
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
            return
        generation = self.app.consumer_generation_id
        seconds = IDLE_POLL_SECONDS if self.sink.idle() else POLL_SECONDS
        fetches = await self._getmany(self._get_active_partitions(), seconds)
        # What is of an old generation is lost on its way: a rebalance seeks, or the engine misses it.
        if self._current(generation):
            await self._hand_over(fetches, generation)
        if missed := self.sink.missed():
            await self._thread.place(missed)

    def standing(self) -> str:
        """What polls need, for a report of why there are none."""
        return (
            f"generation {self.app.consumer_generation_id}, drainers {self._draining}, flow active {self.flow_active}, "
            f"partitions {len(self.assignment())}, of them to be polled {len(self._get_active_partitions())}, "
            f"in place {self._thread.in_place}"
        )

    def _current(self, generation: int) -> bool:
        return bool(self.flow_active and generation == self.app.consumer_generation_id)

    async def _hand_over(self, fetches: list[Fetch], generation: int) -> None:
        for fetch in fetches:
            fetch.generation = generation
        brought = [fetch for fetch in fetches if fetch.records]
        self.sink.delivering([fetch.tp for fetch in brought])
        for fetch in fetches:
            if not fetch.records:
                self.sink.seen(fetch)
        if brought:
            await self._deliver(brought)

    async def _deliver(self, fetches: list[Fetch]) -> None:
        first = fetches[0]
        message = ConsumerMessage(
            first.tp.topic,
            first.tp.partition,
            first.records[-1].offset,
            first.records[-1].time / 1e6,
            1,
            (),
            None,
            fetches,
            None,
            None,
            None,
            first.tp,
            generation_id=first.generation,  # without it the stream drops the event in silence
        )
        await self.wait_first(self.callback(message), self.suspend_flow.wait())

    def ack(self, message: Any) -> bool:
        message.acked = True
        self._unacked_messages.discard(message)
        return True

    async def wait_empty(self) -> None:
        self._rebalances += 1
        await self.sink.quiesce()
        # aiokafka forgets our member id when the group says that it does not know us any more.
        self.expelled = self._thread.member_id == "" and not self.should_stop

    async def commit(self, *args: Any, **kwargs: Any) -> bool:
        return False  # offsets are committed by the units' transactions

    async def highwaters(self, *partitions: TP) -> Mapping[TP, int]:
        """Faust asks this of the table's log only, to see what is left to recover: nothing, `store` has read it."""
        return dict.fromkeys(partitions, 0)

    async def perform_seek(self) -> None:
        """The end of a rebalance: put the inputs at our positions, then let the engine go on."""
        generation, rebalances = self.app.consumer_generation_id, self._rebalances
        member_id = await self._thread.place(self.sink.positions(), new=True)
        # If the next one has begun, before or meanwhile, it ends with a seek of its own.
        if member_id is not None and rebalances == self._rebalances:
            self.sink.resume(generation, member_id)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Liveness is ours (`/livez`)."""


class _Thread(driver.AIOKafkaConsumerThread):
    """The thread in which the aiokafka consumer lives."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._left: dict[TP, int] = {}
        """Where the latest poll, or seek, left each input."""
        self._placed: Any = None
        """The assignment whose inputs were put at our positions."""

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        settings = cast(Consumer, self.consumer).settings
        self._assignor = self.app.assignor
        session = round(settings.session_timeout * 1000)
        return AIOKafkaConsumer(
            **settings.kafka(),
            client_id=self.app.conf.broker_client_id,
            group_id=self.app.conf.id,
            partition_assignment_strategy=[self._assignor],
            enable_auto_commit=False,
            # A position out of range is a loss: it must never be mended in silence (promise 6).
            auto_offset_reset="none",
            # The original ties this to Faust's own exactly_once; producers of signals may be transactional, too.
            isolation_level="read_committed",
            max_poll_records=MAX_POLL_BATCHES,
            max_poll_interval_ms=300_000,
            max_partition_fetch_bytes=1 << 20,
            fetch_max_wait_ms=500,
            request_timeout_ms=max(30_000, 2 * session),
            session_timeout_ms=session,
            rebalance_timeout_ms=30_000,
            heartbeat_interval_ms=round(HEARTBEAT_SECONDS * 1000),
            metadata_max_age_ms=self.app.conf.consumer_metadata_max_age_ms,
            retry_backoff_ms=50,
        )

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: set[TP],
        timeout: float | None = None,
        max_records: int | None = None,
    ) -> list[Fetch]:
        parent = cast(Consumer, self.consumer)
        if not parent.flow_active:
            return []
        fetcher = consumer._fetcher
        by_batch(consumer)
        look_rarely(consumer)
        if consumer._closed or fetcher._closed:
            raise driver.ConsumerStoppedError
        check_tasks(consumer)
        wanted = active_partitions - parent.sink.full()
        if not wanted or self._in_place(fetcher) is None:
            if active_partitions and not wanted:
                parent.sink.polled()
            await asyncio.sleep(0.01)
            return []
        with fetcher._subscriptions.fetch_context():
            try:
                fetched = await fetcher.fetched_records(wanted, timeout=timeout, max_records=max_records)
            except Errors.NoOffsetForPartitionError:
                # This poll has lived through a rebalance. Committed offsets are not where we go on from: before
                # flow is resumed, `place` seeks to the positions of the table's log.
                return []
        # Records and positions are taken in one step of this thread's loop, so they belong together: `position`
        # is behind exactly these records, markers and aborted ones included.
        assignment = self._in_place(fetcher)
        if assignment is None:
            return []
        found = {tp: records_of(batches) for tp, batches in fetched.items()}
        pace(consumer).pause = pause_after(sum(map(len, found.values())))
        parent.sink.polled()
        polled = []
        for tp in wanted:
            state = assignment.state_value(tp)
            if state is None or not state.has_valid_position or state.lso is None or tp not in self._left:
                continue
            polled.append(Fetch(tp, found.get(tp, []), self._left[tp], state.position, state.lso))
            self._left[tp] = state.position
        return polled

    def _in_place(self, fetcher: Any) -> Any:
        """The current assignment, None before its inputs were put at our positions. Faust lets the flow go on before
        that, when they are where the group's offsets are; and those may be behind us, who know of a commit before the
        group does: a poll of them would be taken for one of what comes next."""
        assignment = fetcher._subscriptions.subscription.assignment
        return assignment if assignment is self._placed else None

    @property
    def in_place(self) -> bool:
        """Whether the inputs of the current assignment were put at our positions."""
        return self._consumer is not None and self._in_place(self._consumer._fetcher) is not None

    @property
    def member_id(self) -> str | None:
        """The group's name for us."""
        coordinator = None if self._consumer is None else self._consumer._coordinator
        return None if coordinator is None else str(coordinator.member_id)

    async def place(self, positions: Mapping[TP, int], *, new: bool = False) -> str | None:
        """Seek these inputs; the group's name for us. `new`: they are those of a new assignment, of which nothing was
        polled yet; else, nothing is done when another assignment has come since. None in a rebalance."""
        member_id: str | None = await self.call_thread(self._place, self._ensure_consumer(), positions, new)
        return member_id

    async def _place(self, consumer: Any, positions: Mapping[TP, int], new: bool) -> str | None:
        subscriptions = consumer._fetcher._subscriptions
        if subscriptions.reassignment_in_progress:
            return None
        assignment = subscriptions.subscription.assignment
        if new:
            self._placed = assignment
            self._left.clear()
        if assignment is self._placed:
            self._seek_all(consumer, positions)
        return str(consumer._coordinator.member_id)

    def _seek_all(self, consumer: Any, positions: Mapping[TP, int]) -> None:
        assigned = consumer.assignment()
        # The table's log, which Faust has assigned, too: its own writes would be read again, and as nobody takes them
        # from the fetcher, each would hold all fetches of the node up for 0.1 s.
        table = topics.ROOMS.full_name(cast(Consumer, self.consumer).settings.topic_prefix)
        consumer.pause(*(tp for tp in assigned if tp.topic == table))
        for tp, offset in positions.items():
            if tp in assigned:
                consumer.seek(tp, offset)
                self._left[tp] = offset


class Transport(driver.Transport):
    """Faust's Kafka transport with our consumer."""

    Consumer = Consumer
