"""`setup`: check topics and schemas, then create what is missing (contract §2). A second run changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from aiokafka import errors
from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from pipeline.admin import schema_fit, topic_policy, topic_shape
from pipeline.admin.topic_policy import MIN_IN_SYNC, REPLICAS, REPLICATED_CLUSTER, ObservedTopic
from pipeline.errors import ConfigError, DeniedError
from pipeline.kafka import acls
from pipeline.kafka.admin import ClusterMetadata, admin_client, describe_topics
from pipeline.kafka.authorization import denied_message, require_permissions
from pipeline.kafka.schema_registry import COMPATIBILITY, Registry
from pipeline.settings import Settings
from pipeline.topics import ALL_TOPICS, TOPICS, Topic

Report = Callable[[str], None]
"""Takes one line of text."""
GOOD_ANSWERS: Final = 4
"""Consecutive good answers required per other broker: any may answer, and each learns of topics in its own time."""
TOPIC_POLLS: Final = 200
CONFIG_POLLS: Final = 50
"""Maximum requests, one per 0.1 s, until the brokers know a new topic, and its configuration."""


class Plan(NamedTuple):
    """What `setup` has to do, and what must be changed by hand first.

    topics     the topics to create
    schemas    the subjects to register a schema in, with the names of the records
    levels     the subjects whose compatibility level is to be set, with the names of the records
    faults     a line with the remedy for each deviation; with any, nothing is changed
    warnings   recommendations
    """

    topics: list[NewTopic]
    schemas: dict[str, str]
    levels: dict[str, str]
    faults: list[str]
    warnings: list[str]

    @property
    def steps(self) -> list[str]:
        """One line for each change."""
        return [
            *(f"create topic {new.name} with {_partitions(new.num_partitions)}" for new in self.topics),
            *(f"register {subject}" for subject in self.schemas),
            *(f"set the compatibility level of {subject} to {COMPATIBILITY}" for subject in self.levels),
        ]


def _partitions(count: int) -> str:
    return "1 partition" if count == 1 else f"{count} partitions"


async def plan(settings: Settings, *, force: bool = False) -> Plan:
    """Check permissions, topics and schemas, and change nothing.

    `force` is that of `check_topics`. Raises ConfigError, RegistryDownError, KafkaError.
    """
    warnings: list[str] = []
    async with admin_client(settings) as admin, Registry(settings) as registry:
        # Create is needed only for missing topics, and is checked when the broker validates them.
        needed = [acl for acl in acls.setup(settings) if acl.operation != "Create"]
        await require_permissions(admin, needed, settings)
        new = await _missing_topics(admin, settings, force)
        faults = await check_topics(admin, settings, warnings.append, force=force, missing_too=False, topics=ALL_TOPICS)
        await _create_topics(admin, new, settings, only_validate=True)
        schemas, levels, misfits = await _schema_steps(registry, settings)
    return Plan(new, schemas, levels, [*faults, *misfits], warnings)


async def setup(settings: Settings, report: Report, warn: Report = lambda _: None, *, force: bool = False) -> list[str]:
    """Create missing topics and register schemas, after everything was checked. Existing topics are never altered.

    Returns a line with the remedy for each deviation: with any in the plan, nothing was changed. `report`, `warn`,
    `force` and the errors are those of `apply`.
    """
    planned = await plan(settings, force=force)
    if not planned.faults:
        return await apply(planned, settings, report, warn, force=force)
    for warning in planned.warnings:
        warn(warning)
    return planned.faults


async def apply(
    planned: Plan, settings: Settings, report: Report, warn: Report = lambda _: None, *, force: bool = False
) -> list[str]:
    """Carry out a plan without faults, and check the topics again.

    `report` gets a line for each change; `warn`, `force` and the result are those of `check_topics`. Raises
    ConfigError, RegistryDownError, KafkaError.
    """
    async with admin_client(settings) as admin:
        for name in await _create_topics(admin, planned.topics, settings):
            report(f"created topic {name}")
        await _wait_for_topics(admin, [topic.full_name(settings.topic_prefix) for topic in ALL_TOPICS])
        differences = await check_topics(admin, settings, warn, force=force, topics=ALL_TOPICS)
    async with Registry(settings) as registry:
        for subject, record in planned.schemas.items():
            if await registry.register(subject, record):
                report(f"registered {subject}")
        for subject, record in planned.levels.items():
            await registry.register(subject, record)
            report(f"set the compatibility level of {subject} to {COMPATIBILITY}")
    return differences


async def _missing_topics(admin: Any, settings: Settings, force: bool) -> list[NewTopic]:
    names = {topic.full_name(settings.topic_prefix): topic for topic in ALL_TOPICS}
    cluster = await describe_topics(admin, names)
    missing = [topic for name, topic in names.items() if cluster.topics[name].missing]
    if not missing:
        return []
    replicas = _replicas(cluster.brokers, settings, force)
    return [_new_topic(topic, settings, replicas) for topic in missing]


async def _create_topics(
    admin: Any, new: list[NewTopic], settings: Settings, *, only_validate: bool = False
) -> list[str]:
    """Create topics, or let the broker say whether it would. Return their names, without those that exist meanwhile.

    Raises DeniedError, ConfigError.
    """
    if not new:
        return []
    done = []
    response = await admin.create_topics(new, validate_only=only_validate)
    for name, code, *text in response.topic_errors:
        error = errors.for_code(code)
        if code == 0:
            done.append(name)
        elif error is errors.TopicAuthorizationFailedError:
            lacking = [a for a in acls.setup(settings) if a.operation == "Create" and a.name == name]
            raise DeniedError(denied_message(lacking, settings))
        elif error is not errors.TopicAlreadyExistsError:  # another setup may have created it
            raise ConfigError(f"the broker does not create topic {name}: {error.__name__} {' '.join(map(str, text))}")
    return done


async def _schema_steps(registry: Registry, settings: Settings) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """Return the subjects to register in, those whose level is to be set, and a line for each misfit."""
    subjects = [item for topic in ALL_TOPICS for item in topic.subjects(settings.topic_prefix).items()]
    statuses = await asyncio.gather(*(registry.subject_status(*subject) for subject in subjects))
    schemas, levels, misfits = dict[str, str](), dict[str, str](), list[str]()
    for (subject, record), status in zip(subjects, statuses, strict=True):
        if status == "other level":
            levels[subject] = record
        elif status != "current":
            schemas[subject] = record
            if status != "missing":
                misfits += await schema_fit.misfits(registry, subject, record)
    return schemas, levels, misfits


def _replicas(brokers: int, settings: Settings, force: bool) -> int:
    """Return the replication factor of new topics; -1 is the brokers' default. Raises ConfigError."""
    replicas = settings.replication
    if brokers < REPLICATED_CLUSTER:
        return replicas
    if replicas == 1 and not force:
        fault = (
            f"PIPELINE_REPLICATION_FACTOR=1 on {brokers} brokers: losing one of them would lose acknowledged records"
        )
        raise ConfigError(f"{fault}; unset it, or set it to {REPLICAS}, or run setup --force")
    return REPLICAS if replicas == -1 else replicas


def _new_topic(topic: Topic, settings: Settings, replicas: int) -> NewTopic:
    config = dict(topic.config)
    if replicas >= REPLICAS:
        config["min.insync.replicas"] = str(MIN_IN_SYNC)  # the brokers' default is 1
    new = NewTopic(
        name=topic.full_name(settings.topic_prefix),
        num_partitions=topic.partitions(settings.partitions),
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


async def check_topics(
    admin: Any,
    settings: Settings,
    warn: Report = lambda _: None,
    *,
    force: bool = False,
    missing_too: bool = True,
    topics: Iterable[Topic] = TOPICS,
) -> list[str]:
    """Return a line with the remedy for each deviation of the topics that breaks a promise.

    Recommendations go to `warn`; with `force`, deviations that break a promise do, too, except missing topics and a
    wrong number of partitions: most rooms' signals would become dead letters. `missing_too`: whether a missing topic is
    a deviation. `topics`: those to check; by default the workers'. Raises ConfigError, KafkaError.
    """
    names = {topic.full_name(settings.topic_prefix): topic for topic in topics}
    cluster = await describe_topics(admin, names)
    unforceable = await _unforceable(cluster, settings, missing_too)
    configs = await topic_configs(admin, [name for name in names if not cluster.topics[name].missing])
    observed = [ObservedTopic(name, names[name], cluster.topics[name].replicas, configs[name]) for name in configs]
    if warning := topic_policy.single_replica_warning(cluster.brokers, observed):
        warn(warning)
    found = topic_policy.deviations(cluster.brokers, observed)
    broken = [str(deviation) for deviation in found if deviation.required]
    for deviation in found:
        if not deviation.required:
            warn(str(deviation))
    for line in broken if force else ():
        warn(f"forced: {line}")
    return unforceable if force else [*unforceable, *broken]


async def _unforceable(cluster: ClusterMetadata, settings: Settings, missing_too: bool) -> list[str]:
    """Return a line for missing topics, and for each wrong number of partitions.

    Raises ConfigError when a topic can't be described, KafkaError.
    """
    for name, topic in cluster.topics.items():
        if topic.error.errno and not topic.missing:
            raise ConfigError(f"topic {name} can't be described: {topic.error.__name__}")
    missing = topic_shape.missing(cluster.topics) if missing_too else []
    does_not = topic_shape.subject(missing, "does", "do") if missing else ""
    lines = [f"{does_not} not exist: run `conference-pipeline setup`"] if missing else []
    return [*lines, *await topic_shape.partition_faults(cluster.topics, settings)]


async def topic_configs(admin: Any, names: list[str]) -> dict[str, dict[str, str | None]]:
    """Return the effective settings of topics. Raises ConfigError when a topic stays unknown, or access is denied.

    Any broker may answer, and learns of a new topic in its own time: an unknown topic is requested again.
    """
    if not names:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    for _ in range(CONFIG_POLLS):
        responses = await admin.describe_configs(resources)
        answers = [answer for response in responses for answer in response.resources]
        if all(code != errors.UnknownTopicOrPartitionError.errno for code, *_ in answers):
            break
        await asyncio.sleep(0.1)
    for code, text, _, name, _ in answers:
        if code:
            raise ConfigError(
                f"the configuration of topic {name} can't be read: {errors.for_code(code).__name__} {text}"
            )
    return {name: {entry[0]: entry[1] for entry in entries} for _, _, _, name, entries in answers}
