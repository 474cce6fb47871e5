"""`setup`: create and check the topics and the schemas (contract §2). A second run changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)

from pipeline.admin.topic_policy import (
    MIN_IN_SYNC,
    REPLICAS,
    REPLICATED_CLUSTER,
    ObservedTopic,
    deviations,
    single_replica_warning,
)
from pipeline.errors import ConfigError, DeniedError
from pipeline.kafka import acls
from pipeline.kafka.admin import ClusterMetadata, admin_client, describe_topics
from pipeline.kafka.authorization import denied_message, require_permissions
from pipeline.kafka.schema_registry import Registry
from pipeline.settings import Settings
from pipeline.topics import TOPICS, Topic

Report = Callable[[str], None]
"""Takes one line of text."""
GOOD_ANSWERS: Final = 4
"""Consecutive good answers required per other broker: any may answer, and each learns of topics in its own time."""
TOPIC_POLLS: Final = 200
CONFIG_POLLS: Final = 50
"""Maximum requests, one per 0.1 s, until the brokers know a new topic, and its configuration."""


def _ignore(_: str) -> None:
    """The default for warnings."""


async def setup(settings: Settings, report: Report, warn: Report = _ignore, *, force: bool = False) -> list[str]:
    """Create missing topics, register schemas, and check existing topics, which are never altered.

    `report` gets a line for each topic and each schema that was created. Returns a line for each deviation that breaks
    a promise; recommendations go to `warn`, with `force` all deviations that can be forced. Raises ConfigError,
    RegistryDownError, KafkaError.
    """
    async with admin_client(settings) as admin:
        # Create is needed only for missing topics, and is checked when they are created.
        needed = [acl for acl in acls.setup(settings) if acl.operation != "Create"]
        await require_permissions(admin, needed, settings)
        await _create_topics(admin, settings, report, force)
        await _wait_for_topics(admin, [topic.full_name(settings.topic_prefix) for topic in TOPICS])
        differences = await check_topics(admin, settings, warn, force=force)
    async with Registry(settings) as registry:
        for topic in TOPICS:
            for subject, record in topic.subjects(settings.topic_prefix).items():
                if await registry.register(subject, record):
                    report(f"registered {subject}")
    return differences


async def _create_topics(admin: Any, settings: Settings, report: Report, force: bool = False) -> None:
    names = {topic.full_name(settings.topic_prefix): topic for topic in TOPICS}
    cluster = await describe_topics(admin, names)
    missing = [topic for name, topic in names.items() if cluster.topics[name].missing]
    if not missing:
        return
    replicas = _replicas(cluster.brokers, settings, force)
    response = await admin.create_topics([_new_topic(topic, settings, replicas) for topic in missing])
    for name, code, *text in response.topic_errors:
        error = for_code(code)
        if code == 0:
            report(f"created topic {name}")
        elif error is TopicAuthorizationFailedError:
            lacking = [a for a in acls.setup(settings) if a.operation == "Create" and a.name == name]
            raise DeniedError(denied_message(lacking, settings))
        elif error is not TopicAlreadyExistsError:  # another setup may have created it
            raise ConfigError(f"the broker did not create topic {name}: {error.__name__} {' '.join(map(str, text))}")


def _replicas(brokers: int, settings: Settings, force: bool) -> int:
    """Return the replication factor of new topics; -1 is the brokers' default. Raises ConfigError."""
    replicas = settings.replication
    if brokers < REPLICATED_CLUSTER:
        return replicas
    if replicas == 1 and not force:
        raise ConfigError(
            f"PIPELINE_REPLICATION_FACTOR=1 on {brokers} brokers: losing one of them would lose acknowledged records; "
            f"unset it, or set it to {REPLICAS}, or run setup --force"
        )
    return REPLICAS if replicas == -1 else replicas


def _new_topic(topic: Topic, settings: Settings, replicas: int) -> NewTopic:
    config = dict(topic.config)
    if replicas >= REPLICAS:
        config["min.insync.replicas"] = str(MIN_IN_SYNC)  # the brokers' default is 1
    new = NewTopic(
        name=topic.full_name(settings.topic_prefix),
        num_partitions=settings.partitions,
        replication_factor=1,
        topic_configs=config,
    )
    new.replication_factor = replicas  # the constructor rejects -1 (KIP-464)
    return new


async def _wait_for_topics(admin: Any, names: list[str]) -> None:
    """Wait until all brokers show a leader for each partition, so that the next client does not miss a new topic."""
    good = 0
    for _ in range(TOPIC_POLLS):
        cluster = await describe_topics(admin, names)
        good = good + 1 if all(topic.has_leaders for topic in cluster.topics.values()) else 0
        if good == GOOD_ANSWERS * max(1, cluster.brokers - 1):
            return
        await asyncio.sleep(0.1 if not good else 0)


async def check_topics(admin: Any, settings: Settings, warn: Report = _ignore, *, force: bool = False) -> list[str]:
    """Return a line with the remedy for each deviation of the topics that breaks a promise.

    Recommendations go to `warn`; with `force`, deviations that break a promise do, too, except missing topics and a
    wrong number of partitions. Raises ConfigError, KafkaError.
    """
    names = {topic.full_name(settings.topic_prefix): topic for topic in TOPICS}
    cluster = await describe_topics(admin, names)
    # With another number of partitions, most rooms would become dead letters.
    unforceable = [*_missing(cluster), *_wrong_partitions(cluster, settings)]
    present = {name: topic for name, topic in names.items() if not cluster.topics[name].missing}
    configs = await _configs(admin, list(present))
    observed = [
        ObservedTopic(name, topic, cluster.topics[name].replicas, configs[name]) for name, topic in present.items()
    ]
    if warning := single_replica_warning(cluster.brokers, observed):
        warn(warning)
    found = deviations(cluster.brokers, observed)
    for deviation in found:
        if not deviation.required:
            warn(str(deviation))
    broken = [str(deviation) for deviation in found if deviation.required]
    if not force:
        return [*unforceable, *broken]
    for line in broken:
        warn(f"forced: {line}")
    return unforceable


def _missing(cluster: ClusterMetadata) -> list[str]:
    """Return a line that names the missing topics, if any. Raises ConfigError when one can't be described."""
    for name, topic in cluster.topics.items():
        if topic.error.errno and not topic.missing:
            raise ConfigError(f"topic {name} can't be described: {topic.error.__name__}")
    missing = [name for name, topic in cluster.topics.items() if topic.missing]
    if not missing:
        return []
    subject = f"topic {missing[0]} does" if len(missing) == 1 else f"topics {', '.join(missing)} do"
    return [f"{subject} not exist: run `conference-pipeline setup`"]


def _wrong_partitions(cluster: ClusterMetadata, settings: Settings) -> list[str]:
    by_count: dict[int, list[str]] = {}
    for name, topic in cluster.topics.items():
        if not topic.missing and topic.partitions != settings.partitions:
            by_count.setdefault(topic.partitions, []).append(name)
    return [
        f"{_subject(wrong)} {count} partitions, expected {settings.partitions}: signals would be on other partitions "
        f"than their rooms, and become dead letters; set PIPELINE_PARTITIONS={count}, or recreate empty topics"
        for count, wrong in by_count.items()
    ]


def _subject(names: list[str]) -> str:
    return f"topic {names[0]} has" if len(names) == 1 else f"topics {', '.join(names)} have"


async def _configs(admin: Any, names: list[str]) -> dict[str, dict[str, str | None]]:
    """Return the effective settings of topics. Raises ConfigError when a topic stays unknown, or access is denied.

    Any broker may answer, and learns of a new topic in its own time: an unknown topic is requested again.
    """
    if not names:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    for _ in range(CONFIG_POLLS):
        responses = await admin.describe_configs(resources)
        answers = [answer for response in responses for answer in response.resources]
        if all(code != UnknownTopicOrPartitionError.errno for code, *_ in answers):
            break
        await asyncio.sleep(0.1)
    for code, text, _, name, _ in answers:
        if code:
            raise ConfigError(f"the configuration of topic {name} can't be read: {for_code(code).__name__} {text}")
    return {name: {entry[0]: entry[1] for entry in entries} for _, _, _, name, entries in answers}
