"""The pause of each partition when a worker joins, stops, or is killed, under a constant load.

    eval "$(conference-pipeline up)"; python benchmarks/takeover.py [--rounds 3]

Two workers share 12 partitions with 20 signals/s each. The pause is the longest time between two events of a partition
around a change, for a read_committed consumer; the table has median and maximum over partitions and rounds. It needs
KAFKA_BOOTSTRAP_SERVERS and SCHEMA_REGISTRY_URL, and creates topics under a fresh prefix.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import secrets
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.partitioner import murmur2

PARTITIONS = 12
PREFIX = f"bench{secrets.token_hex(3)}"
ENV = {
    **os.environ,
    "PIPELINE_TOPIC_PREFIX": PREFIX,
    "PIPELINE_GROUP_ID": PREFIX,
    "PIPELINE_HTTP_PORT": "0",
    "PIPELINE_LOG_LEVEL": "warning",
}
SERVERS = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "")
LINE = '{{"type":"{0}","signal_id":"{1}","room_id":"{2}","occurred_at":"2026-11-22T13:33:06Z",{3}}}'


def worker() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "pipeline", "worker"], env=ENV)


class Load:
    """Changes the volume of one room per partition every 50 ms, and records when its events arrive."""

    def __init__(self) -> None:
        self.seen: list[list[float]] = [[] for _ in range(PARTITIONS)]
        rooms: dict[int, str] = {}
        for number in itertools.count():
            room = f"room-{number}"
            rooms.setdefault((murmur2(room.encode()) & 0x7FFFFFFF) % PARTITIONS, room)
            if len(rooms) == PARTITIONS:
                break
        self.rooms = list(rooms.values())

    async def send(self) -> None:
        topic = f"{PREFIX}.api.signals"
        async with AIOKafkaProducer(bootstrap_servers=SERVERS) as producer:
            for room in self.rooms:
                line = LINE.format("conference.create", "c", room, '"app_id":"bench","name":""')
                await producer.send(topic, line.encode(), room.encode())
            for number in itertools.count():
                for room in self.rooms:
                    more = f'"volume":{number % 7},"operation_id":"o"'
                    line = LINE.format("conference.volume", f"v-{number}", room, more)
                    await producer.send(topic, line.encode(), room.encode())
                await asyncio.sleep(0.05)

    async def read(self) -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=SERVERS, isolation_level="read_committed", auto_offset_reset="earliest"
        )
        async with consumer:
            consumer.assign([TopicPartition(f"{PREFIX}.events", number) for number in range(PARTITIONS)])
            while True:
                for tp in await consumer.getmany(timeout_ms=20):
                    self.seen[tp.partition].append(time.monotonic())

    async def gaps(self, change: Callable[[], object], seconds: float) -> list[float]:
        """Make a change; return the longest pause of each partition within `seconds`."""
        began = time.monotonic() - 0.5
        change()
        await asyncio.sleep(seconds)
        moments = [[at for at in times if at >= began] + [time.monotonic()] for times in self.seen]
        return [max(b - a for a, b in itertools.pairwise([began, *times])) for times in moments]


async def measure(rounds: int) -> dict[str, list[float]]:
    load = Load()
    found: dict[str, list[float]] = {"join": [], "SIGTERM": [], "join again": [], "kill -9": []}
    others: list[subprocess.Popen[bytes]] = []
    first = worker()
    tasks = [asyncio.create_task(load.send()), asyncio.create_task(load.read())]
    await asyncio.sleep(8)
    try:
        for _ in range(rounds):
            others.clear()
            found["join"] += await load.gaps(lambda: others.append(worker()), 10)
            found["SIGTERM"] += await load.gaps(others[0].terminate, 8)
            found["join again"] += await load.gaps(lambda: others.append(worker()), 10)
            found["kill -9"] += await load.gaps(others[1].kill, 14)
            for other in others:
                other.wait()
    finally:
        for task in tasks:
            task.cancel()
        first.send_signal(signal.SIGTERM)
        first.wait()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of changes (%(default)s)")
    rounds = parser.parse_args().rounds
    subprocess.run([sys.executable, "-m", "pipeline", "setup"], env=ENV, check=True, stdout=subprocess.DEVNULL)
    print(f"{'change':12} {'median s':>9} {'max s':>9}")
    for change, gaps in asyncio.run(measure(rounds)).items():
        print(f"{change:12} {statistics.median(gaps):9.2f} {max(gaps):9.2f}")


if __name__ == "__main__":
    main()
