"""Writes the batches of a unit: one request for each broker, as soon as they are there.

aiokafka's sender is made for records that trickle in. It queues each batch behind futures, and wakes a task that sorts
the batches by broker, for each request and each answer. A unit has all its batches at once.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import structlog
from aiokafka import errors as Errors
from aiokafka.structs import TopicPartition

from pipeline.kafka.produce_request import JoinedProduce
from pipeline.kafka.record_batch import Batch, Parts

_ALL: Final = -1
"""Acknowledgements: of all replicas in sync."""
_NO_TIME: Final = -1
_TAKEN: Final = Errors.NoError, Errors.DuplicateSequenceNumber
"""Codes of a batch that is in the log; the second of one whose first answer was lost."""
log = structlog.get_logger("producer")


class Written(NamedTuple):
    """Where a batch is in the log: its first offset, and the broker's time in ms if the topic is LogAppendTime."""

    offset: int
    time: int | None


class DirectProduce:
    """Writes batches for one transactional producer. Each must have its producer id, epoch and sequence number.

    Args:
        timeout_ms: how long the broker may wait for its replicas, and how long a partition may be without a leader.
        retry_ms: how long after a failure a batch is sent again.
    """

    def __init__(self, client: Any, transactional_id: str, timeout_ms: int, retry_ms: int) -> None:
        self._client, self._transactional_id = client, transactional_id
        self._timeout_ms, self._retry_ms = timeout_ms, retry_ms

    async def write(self, batches: Mapping[TopicPartition, Batch]) -> dict[TopicPartition, Written]:
        """Write one batch to each of these partitions, again while the broker may take it later. Raises KafkaError."""
        written: dict[TopicPartition, Written] = {}
        waiting = {tp: batch.build() for tp, batch in batches.items()}
        limit = time.monotonic() + self._timeout_ms / 1000
        while True:
            nodes, leaderless = await self._by_leader(waiting)
            if leaderless and time.monotonic() > limit:
                raise Errors.LeaderNotAvailableError(f"{leaderless.topic}/{leaderless.partition} has no leader")
            requests = [self._send(node, found) for node, found in nodes.items()]
            for answer in [await requests[0]] if len(requests) == 1 else await asyncio.gather(*requests):
                written |= answer
            if len(written) == len(batches):
                return written
            waiting = {tp: data for tp, data in waiting.items() if tp not in written}
            await asyncio.sleep(self._retry_ms / 1000)
            await self._client._maybe_wait_metadata()

    async def _by_leader(
        self, batches: Mapping[TopicPartition, Parts]
    ) -> tuple[dict[int, dict[TopicPartition, Parts]], TopicPartition | None]:
        """Return the batches by their partition's leader, and a partition that has none."""
        nodes: dict[int, dict[TopicPartition, Parts]] = defaultdict(dict)
        leaderless = None
        for tp, data in batches.items():
            leader = self._client.cluster.leader_for_partition(tp)
            if leader is None:
                await self._client._wait_on_metadata(tp.topic)  # the first time that the topic is written to
                leader = self._client.cluster.leader_for_partition(tp)
            if leader is None or leader == -1:
                leaderless = tp
                self._client.force_metadata_update()
            else:
                nodes[leader][tp] = data
        return nodes, leaderless

    async def _send(self, node: int, batches: Mapping[TopicPartition, Parts]) -> dict[TopicPartition, Written]:
        """Send batches to their leader. Return those that were written; the others may be sent again."""
        topics: dict[str, list[tuple[int, Parts]]] = defaultdict(list)
        for tp, data in batches.items():
            topics[tp.topic].append((tp.partition, data))
        request = JoinedProduce(self._transactional_id, _ALL, self._timeout_ms, list(topics.items()))
        try:
            response = await self._client.send(node, request)
        except Errors.KafkaError as error:
            self._note(error, f"node {node}")
            return {}
        written = {}
        for topic, partitions in response.topics:
            for number, code, offset, at, *_ in partitions:
                if (kind := Errors.for_code(code)) in _TAKEN:
                    written[TopicPartition(topic, number)] = Written(offset, None if at == _NO_TIME else at)
                else:
                    self._note(_described(kind, topic), f"{topic}/{number}")
        return written

    def _note(self, error: Errors.KafkaError, place: str) -> None:
        """Raise the error unless the batches may be sent again."""
        if not error.retriable:
            raise error
        log.warning("batches are sent again", place=place, error=repr(error))
        if getattr(error, "invalid_metadata", False):
            self._client.force_metadata_update()


def _described(kind: type[Errors.KafkaError], topic: str) -> Errors.KafkaError:
    if kind is Errors.InvalidProducerEpoch:
        return Errors.ProducerFenced()
    return kind(topic) if kind is Errors.TopicAuthorizationFailedError else kind()
