"""Faust's consumer: batches instead of records, positions of the table's log instead of committed offsets.

Stock Faust makes four asyncio tasks per record and commits offsets on a timer. Here one Faust event carries everything
that a poll returned, offsets are committed in the units' transactions, and a rebalance waits for the unit in flight.
Uses private names of Faust and aiokafka; the versions are pinned, and tests/test_private_names.py fails when one goes
away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka import errors as Errors
from aiokafka.structs import TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage
from mode.services import Service
from mode.utils.futures import maybe_async

from pipeline import topics
from pipeline.kafka.batch_reader import by_batch, check_tasks, look_rarely
from pipeline.kafka.fetch_pacing import pace, pause_after
from pipeline.kafka.oauth import client_options
from pipeline.worker.intake import Fetch, Intake, Poll

POLL_SECONDS = 0.2
"""Longest wait of a poll: positions move over transaction markers without a record, and the barrier waits for them."""
IDLE_POLL_SECONDS = 1.0
"""The same while nothing waits for an input: polls are half of what an idle worker does."""
MAX_POLL_BATCHES = 500
"""Batches that a poll returns at most. Without a bound, one poll after a pause returned 315,000 records."""
MAX_FETCH_BYTES = 4 << 20
"""Bytes that a broker returns at a time, of all partitions. The client holds a response several times."""
HEARTBEAT_SECONDS = 0.5
log = structlog.get_logger("consumer")


class Consumer(driver.Consumer):
    """The consumer of one worker. It calls aiokafka through what Faust runs in a thread (`_Thread`)."""

    expelled = False
    """Whether the group had removed this worker before the current rebalance."""
    _rebalances = 0
    _draining = 0

    @property
    def _intake(self) -> Intake:
        return self.app.engine.intake  # type: ignore[no-any-return]

    def _new_consumer_thread(self) -> Any:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    async def _drain_messages(self, fetcher: Any) -> None:
        # As in the original: run until consumer or fetcher stop; deliver nothing while the flow is suspended, and
        # nothing of an old generation. Unlike it: one message per poll, no offsets tracked.
        me = asyncio.current_task()
        self._draining += 1
        try:
            await self._poll_repeatedly(fetcher, me)
        finally:
            self._draining -= 1

    async def _poll_repeatedly(self, fetcher: Any, me: asyncio.Task[Any] | None) -> None:
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
                # Only a request of aiokafka may have been cancelled. Faust would then stop polling silently.
                if me is None or me.cancelling() or fetcher.should_stop:
                    raise
                log.warning("a poll was cancelled: continue")

    async def _poll(self) -> None:
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
            return
        generation = self.app.consumer_generation_id
        seconds = IDLE_POLL_SECONDS if self._intake.idle() else POLL_SECONDS
        fetches = await self._getmany(self._get_active_partitions(), seconds)
        # Drop fetches of an old generation; the rebalance seeks back, or the intake requests them again.
        if self._current(generation):
            await self._hand_over(generation, fetches)
        if missed := self._intake.missed():
            await self._thread.place(missed)

    def refusal(self) -> BaseException | None:
        """Return the error with which the group refuses this worker. Before there are partitions no poll reports it."""
        refusal: BaseException | None = self._thread.refusal
        return refusal

    def poll_state(self) -> str:
        """Return what polls depend on, for the error of a consumer that does not poll."""
        return (
            f"generation {self.app.consumer_generation_id}, drainers {self._draining}, flow active {self.flow_active}, "
            f"partitions {len(self.assignment())}, of them to be polled {len(self._get_active_partitions())}, "
            f"in place {self._thread.in_place}"
        )

    def _current(self, generation: int) -> bool:
        return bool(self.flow_active and generation == self.app.consumer_generation_id)

    async def _hand_over(self, generation: int, fetches: list[Fetch]) -> None:
        poll = Poll(generation, [fetch for fetch in fetches if fetch.batches])
        self._intake.announce(poll)
        for fetch in fetches:
            if not fetch.batches:
                self._intake.move(generation, fetch)
        if poll.fetches:
            await self._deliver(poll)

    async def _deliver(self, poll: Poll) -> None:
        first = poll.fetches[0]
        message = ConsumerMessage(
            first.tp.topic,
            first.tp.partition,
            first.batches[-1].last,
            first.batches[-1].time / 1e6,
            1,
            (),
            None,
            poll,
            None,
            None,
            None,
            first.tp,
            generation_id=poll.generation,  # without it the stream drops the event silently
        )
        # The original races this against a suspended flow, with four tasks. It puts the message into a queue that takes
        # any number, and never waits.
        await self.callback(message)

    def ack(self, message: Any) -> bool:
        message.acked = True
        self._unacked_messages.discard(message)
        return True

    async def wait_empty(self) -> None:
        self._rebalances += 1
        await self.app.engine.quiesce()
        # aiokafka clears its member id when the group no longer knows it.
        self.expelled = self._thread.member_id == "" and not self.should_stop

    async def commit(self, *args: Any, **kwargs: Any) -> bool:
        return False  # offsets are committed in the units' transactions

    async def highwaters(self, *partitions: TP) -> Mapping[TP, int]:
        """Return 0 for each. Faust asks for the table's log only, which the store has read already."""
        return dict.fromkeys(partitions, 0)

    async def perform_seek(self) -> None:
        """End a rebalance: seek the inputs to their positions, then let the engine continue."""
        generation, rebalances = self.app.consumer_generation_id, self._rebalances
        member_id = await self._thread.place(self._intake.positions(), new=True)
        # If another rebalance has begun, before or meanwhile, it ends with a seek of its own.
        if member_id is not None and rebalances == self._rebalances:
            self.app.engine.resume(generation, member_id)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Do nothing: liveness.py and `/livez` replace this check."""


class _Thread(driver.AIOKafkaConsumerThread):
    """The service of the aiokafka consumer. Faust runs it in a thread with a loop of its own; here, on the main loop.

    At a low rate the two loops spent more on waking each other than on records. Everything on the main loop yields to
    it many times within a session timeout, so the heartbeats, which are sent from here, are not late.
    """

    start = Service.start
    maybe_start = Service.maybe_start
    stop = Service.stop
    crash = Service.crash
    set_shutdown = Service.set_shutdown
    _stopped_set = Service._stopped_set
    _stop_children = Service._stop_children
    _stop_futures = Service._stop_futures
    _stop_exit_stacks = Service._stop_exit_stacks
    wait_for_shutdown = False  # of a thread

    def __init__(self, consumer: Consumer, **options: Any) -> None:
        super().__init__(consumer, thread_loop=consumer.loop, **options)

    async def on_stop(self) -> None:
        """Leave the group and disconnect."""
        if self._consumer is not None:
            await self._consumer.stop()

    async def call_thread(self, fun: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Call `fun` on this loop, and return its result."""
        return await maybe_async(fun(*args, **options))

    def __post_init__(self) -> None:
        super().__post_init__()
        self._left: dict[TP, int] = {}
        """Where the latest poll, or seek, left each input."""
        self._placed: Any = None
        """The assignment whose inputs were last put at their positions."""
        self._paused: set[TP] = set()
        """Inputs that are not fetched: their queues are full, or their next batch is damaged."""

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        settings = self.app.settings
        self._assignor = self.app.assignor
        session = round(settings.session_timeout * 1000)
        consumer = AIOKafkaConsumer(
            **client_options(settings),
            client_id=self.app.conf.broker_client_id,
            group_id=self.app.conf.id,
            partition_assignment_strategy=[self._assignor],
            enable_auto_commit=False,
            # A position out of range is a loss. It must never be repaired silently (promise 6).
            auto_offset_reset="none",
            # The original ties this to Faust's own exactly_once. Producers of signals may be transactional too.
            isolation_level="read_committed",
            max_poll_records=MAX_POLL_BATCHES,
            max_poll_interval_ms=300_000,
            fetch_max_bytes=MAX_FETCH_BYTES,
            max_partition_fetch_bytes=1 << 20,
            fetch_max_wait_ms=500,
            request_timeout_ms=max(30_000, 2 * session),
            session_timeout_ms=session,
            rebalance_timeout_ms=30_000,
            heartbeat_interval_ms=round(HEARTBEAT_SECONDS * 1000),
            metadata_max_age_ms=self.app.conf.consumer_metadata_max_age_ms,
            retry_backoff_ms=50,
        )
        look_soon = self.app.recovery.watch.look_soon
        consumer._client.cluster.add_listener(lambda _: look_soon())
        return consumer

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: set[TP],
        timeout: float | None = None,
        max_records: int | None = None,
    ) -> list[Fetch]:
        if not cast(Consumer, self.consumer).flow_active:
            return []
        intake, fetcher = self.app.engine.intake, consumer._fetcher
        by_batch(consumer, partial(self._put_off, consumer), strict=True)
        look_rarely(consumer)
        if consumer._closed or fetcher._closed:
            raise driver.ConsumerStoppedError
        check_tasks(consumer)
        wanted = active_partitions - intake.full() - intake.damaged.waiting()
        in_place = self._in_place(fetcher) is not None
        if in_place:
            self._pause(consumer, active_partitions - wanted)
        if not wanted or not in_place:
            if active_partitions and not wanted:
                intake.polled()
            await asyncio.sleep(0.01)
            return []
        with fetcher._subscriptions.fetch_context():
            try:
                fetched = await fetcher.fetched_records(wanted, timeout=timeout, max_records=max_records)
            except Errors.NoOffsetForPartitionError:
                # A rebalance came during this poll. Committed offsets are not where reading continues: before the flow
                # resumes, `place` seeks to the positions of the table's log.
                return []
        # Records and positions are taken in one step of the loop, so they belong together: `position` is
        # right after these records, transaction markers and aborted records included.
        assignment = self._in_place(fetcher)
        if assignment is None:
            return []
        records = sum(batch.count for batches in fetched.values() for batch in batches)
        pace(consumer).pause_next(pause_after(records, self.app.settings.commit_interval_ms / 1000))
        intake.polled()
        polled = []
        for tp in wanted:
            state = assignment.state_value(tp)
            if state is None or not state.has_valid_position or state.lso is None or tp not in self._left:
                continue
            polled.append(Fetch(tp, fetched.get(tp, []), self._left[tp], state.position, state.lso))
            self._left[tp] = state.position
        return polled

    def _pause(self, consumer: Any, unwanted: set[TP]) -> None:
        """Fetch these inputs no longer, and those that were unwanted before again.

        aiokafka fetches each partition that it holds no records of: up to 1 MiB of each would wait for a poll.
        """
        if unwanted != self._paused:
            assigned = [TopicPartition(*tp) for tp in consumer.assignment()]
            consumer.resume(*(tp for tp in assigned if tp in self._paused and tp not in unwanted))
            consumer.pause(*(tp for tp in assigned if tp in unwanted))
            self._paused = set(unwanted)

    def _put_off(self, consumer: Any, tp: TopicPartition, offset: int) -> None:
        """Pause an input whose next batch is damaged: one poll would fetch it again and again."""
        self.app.engine.intake.damaged.add(tp, offset)
        consumer.pause(tp)
        self._paused.add(TP(*tp))

    def _in_place(self, fetcher: Any) -> Any:
        """Return the current assignment; None before its inputs were put at their positions.

        Faust resumes the flow earlier, when they are at the group's offsets. Those may be behind the positions, because
        a worker learns of its commit before the group does; a poll from there would return signals a second time.
        """
        assignment = fetcher._subscriptions.subscription.assignment
        return assignment if assignment is self._placed else None

    @property
    def in_place(self) -> bool:
        """Whether the inputs of the current assignment were put at their positions."""
        return self._consumer is not None and self._in_place(self._consumer._fetcher) is not None

    @property
    def refusal(self) -> BaseException | None:
        """The error of the group's coordinator that waits to be read."""
        coordinator = None if self._consumer is None else self._consumer._coordinator
        return getattr(coordinator, "_pending_exception", None)

    @property
    def member_id(self) -> str | None:
        """The member id that the group has given this worker."""
        coordinator = None if self._consumer is None else self._consumer._coordinator
        return None if coordinator is None else str(coordinator.member_id)

    async def place(self, positions: Mapping[TP, int], *, new: bool = False) -> str | None:
        """Seek these inputs and return the member id; None during a rebalance.

        `new`: they belong to a new assignment, which was not polled yet. Otherwise nothing is done when the assignment
        has changed since.
        """
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
            self._paused.clear()
        if assignment is self._placed:
            self._seek_all(consumer, positions)
        return str(consumer._coordinator.member_id)

    def _seek_all(self, consumer: Any, positions: Mapping[TP, int]) -> None:
        assigned = consumer.assignment()
        # Faust assigns the table's log too. A fetch would return this worker's own writes; nothing takes them from the
        # fetcher, and each would delay all fetches from that broker by 0.1 s.
        table = topics.ROOMS.full_name(self.app.settings.topic_prefix)
        consumer.pause(*(tp for tp in assigned if tp.topic == table))
        for tp, offset in positions.items():
            if tp in assigned:
                consumer.seek(tp, offset)
                self._left[tp] = offset


class Transport(driver.Transport):
    """Faust's Kafka transport with this consumer."""

    Consumer = Consumer
