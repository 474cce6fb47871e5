"""What the worker's consumer hands over, from a real broker: nothing of an assignment before its seek."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.structs import TopicPartition
from faust.types import TP

from pipeline.kafka.batch_reader import LOOK_SECONDS
from pipeline.kafka.fetch_pacing import FEW, MANY, PAUSE_SECONDS, SHORT_SECONDS, Pace, pause_after
from pipeline.worker.faust_consumer import IDLE_POLL_SECONDS, POLL_SECONDS, Consumer, Fetch, _Thread
from testkit.pipe import Pipe

RECORDS, COMMITTED, OURS = 10, 3, 7
"""What there is, where the group's offset is, and where we are: the group has not heard of our last commit yet."""


class Polls:
    """A consumer's thread, as far as it polls, on a consumer of our own in this loop."""

    def __init__(self, pipe: Pipe) -> None:
        self.topic = pipe.topic("api.signals")
        self.tp = TP(self.topic, 0)
        self.count = 0
        self.thread: Any = object.__new__(_Thread)
        self.thread._left, self.thread._placed = {}, None
        sink = SimpleNamespace(full=frozenset, polled=self.polled)
        self.thread.consumer = SimpleNamespace(flow_active=True, sink=sink, settings=pipe.settings)
        options = {**pipe.settings.kafka(), "group_id": pipe.settings.group_id, "enable_auto_commit": False}
        self.consumer = AIOKafkaConsumer(
            **options, isolation_level="read_committed", auto_offset_reset="none"
        )

    def polled(self) -> None:
        self.count += 1

    async def until(self, good: Callable[[list[Fetch]], bool], seconds: float = 20) -> list[Fetch]:
        """Poll until a poll is `good`."""
        async with asyncio.timeout(seconds):
            while True:
                polled: list[Fetch] = await self.thread._fetch_records(self.consumer, {self.tp}, 0.2)
                if good(polled):
                    return polled

    async def during(self, seconds: float) -> list[Fetch]:
        """All that polls bring for some time."""
        found: list[Fetch] = []
        loop = asyncio.get_running_loop()
        limit = loop.time() + seconds
        while loop.time() < limit:
            found += await self.thread._fetch_records(self.consumer, {self.tp}, 0.2)
        return found


async def test_nothing_is_polled_of_an_assignment_that_was_not_placed_yet(pipe: Pipe) -> None:
    polls = Polls(pipe)
    assigned = asyncio.Event()

    class Listener(ConsumerRebalanceListener):  # type: ignore[misc]
        def on_partitions_revoked(self, _: Any) -> None: ...

        def on_partitions_assigned(self, _: Any) -> None:
            assigned.set()

    async with AIOKafkaProducer(**pipe.settings.kafka()) as producer:
        for number in range(RECORDS):
            await producer.send_and_wait(polls.topic, b"%d" % number, b"room", partition=0)
    polls.consumer.subscribe([polls.topic], listener=Listener())
    await polls.consumer.start()
    try:
        await asyncio.wait_for(assigned.wait(), 20)
        await polls.consumer.commit({TopicPartition(polls.topic, 0): COMMITTED})
        # A rebalance, after which aiokafka begins where the group's offset is. It is the same partition that was ours.
        for _ in range(2):
            assigned.clear()
            polls.consumer._coordinator.request_rejoin()
            await asyncio.wait_for(assigned.wait(), 20)
            before = polls.count
            assert await polls.during(1) == []
            assert polls.count == before, "not a poll: who watches the polls must see that nothing is polled"
            await polls.thread._place(polls.consumer, {polls.tp: OURS}, True)
            [fetch] = await polls.until(lambda polled: any(fetch.records for fetch in polled))
            assert [record.offset for record in fetch.records] == list(range(OURS, RECORDS))
            assert (fetch.start, fetch.position) == (OURS, RECORDS)
        # What was missed is sought in the assignment that it was missed in, and in no other.
        await polls.thread._place(polls.consumer, {polls.tp: OURS}, False)
        [fetch] = await polls.until(lambda polled: any(fetch.records for fetch in polled))
        assert (fetch.start, len(fetch.records)) == (OURS, RECORDS - OURS)
        assigned.clear()
        polls.consumer._coordinator.request_rejoin()
        await asyncio.wait_for(assigned.wait(), 20)
        await polls.thread._place(polls.consumer, {polls.tp: OURS}, False)
        assert await polls.during(1) == []
        # The end of a rebalance that comes when the next one has begun is not taken for the end of that.
        polls.consumer._subscription.begin_reassignment()
        assert await polls.thread._place(polls.consumer, {polls.tp: OURS}, True) is None
        assert await polls.during(0.2) == []
    finally:
        await polls.consumer.stop()


@pytest.mark.parametrize(("idle", "seconds"), [(True, IDLE_POLL_SECONDS), (False, POLL_SECONDS)])
async def test_a_poll_takes_its_time_when_nobody_waits_for_it(idle: bool, seconds: float) -> None:
    asked = []

    async def getmany(_: Any, timeout: float) -> list[Fetch]:
        asked.append(timeout)
        return []

    consumer: Any = SimpleNamespace(
        flow_active=True,
        app=SimpleNamespace(consumer_generation_id=1),
        sink=SimpleNamespace(idle=lambda: idle, missed=dict),
        _getmany=getmany,
        _get_active_partitions=set,
        _current=lambda _: False,
    )
    await Consumer._poll(consumer)
    assert asked == [seconds]


async def test_few_records_are_fetched_in_no_more_fetches_than_the_pace_allows(pipe: Pipe) -> None:
    polls = Polls(pipe)
    polls.consumer.assign([polls.tp])
    async with polls.consumer as consumer, AIOKafkaProducer(**pipe.settings.kafka(), acks="all") as producer:
        sent = 0
        original = consumer._client.send

        async def counting(node_id: int, request: Any, **more: Any) -> Any:
            nonlocal sent
            sent += type(request).__name__ == "FetchRequest"
            return await original(node_id, request, **more)

        consumer._client.send = counting
        consumer.seek(polls.tp, 0)
        polls.thread._placed, polls.thread._left[polls.tp] = _assignment(consumer), 0
        await polls.until(bool)  # the pace is known from the first poll on
        assert consumer._fetcher._fetcher_timeout == LOOK_SECONDS
        polling = asyncio.create_task(polls.until(lambda _: producing.done()))
        producing = asyncio.create_task(_produce(producer, polls.topic, RECORDS * 20))
        loop = asyncio.get_running_loop()
        began, before = loop.time(), sent
        await polling
        most = (loop.time() - began) / SHORT_SECONDS + 2
        assert RECORDS < sent - before <= most, "one after each pause, not one for each record"


async def _produce(producer: AIOKafkaProducer, topic: str, records: int) -> None:
    for _ in range(records):
        await producer.send_and_wait(topic, b"{}", partition=0)
        await asyncio.sleep(0.001)


def _assignment(consumer: AIOKafkaConsumer) -> Any:
    return consumer._subscription.subscription.assignment


@pytest.mark.parametrize(
    ("records", "seconds"),
    [
        (0, SHORT_SECONDS),
        (FEW - 1, SHORT_SECONDS),
        (FEW, PAUSE_SECONDS),
        (MANY - 1, PAUSE_SECONDS),
        (MANY, 0.0),
    ],
)
def test_the_pause_is_as_long_as_it_pays(records: int, seconds: float) -> None:
    assert pause_after(records) == seconds


async def test_a_fetch_is_sent_at_once_while_polls_bring_much() -> None:
    async def answer(*_: object) -> bool:
        return True

    own = Pace(answer)
    fetch = asyncio.ensure_future(own(None, 0, None))
    await asyncio.sleep(0)
    assert fetch.done()
    assert fetch.result()
    own.pause = PAUSE_SECONDS
    late = asyncio.ensure_future(own(None, 0, None))
    await asyncio.sleep(0)
    assert not late.done()
    late.cancel()
    assert await late is False, "the fetcher asks a fetch that it has cancelled for its result"


async def test_a_poll_that_was_cancelled_in_the_thread_does_not_end_the_polls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    polled, said = 0, list[str]()
    monkeypatch.setattr("pipeline.worker.faust_consumer.log", SimpleNamespace(warning=said.append))

    async def poll() -> None:
        nonlocal polled
        polled += 1
        if polled == 1:
            raise asyncio.CancelledError  # as Faust's thread hands it over
        await asyncio.sleep(0)

    fetcher = SimpleNamespace(should_stop=False)
    consumer: Any = SimpleNamespace(
        should_stop=False,
        _draining=0,
        app=SimpleNamespace(should_stop=False),
        consumer_stopped_errors=(ValueError,),
        _poll=poll,
    )
    consumer._polls = partial(Consumer._polls, consumer)
    draining = asyncio.create_task(Consumer._drain_messages(consumer, fetcher))
    while polled < 3:
        await asyncio.sleep(0)
        assert not draining.done()
    assert said == ["a poll was cancelled: go on"]
    draining.cancel()
    assert consumer._draining == 1
    with pytest.raises(asyncio.CancelledError):
        await draining
    assert consumer._draining == 0
