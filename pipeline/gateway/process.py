"""The process of one gateway: waits for its servers, serves, and ends with an exit code (pipeline/web/process.py)."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, NamedTuple

import structlog

from pipeline import topics
from pipeline.errors import FatalError
from pipeline.gateway.api import Api
from pipeline.gateway.app import make_app
from pipeline.gateway.apps import Apps
from pipeline.gateway.event_feed import EventFeed
from pipeline.gateway.guard import Guard
from pipeline.gateway.metrics import GatewayMetrics
from pipeline.gateway.nodes import Nodes
from pipeline.gateway.operations import FOLLOW_SECONDS, Operations
from pipeline.gateway.rooms import Rooms
from pipeline.gateway.sessions import SessionCheck
from pipeline.gateway.settings import GatewaySettings
from pipeline.gateway.streams import Streams
from pipeline.kafka import acls
from pipeline.kafka.signal_producer import SignalProducer
from pipeline.management import HttpServer
from pipeline.metrics import package_version
from pipeline.settings import Settings
from pipeline.view import EnginesView, Outcomes, RoomsView
from pipeline.web.process import RETRY_SECONDS, run_service, wait_for_topics
from pipeline.web.server import WebServer

log = structlog.get_logger("gateway")


class Parts(NamedTuple):
    """What a gateway reads from and writes to."""

    view: RoomsView
    engines: EnginesView
    outcomes: Outcomes
    producer: SignalProducer
    sessions: SessionCheck
    feed: EventFeed


class Gateway:
    """One gateway, from the first connection to the exit code. It answers the probes (management.Health)."""

    def __init__(self, settings: Settings, own: GatewaySettings) -> None:
        self._settings, self._own = settings, own
        self._metrics = GatewayMetrics()
        self._apps = Apps(own.apps_file)
        self._waiting_for = "starting"
        self._view: RoomsView | None = None
        self._engines: EnginesView | None = None
        self._operations: Operations | None = None

    # --- health ----------------------------------------------------------------------------------------------

    def stalled(self) -> float:
        return 0.0

    def not_ready(self) -> str | None:
        if self._waiting_for or self._view is None:
            return self._waiting_for
        return self._view.why_stale or None

    def refresh(self) -> None:
        self._metrics.apps_broken.set(bool(self._apps.broken))
        if self._view is not None:
            self._metrics.stale.set(self._view.stale)
            self._metrics.rooms.set(0 if self._view.stale else self._view.counts.rooms)
        if self._engines is not None:
            nodes = len(self._engines.announced)
            self._metrics.nodes.set(nodes)
            self._metrics.lost_nodes.set(len(self._engines.last) - nodes)
        if self._operations is not None:
            self._metrics.pending.set(self._operations.pending)

    # --- life ------------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Run until a signal or an error. Return the exit code; an error was logged in one line."""
        management = HttpServer(self, self._metrics.registry, self._settings.http_host, self._settings.http_port)

        async def work(stop: asyncio.Event) -> None:
            try:
                port = await management.start()
                brokers = self._settings.bootstrap_servers
                log.info("starting", version=package_version(), brokers=brokers, http_port=port)
                await self._work(stop)
            finally:
                await management.stop()

        return await run_service(work, lambda: bool(self._waiting_for), self._settings, log)

    async def _work(self, stop: asyncio.Event) -> None:
        self._waiting_for = "Kafka"
        await wait_for_topics(self._settings, acls.gateway(self._settings), log)
        self._waiting_for = "the rooms and the outcomes of the last 10 minutes are being read"
        async with contextlib.AsyncExitStack() as opened:
            view = await opened.enter_async_context(RoomsView(self._settings, log.warning, sessions=True))
            engines = await opened.enter_async_context(EnginesView(self._settings, log.warning))
            outcomes = await opened.enter_async_context(
                Outcomes(self._settings, keep=FOLLOW_SECONDS, back=FOLLOW_SECONDS, notice=log.warning)
            )
            producer = await opened.enter_async_context(
                SignalProducer(self._settings, keep_order=False, linger_ms=5, written=(topics.API,))
            )
            sessions = await opened.enter_async_context(SessionCheck(self._own.session_check_url))
            feed = await opened.enter_async_context(EventFeed(self._settings, log.warning, self._metrics))
            await asyncio.gather(view.loaded(), engines.loaded(), outcomes.loaded())
            await self._serve(stop, Parts(view, engines, outcomes, producer, sessions, feed))

    async def _serve(self, stop: asyncio.Event, parts: Parts) -> None:
        view, engines, outcomes, producer, sessions, feed = parts
        rooms = Rooms(view, self._own, sessions, Nodes(engines, view, self._own))
        operations = Operations(view, outcomes, producer, self._metrics, self._own.max_pending, rooms.settled)
        self._view, self._engines, self._operations = view, engines, operations
        streams = Streams(feed, self._own, self._metrics)
        app = make_app(Api(rooms, operations, outcomes, streams, self._own))
        server = api_server(Guard(app, self._apps, self._own, self._metrics), self._own)
        jobs = {
            "names": rooms.names.follow(),
            "events": feed.run(),
            "apps": self._apps.watch(log.warning),
            "readers": _raise_failure(view, engines, outcomes),
        }
        tasks = [asyncio.create_task(job, name=name) for name, job in jobs.items()]
        stopping = asyncio.create_task(stop.wait(), name="stop")
        try:
            async with server:
                log.info("serving", port=server.port)
                self._waiting_for = ""
                await asyncio.wait({*tasks, stopping}, return_when=asyncio.FIRST_COMPLETED)
                self._waiting_for = "stopping"
                log.info("stopping")
                feed.close()
        finally:
            ended = [task for task in tasks if task.done()]
            for task in (*tasks, stopping):
                task.cancel()
            await asyncio.gather(*tasks, stopping, return_exceptions=True)
            await operations.stop()
        for task in ended:
            task.result()


def api_server(app: Any, own: GatewaySettings) -> WebServer:
    """Return the server of the API."""
    variables = "GATEWAY_HTTP_HOST and GATEWAY_HTTP_PORT"
    return WebServer(app, own.host, own.port, max_connections=own.max_connections, variables=variables)


async def _raise_failure(*readers: RoomsView | EnginesView | Outcomes) -> None:
    """Wait until a reader has ended, and raise why."""
    while True:
        await asyncio.sleep(RETRY_SECONDS)
        for reader in readers:
            if reader.failure is not None:
                raise FatalError(f"{type(reader).__name__} has ended: {reader.failure}: restart the gateway")


def main(settings: Settings, own: GatewaySettings) -> int:
    """Run a gateway in this process. Return its exit code."""
    import uvloop

    code: int = uvloop.run(Gateway(settings, own).run())
    return code
