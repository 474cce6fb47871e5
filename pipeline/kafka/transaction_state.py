"""The state of the last transaction of a transactional id (KIP-664, DescribeTransactions)."""

from __future__ import annotations

from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka import errors as Errors
from aiokafka.client import CoordinationType

from pipeline.kafka.protocol import NO_TAGS, DescribeTransactions

_DECIDED: Final = {
    "PrepareCommit": True,
    "CompleteCommit": True,
    "PrepareAbort": False,
    "CompleteAbort": False,
    "PrepareEpochFence": False,
    "Ongoing": False,  # the next owner of the id aborts it
}
"""State to whether the transaction is, or will be, committed. In the other states, as `Empty`, this is unknown."""
_ENDING: Final = {"PrepareCommit", "PrepareAbort", "PrepareEpochFence"}  # the coordinator writes the markers
_BUSY: Final = (Errors.CoordinatorNotAvailableError, Errors.NotCoordinatorError, Errors.CoordinatorLoadInProgressError)


async def was_committed(client: Any, node_id: int, transactional_id: str) -> bool | None:
    """Return whether this id's last transaction was committed, None when unknown. Raises KafkaError: see `_state`."""
    return _DECIDED.get(await _state(client, node_id, transactional_id))


async def is_ending(reader: AIOKafkaConsumer, transactional_id: str) -> bool:
    """Return whether the markers of this id's last transaction are being written. Raises KafkaError: see `_state`."""
    client = reader._client
    try:
        node_id = await client.coordinator_lookup(CoordinationType.TRANSACTION, transactional_id)
    except Errors.TransactionalIdAuthorizationFailed:
        raise Errors.TransactionalIdAuthorizationFailed(transactional_id) from None  # aiokafka omits the id
    return await _state(client, node_id, transactional_id) in _ENDING


async def _state(client: Any, node_id: int, transactional_id: str) -> str:
    """Return Kafka's name of the state, from the coordinator `node_id`; "" when unknown (KIP-664).

    Raises KafkaError, a retriable one while the coordinator is unavailable.
    """
    try:
        response = await client.send(node_id, DescribeTransactions([transactional_id], NO_TAGS))
    except Errors.IncompatibleBrokerVersion:  # before Kafka 3.0
        return ""
    [(code, _, state, *_)] = response.transaction_states
    error = Errors.for_code(code)
    if error in _BUSY:
        raise error(transactional_id)
    # Any other error means that the id is unknown, or recurs in the next request (not authorised).
    return "" if code else str(state)
