"""The gateway: how long a request takes, what it costs, and what is left of one that is killed.

    python -m benchmarks.gateway [--seconds 20] [--streams 2000] [--kills 100] [--save]

One worker, one gateway, one broker and this client share the machine. Requests are pauses of rooms with a playback, at
a steady rate; the time is from the request to its 200 with the event. The last part kills the gateway at random times
under load; each request is repeated with its key until it is settled, and the topics then show its effect.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import aiohttp

from benchmarks.shared import Row, cpu_seconds, memory, parser, pipeline, save, servers, show
from pipeline.gateway.apps import key_digest
from testkit.pipe import Pipe, WorkerProcess

ROOMS: Final = "/api/v1/conferences"
HEADERS: Final = {"X-App-ID": "app", "X-API-Key": "key"}
URLS: Final = {"urls": ["https://cdn.example.com/a.wav"]}
OWN: Final[dict[str, Any]] = {
    "GATEWAY_PLAY_COOLDOWN_SECONDS": "0",
    "GATEWAY_CONTROL_COOLDOWN_SECONDS": "0",
    "GATEWAY_SESSION_COOLDOWN_SECONDS": "0",
    "GATEWAY_APP_REQUESTS_PER_SECOND": "100000",
    "GATEWAY_ANONYMOUS_REQUESTS_PER_SECOND": "100000",
    "GATEWAY_APP_STREAMS": "10000",
    "GATEWAY_MAX_STREAMS": "10000",
    "GATEWAY_MAX_CONNECTIONS": "20000",
    "GATEWAY_WAIT_SECONDS": "10",
}
PATIENT: Final[dict[str, Any]] = {"PIPELINE_WATCHDOG_SECONDS": "86400"}
DELIVERIES: Final = 2000
"""Deliveries per second to all streams together."""
WARM_UP_SECONDS: Final = 3.0
BREAK_IN_SECONDS: Final = 15.0
"""How long a gateway runs before the ones that are measured: a broker that just started compiles its own code."""
Done = Callable[[int], Awaitable[None]]


@contextlib.asynccontextmanager
async def client(**headers: str) -> AsyncIterator[aiohttp.ClientSession]:
    """Open a client with as many connections as it needs."""
    limit = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        connector=limit, headers={**HEADERS, **headers}, timeout=aiohttp.ClientTimeout(total=None)
    ) as session:
        yield session


async def playing(session: aiohttp.ClientSession, api: str, count: int) -> list[str]:
    """Create rooms with a playback, and return their paths."""
    patient = {"Prefer": "wait=10"}

    async def one() -> str:
        name = {"name": secrets.token_hex(8)}
        async with session.post(f"{api}{ROOMS}", json=name, headers=patient) as answer:
            assert answer.status == 201, await answer.text()
            path = f"{api}{ROOMS}/{(await answer.json())['room_id']}"
        async with session.post(f"{path}/play", json=URLS, headers=patient) as answer:
            assert answer.status == 200, await answer.text()
        return path

    found: list[str] = []
    for begin in range(0, count, 20):
        found += await asyncio.gather(*(one() for _ in range(min(20, count - begin))))
    return found


async def at_rate(rate: float, seconds: float, request: Done) -> None:
    """Begin requests at a steady rate, and wait for all."""
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            group.create_task(request(number))  # type: ignore[arg-type]


async def answered(gateway: WorkerProcess, rate: float, seconds: float, wait: str) -> Row:
    """Measure pauses: milliseconds to their answers, and the gateway's CPU for each."""
    took: list[float] = []
    statuses: Counter[int] = Counter()
    async with client(Prefer=f"wait={wait}") as session:
        paths = await playing(session, gateway.api, 100)

        async def pause(number: int) -> None:
            began = time.monotonic()
            async with session.post(f"{paths[number % len(paths)]}/pause") as answer:
                await answer.read()
            took.append((time.monotonic() - began) * 1e3)
            statuses[answer.status] += 1

        await at_rate(rate, WARM_UP_SECONDS, pause)
        took.clear()
        statuses.clear()
        before = cpu_seconds(gateway.pid)
        await at_rate(rate, seconds, pause)
    used = cpu_seconds(gateway.pid) - before
    cuts = statistics.quantiles(took, n=1000)
    answers = ", ".join(f"{count} × {status}" for status, count in sorted(statuses.items()))
    what = "with outcome" if wait != "0" else "wait=0"
    return {
        "pauses": f"{rate:g}/s, {what}", "answers": answers, "p50 ms": cuts[499], "p99 ms": cuts[989],
        "max ms": max(took), "CPU ms each": used / len(took) * 1e3,
    }  # fmt: skip


async def streamed(gateway: WorkerProcess, streams: int, seconds: float) -> Row:
    """Measure open event streams, each of one of some rooms, so that an event has several readers."""
    received = 0
    rooms, rate = 100, DELIVERIES / (streams / 100)
    async with client() as session:
        paths = await playing(session, gateway.api, rooms)

        async def follow(number: int) -> None:
            nonlocal received
            room = paths[number % rooms].rpartition("/")[2]
            async with session.get(f"{gateway.api}/api/v1/events?room_id={room}") as answer:
                async for line in answer.content:
                    received += line.startswith(b"event: ")

        tasks = []
        for number in range(streams):
            tasks.append(asyncio.create_task(follow(number)))
            if number % 50 == 0:
                await asyncio.sleep(0.05)
        while await asyncio.to_thread(gateway.metric, "gateway_streams") < streams:
            await asyncio.sleep(0.2)

        async def pause(number: int) -> None:
            async with session.post(f"{paths[number % rooms]}/pause", headers={"Prefer": "wait=0"}) as answer:
                await answer.read()

        await at_rate(rate, WARM_UP_SECONDS, pause)
        await asyncio.sleep(1)
        before, began, received = cpu_seconds(gateway.pid), time.monotonic(), 0
        await at_rate(rate, seconds, pause)
        elapsed = time.monotonic() - began
        row = {
            "streams": streams, "deliveries/s": received / elapsed,
            "cores": (cpu_seconds(gateway.pid) - before) / elapsed, "memory MB": memory(gateway.pid) / 1e6,
        }  # fmt: skip
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return row


class Killed:
    """A gateway that is killed at random under load."""

    def __init__(self, pipe: Pipe, apps: Path, kills: int) -> None:
        self._pipe, self._apps, self._kills = pipe, apps, kills
        self._rng = random.Random(1)
        self._api = ""
        self._stopping = False
        self._settled: dict[str, dict[str, Any]] = {}
        """operation_id → the event of its 200."""
        self._requests = self._repeats = 0

    async def run(self) -> Row:
        """Kill, and compare what was answered with what was published."""
        with self._pipe.gateway(self._apps, **OWN) as gateway:
            async with client() as session:
                paths = await playing(session, gateway.api, 20)
            gateway.kill()
        rooms = [path.partition(ROOMS)[2] for path in paths]
        load = [asyncio.create_task(self._load(number, rooms)) for number in range(20)]
        for _ in range(self._kills):
            with self._pipe.gateway(self._apps, ready=False, **OWN) as gateway:
                await asyncio.to_thread(gateway.until_ready)
                self._api = gateway.api
                await asyncio.sleep(self._rng.uniform(0.0, 0.7))
                gateway.kill()
        self._stopping = True
        with self._pipe.gateway(self._apps, **OWN) as gateway:
            self._api = gateway.api
            await asyncio.gather(*load)
        return self._compared(await self._pipe.events())

    async def _load(self, number: int, rooms: list[str]) -> None:
        count = 0
        async with client() as session:
            while not self._stopping:
                count += 1
                path = f"{ROOMS}{rooms[number % len(rooms)]}/volume"
                await self._settle(session, path, {"volume": count % 7}, f"{number}-{count}")

    async def _settle(self, session: aiohttp.ClientSession, path: str, body: dict[str, int], key: str) -> None:
        self._requests += 1
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with session.post(self._api + path, json=body, headers={"Idempotency-Key": key}) as answer:
                    found = await answer.json()
                if answer.status == 200:
                    self._settled[found["operation_id"]] = found["event"]
                    return
                assert answer.status in (202, 503), found
            self._repeats += 1
            await asyncio.sleep(0.02)

    def _compared(self, events: list[dict[str, Any]]) -> Row:
        effects: Counter[str] = Counter()
        published: dict[str, dict[str, Any]] = {}
        for event in events:
            if event["event"] == "conference.play.volume_changed":
                effects[event["operation_id"]] += 1
                published[event["operation_id"]] = event
        return {
            "kills": self._kills, "requests": self._requests, "repeats": self._repeats,
            "200 without its event": sum(published.get(one) != event for one, event in self._settled.items()),
            "applied twice": sum(count > 1 for count in effects.values()),
        }  # fmt: skip


def main() -> None:
    """Measure, print and, with --save, write the result."""
    options = parser(__doc__ or "")
    options.add_argument("--seconds", type=float, default=20, help="duration of each part (%(default)s)")
    options.add_argument("--streams", type=int, default=2000, help="open event streams (%(default)s)")
    options.add_argument("--kills", type=int, default=100, help="times that the gateway is killed (%(default)s)")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder, servers() as where, pipeline(where, 12) as pipe:
        apps = Path(folder) / "apps.toml"
        apps.write_text(f'[apps.app]\nkeys = ["{key_digest("key")}"]\n')
        with pipe.worker(**PATIENT):
            requests: list[Row] = []
            with pipe.gateway(apps, **OWN) as gateway:
                asyncio.run(answered(gateway, 300, BREAK_IN_SECONDS, "10"))
            for rate, wait in ((100, "10"), (300, "10"), (300, "0")):
                with pipe.gateway(apps, **OWN) as gateway:
                    requests.append(asyncio.run(answered(gateway, rate, given.seconds, wait)))
            show("pauses", requests)
            with pipe.gateway(apps, **OWN) as gateway:
                streams = asyncio.run(streamed(gateway, given.streams, given.seconds))
            show("event streams", [streams])
            kills = asyncio.run(Killed(pipe, apps, given.kills).run())
            show("killed gateways", [kills])
    if given.save:
        save("gateway", rows=requests, streams=[streams], kills=[kills])


if __name__ == "__main__":
    main()
