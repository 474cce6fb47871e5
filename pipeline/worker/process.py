"""The process of one worker: waits for its servers, runs, ends with an exit code that means something.

0  stopped by SIGTERM or SIGINT
1  an error that the worker can't go on with: its restart is the recovery
2  the surroundings don't fit (topics, schemas, permissions, settings): an operator must act
3  fenced: another worker took over; nothing of this one was committed since
4  signals were deleted unread: see --accept-loss
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import Any, Final, NoReturn, TypeVar

import structlog
from aiokafka import errors as Errors

from pipeline.admin.setup import check_topics
from pipeline.errors import ConfigError, DeniedError, FatalError, FencedError, LossError, PipelineError
from pipeline.kafka import acls
from pipeline.kafka.admin import admin_client
from pipeline.kafka.authorization import refine_denied_error, require_permissions
from pipeline.kafka.schema_registry import Registry, RegistryDownError
from pipeline.metrics import Metrics, package_version
from pipeline.model.decoders import SignalDecoder
from pipeline.settings import Settings
from pipeline.worker.app import topology
from pipeline.worker.barrier import Watch
from pipeline.worker.engine import Engine
from pipeline.worker.hanging_transactions import HangingTransactionMonitor
from pipeline.worker.http import Web
from pipeline.worker.liveness import end_when_deaf, end_when_silent, unstick
from pipeline.worker.memory import keep_heap
from pipeline.worker.recovery import Recovery
from pipeline.worker.schemas import Learner
from pipeline.worker.transactions import Transactions, fatal
from pipeline.worker.unit import OutputEncoder

SAY_SECONDS: Final = 3.0
"""How often a worker that waits says what it waits for."""
STOP_SECONDS: Final = 4.0
"""How long a clean stop may take, in all, before the process ends anyway."""
_T = TypeVar("_T")
LINGER_SECONDS: Final = 2.0
"""How long the process may take to end after that."""
log = structlog.get_logger("worker")


class Worker:
    """One worker, from the first connection to the exit code."""

    def __init__(self, settings: Settings, *, accept_loss: bool = False, force: bool = False) -> None:
        self._settings = settings
        self._force = force
        self._accept_loss = accept_loss
        self._metrics = Metrics()
        self._waiting_for = "starting"
        self._engine: Engine | None = None
        self._recovery: Recovery | None = None
        self._watch: Watch | None = None

    # --- what the probes ask (Health) ------------------------------------------------------------------------

    def stalled(self) -> float:
        return 0.0 if self._engine is None else self._engine.stalled()

    def not_ready(self) -> str | None:
        if self._engine is None:
            return self._waiting_for
        return None if self._engine.generation is not None else "waiting for partitions"

    def refresh(self) -> None:
        if self._engine is not None:
            self._engine.gauge()
        if self._recovery is not None:
            self._metrics.recovery.set(self._recovery.seconds)
            self._metrics.fenced_owners.set(self._recovery.fenced)
        if self._watch is not None:
            self._metrics.barrier_questions.set(self._watch.questions)

    # --- the life of the process -----------------------------------------------------------------------------

    async def run(self) -> int:
        """Run until a signal or an error; the exit code. Every error has been logged in one line."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _stop, stop)
        web = Web(self, self._metrics, self._settings.http_host, self._settings.http_port)
        try:
            port = await web.start()
            log.info(
                "starting",
                version=package_version(),
                transactional_id=self._settings.worker_id,
                brokers=self._settings.bootstrap_servers,
                registry=self._settings.registry_shown,
                http_port=port,
            )
            await _unless(stop, self._work(stop))
        except PipelineError as error:
            if isinstance(error, DeniedError):
                error = await refine_denied_error(error, acls.worker(self._settings), self._settings)
            log.error(str(error), error=type(error).__name__)
            return exit_code(error)
        except Exception as error:
            log.error(f"unexpected: {error!r}: start again, and report it", trace=traceback.format_exc())
            return 1
        finally:
            await web.stop()
        log.info("stopped")
        return 0

    async def _work(self, stop: asyncio.Event) -> None:
        settings = self._settings
        async with Registry(settings) as registry:
            await self._await_kafka()
            ids = await self._await_registry(registry)
            signals = SignalDecoder()
            names = OutputEncoder(settings.topic_prefix, ids, trace=settings.trace_context)
            learner = Learner(registry, signals)
            recovery = Recovery(settings, registry, accept_loss=self._accept_loss)
            writer = Transactions(settings, recovery.held, recovery.hidden)
            recovery.own = writer
            engine = Engine(settings, names, signals, learner, writer, self._metrics)
            for record, schema_id in ids.items():
                if record.startswith("conference.signal."):
                    await learner.learn(schema_id)
            self._engine, self._recovery = engine, recovery
            try:
                await recovery.start()
                await writer.start()
                await self._serve(engine, recovery, writer, stop)
            except Errors.KafkaError as error:
                raise fatal(error, settings) from error
            finally:
                for close in (writer.stop, recovery.stop):
                    with contextlib.suppress(Exception, asyncio.CancelledError):
                        await asyncio.wait_for(close(), 1)

    async def _serve(
        self, engine: Engine, recovery: Recovery, writer: Transactions, stop: asyncio.Event
    ) -> None:
        app = topology(self._settings, engine, recovery)
        watch = self._watch = Watch(recovery, writer.clock, lambda: engine.lanes, engine.wake, engine.touch)
        mender = HangingTransactionMonitor(
            self._settings.worker_id, recovery, lambda: engine.lanes, engine.include, engine.ended
        )
        app.finalize()
        tasks = [
            asyncio.ensure_future(app.start()),
            asyncio.create_task(engine.run(), name="engine"),
            asyncio.create_task(watch.run(), name="watch"),
            asyncio.create_task(mender.run(), name="mender"),
            asyncio.create_task(_tune(engine), name="tune"),
            asyncio.create_task(
                end_when_silent(lambda: engine.polled_at, lambda: engine.polling, app.consumer.standing),
                name="silence",
            ),
            asyncio.create_task(
                end_when_deaf(
                    engine.reading,
                    recovery.stable,
                    lambda: f"we in {engine.generation}, {app.consumer.standing()}",
                ),
                name="deaf",
            ),
            asyncio.create_task(
                unstick(lambda: engine.generation is not None or recovery.loading, recovery.held),
                name="unstick",
            ),
        ]
        crash = asyncio.create_task(_crashed(app, self._settings), name="crash")
        stopping = asyncio.create_task(stop.wait(), name="stop")
        try:
            while True:
                done, _ = await asyncio.wait({*tasks, crash, stopping}, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                if stopping in done:
                    return
                tasks = [task for task in tasks if task not in done]
        finally:
            await _close(app, engine, [*tasks, crash, stopping])

    async def _await_kafka(self) -> None:
        """Wait for the broker, then check the topics. Raises ConfigError."""
        self._waiting_for = "Kafka"
        said: list[str] = []

        async def ask() -> list[str]:
            said.clear()
            async with admin_client(self._settings, request_timeout_ms=10_000) as admin:
                await require_permissions(admin, acls.worker(self._settings), self._settings)
                return await check_topics(admin, self._settings, said.append, force=self._force)

        differences = await _patiently(ask, f"Kafka at {self._settings.bootstrap_servers}", self._settings)
        for warning in said:
            log.warning(warning)
        if differences:
            raise ConfigError("; ".join(differences))

    async def _await_registry(self, registry: Registry) -> dict[str, int]:
        """Wait for the registry; the ids of our schemas. Raises ConfigError."""
        self._waiting_for = "the schema registry"
        return await _patiently(
            lambda: registry.schema_ids(self._settings.topic_prefix),
            f"the schema registry at {self._settings.registry_shown}",
            self._settings,
        )


def _stop(stop: asyncio.Event) -> None:
    """Begin to stop. What does not end when it is told to is not waited for: a unit that is open counts for nothing."""
    stop.set()
    timer = threading.Timer(STOP_SECONDS + LINGER_SECONDS, os._exit, (0,))
    timer.daemon = True
    timer.start()


async def _patiently(ask: Callable[[], Awaitable[_T]], what: str, settings: Settings) -> _T:
    """Ask until there is an answer; say every few seconds what is missing."""
    said = 0.0
    while True:
        try:
            return await ask()
        except (RegistryDownError, Errors.KafkaConnectionError, Errors.NodeNotReadyError, OSError) as error:
            if time.monotonic() - said >= SAY_SECONDS:
                said = time.monotonic()
                log.warning(f"waiting for {what}", error=str(error))
            await asyncio.sleep(0.5)
        except Errors.KafkaError as error:
            if not error.retriable:
                raise fatal(error, settings) from error
            await asyncio.sleep(0.5)


async def _unless(stop: asyncio.Event, work: Awaitable[None]) -> None:
    """Await `work`; when `stop` comes first, give it a little time to end by itself, then cancel it."""
    task = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not task.done():
        await asyncio.wait({task}, timeout=STOP_SECONDS if stop.is_set() else None)
    stopping.cancel()
    if task.done():
        task.result()
        return
    task.cancel()
    await asyncio.wait({task}, timeout=0.5)


async def _crashed(app: Any, settings: Settings) -> None:
    """Raise what the Faust app crashed with."""
    await app._crashed.wait()
    error = app.crash_reason
    if isinstance(error, PipelineError):
        raise error
    if isinstance(error, Errors.OffsetOutOfRangeError):
        raise LossError(
            f"signals were deleted unread while we read them ({error}): start again to learn how many"
        )
    if isinstance(error, Errors.KafkaError):
        raise fatal(error, settings) from error
    raise FatalError(f"Faust crashed: {error!r}: start again") from error


async def _close(app: Any, engine: Engine, tasks: list[asyncio.Task[Any] | asyncio.Future[Any]]) -> None:
    with contextlib.suppress(Exception):
        await asyncio.wait_for(engine.stop(), STOP_SECONDS / 2)
    for task in tasks:
        task.cancel()
    with contextlib.suppress(Exception):
        await asyncio.wait_for(app.stop(), STOP_SECONDS / 2)


async def _tune(engine: Engine) -> None:
    """Rooms are many and live long: take what was loaded out of the garbage collector's sight."""
    gc.set_threshold(50_000, 20, 100)
    while engine.generation is None:
        await asyncio.sleep(0.2)
    gc.collect()
    gc.freeze()


def exit_code(error: PipelineError) -> int:
    """See the module."""
    match error:
        case ConfigError():
            return 2
        case FencedError():
            return 3
        case LossError():
            return 4
        case _:
            return 1


def main(settings: Settings, *, accept_loss: bool = False, force: bool = False) -> NoReturn:
    """Run a worker in this process, and end the process with its exit code."""
    keep_heap()
    worker = Worker(settings, accept_loss=accept_loss, force=force)

    async def run() -> NoReturn:
        code = await worker.run()
        # Everything of ours has been said and closed. What is left would wait for Faust's consumer thread, which may
        # linger on a broker that is gone; and a loop that is closed under that thread has ended in a segmentation
        # fault once, when the exit code was 0.
        sys.stderr.flush()
        os._exit(code)

    try:
        import uvloop
    except ImportError:
        asyncio.run(run())
    else:
        uvloop.run(run())
