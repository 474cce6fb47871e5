"""Who keeps a transaction open: its producer and transactional id (KIP-664, DescribeProducers and ListTransactions)."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka import errors as Errors
from aiokafka.structs import TopicPartition

from pipeline.kafka.protocol import NO_TAGS, DescribeProducers, ListTransactions

ENDED: Final = -1
_REFUSED: Final = (Errors.IncompatibleBrokerVersion, NotImplementedError, Errors.TopicAuthorizationFailedError)
"""Brokers before Kafka 3.0, or a client without Read on a topic."""


class Owner(NamedTuple):
    """The producer of a transaction: its producer id, ENDED if no producer has that transaction open any more; and its
    transactional id, "" if no broker lists one that this client may describe."""

    producer_id: int
    transactional_id: str


async def owners(
    reader: AIOKafkaConsumer, transactions: Mapping[TopicPartition, int]
) -> dict[TopicPartition, Owner] | None:
    """Return the owners of the transactions that are open from these offsets on; None when Kafka refuses to tell.

    A partition is left out while a broker does not answer.
    """
    client = reader._client
    try:
        producers = await _producers(client, transactions)
        ids, complete = await _transactional_ids(client, set(producers.values()) - {ENDED})
    except _REFUSED:
        return None
    return {
        tp: Owner(producer, ids.get(producer, ""))
        for tp, producer in producers.items()
        if complete or producer == ENDED or producer in ids
    }


async def _producers(client: Any, transactions: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
    """Return the producer ids, by partition."""
    by_leader: defaultdict[int, defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for tp in transactions:
        leader = client.cluster.leader_for_partition(tp)
        if leader is not None and leader >= 0:
            by_leader[leader][tp.topic].append(tp.partition)
    requests = {
        node: DescribeProducers([(topic, numbers, NO_TAGS) for topic, numbers in topics.items()], NO_TAGS)
        for node, topics in by_leader.items()
    }
    found: dict[TopicPartition, int] = {}
    for response in await _ask(client, requests):
        for topic, partitions, _ in response.topics:
            for number, code, _, producers, _ in partitions:
                error = Errors.for_code(code)
                if error is Errors.TopicAuthorizationFailedError:
                    raise error(topic)
                if not code:
                    tp = TopicPartition(topic, number)
                    begun = {start: producer_id for producer_id, _, _, _, _, start, _ in producers}
                    found[tp] = begun.get(transactions[tp], ENDED)
    return found


async def _transactional_ids(client: Any, producer_ids: set[int]) -> tuple[dict[int, str], bool]:
    """Return the transactional ids by producer id, and whether all brokers have answered: each lists those that it
    coordinates."""
    if not producer_ids:
        return {}, True
    nodes = [broker.nodeId for broker in client.cluster.brokers()]
    request = ListTransactions([], list(producer_ids), NO_TAGS)
    answers = [one for one in await _ask(client, dict.fromkeys(nodes, request)) if not one.error_code]
    found = {producer_id: name for one in answers for name, producer_id, _, _ in one.transaction_states}
    return found, len(answers) == len(nodes)


async def _ask(client: Any, requests: Mapping[int, Any]) -> list[Any]:
    """Return the responses of the brokers that answer. Raises the errors of `_REFUSED`."""

    async def send(node: int, request: Any) -> Any:
        try:
            return await client.send(node, request)
        except _REFUSED:
            raise
        except Errors.KafkaError:
            return None

    responses = await asyncio.gather(*(send(node, request) for node, request in requests.items()))
    return [response for response in responses if response is not None]
