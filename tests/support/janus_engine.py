"""Janus' connections to a fake, for tests."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Literal

from pipeline.demo.janus_process import free_port
from pipeline.engines.janus.engine import Access, Janus
from pipeline.engines.rules.ids import Node
from tests.support.fake_janus import ADMIN_KEY, TOKEN, FakeJanus
from tests.support.sink import ListSink

ROOM = "n1-room-1"
CDN = "https://cdn.example.com/"
URLS = (f"{CDN}a.opus", f"{CDN}b.opus", f"{CDN}c.opus")
SECONDS = 120.0


async def until(check: Callable[[], object]) -> None:
    limit = time.monotonic() + SECONDS
    while not check():
        assert time.monotonic() < limit
        await asyncio.sleep(0.01)


class Connected:
    """An engine, what it reported, its task, and the port of its events."""

    def __init__(self, fake: FakeJanus, secret: str, admin_key: str, handler: Literal["ws", "http"]) -> None:
        self.port = free_port()
        access = Access(fake.url, ("127.0.0.1", self.port), admin_key, secret, TOKEN, handler)
        self.engine, self.sink = Janus(Node("n1"), access, [(CDN, "/media/")]), ListSink()
        self.task = asyncio.create_task(self.engine.run(self.sink))

    async def error(self) -> BaseException | None:
        await asyncio.wait([self.task])
        return self.task.exception()


@contextlib.asynccontextmanager
async def connected(
    fake: FakeJanus,
    *,
    secret: str = "",
    admin_key: str = ADMIN_KEY,
    events: bool = True,
    handler: Literal["ws", "http"] = "ws",
) -> AsyncIterator[Connected]:
    found = Connected(fake, secret, admin_key, handler)
    if events and handler == "http":
        fake.post_events(found.port)
    try:
        await until(lambda: found.engine.away_since is None or found.task.done())
        if events:
            if handler == "ws":
                await fake.connect_events(found.port)
            await until(lambda: not found.engine.no_events)
        yield found
    finally:
        found.task.cancel()
        await asyncio.gather(found.task, return_exceptions=True)
