"""The admin client, why it can't connect, and requests: topics, groups, transactions, the controller's clock."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
import struct
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final, NamedTuple

from aiokafka import errors as Errors
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import create_conn
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.protocol.admin import ApiVersionRequest
from aiokafka.structs import TopicPartition

from pipeline.errors import ConfigError
from pipeline.kafka.oauth import TokenRejectedError, client_options
from pipeline.kafka.protocol import (
    NO_TAGS,
    DescribeGroups,
    DescribeQuorum,
    Metadata,
    MetadataWithIds,
    TxnOffsetCommit,
)
from pipeline.settings import Settings

REQUIRED_APIS: Final = (Metadata, DescribeGroups, TxnOffsetCommit)
"""Requests that need these versions, or later ones. Kafka 2.5 is the first release with all."""
DIAGNOSIS_MS: Final = 5000
"""Time limit of the diagnosis in milliseconds, per bootstrap server."""
_NO_ID: Final = (0, 0)
"""The two halves of Kafka's UUID that means "none"."""
_HINTS: Final = {
    "PLAINTEXT": " (if it requires TLS or a login, set KAFKA_SECURITY_PROTOCOL)",
    "SASL_PLAINTEXT": " (if it requires TLS, set KAFKA_SECURITY_PROTOCOL=SASL_SSL)",
    "SASL_SSL": " (if it has no TLS, change KAFKA_SECURITY_PROTOCOL)",
    "SSL": " (if it has no TLS, change KAFKA_SECURITY_PROTOCOL; if it requires a certificate, set KAFKA_SSL_CERT)",
}
"""Security protocol to the likely reason why a server closes the connection without an error."""


class UnreachableBrokersError(Errors.KafkaConnectionError):
    """A bootstrap server answers, but brokers can't be reached where they say they are."""

    REMEDY = "start it, or correct its advertised.listeners"


class TopicMetadata(NamedTuple):
    """A topic as a broker describes it.

    `replicas` is the lowest number of a partition. `operations` is what this client may do: one bit per operation code;
    not above 0 when the broker does not report it. `topic_id` is the topic's id as Kafka's tools print it; another one
    under the same name is a topic that was deleted and created again. It is "" where the broker has no topic ids.
    `in_sync` is the lowest number of in-sync replicas of a partition, `under_replicated` the number of partitions that
    have fewer of them than replicas.
    """

    error: type[Errors.KafkaError]
    partitions: int
    replicas: int
    has_leaders: bool
    operations: int
    topic_id: str = ""
    in_sync: int = 0
    under_replicated: int = 0

    @property
    def missing(self) -> bool:
        return self.error is Errors.UnknownTopicOrPartitionError

    @property
    def unauthorized(self) -> bool:
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
    """Start an admin client, and close it at the end of the block. Raises ConfigError, KafkaConnectionError."""
    admin = AIOKafkaAdminClient(**client_options(settings), **options)
    try:
        try:
            await admin.start()
        except Errors.KafkaConnectionError as error:
            raise await diagnose_connection(error, settings) from None
        yield admin
    finally:
        await admin.close()


async def diagnose_connection(error: Errors.KafkaError, settings: Settings) -> ConfigError | Errors.KafkaError:
    """Connect to each bootstrap server again, and return an error that names the reason.

    It is a ConfigError when a server rejects this client. When one accepts it, it names the brokers that can't be
    reached at their advertised addresses, or is `error` when there are none. Else it has the reasons of all.
    """
    options = client_options(settings) | {"request_timeout_ms": DIAGNOSIS_MS}
    del options["bootstrap_servers"]
    reasons = []
    for entry in settings.bootstrap_servers.split(","):
        server = entry.strip()
        host, _, port = server.rpartition(":")
        try:
            (await create_conn(host.strip("[]"), int(port), **options)).close()
        except (OSError, Errors.KafkaError, TimeoutError) as failure:
            if rejection := _config_error(failure, server, settings):
                return rejection
            reason = failure.args[0] if isinstance(failure, Errors.KafkaError) and failure.args else failure
            reasons.append(f"{server}: {str(reason) or type(failure).__name__}")
        else:
            return await _unreachable_brokers(settings) or error
    was_closed = any(word in reasons[0].lower() for word in ("closed", "reset"))
    return Errors.KafkaConnectionError("; ".join(reasons) + (_HINTS[settings.security_protocol] if was_closed else ""))


async def _unreachable_brokers(settings: Settings) -> UnreachableBrokersError | None:
    """Return an error that names the brokers that this client can't reach where they say they are, if any."""
    admin = AIOKafkaAdminClient(**client_options(settings) | {"request_timeout_ms": DIAGNOSIS_MS})
    try:
        with contextlib.suppress(Errors.KafkaError, OSError, TimeoutError):
            await admin.start()
            addresses = broker_addresses(admin)
            ready = await asyncio.gather(*(admin._client.ready(node) for node in addresses))
            texts = [
                unreachable(node, addresses[node]) for node, is_up in zip(addresses, ready, strict=True) if not is_up
            ]
            return UnreachableBrokersError("; ".join(texts)) if texts else None
        return None
    finally:
        await admin.close()


def unreachable(node: int, address: str) -> str:
    """Return the text about a broker that can't be reached where it says it is."""
    return f"broker {node} can't be reached at its advertised address {address}"


def _config_error(failure: BaseException, server: str, settings: Settings) -> ConfigError | None:
    """Return what the operator has to change, or None when the server is unreachable."""
    if isinstance(failure, ssl.SSLCertVerificationError):
        return ConfigError(
            f"the certificate of Kafka at {server} can't be verified ({failure.verify_message}): check KAFKA_SSL_CA, "
            "and that the certificate carries this host name"
        )
    if isinstance(failure, ssl.SSLError) and failure.reason == "WRONG_VERSION_NUMBER":
        return ConfigError(f"Kafka at {server} has no TLS: check KAFKA_SECURITY_PROTOCOL")
    if isinstance(failure, TokenRejectedError):
        return ConfigError(f"no login to Kafka at {server}: {failure.args[0]}")
    if isinstance(failure, Errors.SaslAuthenticationFailed | Errors.AuthenticationFailedError):
        return ConfigError(
            f"Kafka at {server} rejected user {settings.sasl_username!r}: check KAFKA_SASL_USERNAME, "
            f"KAFKA_SASL_PASSWORD and KAFKA_SASL_MECHANISM (now {settings.sasl_mechanism})"
        )
    if isinstance(failure, Errors.UnsupportedSaslMechanismError | Errors.IllegalSaslStateError):
        return ConfigError(
            f"Kafka at {server} does not support {settings.sasl_mechanism} with {settings.security_protocol}: check "
            "KAFKA_SASL_MECHANISM and KAFKA_SECURITY_PROTOCOL"
        )
    return None


async def describe_topics(admin: Any, names: Iterable[str], node: int | None = None) -> ClusterMetadata:
    """Describe these topics, in this order, as one broker knows them: `node`, or any. Raises KafkaError.

    `admin` is an admin client or a consumer.
    """
    topics: dict[str, Any] = dict.fromkeys(names)
    client = admin._client
    node = client.get_random_node() if node is None else node
    create, cluster_operations, topic_operations = False, False, True
    options = (create, cluster_operations, topic_operations)
    try:
        wanted = [(*_NO_ID, name, NO_TAGS) for name in topics]
        response = await client.send(node, MetadataWithIds(wanted, *options, NO_TAGS))
        for code, name, high, low, _, partitions, operations, _ in response.topics:
            topics[name] = _topic(code, partitions, operations, _shown_id(high, low))
    except (Errors.IncompatibleBrokerVersion, NotImplementedError):  # before Kafka 2.8
        response = await client.send(node, Metadata(list(topics), *options))
        for code, name, _, partitions, operations in response.topics:
            topics[name] = _topic(code, partitions, operations)
    return ClusterMetadata(len(response.brokers), topics)


def _topic(code: int, partitions: list[Any], operations: int, topic_id: str = "") -> TopicMetadata:
    replicas = min((len(replicas) for _, _, _, _, replicas, *_ in partitions), default=0)
    has_leaders = bool(partitions) and all(leader >= 0 for _, _, leader, *_ in partitions)
    in_sync = [(len(isr), len(isr) < len(replicas)) for _, _, _, _, replicas, isr, *_ in partitions]
    return TopicMetadata(
        Errors.for_code(code),
        len(partitions),
        replicas,
        has_leaders,
        operations,
        topic_id,
        min((count for count, _ in in_sync), default=0),
        sum(is_under for _, is_under in in_sync),
    )


def _shown_id(high: int, low: int) -> str:
    """Return a topic id as Kafka's tools print it; "" for the id that means "none"."""
    if (high, low) == _NO_ID:
        return ""
    return base64.urlsafe_b64encode(struct.pack(">qq", high, low)).decode().rstrip("=")


async def describe_group(admin: Any, name: str) -> ConsumerGroup:
    """Describe a consumer group. Raises KafkaError."""
    coordinator = await admin.find_coordinator(name)
    response = await admin._send_request(DescribeGroups([name], True), coordinator)
    [(code, _, state, _, _, members, _)] = response.groups
    if code:
        raise Errors.for_code(code)(name)
    decode = ConsumerProtocolMemberAssignment.decode  # an assignment is empty while the group rebalances
    assigned = [(host.lstrip("/"), decode(part).partitions() if part else []) for _, _, host, _, part in members]
    return ConsumerGroup(state, assigned)


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
        f"{api.__name__} {highest.get(api.API_KEY, 'is missing')} (required: {api.API_VERSION})"
        for api in REQUIRED_APIS
        if highest.get(api.API_KEY, -1) < api.API_VERSION
    ]


async def controller_time(admin: Any) -> int | None:
    """Return the clock of the active controller, in milliseconds: its own last fetch time is the present (KIP-836).

    None if this client lacks Describe on the cluster, or Kafka is older than 3.3. Raises KafkaError.
    """
    controllers = ("__cluster_metadata", [(0, NO_TAGS)], NO_TAGS)
    try:
        response = await admin._send_request(DescribeQuorum([controllers], NO_TAGS))
    except (Errors.IncompatibleBrokerVersion, NotImplementedError):
        return None
    if response.error_code:
        return None
    [(_, [(_, code, leader, _, _, voters, _, _)], _)] = response.topics
    times = [fetched for replica, _, fetched, _, _ in voters if replica == leader and fetched > 0]
    return times[0] if times and not code else None
