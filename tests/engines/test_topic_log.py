"""What the readers of a bridge do while Kafka is away."""

from __future__ import annotations

from aiokafka.errors import KafkaTimeoutError
from aiokafka.structs import TopicPartition

from pipeline.engines.topic_log import TopicLog
from pipeline.model.records import Engine
from pipeline.settings import Settings


async def test_an_end_is_asked_for_again_after_an_outage(settings: Settings) -> None:
    asked, lines = [], list[str]()
    log = TopicLog(settings, (Engine,), lambda *_: None, lines.append)

    async def end(tp: TopicPartition) -> int:
        asked.append(tp)
        if len(asked) == 1:
            raise KafkaTimeoutError("no answer")
        return 0

    log._ends._ask = end
    tp = TopicPartition("t", 0)
    log.follower.positions[tp] = 0
    await log.read_end(tp)
    assert asked == [tp, tp]
    assert lines == ["t/0: KafkaTimeoutError: no answer; asking again"]
