"""How long the open transaction of a dead worker holds up its successor (it has a timeout of 60 s).

python -m benchmarks.fencing [--rounds 20]

A worker takes 12 partitions from assignment to the moment it works on them: once with everything committed, and once
with a transaction open on one of them, as a kill in the middle of a unit leaves it. It runs on servers of its own.
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


def takes_over(pipe: Pipe, fenced: int) -> float:
    """Seconds from the assignment until a new worker works."""
    with pipe.worker() as worker:
        seconds: float = worker.until_log("partitions assigned")["seconds"]
        assert worker.metric("pipeline_fenced_owners") == fenced
        assert worker.stop() == 0
    return seconds


async def one_round(pipe: Pipe, number: int) -> tuple[float, float]:
    """The time without an open transaction, and with one."""
    free = await asyncio.to_thread(takes_over, pipe, 0)
    dead = await pipe.left_open(f"{pipe.prefix}-dead-{number}")
    began = time.monotonic()
    held = await asyncio.to_thread(takes_over, pipe, 1)
    assert time.monotonic() - began < 60, "the transaction may have timed out by itself"
    with contextlib.suppress(KafkaError):  # it was fenced
        await dead.abort_transaction()
    await dead.stop()
    return free, held


async def measure(pipe: Pipe, rounds: int) -> list[tuple[float, float]]:
    """All rounds, after a first start that commits a room."""
    with pipe.worker():
        await pipe.send(s.ConferenceCreate("c", "room", OCCURRED_AT, "app", "name"))
        await pipe.until_events(1)
    return [await one_round(pipe, number) for number in range(rounds)]


def main() -> None:
    """Print median and maximum of both, and of what the transaction costs."""
    options = parser(__doc__ or "")
    options.add_argument("--rounds", type=int, default=20, metavar="N")
    given = options.parse_args()
    with servers() as where, pipeline(where, PARTITIONS) as pipe:
        found = asyncio.run(measure(pipe, given.rounds))
    columns = {
        "all committed": [free for free, _ in found],
        "a transaction open": [held for _, held in found],
        "what it costs": [held - free for free, held in found],
    }
    rows: list[Row] = [
        {"": name, "median, s": statistics.median(seconds), "max, s": max(seconds)}
        for name, seconds in columns.items()
    ]
    show(f"from assignment to work, {given.rounds} rounds", rows)
    if given.save:
        save("fencing", rounds=given.rounds, rows=rows)


if __name__ == "__main__":
    main()
