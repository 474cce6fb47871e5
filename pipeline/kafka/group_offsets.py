"""The offsets that a consumer group has committed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

from aiokafka import errors as Errors
from aiokafka.client import CoordinationType
from aiokafka.protocol.commit import OffsetCommitRequest, OffsetFetchRequest
from aiokafka.structs import OffsetAndMetadata, TopicPartition

ANSWER_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 0.2
MAX_SECONDS: Final = 30.0
"""Longest time to wait for the group's coordinator."""


async def committed_offsets(
    client: Any, group: str, partitions: Iterable[TopicPartition]
) -> dict[TopicPartition, OffsetAndMetadata]:
    """Return the group's offsets in these partitions, if any. `client` is an admin client or a consumer.

    Waits while the group has no coordinator. Raises KafkaError.
    """
    numbers: defaultdict[str, list[int]] = defaultdict(list)
    for topic, number in partitions:
        numbers[topic].append(number)
    limit = time.monotonic() + MAX_SECONDS
    while True:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await _fetch(client._client, group, list(numbers.items()))
        except TimeoutError:
            if time.monotonic() > limit:
                raise Errors.KafkaTimeoutError(f"no offsets of group {group!r} in {MAX_SECONDS:g} s") from None
        except Errors.KafkaError as error:
            if not error.retriable or time.monotonic() > limit:
                raise
        await asyncio.sleep(RETRY_SECONDS)


async def _fetch(
    client: Any, group: str, partitions: list[tuple[str, list[int]]]
) -> dict[TopicPartition, OffsetAndMetadata]:
    node = await client.coordinator_lookup(CoordinationType.GROUP, group)
    response = await client.send(node, OffsetFetchRequest(group, partitions))
    found: dict[TopicPartition, OffsetAndMetadata] = {}
    codes = [response.error_code]
    for topic, answers in response.topics:
        for number, offset, metadata, code in answers:
            codes.append(code)
            if offset >= 0:
                found[TopicPartition(topic, number)] = OffsetAndMetadata(offset, metadata or "")
    if failed := next(filter(None, codes), 0):
        raise Errors.for_code(failed)(group)
    return found


async def commit_offsets(client: Any, group: str, offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
    """Commit offsets of a group that has no members, and wait for the answer; retry while it has no coordinator.

    `client` is an admin client or a consumer. Raises KafkaError.
    """
    by_topic: defaultdict[str, list[tuple[int, int, str]]] = defaultdict(list)
    for (topic, number), (offset, metadata) in offsets.items():
        by_topic[topic].append((number, offset, metadata))
    request = OffsetCommitRequest(group, -1, "", -1, list(by_topic.items()))
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_SECONDS):
                try:
                    node = await client._client.coordinator_lookup(CoordinationType.GROUP, group)
                    response = await client._client.send(node, request)
                    codes = [code for _, answers in response.topics for _, code in answers]
                    if failed := next(filter(None, codes), 0):
                        raise Errors.for_code(failed)(group)
                    return
                except Errors.KafkaError as error:
                    if not error.retriable:
                        raise
        await asyncio.sleep(RETRY_SECONDS)
