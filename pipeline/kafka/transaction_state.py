"""How the last transaction of a transactional id stands, or was decided (KIP-664, DescribeTransactions).

This file touches private names of aiokafka; the versions are pinned, and tests/test_private_names.py fails when a
name goes away.
"""

from __future__ import annotations

from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka import errors as Errors
from aiokafka.client import CoordinationType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import CompactArray, CompactString, Int16, Int32, Int64, Schema, TaggedFields

_NO_TAGS: Final[dict[int, bytes]] = {}
_DECIDED: Final = {
    "PrepareCommit": True,
    "CompleteCommit": True,
    "PrepareAbort": False,
    "CompleteAbort": False,
    "PrepareEpochFence": False,
    "Ongoing": False,  # whoever takes the id aborts it
}
"""State to whether that is, or ends as, a commit. `Empty` and the others: nobody can say any more."""
_ENDING: Final = {"PrepareCommit", "PrepareAbort", "PrepareEpochFence"}
"""States in which the coordinator writes the markers."""
_ASK_AGAIN: Final = (
    Errors.CoordinatorNotAvailableError,
    Errors.NotCoordinatorError,
    Errors.CoordinatorLoadInProgressError,
)


class DescribeTransactionsResponse_v0(Response):
    API_KEY = 65
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "transaction_states",
            CompactArray(
                ("error_code", Int16),
                ("transactional_id", CompactString("utf-8")),
                ("transaction_state", CompactString("utf-8")),
                ("transaction_timeout_ms", Int32),
                ("transaction_start_time_ms", Int64),
                ("producer_id", Int64),
                ("producer_epoch", Int16),
                (
                    "topics",
                    CompactArray(
                        ("topic", CompactString("utf-8")),
                        ("partitions", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class DescribeTransactionsRequest_v0(RequestStruct):
    API_KEY = 65
    API_VERSION = 0
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = DescribeTransactionsResponse_v0
    SCHEMA = Schema(("transactional_ids", CompactArray(CompactString("utf-8"))), ("tags", TaggedFields))


class _DescribeTransactions(Request[DescribeTransactionsRequest_v0]):
    API_KEY = 65

    def __init__(self, transactional_id: str) -> None:
        self._transactional_id = transactional_id

    def build(
        self, request_struct_class: type[DescribeTransactionsRequest_v0]
    ) -> DescribeTransactionsRequest_v0:
        return request_struct_class([self._transactional_id], _NO_TAGS)


async def was_committed(client: Any, node_id: int, transactional_id: str) -> bool | None:
    """Whether the last transaction of this id was committed; None when its coordinator, `node_id`, does not know.

    Raises KafkaError: a retriable one when the coordinator can't answer now.
    """
    return _DECIDED.get(await _state(client, node_id, transactional_id))


async def is_ending(reader: AIOKafkaConsumer, transactional_id: str) -> bool:
    """Whether the last transaction of this id is decided, and its markers are on their way.

    Asks as the client of `reader`. Raises KafkaError: a retriable one when the coordinator can't answer now.
    """
    client = reader._client
    try:
        node_id = await client.coordinator_lookup(CoordinationType.TRANSACTION, transactional_id)
    except Errors.TransactionalIdAuthorizationFailed:
        raise Errors.TransactionalIdAuthorizationFailed(transactional_id) from None  # aiokafka leaves it out
    return await _state(client, node_id, transactional_id) in _ENDING


async def _state(client: Any, node_id: int, transactional_id: str) -> str:
    """Kafka's word for it; "" when `node_id`, its coordinator, does not know. Raises KafkaError."""
    try:
        answer = await client.send(node_id, _DescribeTransactions(transactional_id))
    except Errors.IncompatibleBrokerVersion:  # before Kafka 3.0
        return ""
    [(code, _, state, *_)] = answer.transaction_states
    error = Errors.for_code(code)
    if error in _ASK_AGAIN:
        raise error(transactional_id)
    # Any other error is one of what comes next, too (not authorised), or says that there is none of that id.
    return "" if code else str(state)
