"""Memory of gone rooms: what a worker keeps, for a minute, of each room that has ended (contract §5, promise 8).

    python -m benchmarks.gone [--rooms 100000] [--save]

Rooms with 16 signal_ids (UUIDs) are created and destroyed one after the other in the partitions of one process, as by
signals; then their records are restored into new partitions, as by a recovery. Each figure is the growth of resident
memory, from a process of its own.
"""

from __future__ import annotations

import gc
import os
import random
import uuid
from collections.abc import Callable
from multiprocessing import get_context
from typing import Final

from benchmarks.shared import CONSOLE, Row, memory, parser, save, show
from pipeline.core.deadlines import NEVER
from pipeline.core.partition import Partition
from pipeline.core.watchdog import Rules
from pipeline.model import signal_ids
from pipeline.model.records import Gone
from pipeline.model.signals import ConferenceDestroy
from pipeline.model.wire import decode_gone, encode_gone
from pipeline.worker.memory import keep_heap
from testkit.rows import room

PARTITIONS: Final = 12
REMEMBERED: Final = 16
LIMIT_MB: Final = 100
"""Megabytes that 100,000 gone rooms may take."""


def _ids(chance: random.Random, count: int) -> list[str]:
    return [str(uuid.UUID(int=chance.getrandbits(128), version=4)) for _ in range(count)]


def destroyed(rooms: int) -> list[Partition]:
    """Return partitions with this many gone rooms, which signals have ended."""
    chance, made = random.Random(7), [Partition(Rules()) for _ in range(PARTITIONS)]
    for n in range(rooms):
        *first, last = _ids(chance, REMEMBERED)
        one, partition = room(n, signal_ids.of(first)), made[n % PARTITIONS]
        partition.restore_room(one.room_id, one)
        partition.apply(ConferenceDestroy(last, one.room_id, n), n)
    return made


def restored(rooms: int) -> list[Partition]:
    """Return partitions with this many gone rooms, which a recovery has read."""
    chance, made = random.Random(7), [Partition(Rules()) for _ in range(PARTITIONS)]
    for n in range(rooms):
        row = encode_gone(Gone(room(n).room_id, n, signal_ids.of(_ids(chance, REMEMBERED))))
        gone = decode_gone(row, 0)
        made[n % PARTITIONS].restore_gone(gone.room_id, gone)
    for partition in made:
        partition.restored()
    return made


def _measure(make: Callable[[int], list[Partition]], rooms: int) -> tuple[int, int]:
    """Return the bytes that gone rooms take, and those that remain after their records are deleted."""
    keep_heap()
    make(100)
    gc.collect()
    before = memory(os.getpid())
    partitions = make(rooms)
    gc.collect()
    taken = memory(os.getpid()) - before
    for partition in partitions:
        while partition.gone_until != NEVER:
            partition.delete_gone()
    gc.collect()
    return taken, memory(os.getpid()) - before


def main() -> None:
    """Measure, print and, with --save, write the result."""
    options = parser(__doc__ or "")
    options.add_argument("--rooms", type=int, default=100_000, help="gone rooms (%(default)s)")
    given = options.parse_args()
    rows: list[Row] = []
    for name, make in (("destroyed", destroyed), ("restored", restored)):
        with get_context("spawn").Pool(1) as pool:
            taken, left = pool.apply(_measure, (make, given.rooms))
        rows.append(
            {
                "gone rooms were": name,
                "B/room": taken / given.rooms,
                "MB": taken / 1e6,
                "MB kept for reuse after their deletion": left / 1e6,
            }
        )
    show(f"{given.rooms:,} gone rooms with {REMEMBERED} UUIDs each", rows)
    worst = max(row["B/room"] for row in rows) * 100_000 / 1e6
    CONSOLE.print(f"{worst:.0f} MB per 100,000 gone rooms, of at most {LIMIT_MB} MB")
    if given.save:
        save("gone", rooms=given.rooms, rows=rows)


if __name__ == "__main__":
    main()
