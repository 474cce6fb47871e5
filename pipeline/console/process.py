"""The process of one console: waits for its servers, serves, and ends with an exit code (pipeline/web/process.py)."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

import structlog

from pipeline.console.app import Console, make_app
from pipeline.console.feed import Feed
from pipeline.console.flow import FlowReader
from pipeline.console.guard import Guard
from pipeline.console.live_page import Sources
from pipeline.console.room_hub import RoomHub
from pipeline.console.sessions import Sessions
from pipeline.console.settings import ConsoleSettings
from pipeline.console.streams import Streams
from pipeline.errors import FatalError
from pipeline.kafka import acls
from pipeline.metrics import package_version
from pipeline.settings import Settings
from pipeline.view import RoomsView
from pipeline.web.process import run_service, run_until_one_ends, wait_for_topics
from pipeline.web.server import WebServer

CHECK_SECONDS: Final = 1.0
log = structlog.get_logger("console")


class ConsoleProcess:
    """One console, from the first connection to the exit code."""

    def __init__(self, settings: Settings, own: ConsoleSettings) -> None:
        self._settings, self._own = settings, own
        self._is_waiting = True

    async def run(self) -> int:
        """Run until a signal or an error. Return the exit code; an error was logged in one line."""
        log.info("starting", version=package_version(), brokers=self._settings.bootstrap_servers)
        return await run_service(self._work, lambda: self._is_waiting, self._settings, log)

    async def _work(self, stop: asyncio.Event) -> None:
        topics = [acl for acl in acls.console(self._settings) if acl.kind == "topic"]
        await wait_for_topics(self._settings, topics, log)
        async with contextlib.AsyncExitStack() as opened:
            view = await opened.enter_async_context(RoomsView(self._settings, log.warning, sessions=True))
            hub = RoomHub(view)
            opened.callback(hub.close)
            feed = await opened.enter_async_context(Feed(self._settings, log.warning, hub.wake))
            flow = FlowReader(self._settings, lambda: hub.wake(()))
            await view.loaded()
            await self._serve(stop, Sources(self._settings, self._own, view, hub, feed, flow))

    async def _serve(self, stop: asyncio.Event, sources: Sources) -> None:
        own = self._own
        sessions = Sessions(own.token.get_secret_value(), own.session_hours)
        streams = Streams(sources.view, sources.hub, own.max_streams)
        app = make_app(Console(sources, streams, sessions, secure_cookie=own.secure_cookie))
        server = WebServer(
            Guard(app, own.hosts, sessions),
            own.host,
            own.port,
            max_connections=own.max_connections,
            variables="CONSOLE_HTTP_HOST and CONSOLE_HTTP_PORT",
        )
        jobs = [sources.hub.follow(), sources.feed.run(), sources.flow.run(), _raise_failure(sources.view)]
        async with server:
            log.info("serving", url=url_of(own, server.port), port=server.port, login=sessions.is_required)
            self._is_waiting = False
            try:
                await run_until_one_ends(jobs, stop)
            finally:
                log.info("stopping")
                streams.close()


def url_of(own: ConsoleSettings, port: int) -> str:
    """Return the address for people."""
    host = "127.0.0.1" if own.host in ("0.0.0.0", "::") else own.host
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


async def _raise_failure(view: RoomsView) -> None:
    """Wait until the view has ended, and raise why."""
    while view.failure is None:
        await asyncio.sleep(CHECK_SECONDS)
    raise FatalError(f"the rooms view has ended: {view.failure}: restart the console")


def main(settings: Settings, own: ConsoleSettings) -> int:
    """Run a console in this process. Return its exit code."""
    import uvloop

    code: int = uvloop.run(ConsoleProcess(settings, own).run())
    return code
