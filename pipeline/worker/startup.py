"""Waits for the servers of a worker, and checks what it needs there."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog
from aiokafka import errors as Errors

from pipeline import topics
from pipeline.admin.replicas import START, below_minimum
from pipeline.admin.setup import check_topics
from pipeline.errors import ConfigError, FatalError, PipelineError
from pipeline.kafka import acls
from pipeline.kafka.admin import UnreachableBrokersError, admin_client, diagnose_connection
from pipeline.kafka.authorization import require_permissions
from pipeline.kafka.schema_registry import Registry, RegistryDownError
from pipeline.settings import Settings
from pipeline.worker.kafka_errors import fatal

EXPLAIN_SECONDS: Final = 5
"""Time limit of a look that only makes an error clearer."""
LOG_SECONDS: Final = 3.0
"""Seconds between two log lines about the same wait."""
RETRY_SECONDS: Final = 0.5
_T = TypeVar("_T")
log = structlog.get_logger("worker")


async def await_kafka(settings: Settings, *, force: bool) -> None:
    """Wait for the brokers, then check permissions and topics.

    Raises ConfigError. `force`: only warn of topic settings that break a promise.
    """
    warnings: list[str] = []

    async def check() -> list[str]:
        warnings.clear()
        async with admin_client(settings, request_timeout_ms=10_000) as admin:
            await require_permissions(admin, acls.worker(settings), settings)
            return await check_topics(admin, settings, warnings.append, force=force)

    differences = await retried(check, f"Kafka at {settings.bootstrap_servers}", settings)
    for warning in warnings:
        log.warning(warning)
    if differences:
        raise ConfigError("; ".join(differences))


async def await_registry(registry: Registry, settings: Settings) -> dict[str, int]:
    """Wait for the registry. Return the ids of this version's schemas, by record name. Raises ConfigError."""
    return await retried(
        lambda: registry.schema_ids(settings.topic_prefix),
        f"the schema registry at {settings.registry_shown}",
        settings,
    )


async def retried(call: Callable[[], Awaitable[_T]], server: str, settings: Settings) -> _T:
    """Call until the server answers, with a log line every few seconds. Raises what a retry does not fix."""
    logged = 0.0
    while True:
        try:
            return await call()
        except (RegistryDownError, Errors.KafkaConnectionError, Errors.NodeNotReadyError, OSError) as error:
            if time.monotonic() - logged >= LOG_SECONDS:
                reason = await _reason(error, settings)
                logged = time.monotonic()
                log.warning(f"waiting for {server}", error=reason)
        except Errors.KafkaError as error:
            if not error.retriable:
                raise fatal(error, settings) from error
        await asyncio.sleep(RETRY_SECONDS)


async def unwritable(settings: Settings) -> FatalError | None:
    """Return the error of output topics that can't be written for lack of in-sync replicas, if there are any.

    The broker aborts a transaction that takes too long for that reason, which looks like a second producer.
    """
    names = [topic.full_name(settings.topic_prefix) for topic in topics.TOPICS if topic.output]
    with contextlib.suppress(Errors.KafkaError, PipelineError, OSError, TimeoutError):
        async with asyncio.timeout(EXPLAIN_SECONDS), admin_client(settings, request_timeout_ms=5000) as admin:
            if found := await below_minimum(admin, names):
                return FatalError(f"Kafka accepts no output: {'; '.join(found)}; nothing was committed: {START}")
    return None


async def _reason(error: Exception, settings: Settings) -> str:
    """Return why a server does not answer; of a broker that can't be reached, with its address and the remedy."""
    why = await diagnose_connection(error, settings) if isinstance(error, Errors.NodeNotReadyError) else error
    remedy = f": {why.REMEDY}" if isinstance(why, UnreachableBrokersError) else ""
    return f"{next(iter(why.args), why)}{remedy}"
