"""The life of a service: waits for Kafka, works until SIGTERM or SIGINT, and ends with an exit code.

0  stopped by SIGTERM or SIGINT
1  an error that a restart recovers from
2  invalid configuration or environment: an operator must act
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final

from aiokafka import errors as Errors

from pipeline.errors import ConfigError, PipelineError, UnavailableError
from pipeline.kafka.acls import Acl
from pipeline.kafka.admin import diagnose_connection
from pipeline.kafka.authorization import require_topics
from pipeline.kafka.schema_registry import RegistryDownError
from pipeline.settings import Settings

RETRY_SECONDS: Final = 1.0
Work = Callable[[asyncio.Event], Coroutine[Any, Any, None]]
"""Works until the event is set."""


async def run_service(work: Work, is_waiting: Callable[[], bool], settings: Settings, log: Any) -> int:
    """Work until a signal or an error. Return the exit code; an error was logged in one line.

    While `is_waiting` returns true, a signal cancels the work instead of letting it end.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        task = asyncio.create_task(work(stop))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done() and is_waiting():
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    except PipelineError as error:
        log.error(str(error), error=type(error).__name__)
        return 2 if isinstance(error, ConfigError) else 1
    except Errors.KafkaError as error:
        log.error(f"Kafka at {settings.bootstrap_servers}: {error}", error=type(error).__name__)
        return 1
    log.info("stopped")
    return 0


async def wait_for_topics(settings: Settings, acls: Iterable[Acl], log: Any) -> None:
    """Wait until Kafka has the topics for a service. Raises ConfigError."""
    needed = list(acls)
    while True:
        try:
            await require_topics(settings, needed)
            return
        except (UnavailableError, RegistryDownError, Errors.KafkaError, OSError) as error:
            why = await diagnose_connection(error, settings) if isinstance(error, Errors.KafkaError) else error
            if isinstance(why, ConfigError) and not isinstance(why, UnavailableError):
                raise why from None
            log.warning("waiting for Kafka", error=str(next(iter(why.args), why)))
        await asyncio.sleep(RETRY_SECONDS)


async def run_until_one_ends(jobs: Iterable[Coroutine[Any, Any, Any]], stop: asyncio.Event) -> None:
    """Run jobs until one ends or `stop` is set, then cancel the others. Raises what the one that ended has raised."""
    tasks = [asyncio.create_task(job) for job in jobs]
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({*tasks, stopping}, return_when=asyncio.FIRST_COMPLETED)
        ended = [task for task in tasks if task.done()]
    finally:
        for task in (*tasks, stopping):
            task.cancel()
        await asyncio.gather(*tasks, stopping, return_exceptions=True)
    for task in ended:
        task.result()
