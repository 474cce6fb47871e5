"""The Produce request equals aiokafka's byte for byte; the batches of a unit are sent in few requests."""

from __future__ import annotations

import pytest
from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.structs import TopicPartition

from pipeline.kafka.produce_request import JoinedProduce
from pipeline.kafka.record_batch import Parts, batches
from pipeline.worker.transactions import in_rounds

TOPICS: list[tuple[str, list[tuple[int, bytes]]]] = [
    ("conference.events", [(0, b"batch"), (47, b"")]),
    ("conférence.rooms", [(1, bytes(1 << 20))]),
    ("none", []),
]
IN_PARTS = [
    (topic, [(number, Parts([data[:3], data[3:]], len(data))) for number, data in partitions])
    for topic, partitions in TOPICS
]


@pytest.mark.parametrize("version", range(3, 8))
@pytest.mark.parametrize("transactional_id", ["worker-1", "Ü", None])
def test_request_has_the_bytes_of_aiokafka(version: int, transactional_id: str | None) -> None:
    theirs = ProduceRequest(transactional_id, -1, 30_000, TOPICS)
    ours = JoinedProduce(transactional_id, -1, 30_000, IN_PARTS)  # type: ignore[arg-type]
    expected, found = (one.prepare({0: (0, version)}) for one in (theirs, ours))
    assert found.API_VERSION == expected.API_VERSION == version
    # As aiokafka's connection joins them.
    messages = [b"header" + one.encode() for one in (expected, found)]
    assert len(messages[0]) == len(messages[1])
    whole = [b"size" + one for one in messages]
    assert whole[0] == whole[1]
    assert found.RESPONSE_TYPE is expected.RESPONSE_TYPE
    headers = [one.build_request_header(7, "client").encode() for one in (expected, found)]
    assert headers[0] == headers[1]


def test_broker_without_transactions_raises() -> None:
    with pytest.raises(IncompatibleBrokerVersion):
        JoinedProduce("worker-1", -1, 30_000, TOPICS).prepare({0: (0, 2)})


def test_first_batches_of_all_partitions_are_sent_before_second_ones() -> None:
    big = bytes(600_000)  # a batch each
    counts = {TopicPartition("events", 0): 3, TopicPartition("events", 1): 1, TopicPartition("rooms", 0): 2}
    outputs = {tp: batches([big] * count) for tp, count in counts.items()}
    rounds = [*in_rounds(outputs)]
    events, other, rooms = outputs
    assert [list(one) for one in rounds] == [[events, other, rooms], [events, rooms], [events]]
    for tp, made in outputs.items():
        assert [one[tp] for one in rounds if tp in one] == made
