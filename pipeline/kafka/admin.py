"""The admin client, and read-only requests: topics, brokers, consumer groups, the controller's clock."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final, NamedTuple

from aiokafka import errors as Errors
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.protocol.admin import ApiVersionRequest
from aiokafka.structs import TopicPartition

from pipeline.kafka.connection import diagnose_connection
from pipeline.kafka.protocol import DescribeGroups, DescribeQuorum, Metadata
from pipeline.settings import Settings

REQUIRED_APIS: Final = {"Metadata": (3, 8), "DescribeGroups": (15, 3), "TxnOffsetCommit": (28, 3)}
"""Name of an API to its key and the lowest version that works. Kafka 2.5 is the first release with all."""


class TopicMetadata(NamedTuple):
    """A topic as a broker describes it."""

    error: type[Errors.KafkaError]
    partitions: int
    replicas: int
    """The lowest number of replicas of a partition."""
    has_leaders: bool
    """Whether each partition has a leader."""
    operations: int
    """What this client may do: one bit per operation code; not above 0 when the broker does not report it."""

    @property
    def missing(self) -> bool:
        """Whether the topic does not exist."""
        return self.error is Errors.UnknownTopicOrPartitionError

    @property
    def unauthorized(self) -> bool:
        """Whether this client may not describe the topic."""
        return self.error is Errors.TopicAuthorizationFailedError


class ClusterMetadata(NamedTuple):
    """The number of live brokers, and the described topics by name."""

    brokers: int
    topics: dict[str, TopicMetadata]


class ConsumerGroup(NamedTuple):
    """Kafka's name of the group's state, and for each member its host and its partitions."""

    state: str
    members: list[tuple[str, list[TopicPartition]]]


@contextlib.asynccontextmanager
async def admin_client(settings: Settings, **options: Any) -> AsyncIterator[AIOKafkaAdminClient]:
    """Start an admin client, and close it at the end of the block.

    Raises ConfigError when a broker rejects the client, KafkaConnectionError when none can be reached.
    """
    admin = AIOKafkaAdminClient(**settings.kafka(), **options)
    try:
        try:
            await admin.start()
        except Errors.KafkaConnectionError as error:
            raise await diagnose_connection(error, settings) from None
        yield admin
    finally:
        await admin.close()


async def describe_topics(admin: Any, names: Iterable[str]) -> ClusterMetadata:
    """Describe these topics, in this order. Raises KafkaError."""
    topics: dict[str, Any] = dict.fromkeys(names)
    response = await admin._send_request(Metadata(list(topics)))
    for code, name, _, partitions, operations in response.topics:
        replicas = [len(replicas) for _, _, _, _, replicas, *_ in partitions]
        has_leaders = bool(partitions) and all(leader >= 0 for _, _, leader, *_ in partitions)
        topics[name] = TopicMetadata(
            Errors.for_code(code), len(partitions), min(replicas, default=0), has_leaders, operations
        )
    return ClusterMetadata(len(response.brokers), topics)


async def describe_group(admin: Any, name: str) -> ConsumerGroup:
    """Describe a consumer group. Raises KafkaError."""
    coordinator = await admin.find_coordinator(name)
    response = await admin._send_request(DescribeGroups(name), coordinator)
    [(code, _, state, _, _, members, _)] = response.groups
    if code:
        raise Errors.for_code(code)(name)
    return ConsumerGroup(
        state, [(host.lstrip("/"), _decode_assignment(assignment)) for _, _, host, _, assignment in members]
    )


def _decode_assignment(assignment: bytes | None) -> list[TopicPartition]:
    if not assignment:  # the group is rebalancing
        return []
    partitions: list[TopicPartition] = ConsumerProtocolMemberAssignment.decode(assignment).partitions()
    return partitions


def broker_addresses(admin: Any) -> dict[int, str]:
    """Return the number and the advertised address of each broker, from the client's metadata."""
    return {node.nodeId: f"{node.host}:{node.port}" for node in admin._client.cluster.brokers()}


async def unsupported_apis(admin: Any, node: int) -> list[str] | None:
    """Return the required APIs that this broker lacks, as text; None when it can't be reached. Raises KafkaError."""
    try:
        response = await admin._send_request(ApiVersionRequest(), node)
    except (Errors.NodeNotReadyError, Errors.KafkaConnectionError):
        return None
    highest = {key: version for key, _, version in response.api_versions}
    return [
        f"{name} {highest.get(key, 'is missing')} (required: {required})"
        for name, (key, required) in REQUIRED_APIS.items()
        if highest.get(key, -1) < required
    ]


async def controller_time(admin: Any) -> int | None:
    """Return the clock of the active controller, in milliseconds: its own last fetch time is the present (KIP-836).

    None if this client lacks Describe on the cluster, or Kafka is older than 3.3. Raises KafkaError.
    """
    try:
        response = await admin._send_request(DescribeQuorum())
    except (Errors.IncompatibleBrokerVersion, NotImplementedError):
        return None
    if response.error_code:
        return None
    [(_, [(_, code, leader, _, _, voters, _, _)], _)] = response.topics
    times = [fetched for replica, _, fetched, _, _ in voters if replica == leader and fetched > 0]
    return times[0] if times and not code else None
