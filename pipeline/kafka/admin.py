"""What `doctor` asks a broker and nobody else does: who is in the group, what time it is, who is let in. Read-only.

Uses private names of aiokafka; tests/test_private_names.py checks them.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from aiokafka import errors as Errors
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import for_code
from aiokafka.protocol.admin import ApiVersionRequest, DescribeAclsRequest
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)
from aiokafka.structs import TopicPartition

from pipeline.kafka.authorization import DescribeGroup

NEEDED: Final = {"Metadata": (3, 8), "DescribeGroups": (15, 3), "TxnOffsetCommit": (28, 3)}
"""What must be spoken: the API's name → its key, and the least version; Kafka 2.5 is the first that has all."""
_ANY: Final = 1
"""Kafka's number for any resource, operation, permission or pattern."""
_TRANSACTION: Final = 1
"""Kafka's number of the coordinator of transactions."""
_REPLICAS: Final = CompactArray(
    ("replica_id", Int32),
    ("log_end_offset", Int64),
    ("last_fetch_timestamp", Int64),
    ("last_caught_up_timestamp", Int64),
    ("tags", TaggedFields),
)


class DescribeQuorumResponse_v1(Response):
    API_KEY = 55
    API_VERSION = 1
    SCHEMA = Schema(
        ("error_code", Int16),
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("error_code", Int16),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("high_watermark", Int64),
                        ("voters", _REPLICAS),
                        ("observers", _REPLICAS),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class DescribeQuorumRequest_v1(RequestStruct):
    """KIP-595, with the times of KIP-836."""

    API_KEY = 55
    API_VERSION = 1
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = DescribeQuorumResponse_v1
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")),
                ("partitions", CompactArray(("partition", Int32), ("tags", TaggedFields))),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _DescribeQuorum(Request[DescribeQuorumRequest_v1]):
    API_KEY = 55

    def build(self, request_struct_class: type[DescribeQuorumRequest_v1]) -> DescribeQuorumRequest_v1:
        return request_struct_class([("__cluster_metadata", [(0, {})], {})], {})


async def controllers_time(admin: Any) -> int | None:
    """The clock of the active controller, in milliseconds: of itself it says that it fetched just now (KIP-836). None
    where that is not told: to who may not Describe the cluster, by an older Kafka. Raises KafkaError."""
    try:
        answer = await admin._send_request(_DescribeQuorum())
    except (Errors.IncompatibleBrokerVersion, NotImplementedError):
        return None
    if answer.error_code:
        return None
    [(_, [(_, code, leader, _, _, voters, _, _)], _)] = answer.topics
    times = [fetched for replica, _, fetched, _, _ in voters if replica == leader and fetched > 0]
    return times[0] if times and not code else None


def brokers(admin: Any) -> dict[int, str]:
    """Every broker's number and address, as the first that answered named them."""
    return {node.nodeId: f"{node.host}:{node.port}" for node in admin._client.cluster.brokers()}


async def lacks(admin: Any, node: int) -> list[str] | None:
    """What this broker does not speak of what is needed; None when it can't be talked to. Raises KafkaError."""
    try:
        answer = await admin._send_request(ApiVersionRequest(), node)
    except (Errors.NodeNotReadyError, Errors.KafkaConnectionError):
        return None
    spoken = {key: most for key, _, most in answer.api_versions}
    return [
        f"{name} {spoken.get(key, 'not at all')} (needed: {least})"
        for name, (key, least) in NEEDED.items()
        if spoken.get(key, -1) < least
    ]


async def authorizes(admin: Any) -> bool:
    """Whether the broker has an authorizer: without one everybody may do everything. Raises KafkaError."""
    answer = await admin._send_request(DescribeAclsRequest(_ANY, None, _ANY, None, None, _ANY, _ANY))
    return bool(for_code(answer.error_code) is not Errors.SecurityDisabled)


async def may_see_transactions_of(admin: Any, transactional_id: str) -> bool:
    """Whether we have any permission on this transactional id; Write can't be asked for without taking it."""
    try:
        await admin.find_coordinator(transactional_id, _TRANSACTION)
    except Errors.TransactionalIdAuthorizationFailed:
        return False
    return True


class Group(NamedTuple):
    """A consumer group: Kafka's word for its state, and of each member its host and what it owns."""

    state: str
    members: list[tuple[str, list[TopicPartition]]]


async def group(admin: Any, name: str) -> Group:
    """Raises KafkaError."""
    node = await admin.find_coordinator(name)
    answer = await admin._send_request(DescribeGroup(name), node)
    [(code, _, state, _, _, members, _)] = answer.groups
    if code:
        raise for_code(code)(name)
    return Group(state, [(host.lstrip("/"), _owned(assigned)) for _, _, host, _, assigned in members])


def _owned(assigned: bytes | None) -> list[TopicPartition]:
    if not assigned:  # in the middle of a rebalance
        return []
    found: list[TopicPartition] = ConsumerProtocolMemberAssignment.decode(assigned).partitions()
    return found
