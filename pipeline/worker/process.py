"""The process of one worker: waits for its servers, runs, and ends with an exit code.

0  stopped by SIGTERM or SIGINT, which is logged; nothing else ends with 0
1  an error that a restart recovers from
2  invalid configuration or environment (topics, schemas, permissions, settings): an operator must act
3  fenced: another worker took over; nothing of this one was committed since
4  signals were deleted unread, or with their topic: see --accept-loss
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, NamedTuple, NoReturn

import structlog
from aiokafka import errors as Errors

from pipeline.admin import table_loss
from pipeline.errors import ConfigError, DeniedError, FatalError, FencedError, LossError, PipelineError
from pipeline.kafka import acls
from pipeline.kafka.authorization import refine_denied_error
from pipeline.kafka.log_offsets import LogOffsets
from pipeline.kafka.schema_registry import Registry
from pipeline.management import HttpServer
from pipeline.metrics import Metrics, package_version
from pipeline.model.decoders import SignalDecoder
from pipeline.model.wire import SCHEMAS
from pipeline.settings import Settings
from pipeline.worker import liveness, startup
from pipeline.worker.app import PipelineApp, topology
from pipeline.worker.barrier import Barrier
from pipeline.worker.engine import Engine
from pipeline.worker.hanging_transactions import HangingTransactionMonitor, TransactionEnder
from pipeline.worker.kafka_errors import fatal
from pipeline.worker.kafka_watch import KafkaWatch
from pipeline.worker.memory import keep_heap
from pipeline.worker.output_encoder import OutputEncoder
from pipeline.worker.recovery import Recovery
from pipeline.worker.schemas import Learner
from pipeline.worker.table_log import TableLog
from pipeline.worker.table_rows import TableRows
from pipeline.worker.topic_watch import TopicWatch, seconds_ahead
from pipeline.worker.transactions import Transactions

STOP_SECONDS: Final = 4.0
"""Longest duration of a clean stop; then the process ends anyway."""
EXPLAIN_SECONDS: Final = 15.0
"""Longest time to find out whether the topics have changed, after an error."""
LINGER_SECONDS: Final = 2.0
"""Longest time that the process may take to end after that."""
log = structlog.get_logger("worker")


class Parts(NamedTuple):
    """What a worker consists of while it runs."""

    app: PipelineApp
    engine: Engine
    offsets: LogOffsets
    recovery: Recovery
    ender: TransactionEnder
    transactions: Transactions
    barrier: Barrier
    monitor: HangingTransactionMonitor
    watch: TopicWatch
    kafka: KafkaWatch


class Worker:
    """One worker, from the first connection to the exit code. It answers the probes (management.Health)."""

    def __init__(self, settings: Settings, *, accept_loss: bool = False, force: bool = False) -> None:
        """`accept_loss`: continue where signals or rows of the table were lost. `force`: only warn of unsafe topic
        settings."""
        self._settings = settings
        self._force = force
        self._accept_loss = accept_loss
        self._metrics = Metrics()
        self._waiting_for = "starting"
        self._parts: Parts | None = None

    # --- health ----------------------------------------------------------------------------------------------

    def stalled(self) -> float:
        return 0.0 if self._parts is None else self._parts.engine.stalled()

    def not_ready(self) -> str | None:
        if self._parts is None:
            return self._waiting_for
        if problem := self._parts.kafka.lost or self._parts.watch.doubt or self._parts.watch.unwritable:
            return problem
        return None if self._parts.engine.intake.generation is not None else "waiting for partitions"

    def refresh(self) -> None:
        if self._parts is not None:
            self._parts.engine.update_gauges()
            self._metrics.recovery.set(self._parts.recovery.seconds)
            self._metrics.kafka_silent.set(self._parts.kafka.silent)
            self._metrics.fenced_owners.set(self._parts.ender.fenced)
            self._metrics.barrier_questions.set(self._parts.barrier.lookups)
            inputs, clock = self._parts.engine.intake.inputs(), self._parts.transactions.clock
            self._metrics.time_ahead.set(max([0.0, *(seconds_ahead(source, clock) for source in inputs)]))

    # --- life ------------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Run until a signal or an error. Return the exit code; an error was logged in one line."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _stop, stop, number)
        server = HttpServer(self, self._metrics.registry, self._settings.http_host, self._settings.http_port)
        try:
            port = await server.start()
            log.info(
                "starting",
                version=package_version(),
                transactional_id=self._settings.worker_id,
                brokers=self._settings.bootstrap_servers,
                registry=self._settings.registry_shown,
                http_port=port,
            )
            await _until_stopped(stop, self._work(stop))
        except PipelineError as error:
            if isinstance(error, DeniedError):
                error = await refine_denied_error(error, acls.worker(self._settings), self._settings)
            elif type(error) in (FatalError, FencedError) and (why := await startup.unwritable(self._settings)):
                log.warning(str(error), error=type(error).__name__)
                error = why
            log.error(str(error), error=type(error).__name__)
            return exit_code(error)
        except Exception as error:
            return _unexpected(error)
        except asyncio.CancelledError as error:
            if not stop.is_set():  # nobody asked for it
                return _unexpected(error)
        finally:
            await server.stop()
        if not stop.is_set():
            return _unexpected(FatalError("all services ended by themselves"))
        log.info("stopped")
        return 0

    async def _work(self, stop: asyncio.Event) -> None:
        """Wait for the servers, then run until `stop` or an error."""
        settings = self._settings
        async with Registry(settings) as registry:
            self._waiting_for = "Kafka"
            await startup.await_kafka(settings, force=self._force)
            self._waiting_for = "the schema registry"
            ids = await startup.await_registry(registry, settings)
            parts = await self._build(registry, ids)
            self._parts = parts
            try:
                await parts.offsets.start()
                await parts.transactions.start()
                await self._serve(parts, stop)
            except Errors.KafkaError as error:
                raise fatal(error, settings) from error
            finally:
                for close in (parts.transactions.stop, parts.offsets.stop):
                    with contextlib.suppress(Exception, asyncio.CancelledError):
                        await asyncio.wait_for(close(), 1)

    async def _build(self, registry: Registry, ids: dict[str, int]) -> Parts:
        """Construct the parts. `ids` are the schema ids by record name."""
        settings = self._settings
        decoder = SignalDecoder()
        learner = Learner(registry, decoder)
        for record, schema_id in ids.items():
            if record.startswith("conference.signal."):
                decoder.learn(schema_id, SCHEMAS[record])
        offsets = LogOffsets(settings)
        watch = TopicWatch(settings, offsets, self._metrics)
        transactions = Transactions(settings, offsets, lambda: table_loss.offset_text(watch.ids.get(watch.table, "")))
        rows = TableRows(registry)
        ender = TransactionEnder(settings, offsets, rows, transactions)
        table_log = TableLog(offsets, rows, ender)
        recovery = Recovery(settings, offsets, table_log, watch, accept_loss=self._accept_loss)
        group_id = settings.group_id
        encoder = OutputEncoder(settings.topic_prefix, ids, trace=settings.trace_context, group_id=group_id)
        engine = Engine(settings, encoder, decoder, learner, transactions, self._metrics)
        barrier = Barrier(offsets, transactions.clock, engine.tasks, engine.wake, engine.request_broker_time)
        monitor = HangingTransactionMonitor(offsets, ender, engine.tasks, engine.include, engine.take_ended)
        app = topology(engine, recovery, settings)
        kafka = KafkaWatch(settings, offsets)
        return Parts(app, engine, offsets, recovery, ender, transactions, barrier, monitor, watch, kafka)

    async def _serve(self, parts: Parts, stop: asyncio.Event) -> None:
        """Run all services until `stop`, or until one raises."""
        app, engine, intake, watch = parts.app, parts.engine, parts.engine.intake, parts.watch
        app.finalize()
        parts.offsets.on_refresh(watch.look_soon)
        table: dict[str, Awaitable[None]] = {
            "faust": app.start(),
            "crash": _raise_crash(app, self._settings),
            "engine": engine.run(),
            "barrier": parts.barrier.run(),
            "hanging transactions": parts.monitor.run(),
            "topics": watch.run(intake.inputs, parts.transactions.clock),
            "Kafka": parts.kafka.run(lambda: list(engine.tasks)),
            "garbage collection": _tune_gc(engine),
            "membership": liveness.check_membership(app.consumer.refusal),
            "polls": liveness.check_polls(lambda: intake.polled_at, lambda: intake.polling, app.consumer.poll_state),
            "reads": liveness.check_reads(
                intake.reading,
                parts.offsets.stable,
                lambda: f"engine in generation {intake.generation}, {app.consumer.poll_state()}",
            ),
            "rebalances": liveness.check_rebalances(
                lambda: intake.generation is not None or parts.recovery.loading,
                parts.offsets.open_transactions,
            ),
        }
        tasks = [_named(name, run) for name, run in table.items()]
        services: asyncio.Future[Any] = asyncio.gather(*tasks)
        stopping: asyncio.Future[Any] = asyncio.create_task(stop.wait(), name="stop")
        try:
            await asyncio.wait({services, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if services.done():
                await _raise_change(services.exception(), watch)
                services.result()
        finally:
            await _close(app, engine, [*tasks, services, stopping])


def _named(name: str, run: Awaitable[None]) -> asyncio.Future[None]:
    task = asyncio.ensure_future(run)
    if isinstance(task, asyncio.Task):
        task.set_name(name)
    return task


def _stop(stop: asyncio.Event, number: signal.Signals) -> None:
    """Begin to stop. End the process after a while in any case: a unit that is open is not committed."""
    log.info("stopping", signal=number.name)
    stop.set()
    timer = threading.Timer(STOP_SECONDS + LINGER_SECONDS, _give_up)
    timer.daemon = True
    timer.start()


def _give_up() -> None:
    log.warning("stopped before everything was closed")
    os._exit(0)


def _unexpected(error: BaseException) -> int:
    """Log an error that is a fault of this program; return the exit code."""
    log.error(f"unexpected: {error!r}: restart the worker, and report it", trace=traceback.format_exc())
    return 1


async def _until_stopped(stop: asyncio.Event, work: Awaitable[None]) -> None:
    """Await `work`. After `stop`, give it some time to end, then cancel it."""
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


async def _raise_crash(app: Any, settings: Settings) -> None:
    """Wait for a crash of the Faust app, and raise its cause."""
    await app._crashed.wait()
    error = app.crash_reason
    if isinstance(error, PipelineError):
        raise error
    if isinstance(error, Errors.KafkaError):
        raise fatal(error, settings) from error
    raise FatalError(f"Faust crashed: {error!r}: restart the worker") from error


async def _raise_change(error: BaseException | None, watch: TopicWatch) -> None:
    """Raise what has happened to the topics, if that may be why a service has failed with `error`.

    The clients of Kafka meet a topic that is gone, or is another one, before the watch is sure of it.
    """
    is_sure = isinstance(error, ConfigError | LossError) and error.__cause__ is None
    if isinstance(error, Exception) and not is_sure:
        with contextlib.suppress(Errors.KafkaError, TimeoutError):
            async with asyncio.timeout(EXPLAIN_SECONDS):
                await watch.check()


async def _close(app: Any, engine: Engine, futures: list[asyncio.Future[Any]]) -> None:
    with contextlib.suppress(Exception):
        await asyncio.wait_for(engine.stop(), STOP_SECONDS / 2)
    for future in futures:
        future.cancel()
    with contextlib.suppress(Exception):
        await asyncio.wait_for(app.stop(), STOP_SECONDS / 2)


async def _tune_gc(engine: Engine) -> None:
    """Take what was loaded out of the garbage collector's view: rooms are many and live long."""
    gc.set_threshold(50_000, 20, 100)
    while engine.intake.generation is None:
        await asyncio.sleep(0.2)
    gc.collect()
    gc.freeze()


def exit_code(error: PipelineError) -> int:
    """Return the exit code of the process for an error (see the module)."""
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
        # Everything is committed and closed. What is left would wait for threads that may block on a server that is
        # gone; and closing the loop under one once ended in a segmentation fault, with code 0.
        sys.stderr.flush()
        os._exit(code)

    start: Callable[[Coroutine[Any, Any, NoReturn]], object]
    try:
        import uvloop
    except ImportError:
        start = asyncio.run
    else:
        start = uvloop.run
    try:
        start(run())
    except KeyboardInterrupt:  # before the handlers of the signals were installed
        raise
    except BaseException as error:  # also SystemExit: no library may end a worker as if it had been stopped
        _unexpected(error)
    sys.stderr.flush()
    os._exit(1)
