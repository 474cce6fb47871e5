"""Our Produce request is aiokafka's, byte for byte."""

from __future__ import annotations

import pytest
from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol.produce import ProduceRequest

from pipeline.worker.batch import Parts
from pipeline.worker.produce import JoinedProduce

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
def test_the_bytes_are_the_same(version: int, transactional_id: str | None) -> None:
    theirs = ProduceRequest(transactional_id, -1, 30_000, TOPICS)
    ours = JoinedProduce(ProduceRequest(transactional_id, -1, 30_000, IN_PARTS))  # type: ignore[arg-type]
    expected, found = (one.prepare({0: (0, version)}) for one in (theirs, ours))
    assert found.API_VERSION == expected.API_VERSION == version
    # As aiokafka's connection puts them together.
    messages = [b"header" + one.encode() for one in (expected, found)]
    assert len(messages[0]) == len(messages[1])
    whole = [b"size" + one for one in messages]
    assert whole[0] == whole[1]
    assert found.RESPONSE_TYPE is expected.RESPONSE_TYPE
    headers = [one.build_request_header(7, "client").encode() for one in (expected, found)]
    assert headers[0] == headers[1]


def test_a_broker_without_transactions_is_refused_as_before() -> None:
    with pytest.raises(IncompatibleBrokerVersion):
        JoinedProduce(ProduceRequest("worker-1", -1, 30_000, TOPICS)).prepare({0: (0, 2)})
