"""Which batches are sent again, and which answers end a unit."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import errors as Errors
from aiokafka.structs import TopicPartition

from pipeline.kafka.direct_produce import DirectProduce, Written
from pipeline.kafka.record_batch import batches

EVENTS, OTHER, ROOMS = TopicPartition("events", 0), TopicPartition("events", 1), TopicPartition("rooms", 0)
OK, NOT_LEADER, DUPLICATE, FENCED, DENIED = 0, 6, 46, 47, 29


class Brokers:
    """Two brokers; each partition has the answers it gives, in order. A KafkaError loses the answer."""

    def __init__(
        self, answers: dict[TopicPartition, list[Any]], leaders: dict[TopicPartition, list[int | None]]
    ) -> None:
        self.answers, self.leaders = answers, leaders
        self.cluster = SimpleNamespace(leader_for_partition=self.leader)
        self.sent: list[tuple[int, list[TopicPartition]]] = []
        self.refreshed = 0
        self.asked: list[str] = []

    def leader(self, tp: TopicPartition) -> int | None:
        leaders = self.leaders.get(tp, [1])
        return leaders.pop(0) if len(leaders) > 1 else leaders[0]

    def force_metadata_update(self) -> None:
        self.refreshed += 1

    async def _maybe_wait_metadata(self) -> None: ...

    async def _wait_on_metadata(self, topic: str) -> None:
        self.asked.append(topic)

    async def send(self, node: int, request: Any) -> Any:
        tps = [TopicPartition(topic, number) for topic, found in request._topics for number, _ in found]
        self.sent.append((node, tps))
        topics = []
        for tp in tps:
            answer = self.answers[tp].pop(0)
            if isinstance(answer, Exception):
                raise answer
            topics.append((tp.topic, [(tp.partition, answer, 5 + tp.partition, 1000, 0)]))
        return SimpleNamespace(topics=topics)


async def written(brokers: Brokers, timeout_ms: int = 30_000) -> dict[TopicPartition, Written]:
    made = {tp: batches([b"record"])[0] for tp in brokers.answers}
    return await DirectProduce(brokers, "worker-1", timeout_ms, retry_ms=0).write(made)


async def test_each_leader_gets_one_request() -> None:
    brokers = Brokers({EVENTS: [OK], OTHER: [OK], ROOMS: [OK]}, {OTHER: [2]})
    assert await written(brokers) == {EVENTS: Written(5, 1000), OTHER: Written(6, 1000), ROOMS: Written(5, 1000)}
    assert sorted(brokers.sent) == [(1, [EVENTS, ROOMS]), (2, [OTHER])]


async def test_what_was_not_written_goes_to_the_new_leader() -> None:
    brokers = Brokers({EVENTS: [OK], ROOMS: [NOT_LEADER, OK]}, {ROOMS: [1, 2]})
    assert list(await written(brokers)) == [EVENTS, ROOMS]
    assert brokers.sent == [(1, [EVENTS, ROOMS]), (2, [ROOMS])]
    assert brokers.refreshed == 1


async def test_a_lost_answer_is_asked_for_again() -> None:
    brokers = Brokers({EVENTS: [Errors.RequestTimedOutError(), DUPLICATE]}, {})
    assert await written(brokers) == {EVENTS: Written(5, 1000)}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (FENCED, Errors.ProducerFenced),
        (DENIED, Errors.TopicAuthorizationFailedError),
        (45, Errors.OutOfOrderSequenceNumber),
        (Errors.UnknownError(), Errors.UnknownError),
    ],
)
async def test_other_errors_end_the_unit(answer: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        await written(Brokers({EVENTS: [OK], ROOMS: [answer]}, {}))


async def test_a_partition_without_a_leader_is_waited_for() -> None:
    brokers = Brokers({EVENTS: [OK], ROOMS: [OK]}, {ROOMS: [-1, 2]})
    assert set(await written(brokers)) == {EVENTS, ROOMS}
    brokers = Brokers({ROOMS: [OK]}, {ROOMS: [None, 1]})
    await written(brokers)
    assert brokers.asked == ["rooms"]
    with pytest.raises(Errors.LeaderNotAvailableError, match="rooms/0 has no leader"):
        await written(Brokers({ROOMS: [OK]}, {ROOMS: [-1]}), timeout_ms=-1000)
