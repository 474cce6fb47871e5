"""`setup`: the topics and the schemas, made or checked (contract §2). Does nothing the second time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code

from pipeline.errors import ConfigError
from pipeline.registry import Registry
from pipeline.settings import Settings
from pipeline.topics import TOPICS, Topic

Say = Callable[[str], None]


async def setup(settings: Settings, say: Say) -> list[str]:
    """Create what is missing, say each thing that was. Returns what differs from what we need, one line each; the
    topics that exist are never altered. Raises ConfigError, RegistryDownError, KafkaError."""
    admin = AIOKafkaAdminClient(**settings.kafka())
    await admin.start()
    try:
        await _create_topics(admin, settings, say)
        differences = await check_topics(admin, settings)
    finally:
        await admin.close()
    async with Registry(settings) as registry:
        for topic in TOPICS:
            for subject, record in topic.subjects(settings.topic_prefix).items():
                if await registry.register(subject, record):
                    say(f"registered {subject}")
    return differences


async def _create_topics(admin: Any, settings: Settings, say: Say) -> None:
    existing = set(await admin.list_topics())
    missing = [topic for topic in TOPICS if topic.full_name(settings.topic_prefix) not in existing]
    if not missing:
        return
    answer = await admin.create_topics([_new(topic, settings) for topic in missing])
    for name, code, *text in answer.topic_errors:
        error = for_code(code)
        if code == 0:
            say(f"created topic {name}")
        elif error is not TopicAlreadyExistsError:  # somebody else's setup was faster
            raise ConfigError(
                f"the broker won't create topic {name}: {error.__name__} {' '.join(map(str, text))}"
            )
    await _appear(admin, settings)


def _new(topic: Topic, settings: Settings) -> NewTopic:
    new = NewTopic(
        name=topic.full_name(settings.topic_prefix),
        num_partitions=settings.partitions,
        replication_factor=1,
        topic_configs=topic.config,
    )
    new.replication_factor = (
        settings.replication
    )  # the constructor refuses -1, the broker's default (KIP-464)
    return new


async def _appear(admin: Any, settings: Settings) -> None:
    """A new topic has no leader for a moment; whoever starts right after setup should not meet that."""
    names = [topic.full_name(settings.topic_prefix) for topic in TOPICS]
    for _ in range(100):
        found = {topic["topic"]: topic for topic in await admin.describe_topics(names)}
        if all(
            name in found
            and found[name]["partitions"]
            and all(partition["leader"] >= 0 for partition in found[name]["partitions"])
            for name in names
        ):
            return
        await asyncio.sleep(0.1)


async def check_topics(admin: Any, settings: Settings) -> list[str]:
    """What of the topics is not as we need it: one line for each, with the remedy."""
    names = {topic.full_name(settings.topic_prefix): topic for topic in TOPICS}
    described = {topic["topic"]: topic for topic in await admin.describe_topics(list(names))}
    missing: list[str] = []
    other: dict[int, list[str]] = {}
    for name in names:
        found = described.get(name)
        if found is None or found["error_code"] == UnknownTopicOrPartitionError.errno:
            missing.append(name)
        elif found["error_code"]:
            raise ConfigError(f"topic {name} can't be seen: {for_code(found['error_code']).__name__}")
        elif (count := len(found["partitions"])) != settings.partitions:
            other.setdefault(count, []).append(name)
    differences = [
        f"{_named(wrong)} {count} partitions, PIPELINE_PARTITIONS says {settings.partitions}: set "
        "PIPELINE_PARTITIONS to what the topics have; it can't be changed later"
        for count, wrong in other.items()
    ]
    if missing:
        differences.append(f"{', '.join(missing)} do not exist: run `conference-pipeline setup`")
    present = {name: topic for name, topic in names.items() if name not in missing}
    return differences + await _check_configs(admin, present)


def _named(names: list[str]) -> str:
    return f"topic {names[0]} has" if len(names) == 1 else f"topics {', '.join(names)} have"


async def _check_configs(admin: Any, names: dict[str, Topic]) -> list[str]:
    if not names:
        return []
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    differences = []
    for answer in await admin.describe_configs(resources):
        for code, text, _, name, entries in answer.resources:
            if code:
                raise ConfigError(
                    f"the configuration of topic {name} can't be read: {for_code(code).__name__} {text}"
                )
            found = {entry[0]: entry[1] for entry in entries}
            for key, wanted in names[name].config.items():
                if _differs(key, found.get(key), wanted):
                    differences.append(f"topic {name} has {key}={found.get(key)}, needed is {key}={wanted}")
    return differences


def _differs(key: str, found: str | None, wanted: str) -> bool:
    if key == "max.message.bytes" and found is not None:
        return int(found) < int(wanted)
    return found != wanted
