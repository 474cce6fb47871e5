"""What an error of the Kafka client means for an operator."""

from __future__ import annotations

from typing import Final

from aiokafka import errors as Errors

from pipeline.errors import ConfigError, DeniedError, FatalError, FencedError, LossError
from pipeline.kafka import acls
from pipeline.kafka.authorization import denied_message
from pipeline.kafka.fenced_producer import LEFT_OUT
from pipeline.settings import Settings
from pipeline.worker.fencing import TRANSACTION_TIMEOUT_MS

_DENIED: Final = (
    Errors.TopicAuthorizationFailedError,
    Errors.GroupAuthorizationFailedError,
    Errors.TransactionalIdAuthorizationFailed,
    Errors.ClusterAuthorizationFailedError,
)


def fatal(error: BaseException, settings: Settings) -> FatalError:
    """Return the error that ends the process, with its cause and remedy in one line."""
    causes = [error, error.__cause__, error.__context__]
    if any(isinstance(cause, Errors.ProducerFenced | Errors.InvalidProducerEpoch) for cause in causes):
        return FencedError(
            f"fenced: another process took the transactional id {settings.worker_id!r}, or the broker timed out this "
            "worker's transaction: give each worker a PIPELINE_TRANSACTIONAL_ID of its own and restart this one"
        )
    if any(isinstance(cause, LEFT_OUT) for cause in causes):
        return expelled(settings)
    for cause in causes:
        if isinstance(cause, _DENIED):
            return _denied(cause, settings)
        if isinstance(cause, Errors.OffsetOutOfRangeError):
            return LossError(
                f"signals were deleted unread while they were being read ({cause}): restart the worker to see how many"
            )
        if isinstance(cause, Errors.InvalidSessionTimeoutError):
            return ConfigError(
                f"the broker refuses a session timeout of {settings.session_timeout:g} s: set "
                "PIPELINE_SESSION_TIMEOUT_SECONDS to a value between its group.min.session.timeout.ms and "
                "group.max.session.timeout.ms"
            )
        if isinstance(cause, Errors.InconsistentGroupProtocolError):
            return ConfigError(
                f"group {settings.group_id!r} has members that are no workers of this pipeline: stop them, or set "
                "PIPELINE_GROUP_ID to a group of the workers alone"
            )
        if isinstance(cause, Errors.InvalidTransactionTimeout):
            return ConfigError(
                f"the broker allows no transaction of {TRANSACTION_TIMEOUT_MS} ms: raise its transaction.max.timeout.ms"
            )
    return FatalError(f"Kafka failed: {error!r}; nothing of the unit was committed: restart the worker")


def expelled(settings: Settings, taken: list[int] | None = None) -> FencedError:
    """Return the error of a worker that the group has removed; `taken` are the partitions it lost, where known."""
    lost = f" and reassigned partitions {taken}" if taken else ""
    return FencedError(
        f"fenced: group {settings.group_id!r} continued without this worker{lost}, because it sent no heartbeat "
        "in time (frozen, or cut off from Kafka); nothing of it was committed since: restart it"
    )


def _denied(error: Errors.KafkaError, settings: Settings) -> DeniedError:
    """Return the missing permission, as far as the broker names it."""
    if not isinstance(error, Errors.TransactionalIdAuthorizationFailed):
        return DeniedError(f"not authorized: {error}: see docs/reference/security.md")
    [needed] = (acl for acl in acls.worker(settings) if acl.kind == "transactional-id")
    refused = error.args[0] if error.args else settings.worker_id
    return DeniedError(f"{denied_message([needed], settings)} (for {refused!r})")
