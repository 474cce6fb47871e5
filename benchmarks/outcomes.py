"""How long after the acknowledgement of a signal its outcome is known.

    python -m benchmarks.outcomes [--rate 100] [--seconds 30] [--rooms 200] [--save]

One worker; API signals to rooms on all partitions at a steady rate. The time is from the producer's acknowledgement to
the outcome in this process, and to the view being caught up to the signal, as the gateway waits for.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Final

from benchmarks.shared import Row, parser, pipeline, save, servers, show
from pipeline.kafka.signal_producer import SignalProducer
from pipeline.model.codec import signal_json
from pipeline.model.signals import AnySignal, ConferenceCreate, ConferenceVolume
from pipeline.settings import Settings
from pipeline.view import Outcomes, RoomsView, place_of

LIMITS: Final = (25, 80)
"""Milliseconds of p50 and p99 after the acknowledgement."""


class Run:
    """Sends signals at a rate, and notes when their outcomes are known (ms after the acknowledgement)."""

    def __init__(self, rate: float, seconds: float, rooms: int) -> None:
        self._rate, self._count, self._rooms = rate, int(rate * seconds), rooms
        self.acknowledged: list[float] = []
        self.known: list[float] = []
        self.caught_up: list[float] = []

    async def run(self, settings: Settings) -> None:
        """Warm up, then measure."""
        producer = SignalProducer(settings, keep_order=False, linger_ms=0)
        async with producer, RoomsView(settings) as view, Outcomes(settings) as outcomes:
            await view.loaded()
            for n in range(self._rooms):
                await self._one(producer, view, outcomes, ConferenceCreate(f"c{n}", f"room-{n}", 0, "app", "name"))
            for measured in (self.acknowledged, self.known, self.caught_up):
                measured.clear()
            began = time.monotonic()
            async with asyncio.TaskGroup() as group:
                for n in range(self._count):
                    await asyncio.sleep(max(0.0, began + n / self._rate - time.monotonic()))
                    signal = ConferenceVolume(f"v{n}", f"room-{n % self._rooms}", 0, n % 7, f"o{n}")
                    group.create_task(self._one(producer, view, outcomes, signal))

    async def _one(self, producer: SignalProducer, view: RoomsView, outcomes: Outcomes, signal: AnySignal) -> None:
        began = time.monotonic()
        place = place_of(await (await producer.send(signal, signal_json(signal))))
        acknowledged = time.monotonic()
        found = await outcomes.outcome(place)
        known = time.monotonic()
        assert found.kind == "events"
        await view.caught_up(place)
        self.acknowledged.append((acknowledged - began) * 1e3)
        self.known.append((known - acknowledged) * 1e3)
        self.caught_up.append((time.monotonic() - acknowledged) * 1e3)

    def rows(self) -> list[Row]:
        """Return the percentiles."""
        rows = []
        for name, found in (
            ("acknowledgement", self.acknowledged),
            ("outcome after it", self.known),
            ("view caught up after it", self.caught_up),
        ):
            cuts = statistics.quantiles(found, n=1000)
            rows.append({"until": name, "p50 ms": cuts[499], "p99 ms": cuts[989], "max ms": max(found)})
        return rows


def main() -> None:
    """Measure, print and, with --save, write the result."""
    options = parser(__doc__ or "")
    options.add_argument("--rate", type=float, default=100, help="signals per second (%(default)s)")
    options.add_argument("--seconds", type=float, default=30, help="duration (%(default)s)")
    options.add_argument("--rooms", type=int, default=200, help="rooms (%(default)s)")
    given = options.parse_args()
    run = Run(given.rate, given.seconds, given.rooms)
    with servers() as where, pipeline(where, 12) as pipe, pipe.worker() as worker:
        asyncio.run(run.run(pipe.settings))
        worker.stop()
    rows = run.rows()
    show(f"{len(run.known)} signals, {given.rate:g} a second, 12 partitions", rows)
    print(f"limits of the outcome: p50 {LIMITS[0]} ms, p99 {LIMITS[1]} ms")
    if given.save:
        save("outcomes", rate=given.rate, signals=len(run.known), rows=rows)


if __name__ == "__main__":
    main()
