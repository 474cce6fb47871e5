"""Janus' connections to a fake, for tests."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

from pipeline.engines.janus.engine import Access, Janus
from pipeline.engines.rules.ids import Node
from testkit.janus import free_port
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

    def __init__(self, fake: FakeJanus, secret: str, admin_key: str) -> None:
        self.port = free_port()
        access = Access(fake.url, ("127.0.0.1", self.port), admin_key, secret, TOKEN)
        self.engine, self.sink = Janus(Node("n1"), access, [(CDN, "/media/")]), ListSink()
        self.task = asyncio.create_task(self.engine.run(self.sink))

    async def error(self) -> BaseException | None:
        await asyncio.wait([self.task])
        return self.task.exception()


@contextlib.asynccontextmanager
async def connected(
    fake: FakeJanus, *, secret: str = "", admin_key: str = ADMIN_KEY, events: bool = True
) -> AsyncIterator[Connected]:
    found = Connected(fake, secret, admin_key)
    try:
        await until(lambda: found.engine.away_since is None or found.task.done())
        if events:
            await fake.connect_events(found.port)
            await until(lambda: found.engine.has_events)
        yield found
    finally:
        found.task.cancel()
        await asyncio.gather(found.task, return_exceptions=True)
