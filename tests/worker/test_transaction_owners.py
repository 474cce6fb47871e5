"""Who keeps a transaction open, on three brokers: leaders and coordinators are on different ones."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka import errors as Errors
from aiokafka.structs import TopicPartition

from pipeline.devstack import Stack
from pipeline.kafka.log_offsets import LogOffsets
from pipeline.kafka.transaction_owners import ENDED, Owner, owners
from testkit.pipe import Pipe
from testkit.servers import PREFIX, Servers
from tests.worker.test_hanging_transactions import leave_open, open_in, until_ended

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def cluster() -> Iterator[Servers]:
    stack = Stack(f"{PREFIX}{os.getpid()}-owners-{secrets.token_hex(3)}", nodes=3, heap_mb=256)
    try:
        status = stack.up()
        assert status.bootstrap_servers
        assert status.schema_registry_url
        yield Servers(status.bootstrap_servers, status.schema_registry_url, "three brokers", stack)
    finally:
        stack.down()


@pytest.fixture
async def three(cluster: Servers) -> AsyncIterator[Pipe]:
    """Topics on the three brokers."""
    pipe = Pipe(cluster, 6)
    await pipe.set_up()
    yield pipe
    await pipe.remove_topics()


@contextlib.asynccontextmanager
async def reading(pipe: Pipe) -> AsyncIterator[LogOffsets]:
    offsets = LogOffsets(pipe.settings)
    await offsets.start()
    try:
        yield offsets
    finally:
        await offsets.stop()


async def test_each_open_transaction_has_its_owner(three: Pipe) -> None:
    producers = []
    for number in range(6):
        name = f"{three.settings.group_id}-{number}"
        producers.append(AIOKafkaProducer(**three.settings.kafka(), transactional_id=name))
        await producers[-1].start()
        await producers[-1].begin_transaction()
        await producers[-1].send_and_wait(three.topic("events"), b"x", partition=number)
    async with reading(three) as offsets:
        found = await offsets.open_transactions()
        known = await owners(offsets.uncommitted, found)
        assert known is not None
        names = {tp: owner.transactional_id for tp, owner in known.items()}
        assert names == {
            TopicPartition(three.topic("events"), number): f"{three.settings.group_id}-{number}" for number in range(6)
        }
        leaders = {offsets.uncommitted._client.cluster.leader_for_partition(tp) for tp in found}
        assert len(leaders) == 3
        await producers[0].commit_transaction()
        later = await owners(offsets.uncommitted, found)
        assert later is not None
        first = TopicPartition(three.topic("events"), 0)
        assert {tp for tp, owner in later.items() if owner == Owner(ENDED, "")} == {first}
        assert later.items() - {(first, Owner(ENDED, ""))} == known.items() - {(first, known[first])}
    for producer in producers[1:]:
        await producer.abort_transaction()
    for producer in producers:
        await producer.stop()


async def test_a_transaction_without_its_position_is_ended(three: Pipe) -> None:
    """The case of seed 259269924: a first worker, killed in its first transaction, of which nothing is in the table."""
    for number in range(6):
        await leave_open(three, f"{three.settings.group_id}-dead-{number}", "signals.rejected", number)
    with three.worker() as worker:
        for number in range(6):
            await until_ended(three, "signals.rejected", number)
        assert worker.metric("pipeline_fenced_owners") == 6
        assert worker.stop() == 0


async def test_it_is_ended_while_a_broker_is_away(three: Pipe, cluster: Servers) -> None:
    assert cluster.stack is not None
    await leave_open(three, f"{three.settings.group_id}-dead", "signals.rejected")
    cluster.stack.kill("kafka-3", signal.SIGKILL)
    try:
        with three.worker() as worker:
            await until_ended(three, "signals.rejected")
            assert worker.stop() == 0
        assert not await open_in(three, "signals.rejected")
    finally:
        cluster.stack.up()


class Brokers:
    """A client of one broker that answers with `answers`, by request."""

    def __init__(self, **answers: Any) -> None:
        self._answers = answers
        self.cluster = self
        self._client = self

    def leader_for_partition(self, tp: TopicPartition) -> int:
        return 1

    def brokers(self) -> list[Any]:
        return [type("Broker", (), {"nodeId": 1})]

    async def send(self, node: int, request: Any) -> Any:
        await asyncio.sleep(0)
        answer = self._answers[type(request).__name__]
        if isinstance(answer, Exception):
            raise answer
        return answer


TP = TopicPartition("t", 0)


def described(code: int, *transactions: tuple[int, int]) -> Any:
    """A response with these (producer id, offset)."""
    producers = [(producer, 0, 0, 0, 0, start, {}) for producer, start in transactions]
    return type("R", (), {"topics": [("t", [(0, code, None, producers, {})], {})]})


def listed(code: int, *states: tuple[str, int]) -> Any:
    listing = [(name, producer, "Ongoing", {}) for name, producer in states]
    return type("R", (), {"error_code": code, "transaction_states": listing})


@pytest.mark.parametrize(
    ("producers", "transactions", "expected"),
    [
        (described(0, (7, 5), (8, -1)), listed(0, ("one", 7)), {TP: Owner(7, "one")}),
        (described(0, (7, 5)), listed(0), {TP: Owner(7, "")}),
        (described(0, (7, 9)), listed(0), {TP: Owner(ENDED, "")}),
        (described(0, (7, 5)), listed(15), {}),
        (described(0, (7, 5)), Errors.NodeNotReadyError(), {}),
        (described(6), listed(0), {}),
        (Errors.NodeNotReadyError(), listed(0), {}),
        (described(29), listed(0), None),
        (Errors.IncompatibleBrokerVersion(), listed(0), None),
        (described(0, (7, 5)), Errors.IncompatibleBrokerVersion(), None),
        (NotImplementedError(), listed(0), None),
    ],
    ids=["known", "not listed", "ended", "loading", "away", "no leader", "leader away", "no Read", "old", "2.8", "odd"],
)
async def test_what_kafka_does_not_tell(producers: Any, transactions: Any, expected: Any) -> None:
    reader: Any = Brokers(DescribeProducers=producers, ListTransactions=transactions)
    assert await owners(reader, {TP: 5}) == expected
