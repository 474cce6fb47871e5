"""A real Janus with a bridge, for tests that `make test-engines` runs."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from pipeline.demo.command_process import DemoError
from pipeline.demo.janus_process import free_port
from pipeline.engines.bridge import Bridge
from pipeline.engines.janus.engine import Access, Janus
from pipeline.engines.rules.ids import Node
from pipeline.errors import ConfigError
from pipeline.model import signals as s
from testkit.janus import ADMIN_KEY, API_SECRET, TOKEN, RealJanus
from testkit.pipe import Pipe

ROOM = "n1-room-1"
CDN = "https://cdn.example.com/"
SECONDS = 200.0
Handler = Literal["ws", "http"]


@contextlib.contextmanager
def real_janus(folder: Path, events_port: int | None = None, **options: Any) -> Iterator[RealJanus]:
    """Run a Janus that sends its events to a port where nobody listens yet; fail with the reason if there is none."""
    try:
        with RealJanus(folder, free_port() if events_port is None else events_port, **options) as found:
            yield found
    except (ConfigError, DemoError) as error:
        pytest.fail(str(error), pytrace=False)


def engine_of(janus: RealJanus, *, events: bool = True, handler: Handler = "ws") -> Janus:
    """Return the engine of the node n1. Without `events` it listens where Janus does not connect."""
    port = janus.events_port if events else free_port()
    access = Access(janus.url, ("127.0.0.1", port), ADMIN_KEY, API_SECRET, TOKEN, handler)
    return Janus(Node("n1"), access, [(CDN, str(janus.media_folder))], plain_rtp=True)


@contextlib.asynccontextmanager
async def bridged(
    pipe: Pipe,
    janus: RealJanus,
    *,
    kill: bool = False,
    events: bool = True,
    handler: Handler = "ws",
    notice: Callable[[str], object] = lambda _: None,
    **options: float,
) -> AsyncIterator[Bridge]:
    """Run a bridge that is ready: with `events` Janus' event handler reaches it, without it is ready but for that.

    With `kill` it ends without sending the rest and without a tombstone.
    """
    engine = engine_of(janus, events=events, handler=handler)
    async with Bridge(pipe.settings, Node("n1"), engine, notice, **options) as bridge:
        stop = asyncio.Event()
        task = asyncio.create_task(bridge.run(stop))
        try:
            lacks = (lambda: None) if events else (lambda: engine.no_events)
            await until(lambda: task.done() or bridge.not_ready() == lacks(), "the bridge is ready")
            assert not task.done(), task
            yield bridge
        finally:
            task.cancel() if kill else stop.set()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def until(check: Callable[[], object], what: str) -> None:
    """Wait until a check holds."""
    limit = time.monotonic() + SECONDS
    while not check():
        assert time.monotonic() < limit, f"not within {SECONDS} s: {what}"
        await asyncio.sleep(0.05)


async def until_it(check: Callable[[], Awaitable[object]], what: str) -> None:
    """Wait until an asynchronous check holds."""
    limit = time.monotonic() + SECONDS
    while not await check():
        assert time.monotonic() < limit, f"not within {SECONDS} s: {what}"
        await asyncio.sleep(0.1)


def api(kind: type, number: int, *values: object, room: str = ROOM) -> s.AnySignal:
    """Return an API signal of now."""
    made: s.AnySignal = kind(f"s-{number}", room, s.Micros(time.time_ns() // 1000), *values)
    return made


def line(event: dict[str, object]) -> str:
    """Return an event in short: `play.finished op-1 a.opus`."""
    fields = ("session_uuid", "caller_id", "reason", "operation_id", "urls", "error")
    words = [event.get(name) for name in fields if name != "caller_id" or event["event"] == "conference.member.joined"]
    texts = [" ".join(one) if isinstance(one, list) else str(one) for one in words if one]
    return " ".join([str(event["event"]).removeprefix("conference."), *texts]).replace(CDN, "")
