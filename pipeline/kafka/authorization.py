"""What the broker lets us do, asked before it is needed, and why it would not let us in.

aiokafka's admin client asks for topics without our permissions on them, and says of a failed connection only that it
failed. This file touches names of aiokafka that are not public; the versions are pinned, and
tests/test_private_names.py fails when one goes away.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final, NamedTuple

from aiokafka import errors as Errors
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.conn import create_conn
from aiokafka.protocol.admin import DescribeGroupsResponse_v3
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String

from pipeline.errors import ConfigError, DeniedError
from pipeline.kafka.acls import OPERATION_CODES, Acl, commands
from pipeline.settings import Settings

ASK_SECONDS: Final = 5
"""How long the question why a connection failed may take, of each server."""
VISIBLE: Final = ("Read", "Write", "Describe")
"""Any of these lets us see a topic at all (Kafka's rule: they bring Describe)."""


class MetadataResponse_v8(Response):
    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            Array(("node_id", Int32), ("host", String("utf-8")), ("port", Int32), ("rack", String("utf-8"))),
        ),
        ("cluster_id", String("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", String("utf-8")),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
        ("authorized_operations", Int32),
    )


class MetadataRequest_v8(RequestStruct):
    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = MetadataResponse_v8
    SCHEMA = Schema(
        ("topics", Array(String("utf-8"))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
    )


class _Metadata(Request[MetadataRequest_v8]):
    API_KEY = 3

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def build(self, request_struct_class: type[MetadataRequest_v8]) -> MetadataRequest_v8:
        return request_struct_class(self._names, False, False, True)


class DescribeGroupsRequest_v3(RequestStruct):
    """aiokafka reads the answer to its own as if it were version 2, which leaves out what we may do."""

    API_KEY = 15
    API_VERSION = 3
    RESPONSE_TYPE = DescribeGroupsResponse_v3
    SCHEMA = Schema(("groups", Array(String("utf-8"))), ("include_authorized_operations", Boolean))


class DescribeGroup(Request[DescribeGroupsRequest_v3]):
    API_KEY = 15

    def __init__(self, group: str) -> None:
        self._group = group

    def build(self, request_struct_class: type[DescribeGroupsRequest_v3]) -> DescribeGroupsRequest_v3:
        return request_struct_class([self._group], True)


class TopicMetadata(NamedTuple):
    """A topic as the broker shows it. `replicas` is the least of its partitions; `led`: each has a leader;
    `allowed` are Kafka's numbers of the operations that we may do, as bits."""

    error: type[Errors.KafkaError]
    partitions: int
    replicas: int
    led: bool
    allowed: int

    @property
    def missing(self) -> bool:
        """Whether there is no such topic."""
        return self.error is Errors.UnknownTopicOrPartitionError

    @property
    def hidden(self) -> bool:
        """Whether we may not even see it."""
        return self.error is Errors.TopicAuthorizationFailedError


class ClusterMetadata(NamedTuple):
    """What the broker shows: how many brokers there are, and topics by name."""

    brokers: int
    topics: dict[str, TopicMetadata]


@contextlib.asynccontextmanager
async def admin_client(settings: Settings, **options: Any) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client. Raises ConfigError when the broker refuses us, KafkaConnectionError when it is not there."""
    admin = AIOKafkaAdminClient(**settings.kafka(), **options)
    try:
        try:
            await admin.start()
        except Errors.KafkaConnectionError as error:
            raise await explained(error, settings) from None
        yield admin
    finally:
        await admin.close()


async def look(admin: Any, names: Iterable[str]) -> ClusterMetadata:
    """These topics, and what we may do with them. Raises KafkaError."""
    topics: dict[str, Any] = dict.fromkeys(names)  # in this order
    answer = await admin._send_request(_Metadata(list(topics)))
    for code, name, _, partitions, allowed in answer.topics:
        replicas = [len(replicas) for _, _, _, _, replicas, *_ in partitions]
        led = bool(partitions) and all(leader >= 0 for _, _, leader, *_ in partitions)
        topics[name] = TopicMetadata(
            Errors.for_code(code), len(partitions), min(replicas, default=0), led, allowed
        )
    return ClusterMetadata(len(answer.brokers), topics)


async def denied(admin: Any, wanted: Iterable[Acl]) -> list[Acl]:
    """Those of the permissions that this user does not have, where that can be asked: of topics that exist, and of
    groups. (Transactional ids and the right to create are told when they are used.) Raises KafkaError."""
    wanted = list(wanted)
    names = dict.fromkeys(acl.name for acl in wanted if acl.kind == "topic")
    shapes = (await look(admin, names)).topics if names else {}
    unreadable = await _unreadable(admin, [name for name, shape in shapes.items() if shape.allowed <= 0])
    lacking = []
    for acl in wanted:
        if acl.kind == "group":
            if not await _may(admin, acl):
                lacking.append(acl)
        elif acl.kind == "topic":
            shape = shapes[acl.name]
            if shape.allowed > 0:
                lack = not shape.allowed >> OPERATION_CODES[acl.operation] & 1
            elif acl.operation == "DescribeConfigs":
                lack = acl.name in unreadable
            else:
                lack = shape.hidden and acl.operation in VISIBLE
            lacking += [acl] * lack
    return lacking


async def _unreadable(admin: Any, names: list[str]) -> set[str]:
    """Whose configuration we may not read."""
    if not names:
        return set()
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    refused = Errors.TopicAuthorizationFailedError.errno
    return {
        name
        for answer in await admin.describe_configs(resources)
        for code, _, _, name, _ in answer.resources
        if code == refused
    }


async def _may(admin: Any, acl: Acl) -> bool:
    try:
        node = await admin.find_coordinator(acl.name)
    except Errors.GroupAuthorizationFailedError:
        return False
    answer = await admin._send_request(DescribeGroup(acl.name), node)
    [(code, *_, allowed)] = answer.groups
    if code == Errors.GroupAuthorizationFailedError.errno:
        return False
    return allowed <= 0 or bool(allowed >> OPERATION_CODES[acl.operation] & 1)  # not above 0: it doesn't say


async def require(admin: Any, wanted: Iterable[Acl], settings: Settings) -> None:
    """Raises DeniedError, which names the permissions that are missing; KafkaError."""
    if lacking := await denied(admin, wanted):
        raise DeniedError(told(lacking, settings))


async def precisely(error: DeniedError, wanted: Iterable[Acl], settings: Settings) -> DeniedError:
    """The permissions that are missing now, by name, where the broker tells; else the error as it is."""
    with contextlib.suppress(Errors.KafkaError, ConfigError, OSError, TimeoutError):
        async with admin_client(settings, request_timeout_ms=ASK_SECONDS * 1000) as admin:
            if lacking := await denied(admin, wanted):
                return DeniedError(told(lacking, settings))
    return error


def told(lacking: list[Acl], settings: Settings) -> str:
    """One line for people: what is missing, and how it is given."""
    user = settings.sasl_username
    calls = commands(lacking, f"User:{user}" if user else "User:…")
    remedy = f"`{calls[0]}`" if len(calls) == 1 else "see docs/reference/security.md"
    who = f"user {user!r}" if user else "this client"
    return f"not authorised: {who} lacks {', '.join(map(str, lacking))}: {remedy}"


async def explained(
    error: Errors.KafkaConnectionError, settings: Settings
) -> ConfigError | Errors.KafkaConnectionError:
    """Why no broker could be talked to: ConfigError when one is there and refuses us, else a KafkaConnectionError
    with the reason of each."""
    reasons = []
    for server in settings.bootstrap_servers.split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            connection = await create_conn(
                host.strip("[]"),
                int(port),
                request_timeout_ms=ASK_SECONDS * 1000,
                **{key: value for key, value in settings.kafka().items() if key != "bootstrap_servers"},
            )
        except (OSError, Errors.KafkaError, TimeoutError) as why:
            if refusal := _refusal(why, server.strip(), settings):
                return refusal
            reasons.append(f"{server.strip()}: {_words(why)}")
        else:
            connection.close()
            return error  # it is there by now
    silent = any(word in reasons[0].lower() for word in ("closed", "reset"))
    return Errors.KafkaConnectionError("; ".join(reasons) + _HINTS[settings.security_protocol] * silent)


_HINTS: Final = {
    "PLAINTEXT": " (does it want TLS, or a password? KAFKA_SECURITY_PROTOCOL)",
    "SASL_PLAINTEXT": " (does it want TLS? KAFKA_SECURITY_PROTOCOL=SASL_SSL)",
    "SASL_SSL": " (does it speak TLS? KAFKA_SECURITY_PROTOCOL)",
    "SSL": " (does it speak TLS, or want a certificate of ours? KAFKA_SECURITY_PROTOCOL, KAFKA_SSL_CERT)",
}
"""What a server means that hangs up without a word, by how we talk to it."""


def _words(why: BaseException) -> str:
    said = why.args[0] if isinstance(why, Errors.KafkaError) and why.args else why
    return str(said) or type(why).__name__


def _refusal(why: BaseException, server: str, settings: Settings) -> ConfigError | None:
    """What an operator has to change, when it is not that the server is away."""
    if isinstance(why, ssl.SSLCertVerificationError):
        return ConfigError(
            f"the certificate of Kafka at {server} is not to be trusted ({why.verify_message}): check KAFKA_SSL_CA, "
            "and that the certificate carries this host name"
        )
    if isinstance(why, ssl.SSLError) and why.reason == "WRONG_VERSION_NUMBER":
        return ConfigError(f"Kafka at {server} does not speak TLS: check KAFKA_SECURITY_PROTOCOL")
    if isinstance(why, Errors.SaslAuthenticationFailed | Errors.AuthenticationFailedError):
        return ConfigError(
            f"Kafka at {server} refused user {settings.sasl_username!r}: check KAFKA_SASL_USERNAME, "
            f"KAFKA_SASL_PASSWORD and KAFKA_SASL_MECHANISM (now {settings.sasl_mechanism})"
        )
    if isinstance(why, Errors.UnsupportedSaslMechanismError | Errors.IllegalSaslStateError):
        return ConfigError(
            f"Kafka at {server} does not take {settings.sasl_mechanism} with {settings.security_protocol}: check "
            "KAFKA_SASL_MECHANISM and KAFKA_SECURITY_PROTOCOL"
        )
    return None
