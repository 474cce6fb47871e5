"""What the worker's consumer delivers from a real broker: nothing of an assignment before its seek."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.structs import TopicPartition
from faust.types import TP

from pipeline.kafka.batch_reader import LOOK_SECONDS, records_of
from pipeline.kafka.fetch_pacing import FEW, MANY, PAUSE_SECONDS, SHORT_SECONDS, Pace, pause_after
from pipeline.metrics import Metrics
from pipeline.worker import damaged
from pipeline.worker.damaged import DamagedBatches
from pipeline.worker.faust_consumer import IDLE_POLL_SECONDS, POLL_SECONDS, Consumer, _Thread
from pipeline.worker.intake import Fetch
from testkit.pipe import Pipe

RECORDS, COMMITTED, POSITION = 10, 3, 7
"""Records in the log, the group's offset, and the worker's position: the group does not have the last commit yet."""


class Polls:
    """The polling of `_Thread`, on a consumer of its own."""

    def __init__(self, pipe: Pipe) -> None:
        self.topic = pipe.topic("api.signals")
        self.tp = TP(self.topic, 0)
        self.count = 0
        self.thread: Any = object.__new__(_Thread)
        self.thread._left, self.thread._placed, self.thread._paused = {}, None, set()
        self.metrics = Metrics()
        damaged = DamagedBatches(self.metrics)
        intake = SimpleNamespace(full=lambda: self.full, polled=self.polled, damaged=damaged)
        self.full: frozenset[TP] = frozenset()
        self.thread.app = SimpleNamespace(engine=SimpleNamespace(intake=intake), settings=pipe.settings)
        self.thread.consumer = SimpleNamespace(flow_active=True)
        options = {**pipe.settings.kafka(), "group_id": pipe.settings.group_id, "enable_auto_commit": False}
        self.consumer = AIOKafkaConsumer(**options, isolation_level="read_committed", auto_offset_reset="none")

    def polled(self) -> None:
        self.count += 1

    async def until(self, good: Callable[[list[Fetch]], bool], seconds: float = 20) -> list[Fetch]:
        """Poll until `good` accepts a poll, and return it."""
        async with asyncio.timeout(seconds):
            while True:
                polled: list[Fetch] = await self.thread._fetch_records(self.consumer, {self.tp}, 0.2)
                if good(polled):
                    return polled

    async def during(self, seconds: float) -> list[Fetch]:
        """Poll for some time, and return all fetches."""
        found: list[Fetch] = []
        loop = asyncio.get_running_loop()
        limit = loop.time() + seconds
        while loop.time() < limit:
            found += await self.thread._fetch_records(self.consumer, {self.tp}, 0.2)
        return found


async def test_nothing_is_polled_before_the_seek(pipe: Pipe) -> None:
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
        # A rebalance, after which aiokafka begins at the group's offset. The partition stays the same.
        for _ in range(2):
            assigned.clear()
            polls.consumer._coordinator.request_rejoin()
            await asyncio.wait_for(assigned.wait(), 20)
            before = polls.count
            assert await polls.during(1) == []
            assert polls.count == before, "this is no poll: the liveness check must see that"
            await polls.thread._place(polls.consumer, {polls.tp: POSITION}, True)
            [fetch] = await polls.until(lambda polled: any(fetch.batches for fetch in polled))
            assert [record.offset for record in records_of(fetch.batches)] == list(range(POSITION, RECORDS))
            assert (fetch.start, fetch.position) == (POSITION, RECORDS)
        # A lost fetch is sought in the assignment that it was lost in, and in no other.
        await polls.thread._place(polls.consumer, {polls.tp: POSITION}, False)
        [fetch] = await polls.until(lambda polled: any(fetch.batches for fetch in polled))
        assert (fetch.start, len(records_of(fetch.batches))) == (POSITION, RECORDS - POSITION)
        assigned.clear()
        polls.consumer._coordinator.request_rejoin()
        await asyncio.wait_for(assigned.wait(), 20)
        await polls.thread._place(polls.consumer, {polls.tp: POSITION}, False)
        assert await polls.during(1) == []
        # The end of one rebalance is not taken for the end of the next, which has begun.
        polls.consumer._subscription.begin_reassignment()
        assert await polls.thread._place(polls.consumer, {polls.tp: POSITION}, True) is None
        assert await polls.during(0.2) == []
    finally:
        await polls.consumer.stop()


@pytest.mark.parametrize(("idle", "seconds"), [(True, IDLE_POLL_SECONDS), (False, POLL_SECONDS)])
async def test_polls_take_longer_while_nothing_waits(idle: bool, seconds: float) -> None:
    asked = []

    async def getmany(_: Any, timeout: float) -> list[Fetch]:
        asked.append(timeout)
        return []

    consumer: Any = SimpleNamespace(
        flow_active=True,
        app=SimpleNamespace(consumer_generation_id=1),
        _intake=SimpleNamespace(idle=lambda: idle, missed=dict),
        _getmany=getmany,
        _get_active_partitions=set,
        _current=lambda _: False,
    )
    await Consumer._poll(consumer)
    assert asked == [seconds]


async def test_few_records_need_few_fetches(pipe: Pipe) -> None:
    polls = Polls(pipe)
    polls.consumer.assign([polls.tp])
    async with polls.consumer as consumer, AIOKafkaProducer(**pipe.settings.kafka(), acks="all") as producer:
        sent = 0
        original = consumer._client.send

        async def counting(node_id: int, request: Any, **more: Any) -> Any:
            nonlocal sent
            sent += isinstance(request, FetchRequest)
            return await original(node_id, request, **more)

        consumer._client.send = counting
        consumer.seek(polls.tp, 0)
        polls.thread._placed, polls.thread._left[polls.tp] = _assignment(consumer), 0
        await polls.until(bool)  # the first poll sets the pace
        assert consumer._fetcher._fetcher_timeout == LOOK_SECONDS
        polling = asyncio.create_task(polls.until(lambda _: producing.done()))
        producing = asyncio.create_task(_produce(producer, polls.topic, RECORDS * 20))
        loop = asyncio.get_running_loop()
        began, before = loop.time(), sent
        await polling
        most = (loop.time() - began) / SHORT_SECONDS + 2
        assert RECORDS < sent - before <= most, "one per pause, not one per record"


class Damaging:
    """A client that flips the last bit of fetched records while `on`."""

    def __init__(self, client: Any) -> None:
        self._client, self.on, self.damaged = client, True, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def send(self, node_id: int, request: Any, **options: Any) -> Any:
        response = await self._client.send(node_id, request, **options)
        if self.on and type(response).__name__.startswith("FetchResponse"):
            for number, (topic, partitions) in enumerate(response.topics):
                changed = [(*one[:-1], self._flip(one[-1])) for one in partitions]
                response.topics[number] = topic, changed
        return response

    def _flip(self, data: bytes) -> bytes:
        self.damaged += bool(data)
        return data[:-1] + bytes([data[-1] ^ 1]) if data else data


async def test_a_damaged_batch_is_fetched_again(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at once, never skipped, and with a log line and a metric."""
    monkeypatch.setattr(damaged, "RETRY_SECONDS", 0.3)
    lines: list[dict[str, Any]] = []
    monkeypatch.setattr(damaged.log, "error", lambda text, **fields: lines.append({"text": text, **fields}))
    polls = Polls(pipe)
    polls.consumer.assign([polls.tp])
    async with polls.consumer as consumer, AIOKafkaProducer(**pipe.settings.kafka(), acks="all") as producer:
        client = consumer._fetcher._client = Damaging(consumer._fetcher._client)
        consumer.seek(polls.tp, 0)
        polls.thread._placed, polls.thread._left[polls.tp] = _assignment(consumer), 0
        poll = asyncio.create_task(polls.thread._fetch_records(polls.consumer, {polls.tp}, 1))
        await producer.send_and_wait(polls.topic, b"{}", partition=0)
        await poll
        assert 1 <= client.damaged <= 2, "the same within a poll"
        assert [fetch for fetch in await polls.during(2) if fetch.batches] == []
        assert 3 <= client.damaged <= 16, "twice per retry at most: one fetch is held until it is polled"
        client.on = False
        [fetch] = await polls.until(lambda polled: any(fetch.batches for fetch in polled))
        assert [record.offset for record in records_of(fetch.batches)] == [0]
        [line] = lines
        assert (line["topic"], line["partition"], line["offset"]) == (polls.topic, 0, 0)
        assert "wrong checksum" in line["text"]
        [counted] = polls.metrics.damaged.collect()
        assert 3 <= counted.samples[0].value <= 8


async def test_inputs_with_full_queues_are_not_fetched(pipe: Pipe) -> None:
    """Otherwise 1 MiB of each partition would wait in the client."""
    polls = Polls(pipe)
    polls.consumer.assign([polls.tp])
    async with polls.consumer as consumer, AIOKafkaProducer(**pipe.settings.kafka(), acks="all") as producer:
        consumer.seek(polls.tp, 0)
        polls.thread._placed, polls.thread._left[polls.tp] = _assignment(consumer), 0
        polls.full = frozenset({polls.tp})
        assert await polls.during(0.1) == []
        assert polls.tp in consumer.paused()
        await producer.send_and_wait(polls.topic, b"{}", partition=0)
        polls.full = frozenset()
        await polls.until(lambda polled: any(fetch.batches for fetch in polled))
        assert consumer.paused() == set()


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
def test_the_pause_depends_on_the_records_of_a_poll(records: int, seconds: float) -> None:
    assert pause_after(records) == seconds
    assert pause_after(records, 0.1) == (0.1 if seconds else 0.0), "a fetch waits for the commit interval"


async def test_large_polls_are_followed_by_no_pause() -> None:
    async def answer(*_: object) -> bool:
        return True

    own = Pace(answer)
    fetch = asyncio.ensure_future(own(None, 0, None))
    await asyncio.sleep(0)
    assert fetch.done()
    assert fetch.result()
    own.pause_next(PAUSE_SECONDS)
    late = asyncio.ensure_future(own(None, 0, None))
    await asyncio.sleep(0)
    assert not late.done()
    late.cancel()
    assert await late is False, "the fetcher reads the result of a cancelled fetch"


async def test_a_poll_whose_request_was_cancelled_is_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    polled, logged = 0, list[str]()
    monkeypatch.setattr("pipeline.worker.faust_consumer.log", SimpleNamespace(warning=logged.append))

    async def poll() -> None:
        nonlocal polled
        polled += 1
        if polled == 1:
            raise asyncio.CancelledError  # as aiokafka passes it on
        await asyncio.sleep(0)

    fetcher = SimpleNamespace(should_stop=False)
    consumer: Any = SimpleNamespace(
        should_stop=False,
        _draining=0,
        app=SimpleNamespace(should_stop=False),
        consumer_stopped_errors=(ValueError,),
        _poll=poll,
    )
    consumer._poll_repeatedly = partial(Consumer._poll_repeatedly, consumer)
    draining = asyncio.create_task(Consumer._drain_messages(consumer, fetcher))
    while polled < 3:
        await asyncio.sleep(0)
        assert not draining.done()
    assert logged == ["a poll was cancelled: continue"]
    draining.cancel()
    assert consumer._draining == 1
    with pytest.raises(asyncio.CancelledError):
        await draining
    assert consumer._draining == 0
