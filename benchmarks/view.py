"""The rooms view on a large table: time until it is loaded, memory, and `rooms show` of one room.

    python -m benchmarks.view [--rooms 1000000] [--members 1000000] [--partitions 12] [--save]

Rooms with 16 signal_ids (UUIDs) and their members are written to the table's topic as workers would have done. Then
the view reads it in a process of its own; memory is that process's peak of resident memory.
"""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
import time
from multiprocessing import get_context
from typing import Any, Final

from benchmarks.shared import Row, parser, pipeline, save, servers, show
from pipeline.settings import Settings
from pipeline.view import RoomsView
from testkit.rows import fill, room

LIMIT_SECONDS: Final = 15.0
LIMIT_MB: Final = 1500
SHOW_SECONDS: Final = 3.0


def load(settings: Settings) -> dict[str, Any]:
    """Load the view; return its time, memory and counts."""
    return asyncio.run(_load(settings))


async def _load(settings: Settings) -> dict[str, Any]:
    began, spent = time.monotonic(), time.process_time()
    async with RoomsView(settings) as view:
        await view.loaded()
        seconds, cpu = time.monotonic() - began, time.process_time() - spent
        counts = view.counts
        began = time.monotonic()
        listed = len(view.room_ids(node="acW68"))
        by_node = time.monotonic() - began
        began = time.monotonic()
        for n in range(1000):
            assert view.room(room(n).room_id) is not None
        one = (time.monotonic() - began) / 1000
    assert listed == counts.rooms
    return {
        "rooms": counts.rooms,
        "members": counts.members,
        "s": seconds,
        "CPU s": cpu,
        "peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
        "ids of a node, ms": by_node * 1e3,
        "one room, µs": one * 1e6,
    }


def shown(env: dict[str, str], room_id: str) -> tuple[float, float]:
    """Return the seconds, and those of the processor, of the command `rooms show` for a room."""
    began, used = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "pipeline", "rooms", "show", room_id]
    subprocess.run(command, check=True, capture_output=True, env=env)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic() - began, after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime


def main() -> None:
    """Measure, print and, with --save, write the result."""
    options = parser(__doc__ or "")
    options.add_argument("--rooms", type=int, default=1_000_000, help="rooms (%(default)s)")
    options.add_argument("--members", type=int, default=1_000_000, help="members (%(default)s)")
    options.add_argument("--partitions", type=int, default=12, help="partitions (%(default)s)")
    given = options.parse_args()
    with servers(heap_mb=512) as where, pipeline(where, given.partitions) as pipe:
        size = asyncio.run(fill(pipe, given.rooms, given.members))
        with get_context("spawn").Pool(1) as pool:
            row: Row = pool.apply(load, (pipe.settings,))
        shows = sorted(shown(pipe.env, room(n).room_id) for n in range(3))
    row["rooms show, s"], row["CPU s of it"] = shows[1]
    show(f"a table of {size / 1e6:,.0f} MB on {given.partitions} partitions", [row])
    print(f"limits: {LIMIT_SECONDS:g} s, {LIMIT_MB} MB, rooms show {SHOW_SECONDS:g} s")
    if given.save:
        save("view", bytes=size, partitions=given.partitions, rows=[row])


if __name__ == "__main__":
    main()
