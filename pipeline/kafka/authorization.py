"""The permissions that this client lacks, found before they are needed, and the error that names them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any, Final

from aiokafka import errors as Errors
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.client import CoordinationType
from aiokafka.protocol.admin import DescribeAclsRequest

from pipeline.errors import ConfigError, DeniedError
from pipeline.kafka.acls import OPERATION_CODES, Acl, commands
from pipeline.kafka.admin import TopicMetadata, admin_client, describe_topics
from pipeline.kafka.protocol import DescribeGroups
from pipeline.settings import Settings

REQUEST_SECONDS: Final = 5
"""Time limit of a request that only makes an error clearer."""
_ANY: Final = 1
"""Kafka's code for any resource, operation, permission or pattern."""


async def missing_permissions(admin: Any, needed: Iterable[Acl]) -> list[Acl]:
    """Return those of the needed permissions that this client lacks, on groups and existing topics. Raises KafkaError.

    Kafka reports a missing permission on a transactional id, or to create a topic, only when it is used.
    """
    needed = list(needed)
    names = dict.fromkeys(acl.name for acl in needed if acl.kind == "topic")
    topics = (await describe_topics(admin, names)).topics if names else {}
    unreported = [name for name, topic in topics.items() if topic.operations <= 0]
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in unreported]
    responses = await admin.describe_configs(resources) if resources else ()
    configs = [(code, name) for response in responses for code, _, _, name, _ in response.resources]
    unreadable = {name for code, name in configs if code == Errors.TopicAuthorizationFailedError.errno}
    return [
        acl
        for acl in needed
        if (acl.kind == "topic" and _lacks_on_topic(acl, topics[acl.name], unreadable))
        or (acl.kind == "group" and await _lacks_on_group(admin, acl))
    ]


def _lacks_on_topic(acl: Acl, topic: TopicMetadata, unreadable: set[str]) -> bool:
    if topic.operations > 0:
        return not _allows(topic.operations, acl)
    if acl.operation == "DescribeConfigs":
        return acl.name in unreadable
    # These operations include Describe, Kafka's permission to see a topic at all.
    return topic.unauthorized and acl.operation in ("Read", "Write", "Describe")


async def _lacks_on_group(admin: Any, acl: Acl) -> bool:
    try:
        coordinator = await admin.find_coordinator(acl.name)
    except Errors.GroupAuthorizationFailedError:
        return True
    response = await admin._send_request(DescribeGroups([acl.name], True), coordinator)
    [(code, *_, operations)] = response.groups
    return code == Errors.GroupAuthorizationFailedError.errno or (operations > 0 and not _allows(operations, acl))


def _allows(operations: int, acl: Acl) -> bool:
    return bool(operations >> OPERATION_CODES[acl.operation] & 1)


async def can_describe_transactions(admin: Any, transactional_id: str) -> bool:
    """Return whether this client has any permission on this id. To test for Write, it would have to fence."""
    try:
        await admin.find_coordinator(transactional_id, CoordinationType.TRANSACTION)
    except Errors.TransactionalIdAuthorizationFailed:
        return False
    return True


async def has_authorizer(admin: Any) -> bool:
    """Return whether the brokers have an authorizer: without one, any client may do anything. Raises KafkaError."""
    response = await admin._send_request(DescribeAclsRequest(_ANY, None, _ANY, None, None, _ANY, _ANY))
    return Errors.for_code(response.error_code) is not Errors.SecurityDisabled


async def require_permissions(admin: Any, needed: Iterable[Acl], settings: Settings) -> None:
    """Raise DeniedError with the missing permissions, if any. Raises KafkaError."""
    if missing := await missing_permissions(admin, needed):
        raise DeniedError(denied_message(missing, settings))


async def require_topics(settings: Settings, needed: list[Acl]) -> dict[str, int]:
    """Return the partition counts of the permissions' topics. Raises ConfigError when one is missing, KafkaError."""
    async with admin_client(settings) as admin:
        await require_permissions(admin, needed, settings)
        topics = (await describe_topics(admin, [acl.name for acl in needed])).topics
    if missing := [name for name, topic in topics.items() if topic.missing]:
        raise ConfigError(
            f"no topic {' and no topic '.join(missing)} at {settings.bootstrap_servers}: "
            "run `conference-pipeline setup`, or set PIPELINE_TOPIC_PREFIX"
        )
    return {name: topic.partitions for name, topic in topics.items()}


async def refine_denied_error(error: DeniedError, needed: Iterable[Acl], settings: Settings) -> DeniedError:
    """Return an error that names the permissions that are missing now, or `error` when they can't be found."""
    with contextlib.suppress(Errors.KafkaError, ConfigError, OSError, TimeoutError):
        async with admin_client(settings, request_timeout_ms=REQUEST_SECONDS * 1000) as admin:
            if missing := await missing_permissions(admin, needed):
                return DeniedError(denied_message(missing, settings))
    return error


def denied_message(missing: list[Acl], settings: Settings) -> str:
    """Return one line that names the user, the missing permissions, and the command that adds them."""
    user = settings.kafka_user
    calls = commands(missing, f"User:{user}" if user else "User:…")
    remedy = f"`{calls[0]}`" if len(calls) == 1 else "see docs/reference/security.md"
    who = f"user {user!r}" if user else "this client"
    return f"not authorised: {who} lacks {', '.join(map(str, missing))}: {remedy}"
