"""`setup`: the topics and the schemas, made or checked (contract §2). Does nothing the second time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)

from pipeline.admin.topic_policy import COPIES, IN_SYNC, MANY_BROKERS, ObservedTopic, few_copies, findings
from pipeline.errors import ConfigError, DeniedError
from pipeline.kafka import acls
from pipeline.kafka.authorization import ClusterMetadata, admin_client, look, require
from pipeline.kafka.authorization import told as denial
from pipeline.kafka.schema_registry import Registry
from pipeline.settings import Settings
from pipeline.topics import TOPICS, Topic

Say = Callable[[str], None]
LOOKS = 4
"""So often each other broker, on average, must have shown all topics, or the only one."""


def _quietly(_: str) -> None:
    """Nobody asked for the warnings."""


async def setup(settings: Settings, say: Say, warn: Say = _quietly, *, force: bool = False) -> list[str]:
    """Create what is missing, say each thing that was. Returns what breaks a promise, one line each, after what is a
    matter of taste was given to `warn`; forced, all goes there. The topics that exist are never altered. Raises
    ConfigError, RegistryDownError, KafkaError."""
    async with admin_client(settings) as admin:
        needed = [
            acl for acl in acls.setup(settings) if acl.operation != "Create"
        ]  # only for what is missing
        await require(admin, needed, settings)
        await _create_topics(admin, settings, say, force)
        await _appear(admin, [topic.full_name(settings.topic_prefix) for topic in TOPICS])
        differences = await check_topics(admin, settings, warn, force=force)
    async with Registry(settings) as registry:
        for topic in TOPICS:
            for subject, record in topic.subjects(settings.topic_prefix).items():
                if await registry.register(subject, record):
                    say(f"registered {subject}")
    return differences


async def _create_topics(admin: Any, settings: Settings, say: Say, force: bool = False) -> None:
    names = {topic.full_name(settings.topic_prefix): topic for topic in TOPICS}
    view = await look(admin, names)
    missing = [topic for name, topic in names.items() if view.topics[name].missing]
    if not missing:
        return
    copies = settings.replication
    if copies == 1 and view.brokers >= MANY_BROKERS and not force:
        raise ConfigError(
            f"PIPELINE_REPLICATION_FACTOR=1 on {view.brokers} brokers: a single lost one would lose what was "
            f"acknowledged; leave it away, or set {COPIES}, or setup --force"
        )
    if copies == -1 and view.brokers >= MANY_BROKERS:
        copies = COPIES
    answer = await admin.create_topics([_new(topic, settings, copies) for topic in missing])
    for name, code, *text in answer.topic_errors:
        error = for_code(code)
        if code == 0:
            say(f"created topic {name}")
        elif error is TopicAuthorizationFailedError:
            lacking = [a for a in acls.setup(settings) if a.operation == "Create" and a.name == name]
            raise DeniedError(denial(lacking, settings))
        elif error is not TopicAlreadyExistsError:  # somebody else's setup was faster
            raise ConfigError(
                f"the broker won't create topic {name}: {error.__name__} {' '.join(map(str, text))}"
            )


def _new(topic: Topic, settings: Settings, copies: int) -> NewTopic:
    config = dict(topic.config)
    if copies >= COPIES:
        config["min.insync.replicas"] = str(IN_SYNC)  # the broker's default is 1
    new = NewTopic(
        name=topic.full_name(settings.topic_prefix),
        num_partitions=settings.partitions,
        replication_factor=1,
        topic_configs=config,
    )
    new.replication_factor = copies  # the constructor refuses -1, the broker's default (KIP-464)
    return new


async def _appear(admin: Any, names: list[str]) -> None:
    """A new topic has no leader for a moment, and each broker, any of which may answer, learns of it in its own time;
    whoever comes right after should not meet that."""
    good = 0
    for _ in range(200):
        view = await look(admin, names)
        good = good + 1 if all(shape.led for shape in view.topics.values()) else 0
        if good == LOOKS * max(1, view.brokers - 1):
            return
        await asyncio.sleep(0.1 if not good else 0)


async def check_topics(
    admin: Any, settings: Settings, warn: Say = _quietly, *, force: bool = False
) -> list[str]:
    """What of the topics breaks a promise: one line for each, with the remedy. What is a matter of taste goes to
    `warn`; with `force` what breaks a promise, too. Raises ConfigError, KafkaError."""
    names = {topic.full_name(settings.topic_prefix): topic for topic in TOPICS}
    view = await look(admin, names)
    # Nothing helps where there is no topic, and with another number of partitions most rooms would be dead letters.
    hopeless = [*_missing(view), *_partitions(view, settings)]
    present = {name: topic for name, topic in names.items() if not view.topics[name].missing}
    configs = await _configs(admin, list(present))
    found = [
        ObservedTopic(name, topic, view.topics[name].replicas, configs[name])
        for name, topic in present.items()
    ]
    all_of_them = findings(view.brokers, found)
    if few := few_copies(view.brokers, found):
        warn(few)
    for finding in all_of_them:
        if not finding.refused:
            warn(str(finding))
    refused = [str(finding) for finding in all_of_them if finding.refused]
    if force:
        for line in refused:
            warn(f"forced: {line}")
        refused = []
    return [*hopeless, *refused]


def _missing(view: ClusterMetadata) -> list[str]:
    """Nothing can be forced on topics that are not there. Raises ConfigError when one can't be seen."""
    for name, shape in view.topics.items():
        if shape.error.errno and not shape.missing:
            raise ConfigError(f"topic {name} can't be seen: {shape.error.__name__}")
    missing = [name for name, shape in view.topics.items() if shape.missing]
    return [f"{', '.join(missing)} do not exist: run `conference-pipeline setup`"] if missing else []


def _partitions(view: ClusterMetadata, settings: Settings) -> list[str]:
    other: dict[int, list[str]] = {}
    for name, shape in view.topics.items():
        if not shape.missing and shape.partitions != settings.partitions:
            other.setdefault(shape.partitions, []).append(name)
    return [
        f"{_named(wrong)} {count} partitions, PIPELINE_PARTITIONS says {settings.partitions}: rooms would be "
        "looked for on other partitions, and their signals become dead letters; set PIPELINE_PARTITIONS to what the "
        "topics have; it can't be changed later"
        for count, wrong in other.items()
    ]


def _named(names: list[str]) -> str:
    return f"topic {names[0]} has" if len(names) == 1 else f"topics {', '.join(names)} have"


async def _configs(admin: Any, names: list[str]) -> dict[str, dict[str, str | None]]:
    """The effective settings of topics. Raises ConfigError.

    Any broker may answer, and each learns of a new topic in its own time: what one does not know yet is asked again.
    """
    if not names:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    for _ in range(50):
        answers = [each for answer in await admin.describe_configs(resources) for each in answer.resources]
        if all(code != UnknownTopicOrPartitionError.errno for code, *_ in answers):
            break
        await asyncio.sleep(0.1)
    for code, text, _, name, _ in answers:
        if code:
            raise ConfigError(
                f"the configuration of topic {name} can't be read: {for_code(code).__name__} {text}"
            )
    return {name: {entry[0]: entry[1] for entry in entries} for _, _, _, name, entries in answers}
