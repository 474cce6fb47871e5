"""What the readers of a bridge do while Kafka is away."""

from __future__ import annotations

from aiokafka.errors import KafkaTimeoutError
from aiokafka.structs import TopicPartition

from pipeline.engines.topic_log import TopicLog
from pipeline.model.records import Engine
from pipeline.settings import Settings


async def test_an_end_is_asked_for_again_after_an_outage(settings: Settings) -> None:
    asked, lines = list[list[TopicPartition]](), list[str]()
    log = TopicLog(settings, (Engine,), lambda *_: None, lines.append)

    async def ends(partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        asked.append(partitions)
        if len(asked) <= 2:  # first for all that wait, then for each alone
            raise KafkaTimeoutError("no answer")
        return dict.fromkeys(partitions, 0)

    log._ends._ask = ends
    tp = TopicPartition("t", 0)
    log.follower.positions[tp] = 0
    await log.read_end(tp)
    assert asked == [[tp]] * 3
    assert lines == ["t/0: KafkaTimeoutError: no answer; asking again"]
