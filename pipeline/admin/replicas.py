"""Partitions that have too few in-sync replicas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pipeline.admin.setup import topic_configs
from pipeline.kafka.admin import TopicMetadata, describe_topics

START: Final = "start the brokers that have its replicas"


async def below_minimum(admin: Any, names: Iterable[str]) -> list[str]:
    """Return a text for each topic with fewer in-sync replicas than `min.insync.replicas`: it can't be written.

    Raises ConfigError, KafkaError.
    """
    described = (await describe_topics(admin, names)).topics
    existing = [name for name, topic in described.items() if topic.error.errno == 0]
    return unwritable(described, await minimums(admin, existing))


async def minimums(admin: Any, names: list[str]) -> dict[str, int]:
    """Return `min.insync.replicas` of topics. Raises ConfigError, KafkaError."""
    configs = await topic_configs(admin, names)
    return {name: int(config.get("min.insync.replicas") or 1) for name, config in configs.items()}


def unwritable(topics: Mapping[str, TopicMetadata], least: Mapping[str, int]) -> list[str]:
    """Return a text for each topic with fewer in-sync replicas than the least number. Pure."""
    return [
        f"a partition of {name} has {topics[name].in_sync} in-sync replicas, min.insync.replicas is {number}"
        for name, number in least.items()
        if topics[name].in_sync < number
    ]
