"""How long a dead worker's open transaction, whose timeout is 60 s, delays its successor.

    python -m benchmarks.fencing [--rounds 20] [--save]

Each round measures the time from the assignment of 12 partitions until a worker processes them, twice: with all
transactions committed, and with one left open on a partition, as after a kill within a unit. It starts its own servers.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time

from aiokafka.errors import KafkaError

from benchmarks.shared import Row, parser, pipeline, save, servers, show
from pipeline.model import signals as s
from testkit.pipe import Pipe

PARTITIONS = 12
OCCURRED_AT = 1_795_354_386_106_600


def take_over(pipe: Pipe, fenced: int) -> float:
    """Return the seconds from the assignment until a new worker processes signals."""
    with pipe.worker() as worker:
        seconds: float = worker.until_log("partitions assigned")["seconds"]
        assert worker.metric("pipeline_fenced_owners") == fenced
        assert worker.stop() == 0
    return seconds


async def one_round(pipe: Pipe, number: int) -> tuple[float, float]:
    """Return the seconds without an open transaction and with one."""
    free = await asyncio.to_thread(take_over, pipe, 0)
    dead = await pipe.left_open(f"{pipe.prefix}-dead-{number}")
    began = time.monotonic()
    held = await asyncio.to_thread(take_over, pipe, 1)
    assert time.monotonic() - began < 60, "the transaction may have timed out"
    with contextlib.suppress(KafkaError):  # the worker has fenced it
        await dead.abort_transaction()
    await dead.stop()
    return free, held


async def measure(pipe: Pipe, rounds: int) -> list[tuple[float, float]]:
    """Measure all rounds, after a first worker has committed a room."""
    with pipe.worker():
        await pipe.send(s.ConferenceCreate("c", "room", OCCURRED_AT, "app", "name"))
        await pipe.until_events(1)
    return [await one_round(pipe, number) for number in range(rounds)]


def main() -> None:
    """Print median and maximum of both times and of their difference."""
    options = parser(__doc__ or "")
    options.add_argument("--rounds", type=int, default=20, metavar="N", help="rounds (%(default)s)")
    given = options.parse_args()
    with servers() as where, pipeline(where, PARTITIONS) as pipe:
        found = asyncio.run(measure(pipe, given.rounds))
    columns = {
        "all committed": [free for free, _ in found],
        "a transaction open": [held for _, held in found],
        "difference": [held - free for free, held in found],
    }
    rows: list[Row] = [
        {"": name, "median, s": statistics.median(seconds), "max, s": max(seconds)} for name, seconds in columns.items()
    ]
    show(f"from assignment to processing, {given.rounds} rounds", rows)
    if given.save:
        save("fencing", rounds=given.rounds, rows=rows)


if __name__ == "__main__":
    main()
