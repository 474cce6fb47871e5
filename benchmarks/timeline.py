"""How long `timeline ROOM`, `events --since` and `events --room` take among a million signals on 12 partitions.

    python -m benchmarks.timeline [--signals 1000000] [--rounds 5] [--save]

A worker processes the signals of 10,000 rooms: creates, then mutes and unmutes of a member that each room has. Printed
is the time of each command from its start to its end, and of `events --since 10m` to its first line; its processor
time; and the bytes that the network interface `lo` carried meanwhile, which other processes on the machine add to.
Medians.
"""

from __future__ import annotations

import asyncio
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from aiokafka import TopicPartition
from confluent_kafka import Producer

from benchmarks.shared import Row, parser, pipeline, save, servers, show
from pipeline.kafka.log_offsets import LogOffsets
from pipeline.model import signals as s
from pipeline.model.codec import signal_json
from testkit.pipe import ROOT, Pipe

PARTITIONS = 12
ROOMS = 10_000
AT = 1_795_354_386_106_600
SETTLE_SECONDS = 600


def produce(pipe: Pipe, number: int) -> None:
    """Append the signals; a room's member joins before it is muted."""
    config = {
        "bootstrap.servers": pipe.settings.bootstrap_servers,
        "partitioner": "murmur2_random",
        "linger.ms": 20,
        "queue.buffering.max.messages": 200_000,
    }
    producer = Producer(config)

    def append(signal: s.AnySignal) -> None:
        while True:
            try:
                producer.produce(pipe.topic(f"{signal.TOPIC}.signals"), signal_json(signal), signal.room_id.encode())
                return
            except BufferError:
                producer.poll(0.05)

    for room in range(ROOMS):
        append(s.ConferenceCreate(f"c-{room}", f"room-{room}", AT, "app", "name"))
        append(s.MemberJoined(f"j-{room}", f"room-{room}", AT, "s", "+15550100"))
    producer.flush()
    for n in range(number - 2 * ROOMS):
        kind = (s.ConferenceMute, s.ConferenceUnmute)[n // ROOMS % 2]
        append(kind(f"m-{n}", f"room-{n % ROOMS}", AT + n, "s"))
        producer.poll(0)
    producer.flush()


async def until_idle(pipe: Pipe) -> None:
    """Wait until the events topic does not grow for five seconds."""
    offsets = LogOffsets(pipe.settings)
    await offsets.start()
    partitions = [TopicPartition(pipe.topic("events"), n) for n in range(PARTITIONS)]
    try:
        limit, before, since = time.monotonic() + SETTLE_SECONDS, -1, time.monotonic()
        while time.monotonic() - since < 5:
            assert time.monotonic() < limit, "the worker does not keep up"
            await asyncio.sleep(1)
            total = sum((await offsets.ends(partitions)).values())
            if total != before:
                before, since = total, time.monotonic()
    finally:
        await offsets.stop()


def received() -> int:
    """Return the bytes that the loopback interface has received."""
    lines = Path("/proc/net/dev").read_text().splitlines()
    return next((int(line.split(":")[1].split()[0]) for line in lines if line.strip().startswith("lo:")), 0)


def cpu() -> float:
    """Return the processor seconds of the children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def one_run(pipe: Pipe, *command: str, first: bool = False) -> tuple[float, float, float, int]:
    """Return seconds, processor seconds, megabytes and lines of one command; with `first`, up to its first line."""
    began, before, cpu_before = time.monotonic(), received(), cpu()
    with subprocess.Popen(
        [sys.executable, "-m", "pipeline", *command], cwd=ROOT, env=pipe.env, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        if first:
            lines = int(bool(process.stdout.readline()))
            seconds = time.monotonic() - began
            process.kill()
        else:
            lines = len(process.stdout.read().splitlines())
            seconds = time.monotonic() - began
    return seconds, cpu() - cpu_before, (received() - before) / 1e6, lines


def main() -> None:
    """Print the medians."""
    options = parser(__doc__ or "")
    options.add_argument("--signals", type=int, default=1_000_000, metavar="N", help="signals (%(default)s)")
    options.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds (%(default)s)")
    given = options.parse_args()
    commands: dict[str, tuple[tuple[str, ...], bool]] = {
        "timeline ROOM": (("timeline", "room-77"), False),
        "timeline ROOM --last 20": (("timeline", "room-77", "--last", "20"), False),
        "events --room ROOM": (("events", "--room", "room-77"), False),
        "events --since 10m, first line": (("events", "--since", "10m"), True),
    }
    rows: list[Row] = []
    with servers() as where, pipeline(where, PARTITIONS) as pipe, pipe.worker():
        produce(pipe, given.signals)
        asyncio.run(until_idle(pipe))
        for name, (command, first) in commands.items():
            found = [one_run(pipe, *command, first=first) for _ in range(given.rounds)]
            took, used, sizes, lines = zip(*found, strict=True)
            row = {"command": name, "median, s": statistics.median(took), "max, s": max(took)}
            more = {"processor, s": statistics.median(used), "MB": statistics.median(sizes), "lines": lines[0]}
            rows.append({**row, **more})
    show(f"{given.signals:,} signals on {PARTITIONS} partitions, {given.rounds} rounds", rows)
    if given.save:
        save("timeline", signals=given.signals, rounds=given.rounds, rows=rows)


if __name__ == "__main__":
    main()
