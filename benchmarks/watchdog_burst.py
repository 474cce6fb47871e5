"""How late the watchdog fires when many playbacks are due at once.

    python -m benchmarks.watchdog_burst [--plays 20000,40000] [--rounds 5] [--code NAME=FOLDER ...] [--save]

In each round one worker gets that many plays, dispatched within 0.15 s and spread over 12 partitions, and nothing that
ends them. Printed is the time from the deadline (meta.occurred_at) until the broker appended the failed event, and
until a `read_committed` consumer had it; medians over the rounds. `--code` names a folder with another copy of the
package, as `make compile` makes in build/compiled; the copies take turns, with a fresh worker in each round. Broker,
registry, producer and consumer share the machine.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks.shared import CONSOLE, Row, parser, pipeline, save, servers, show
from pipeline.model import signals as s
from pipeline.model.codec import signal_json
from pipeline.model.events import PlayFailed
from pipeline.model.wire import DECODERS
from testkit.pipe import ROOT, Pipe, WorkerProcess

PARTITIONS = 12
OCCURRED_AT = 1_795_354_386_106_600
URL = "https://cdn.example.com/audio/announcement.wav"
CHUNKS, CHUNK_SECONDS = 10, 0.012
"""The plays are sent in this many parts, one per so many seconds."""
CE_TYPE = 2
"""Place of the header with an event's name."""
_FAILED = DECODERS[PlayFailed.RECORD]
Times = list[float]


@contextmanager
def worker_of(pipe: Pipe, folder: Path, watchdog: float) -> Iterator[WorkerProcess]:
    """Run a worker with the package in `folder`."""
    env = {
        **pipe.env,
        "PIPELINE_WATCHDOG_SECONDS": str(watchdog),
        "PYTHONSAFEPATH": "1",
        "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}",
    }
    command = [sys.executable, "-m", "pipeline", "worker"]
    worker = WorkerProcess(subprocess.Popen(command, cwd=folder, env=env, stderr=subprocess.PIPE, text=True))
    try:
        worker.until_ready()
        yield worker
    finally:
        worker.end()


class Burst:
    """Sends bursts of plays to the same rooms, and reads the events that follow."""

    def __init__(self, pipe: Pipe, rooms: int) -> None:
        self._pipe = pipe
        self._rooms = [f"room-{number:06}" for number in range(rooms)]
        self._partitions = {room: pipe.partition(room) for room in self._rooms}
        self._topic = pipe.topic("api.signals")
        servers = {"bootstrap.servers": pipe.servers.bootstrap_servers}
        self._producer = Producer(servers | {"acks": "all", "linger.ms": 5, "queue.buffering.max.messages": 1_000_000})
        self._consumer = Consumer(
            servers | {"group.id": "unused", "isolation.level": "read_committed", "enable.auto.commit": False}
        )
        self._round = 0

    def create(self) -> None:
        """Create the rooms, without a worker."""
        for room in self._rooms:
            self._send(s.ConferenceCreate("c", room, OCCURRED_AT, "app", "name"))
        self._producer.flush(60)

    def _send(self, signal: s.AnySignal) -> None:
        self._produce(signal.room_id, signal_json(signal))

    def _produce(self, room: str, value: bytes) -> None:
        self._producer.produce(self._topic, value, room.encode(), partition=self._partitions[room])

    def play(self, count: int, watchdog: float) -> tuple[Times, Times, float]:
        """Start a playback in each of `count` rooms.

        Return the seconds from the deadlines until the events were appended and until they were read, and the seconds
        from the first deadline to the last.
        """
        self._round += 1
        ends = [self._end(number) for number in range(PARTITIONS)]
        plays = [
            (room, signal_json(s.ConferencePlay(f"p-{self._round}", room, OCCURRED_AT, (URL,), f"op-{self._round}")))
            for room in self._rooms[:count]
        ]
        began, size = time.monotonic(), -(-count // CHUNKS)
        for chunk in range(CHUNKS):
            for room, value in plays[chunk * size : (chunk + 1) * size]:
                self._produce(room, value)
            self._producer.poll(0)
            time.sleep(max(0.0, began + (chunk + 1) * CHUNK_SECONDS - time.monotonic()))
        self._producer.flush(30)
        return self._read(ends, count)

    def _end(self, number: int) -> TopicPartition:
        topic = self._pipe.topic("events")
        _, end = self._consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=30)
        return TopicPartition(topic, number, end)

    def _read(self, ends: list[TopicPartition], count: int) -> tuple[Times, Times, float]:
        """Read until `count` playbacks have failed. What is read is decoded afterwards: the worker needs the processor
        now."""
        self._consumer.assign(ends)
        failed: list[tuple[float, Any]] = []
        limit = time.monotonic() + 60
        while len(failed) < count:
            assert time.monotonic() < limit, f"{len(failed)} of {count} playbacks have failed"
            batch, now = self._consumer.consume(5000, 0.05), time.time()
            failed += [
                (now, message) for message in batch if message.headers()[CE_TYPE][1] == PlayFailed.EVENT.encode()
            ]
        self._consumer.unassign()
        times = []
        for now, message in failed:
            deadline = _FAILED(message.value(), 5).meta.occurred_at / 1e6
            times.append((message.timestamp()[1] / 1000 - deadline, now - deadline, deadline))
        appended, visible, deadlines = (list(column) for column in zip(*times, strict=True))
        return appended, visible, max(deadlines) - min(deadlines)


def row(name: str, plays: int, rounds: list[tuple[Times, Times, float]]) -> Row:
    """Return medians over the rounds."""

    def median(column: int, share: float) -> float:
        return statistics.median(sorted((one[0], one[1])[column])[round(share * (plays - 1))] for one in rounds)

    return {
        "code": name,
        "plays": plays,
        "due within, s": statistics.median(spread for *_, spread in rounds),
        "appended p50, s": median(0, 0.5),
        "p99, s": median(0, 0.99),
        "max, s": median(0, 1),
        "worst max, s": max(max(appended) for appended, *_ in rounds),
        "visible p99, s": median(1, 0.99),
        "visible max, s": median(1, 1),
    }


def main() -> None:
    """Measure all rounds, and print a line per code and number of plays."""
    options = parser(__doc__ or "")
    options.add_argument("--plays", default="20000", help="numbers of plays, comma-separated (%(default)s)")
    options.add_argument("--rounds", type=int, default=5, help="rounds (%(default)s)")
    options.add_argument("--watchdog", type=float, default=10.0, help="the watchdog's seconds (%(default)s)")
    options.add_argument("--code", action="append", metavar="NAME=FOLDER", help="default: not compiled=this checkout")
    given = options.parse_args()
    sizes = [int(size) for size in given.plays.split(",")]
    codes = dict(one.split("=", 1) for one in given.code or [f"not compiled={ROOT}"])
    found: dict[tuple[str, int], list[tuple[Times, Times, float]]] = {}
    with servers() as where, pipeline(where, PARTITIONS) as pipe:
        burst = Burst(pipe, max(sizes))
        burst.create()
        for number in range(given.rounds):
            for size in sizes:
                for name, folder in codes.items():
                    with worker_of(pipe, Path(folder).resolve(), given.watchdog) as worker:
                        asyncio.run(caught_up(worker))
                        result = burst.play(size, given.watchdog)
                        assert worker.stop() == 0
                    found.setdefault((name, size), []).append(result)
                    CONSOLE.print(f"{number + 1}: {name}, {size}: max {max(result[0]):.3f} s", style="dim")
    rows = [row(name, size, rounds) for (name, size), rounds in found.items()]
    show(f"from deadline to failed, {given.rounds} rounds", rows)
    if given.save:
        save("watchdog_burst", rounds=given.rounds, rows=rows)


async def caught_up(worker: WorkerProcess) -> None:
    """Wait until the worker has processed all signals."""
    limit = time.monotonic() + 60
    while any(
        not line.endswith(" 0.0")
        for line in worker.get("/metrics")[1].splitlines()
        if line.startswith("pipeline_lag_records{")
    ):
        assert time.monotonic() < limit, "the worker does not catch up"
        await asyncio.sleep(0.2)
    await asyncio.sleep(1)


if __name__ == "__main__":
    main()
