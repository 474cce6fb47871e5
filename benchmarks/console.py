"""The console: time from an event to the browser, first paint among many rooms, and the cost of many viewers.

    python -m benchmarks.console [--rooms 100000] [--rate 2000] [--viewers 20] [--seconds 60] [--save]

1. A join is sent, a worker makes its event, and a browser shows the member: seconds from the append of the event (the
   broker's clock, which is this machine's) to the next frame after the page has the row.
2. With many rooms in the table, the page of the rooms is loaded: the browser's first contentful paint.
3. Rows of the table are written as workers do, as if by so many events a second, while viewers follow the rooms, pages
   of single rooms and the pipeline: processor time and resident memory of the console.

Needs `make test-browser`'s Chromium and driver.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import statistics
import time
from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp
from aiokafka import AIOKafkaProducer

from benchmarks.shared import Row, cpu_seconds, memory, parser, pipeline, save, servers, show
from pipeline.kafka.partitioning import partition_of
from pipeline.kafka.schema_registry import Registry
from pipeline.model import framing
from pipeline.model import signals as s
from pipeline.model.events import MemberJoined, Meta
from pipeline.model.records import Member
from pipeline.model.row_keys import MEMBER, ROOM, encode_key
from pipeline.model.wire import ENCODERS
from testkit.pipe import Pipe
from testkit.rows import fill, member, room

PARTITIONS: Final = 12
JOINS: Final = 200
LIMITS: Final = "limits: shown 0.3 s (p50) and 1 s (p99), first paint 1 s, 0.5 core, 400 MB"
WATCH: Final = """() => {
  window.shown = {};
  new MutationObserver(() => requestAnimationFrame(() => {
    for (const one of document.querySelectorAll("#members th")) window.shown[one.textContent] ??= Date.now();
  })).observe(document.body, { childList: true, subtree: true });
}"""


@contextlib.asynccontextmanager
async def browser() -> AsyncIterator[Any]:
    """Start Chromium without a window."""
    from playwright.async_api import async_playwright

    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    async with async_playwright() as driver:
        made = await driver.chromium.launch(executable_path=path)
        yield made
        await made.close()


async def shown(pipe: Pipe, url: str) -> list[float]:
    """Return the seconds from the append of each event of a join to the browser."""
    await pipe.send(s.ConferenceCreate("c", "bench-room", time.time_ns() // 1000, "my-app", "Bench"))
    async with browser() as opened:
        page = await opened.new_page()
        await page.goto(f"{url}/room?id=bench-room")
        await page.wait_for_selector("[data-link=live]")
        await page.evaluate(WATCH)
        for n in range(JOINS):
            await pipe.send(s.MemberJoined(f"j{n}", "bench-room", time.time_ns() // 1000, f"s{n}", f"+{n}"))
            await asyncio.sleep(random.uniform(0.0, 0.3))
        times: dict[str, int] = {}
        async with asyncio.timeout(60):
            while len(times) < JOINS:  # wait_for_function would need eval
                await asyncio.sleep(0.2)
                times = await page.evaluate("window.shown")
    appended: dict[str, int] = {}
    for record in await pipe.records():
        if record.key == b"bench-room" and (caller := _caller(record.value)):
            appended[caller] = record.timestamp
    return sorted((times[caller] - at) / 1000 for caller, at in appended.items() if caller in times)


def _caller(value: bytes) -> str:
    """Return the caller of a join; "" for another event."""
    from pipeline.model.wire import DECODERS

    try:
        return str(DECODERS[MemberJoined.RECORD](value, framing.HEAD).caller_id)
    except Exception:
        return ""


async def first_paint(url: str) -> float:
    """Return the seconds until the page of the rooms is painted; the median of five."""
    found = []
    async with browser() as opened:
        for _ in range(5):
            page = await opened.new_page()
            await page.goto(url)
            await page.wait_for_selector("#rooms tr")
            script = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
            found.append(await page.evaluate(script) / 1000)
            await page.close()
    return float(statistics.median(found))


class Load:
    """Writes rows and events as workers do: the rows of a room and of a member that joins or leaves, and an event."""

    def __init__(self, pipe: Pipe, rooms: int, rate: int) -> None:
        self._pipe, self._rooms, self._rate = pipe, rooms, rate
        self.events = 0

    async def run(self, seconds: float) -> None:
        """Write for so many seconds, in a transaction of all partitions every 50 ms."""
        async with Registry(self._pipe.settings) as registry:
            ids = await registry.schema_ids(self._pipe.prefix)
        heads = {name: framing.head(number) for name, number in ids.items()}
        chance, began = random.Random(5), time.monotonic()
        config = {**self._pipe.settings.kafka(), "transactional_id": f"{self._pipe.prefix}-load", "linger_ms": 5}
        async with AIOKafkaProducer(**config) as producer:
            while (passed := time.monotonic() - began) < seconds:
                count = int(passed * self._rate) - self.events
                async with producer.transaction():
                    sent = [one for _ in range(count) for one in await self._event(producer, chance, heads)]
                    await asyncio.gather(*sent)
                self.events += count
                await asyncio.sleep(0.05)

    async def _event(self, producer: Any, chance: random.Random, heads: dict[str, bytes]) -> list[Any]:
        n = chance.randrange(self._rooms)
        found, now = room(n), time.time_ns() // 1000
        one: Member = member(found.room_id, chance.randrange(2))
        number = partition_of(found.room_id.encode(), PARTITIONS)
        rows, events = self._pipe.topic("rooms"), self._pipe.topic("events")
        meta = Meta("e", 1, now, "my-app", "cause", None, ends_playback=False, synthetic=False)
        event = MemberJoined(one.session_uuid, found.room_id, one.caller_id, meta)
        row = ENCODERS[Member](one, heads[one.RECORD]) if chance.random() < 0.5 else None  # or it has left
        values = (
            (rows, encode_key((ROOM, found.room_id)), ENCODERS[type(found)](found, heads[found.RECORD])),
            (rows, encode_key((MEMBER, one.room_id, one.session_uuid)), row),
            (events, found.room_id.encode(), ENCODERS[MemberJoined](event, heads[event.RECORD])),
        )
        return [await producer.send(topic, value, key, partition=number) for topic, key, value in values]


async def follow(url: str, counts: list[int], seconds: float) -> None:
    """Read a stream for so many seconds, and count its bytes."""
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while chunk := await answer.content.readany():
                    counts.append(len(chunk))


async def loaded(pipe: Pipe, console: Any, rooms: int, rate: int, viewers: int, seconds: float) -> Row:
    """Measure the console under load."""
    paths = ["/stream/rooms", "/stream/rooms?order=newest", "/stream/rooms?q=standup+77", "/stream/pipeline"]
    paths += [f"/stream/room?id={room(n).room_id}" for n in range(4)]
    counts: list[int] = []
    load = Load(pipe, rooms, rate)
    tasks = [follow(console.api + paths[n % len(paths)], counts, seconds + 10) for n in range(viewers)]
    running = [asyncio.create_task(one) for one in (*tasks, load.run(seconds + 5))]
    await asyncio.sleep(5)
    began, before, events = time.monotonic(), cpu_seconds(console.pid), load.events
    await asyncio.sleep(seconds)
    took = time.monotonic() - began
    row = {
        "viewers": viewers,
        "events/s": (load.events - events) / took,
        "cores": (cpu_seconds(console.pid) - before) / took,
        "MB": memory(console.pid) / 1e6,
        "sent, kB/s": sum(counts) / (took + 5) / 1000,
    }
    await asyncio.gather(*running)
    return row


def main() -> None:
    """Measure, print and, with --save, write the results."""
    options = parser(__doc__ or "")
    options.add_argument("--rooms", type=int, default=100_000, help="rooms (%(default)s)")
    options.add_argument("--rate", type=int, default=2000, help="events a second (%(default)s)")
    options.add_argument("--viewers", type=int, default=20, help="viewers (%(default)s)")
    options.add_argument("--seconds", type=float, default=60, help="seconds under load (%(default)s)")
    given = options.parse_args()
    with servers(heap_mb=512) as where:
        with pipeline(where, PARTITIONS) as pipe, pipe.worker(), pipe.console() as console:
            delays = asyncio.run(shown(pipe, console.api))
        with pipeline(where, PARTITIONS) as pipe:
            asyncio.run(fill(pipe, given.rooms, given.rooms))
            with pipe.console() as console:
                paint = asyncio.run(first_paint(console.api))
                row = asyncio.run(loaded(pipe, console, given.rooms, given.rate, given.viewers, given.seconds))
    last = len(delays) - 1
    page: Row = {
        "joins": len(delays),
        "shown p50, s": delays[last // 2],
        "p99, s": delays[round(last * 0.99)],
        "rooms": given.rooms,
        "first paint, s": paint,
    }
    show("from an event to the browser, and the page of the rooms", [page])
    show(f"{given.rooms:,} rooms under load", [row])
    print(LIMITS)
    if given.save:
        save("console", page=[page], load=[row])


if __name__ == "__main__":
    main()
