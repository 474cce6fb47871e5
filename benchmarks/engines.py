"""What one bridge carries, with a fake FreeSWITCH, real servers and a real worker.

    python -m benchmarks.engines [--rate 200] [--seconds 20] [--burst 30000] [--rooms 1000] [--members 10000] [--save]

It measures the time from an event's arrival to the acknowledgement of its signal, at a steady rate; how many events per
second one bridge carries at full speed; the time from the append of an event to the command that it causes; and an
audit of many rooms that finds no difference (a second look would take 2 s more).
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator
from typing import Any, Final

from benchmarks.shared import Row, parser, pipeline, save, servers, show
from pipeline.engines.bridge import Bridge
from pipeline.engines.freeswitch.engine import FreeSwitch
from pipeline.engines.rules.ids import Node
from pipeline.kafka.signal_producer import SignalProducer
from pipeline.model.codec import signal_json
from pipeline.model.signals import ConferenceMute, ConferenceUnmute, Micros
from testkit.fake_freeswitch import PASSWORD, FakeFreeSwitch
from testkit.pipe import Pipe

COMMANDS: Final = 400
COMMAND_RATE: Final = 20.0
POLL_SECONDS: Final = 0.0005


class TimedFreeSwitch(FakeFreeSwitch):
    """Notes when mutes come: (session, seconds since 1970)."""

    def __init__(self) -> None:
        super().__init__()
        self.mutes: list[tuple[str, float]] = []

    def _of_member(self, room: str, command: str, words: list[str]) -> str:
        self.mutes.append((words[-1].removeprefix("uuid="), time.time()))
        return super()._of_member(room, command, words)


@contextlib.asynccontextmanager
async def _bridged(pipe: Pipe, fake: FakeFreeSwitch) -> AsyncIterator[Bridge]:
    async with Bridge(pipe.settings, Node("n1"), FreeSwitch(Node("n1"), fake.address, PASSWORD)) as bridge:
        stop = asyncio.Event()
        task = asyncio.create_task(bridge.run(stop))
        while bridge.not_ready() is not None:
            await asyncio.sleep(0.05)
        try:
            yield bridge
        finally:
            stop.set()
            await task


def _toggle(fake: FakeFreeSwitch, room: str, call: str) -> None:
    member = fake.rooms[room].members[call]
    member["speak"] = not member["speak"]
    fake._member("unmute-member" if member["speak"] else "mute-member", room, call, member)


async def _steady(bridge: Bridge, fake: FakeFreeSwitch, calls: list[str], rate: float, seconds: float) -> list[float]:
    """Return the milliseconds from each event to the acknowledgement of its signal."""
    first, sent, found = bridge.queue._acknowledged, list[float](), list[float]()

    async def watch() -> None:
        while len(found) < int(rate * seconds):
            await asyncio.sleep(POLL_SECONDS)
            now, done = time.monotonic(), bridge.queue._acknowledged - first
            found.extend((now - one) * 1e3 for one in sent[len(found) : done])

    watching = asyncio.create_task(watch())
    began = time.monotonic()
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        sent.append(time.monotonic())
        _toggle(fake, fake.calls[calls[number % len(calls)]], calls[number % len(calls)])
    await watching
    return found


async def _burst(bridge: Bridge, fake: FakeFreeSwitch, calls: list[str], count: int) -> float:
    """Return the events per second at full speed."""
    goal, began = bridge.queue._acknowledged + count, time.monotonic()
    for number in range(count):
        call = calls[number % len(calls)]
        _toggle(fake, fake.calls[call], call)
        if number % 500 == 499:
            await asyncio.sleep(0)
    while bridge.queue._acknowledged < goal:
        await asyncio.sleep(0.01)
    return count / (time.monotonic() - began)


async def _commands(pipe: Pipe, fake: TimedFreeSwitch, calls: list[str]) -> list[float]:
    """Return the milliseconds from the append of each event to its command."""
    fake.mutes.clear()
    async with SignalProducer(pipe.settings, keep_order=False, linger_ms=0) as producer:
        began = time.monotonic()
        for number in range(COMMANDS):
            await asyncio.sleep(max(0.0, began + number / COMMAND_RATE - time.monotonic()))
            call = calls[number % len(calls)]
            kind = ConferenceMute if fake.rooms[fake.calls[call]].members[call]["speak"] else ConferenceUnmute
            signal: Any = kind(f"b{number}", fake.calls[call], Micros(time.time_ns() // 1000), f"n1-{call}")
            await (await producer.send(signal, signal_json(signal)))
    while len(fake.mutes) < COMMANDS:
        await asyncio.sleep(0.05)
    api = pipe.topic("api.signals").encode()
    appended: dict[str, list[float]] = {}
    for record in await pipe.records():
        headers = dict(record.headers)
        if headers["ce_type"].startswith(b"conference.member.") and headers["ce_signal"].startswith(api + b"/"):
            appended.setdefault(record.key.decode(), []).append(record.timestamp / 1e3)
    performed: dict[str, list[float]] = {}
    for call, at in fake.mutes:
        performed.setdefault(fake.calls[call], []).append(at)
    return [
        (at - since) * 1e3
        for room, times in performed.items()
        for since, at in zip(sorted(appended[room]), sorted(times), strict=True)
    ]


async def _audit(pipe: Pipe, bridge: Bridge, fake: FakeFreeSwitch, rooms: int, members: int) -> float:
    """Return the seconds of an audit."""
    for number in range(members):
        fake.join(f"n1-room-a{number % rooms}", f"a{number}")
        if number % 200 == 199:
            await asyncio.sleep(0.02)
    while bridge._view.stale or sum(map(bridge._view.member_count, bridge._view.room_ids(node="n1"))) < len(fake.calls):
        await asyncio.sleep(1.0)
    began = time.monotonic()
    await bridge._auditor.audit()
    return time.monotonic() - began


async def _measure(pipe: Pipe, given: Any) -> list[Row]:
    async with TimedFreeSwitch() as fake, _bridged(pipe, fake) as bridge:
        calls = [f"c{number}" for number in range(200)]
        for number, call in enumerate(calls):
            fake.join(f"n1-room-{number % 50}", call)
        await pipe.until_events(len(calls), 120)
        await _steady(bridge, fake, calls, given.rate, 2.0)  # warm-up
        steady = statistics.quantiles(await _steady(bridge, fake, calls, given.rate, given.seconds), n=1000)
        each_room = [f"c{number}" for number in range(50)]
        for call in each_room:  # so that a command changes what the pipeline knows
            if not fake.rooms[fake.calls[call]].members[call]["speak"]:
                _toggle(fake, fake.calls[call], call)
        await asyncio.sleep(2.0)
        commands = statistics.quantiles(await _commands(pipe, fake, each_room), n=1000)
        carried = await _burst(bridge, fake, calls, given.burst)
        audit = await _audit(pipe, bridge, fake, given.rooms, given.members)
    return [
        {"what": "event → signal acknowledged, p50", "value": steady[499], "unit": "ms", "limit": 6},
        {"what": "event → signal acknowledged, p99", "value": steady[989], "unit": "ms", "limit": 30},
        {"what": "event appended → command, p50", "value": commands[499], "unit": "ms", "limit": 30},
        {"what": "event appended → command, p99", "value": commands[989], "unit": "ms", "limit": 120},
        {"what": "events carried", "value": carried, "unit": "1/s", "limit": 3000},
        {"what": f"audit of {given.rooms} rooms", "value": audit, "unit": "s", "limit": 1.5},
    ]


def main() -> None:
    """Measure, print and, with --save, write the result."""
    options = parser(__doc__ or "")
    options.add_argument("--rate", type=float, default=200, help="events per second (%(default)s)")
    options.add_argument("--seconds", type=float, default=20, help="duration of the steady load (%(default)s)")
    options.add_argument("--burst", type=int, default=30_000, help="events at full speed (%(default)s)")
    options.add_argument("--rooms", type=int, default=1_000, help="rooms of the audit (%(default)s)")
    options.add_argument("--members", type=int, default=10_000, help="members of the audit (%(default)s)")
    given = options.parse_args()
    with servers() as where, pipeline(where, 12) as pipe, pipe.worker(PIPELINE_WATCHDOG_SECONDS="600") as worker:
        rows = asyncio.run(_measure(pipe, given))
        worker.stop()
    show("one bridge", rows)
    if given.save:
        save("engines", rows=rows)


if __name__ == "__main__":
    main()
