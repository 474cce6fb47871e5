"""Fetch sessions: what each fetch names, and what ends a session. One test asks a real broker."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka import errors as Errors
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.structs import TopicPartition

from pipeline.kafka.batch_reader import records_of
from pipeline.kafka.fetch_session import FetchSession
from pipeline.kafka.log_offsets import assign_and_seek, batch_consumer, start_batch_consumer
from testkit.pipe import Pipe

MOST = 1 << 20


def _known(_: TopicPartition) -> bool:
    return False


def fetch(**offsets: int) -> FetchRequest:
    """Return aiokafka's request for partitions such as `a0=5`."""
    topics: dict[str, list[tuple[int, int, int]]] = {}
    for name, offset in offsets.items():
        topics.setdefault(name[0], []).append((int(name[1:]), offset, MOST))
    return FetchRequest(500, 1, 4 << 20, 1, list(topics.items()), "rack")


class Broker:
    """Answers with the given session ids and error codes, and keeps what it was asked."""

    def __init__(self, version: int = 11) -> None:
        self.version, self.session, self.error = version, 7, 0
        self.asked: list[tuple[Any, ...]] = []
        self.answer: list[list[Any]] = []

    async def send(self, request: FetchRequest) -> Any:
        struct = request.prepare({1: (0, self.version)})
        if self.version < 7:
            self.asked.append((struct.topics,))
            return SimpleNamespace(API_VERSION=self.version, topics=[])
        named = {f"{topic}{p[0]}": p[-3] for topic, partitions in struct.topics for p in partitions}
        forgotten = {f"{topic}{number}" for topic, numbers in struct.forgotten_topics_data for number in numbers}
        self.asked.append((struct.session_id, struct.session_epoch, named, forgotten))
        assert struct.encode()
        return SimpleNamespace(
            API_VERSION=self.version,
            error_code=self.error,
            session_id=0 if self.error else self.session,
            topics=self.answer.pop(0) if self.answer else [],
        )


@pytest.mark.parametrize("version", [7, 9, 11])
async def test_a_session_names_only_what_changed(version: int) -> None:
    broker, session = Broker(version), FetchSession()
    await session.fetch(broker.send, fetch(a0=1, a1=2, b0=3), _known)
    await session.fetch(broker.send, fetch(a0=1, a1=2, b0=3), _known)
    await session.fetch(broker.send, fetch(a0=5, b0=3), _known)  # a1 waits to be read, or is paused
    await session.fetch(broker.send, fetch(a0=5, a1=2, b0=3), _known)
    assert broker.asked == [
        (0, 0, {"a0": 1, "a1": 2, "b0": 3}, set()),
        (7, 1, {}, set()),
        (7, 2, {"a0": 5}, {"a1"}),
        (7, 3, {"a1": 2}, set()),
    ]


async def test_what_the_broker_does_not_repeat_is_remembered() -> None:
    broker, session = Broker(), FetchSession()
    quiet, busy = (0, 0, 9, 8, 0, [(1, 2)], -1, b"records"), (1, 0, 5, 5, 0, [], -1, b"records")
    failed = (2, 3, -1, -1, -1, [], -1, b"")
    broker.answer = [[("a", [quiet, busy, failed])], [("a", [busy])]]
    missed = {TopicPartition("a", number) for number in range(3)}
    asked = fetch(a0=1, a1=2, a2=3)
    first = await session.fetch(broker.send, asked, missed.__contains__)
    assert first.topics == [("a", [quiet, busy, failed])]
    second = await session.fetch(broker.send, asked, missed.__contains__)
    assert second.topics == [("a", [busy]), ("a", [(0, 0, 9, 8, 0, [], -1, b"")])]
    third = await session.fetch(broker.send, fetch(a1=2), missed.__contains__)
    assert third.topics == [("a", [(1, 0, 5, 5, 0, [], -1, b"")])], "only what was asked for"


async def test_a_failed_fetch_begins_a_new_session() -> None:
    broker, session = Broker(), FetchSession()

    async def lost(_: Any) -> Any:
        raise Errors.RequestTimedOutError

    await session.fetch(broker.send, fetch(a0=1), _known)
    with pytest.raises(Errors.RequestTimedOutError):
        await session.fetch(lost, fetch(a0=2), _known)
    broker.session = 8
    await session.fetch(broker.send, fetch(a0=2, a1=1), _known)
    await session.fetch(broker.send, fetch(a0=2, a1=1), _known)
    assert broker.asked[1:] == [(7, 0, {"a0": 2, "a1": 1}, set()), (8, 1, {}, set())]


@pytest.mark.parametrize("code", [70, 71])  # the broker knows no such session; another epoch was expected
async def test_an_unknown_session_is_named_no_longer(code: int) -> None:
    broker, session = Broker(), FetchSession()
    await session.fetch(broker.send, fetch(a0=1), _known)
    broker.error = code
    await session.fetch(broker.send, fetch(a0=2), _known)
    broker.error = 0
    await session.fetch(broker.send, fetch(a0=2), _known)
    assert broker.asked[-1] == (0, 0, {"a0": 2}, set())


async def test_a_broker_without_room_gets_all_each_time() -> None:
    broker, session = Broker(), FetchSession()
    broker.session = 0
    for _ in range(2):
        await session.fetch(broker.send, fetch(a0=1), _known)
    assert broker.asked == [(0, 0, {"a0": 1}, set())] * 2


async def test_a_broker_without_sessions_gets_aiokafkas_request() -> None:
    broker, session = Broker(4), FetchSession()
    for _ in range(2):
        await session.fetch(broker.send, fetch(a0=1), _known)
    assert broker.asked == [([("a", [(0, 1, MOST)])],)] * 2


async def test_a_real_broker_returns_everything_in_one_session(pipe: Pipe) -> None:
    topic = pipe.topic("api.signals")
    consumer = batch_consumer(pipe.settings, "read_committed")
    await start_batch_consumer(consumer)
    asked: list[FetchRequest] = []
    send = consumer._fetcher._client._client.send

    async def noting(node: int, request: Any, **more: Any) -> Any:
        if isinstance(request, FetchRequest):
            asked.append(request)
        return await send(node, request, **more)

    consumer._fetcher._client._client.send = noting
    partitions = [TopicPartition(topic, number) for number in range(pipe.settings.partitions)]
    found: dict[int, list[bytes | None]] = {tp.partition: [] for tp in partitions}
    try:
        async with AIOKafkaProducer(**pipe.settings.kafka(), acks="all") as producer:
            assign_and_seek(consumer, dict.fromkeys(partitions, 0))
            for number in range(40):
                partition = number % len(partitions)
                await producer.send_and_wait(topic, b"%d" % number, b"room", partition=partition)
                while sum(map(len, found.values())) <= number:
                    for tp, batches in (await consumer.getmany(timeout_ms=1000)).items():
                        found[tp.partition] += [record.value for record in records_of(batches)]
    finally:
        await consumer.stop()
    count = len(partitions)
    assert found == {tp.partition: [b"%d" % n for n in range(tp.partition, 40, count)] for tp in partitions}
    named = [sum(len(numbers) for _, numbers in request.topics) for request in asked]
    assert named[0] == count
    assert sum(named[1:]) <= 2 * len(named), "a fetch names what moved since the one before"


async def test_a_quiet_partition_is_told_again_after_a_seek(pipe: Pipe) -> None:
    tp = TopicPartition(pipe.topic("api.signals"), 0)
    consumer = batch_consumer(pipe.settings, "read_committed")
    await start_batch_consumer(consumer)
    try:
        assign_and_seek(consumer, {tp: 0})
        state = consumer._fetcher._subscriptions.subscription.assignment.state_value(tp)
        for _ in range(2):
            async with asyncio.timeout(10):
                while state.lso is None:
                    await consumer.getmany(timeout_ms=50)
            assert state.lso == 0
            state.lso = None  # as if the response had come during the seek
    finally:
        await consumer.stop()
