"""Kafka requests that aiokafka 0.14 lacks, or has only in old versions. Fields: https://kafka.apache.org/protocol."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from aiokafka.protocol.admin import DescribeGroupsResponse_v3
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Array,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    String,
    TaggedFields,
)

NO_TAGS: Final[dict[int, bytes]] = {}
"""Empty tagged fields (KIP-482), which end each structure of a flexible version."""
_STRING: Final = String("utf-8")
_COMPACT: Final = CompactString("utf-8")
_TAGS: Final = ("tags", TaggedFields)


def _array(**fields: Any) -> Any:
    return Array(*fields.items())


def _struct(**fields: Any) -> Any:
    return Schema(*fields.items())


def _flexible_array(**fields: Any) -> Any:
    return CompactArray(*fields.items(), _TAGS)


def _flexible_struct(**fields: Any) -> Any:
    return Schema(*fields.items(), _TAGS)


class _Request(Request[RequestStruct]):
    """A request in its only version. Takes the values of FIELDS in order.

    A client raises IncompatibleBrokerVersion or NotImplementedError when the broker does not support the version.
    """

    API_KEY: ClassVar[int] = -1
    API_VERSION: ClassVar[int]
    FIELDS: ClassVar[Any]
    RESPONSE: ClassVar[Any]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        version: dict[str, Any] = {"API_KEY": cls.API_KEY, "API_VERSION": cls.API_VERSION}
        response = type(f"{cls.__name__}Response", (Response,), version | {"SCHEMA": cls.RESPONSE})
        request = {"SCHEMA": cls.FIELDS, "RESPONSE_TYPE": response, "FLEXIBLE_VERSION": "tags" in cls.FIELDS.names}
        cls._CLASSES = (type(f"{cls.__name__}Request", (RequestStruct,), version | request),)

    def __init__(self, *fields: Any) -> None:
        self._fields = fields

    def build(self, request_struct_class: Any) -> Any:
        return request_struct_class(*self._fields)


class Metadata(_Request):
    """Describe topics, and what this client may do with them (KIP-430)."""

    API_KEY, API_VERSION = 3, 8
    FIELDS = _struct(
        topics=Array(_STRING),
        allow_auto_topic_creation=Boolean,
        include_cluster_authorized_operations=Boolean,
        include_topic_authorized_operations=Boolean,
    )
    RESPONSE = _struct(
        throttle_time_ms=Int32,
        brokers=_array(node_id=Int32, host=_STRING, port=Int32, rack=_STRING),
        cluster_id=_STRING,
        controller_id=Int32,
        topics=_array(
            error_code=Int16,
            topic=_STRING,
            is_internal=Boolean,
            partitions=_array(
                error_code=Int16,
                partition=Int32,
                leader=Int32,
                leader_epoch=Int32,
                replicas=Array(Int32),
                isr=Array(Int32),
                offline_replicas=Array(Int32),
            ),
            authorized_operations=Int32,
        ),
        authorized_operations=Int32,
    )


class MetadataWithIds(_Request):
    """The same with the topics' ids (KIP-516), each as two halves of a UUID. From Kafka 2.8 on."""

    API_KEY, API_VERSION = 3, 10
    FIELDS = _flexible_struct(
        topics=_flexible_array(topic_id_high=Int64, topic_id_low=Int64, topic=_COMPACT),
        allow_auto_topic_creation=Boolean,
        include_cluster_authorized_operations=Boolean,
        include_topic_authorized_operations=Boolean,
    )
    RESPONSE = _flexible_struct(
        throttle_time_ms=Int32,
        brokers=_flexible_array(node_id=Int32, host=_COMPACT, port=Int32, rack=_COMPACT),
        cluster_id=_COMPACT,
        controller_id=Int32,
        topics=_flexible_array(
            error_code=Int16,
            topic=_COMPACT,
            topic_id_high=Int64,
            topic_id_low=Int64,
            is_internal=Boolean,
            partitions=_flexible_array(
                error_code=Int16,
                partition=Int32,
                leader=Int32,
                leader_epoch=Int32,
                replicas=CompactArray(Int32),
                isr=CompactArray(Int32),
                offline_replicas=CompactArray(Int32),
            ),
            authorized_operations=Int32,
        ),
        authorized_operations=Int32,
    )


class DescribeGroups(_Request):
    """Describe consumer groups, and what this client may do (KIP-430), which aiokafka's own v3 does not decode."""

    API_KEY, API_VERSION = 15, 3
    FIELDS = _struct(groups=Array(_STRING), include_authorized_operations=Boolean)
    RESPONSE = DescribeGroupsResponse_v3.SCHEMA


class TxnOffsetCommit(_Request):
    """Commit a group's offsets in a transaction, with the member's generation (KIP-447)."""

    API_KEY, API_VERSION = 28, 3
    FIELDS = _flexible_struct(
        transactional_id=_COMPACT,
        group_id=_COMPACT,
        producer_id=Int64,
        producer_epoch=Int16,
        generation_id=Int32,
        member_id=_COMPACT,
        group_instance_id=_COMPACT,
        topics=_flexible_array(
            topic=_COMPACT,
            partitions=_flexible_array(partition=Int32, offset=Int64, leader_epoch=Int32, metadata=_COMPACT),
        ),
    )
    RESPONSE = _flexible_struct(
        throttle_time_ms=Int32,
        errors=_flexible_array(topic=_COMPACT, partitions=_flexible_array(partition=Int32, error_code=Int16)),
    )


_REPLICAS: Final = _flexible_array(
    replica_id=Int32, log_end_offset=Int64, last_fetch_timestamp=Int64, last_caught_up_timestamp=Int64
)


class DescribeQuorum(_Request):
    """Describe a quorum (KIP-595): the replicas, with the times of their fetches (KIP-836)."""

    API_KEY, API_VERSION = 55, 1
    FIELDS = _flexible_struct(topics=_flexible_array(topic=_COMPACT, partitions=_flexible_array(partition=Int32)))
    RESPONSE = _flexible_struct(
        error_code=Int16,
        topics=_flexible_array(
            topic=_COMPACT,
            partitions=_flexible_array(
                partition=Int32,
                error_code=Int16,
                leader=Int32,
                leader_epoch=Int32,
                high_watermark=Int64,
                voters=_REPLICAS,
                observers=_REPLICAS,
            ),
        ),
    )


class DescribeTransactions(_Request):
    """Describe the last transaction of transactional ids (KIP-664). Send it to the ids' coordinator."""

    API_KEY, API_VERSION = 65, 0
    FIELDS = _flexible_struct(transactional_ids=CompactArray(_COMPACT))
    RESPONSE = _flexible_struct(
        throttle_time_ms=Int32,
        transaction_states=_flexible_array(
            error_code=Int16,
            transactional_id=_COMPACT,
            transaction_state=_COMPACT,
            transaction_timeout_ms=Int32,
            transaction_start_time_ms=Int64,
            producer_id=Int64,
            producer_epoch=Int16,
            topics=_flexible_array(topic=_COMPACT, partitions=CompactArray(Int32)),
        ),
    )


class DescribeProducers(_Request):
    """Describe the producers that write to partitions, with their open transactions (KIP-664).

    Send it to the partitions' leader. Needs Read on the topics.
    """

    API_KEY, API_VERSION = 61, 0
    FIELDS = _flexible_struct(topics=_flexible_array(topic=_COMPACT, partitions=CompactArray(Int32)))
    RESPONSE = _flexible_struct(
        throttle_time_ms=Int32,
        topics=_flexible_array(
            topic=_COMPACT,
            partitions=_flexible_array(
                partition=Int32,
                error_code=Int16,
                error_message=_COMPACT,
                producers=_flexible_array(
                    producer_id=Int64,
                    producer_epoch=Int32,
                    last_sequence=Int32,
                    last_timestamp=Int64,
                    coordinator_epoch=Int32,
                    transaction_start_offset=Int64,
                ),
            ),
        ),
    )


class ListTransactions(_Request):
    """List the transactional ids that a broker coordinates (KIP-664), as far as this client may describe them."""

    API_KEY, API_VERSION = 66, 0
    FIELDS = _flexible_struct(states=CompactArray(_COMPACT), producer_ids=CompactArray(Int64))
    RESPONSE = _flexible_struct(
        throttle_time_ms=Int32,
        error_code=Int16,
        unknown_states=CompactArray(_COMPACT),
        transaction_states=_flexible_array(transactional_id=_COMPACT, producer_id=Int64, state=_COMPACT),
    )
