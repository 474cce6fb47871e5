"""Duration of the table's recovery, and the table's size in memory and on disk.

    python -m benchmarks.recovery [--sizes 10000:0,100000:0,1000000:0,100000:1000000] [--save]

A size is rooms:members. The table is written to its topic as workers leave it: rooms with a name and 16 recent
signal_ids, a third of them playing. Then:

  restart    a worker starts with all 12 partitions. `read` is the duration in its log, from the assignment to the last
             row. `CPU` is the process's CPU time until it is ready, minus that of a worker with an empty table.
  take-over  a second worker joins, the first is killed, the second reads the first one's half. `silent` is the time
             from the kill until it has read it, including the session timeout (6 s).
  memory     resident memory of the restarted worker minus that of a worker with an empty table, per row.
  disk       bytes of the topic's log per row, before compaction, which removes only superseded rows.

Rows stay encoded in memory until a room is used. `touched` is the size of a used room's objects.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from typing import Any, Final

from benchmarks.shared import CONSOLE, Row, cpu_seconds, memory, parser, pipeline, save, servers, show
from pipeline.model.wire import decode_room, encode_room
from testkit.pipe import Pipe, WorkerProcess
from testkit.rows import fill, recents, room
from testkit.servers import Servers

PARTITIONS: Final = 12
SESSION: Final = 6.0
PATIENCE: Final = 1200.0
SIZES: Final = "10000:0,100000:0,1000000:0,100000:1000000"
Empty = tuple[float, int]
"""CPU seconds and resident bytes of a ready worker with an empty table."""


def assigned(worker: WorkerProcess, partitions: int, since: int = 0) -> dict[str, Any]:
    """Wait for the log line of an assignment of `partitions` partitions; skip the first `since` lines.

    Raises TimeoutError.
    """
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        for line in worker.log[since:]:
            if line["msg"] == "partitions assigned" and len(line["partitions"]) == partitions:
                return line
        assert worker.returncode is None, "\n".join(worker.lines)
        time.sleep(0.02)
    raise TimeoutError(f"no assignment of {partitions} partitions after {PATIENCE:.0f} s")


def restart(pipe: Pipe) -> tuple[float, float, int]:
    """Return a worker's recovery time (s), its CPU time until ready (s), and its memory then (bytes)."""
    with pipe.worker(ready=False) as worker:
        line = assigned(worker, PARTITIONS)
        worker.until_ready(PATIENCE)
        time.sleep(1.0)  # gc.freeze has run and buffers are released
        return line["seconds"], cpu_seconds(worker.pid), memory(worker.pid)


def take_over(pipe: Pipe) -> tuple[float, float]:
    """Return the seconds from a kill until the other worker has all partitions, and its recovery time."""
    env = {"PIPELINE_SESSION_TIMEOUT_SECONDS": str(SESSION)}
    with pipe.worker(ready=False, **env) as first:
        assigned(first, PARTITIONS)
        first.until_ready(PATIENCE)
        with pipe.worker(ready=False, **env) as second:
            assigned(second, PARTITIONS // 2)
            second.until_ready(PATIENCE)
            seen = len(second.log)
            began = time.monotonic()
            first.kill()
            line = assigned(second, PARTITIONS, seen)
            return time.monotonic() - began, line["seconds"]


def measure(where: Servers, rooms: int, members: int, empty: Empty) -> Row:
    """Measure one size."""
    with pipeline(where, PARTITIONS) as pipe:
        began = time.monotonic()
        size = asyncio.run(fill(pipe, rooms, members))
        rows = rooms + members
        CONSOLE.print(f"{rows:,} rows written in {time.monotonic() - began:.1f} s", style="dim")
        read, cpu, resident = restart(pipe)
        silent, half = take_over(pipe)
    return {
        "rooms": rooms,
        "members": members,
        "read, s": read,
        "CPU, s": cpu - empty[0],
        "k rows/s": rows / read / 1000,
        "silent, s": silent,
        "read of that, s": half,
        "memory, MiB": (resident - empty[1]) / 2**20,
        "memory, B/row": (resident - empty[1]) / rows,
        "disk, B/row": size / rows,
    }


def touched() -> float:
    """Return the mean bytes of a decoded room's objects, including its entry in the dict of rooms."""
    total, count = 0, 300
    for n, recent in zip(range(count), recents(count), strict=True):
        made = decode_room(encode_room(room(n, recent)), 0)
        parts = [made, made.room_id, made.name, made.urls, made.recent, *made.urls]
        parts += [made.app_id, made.playback_status, made.operation_id, made.deadline, made.sequence]
        total += sum(-(-sys.getsizeof(part) // 16) * 16 for part in parts)
    return total / count + sys.getsizeof(dict.fromkeys(range(100_000))) / 100_000


def main() -> None:
    """Fill the table, restart, take over, for each size."""
    options = parser(__doc__ or "")
    options.add_argument("--sizes", default=SIZES, metavar="ROOMS:MEMBERS,…", help="sizes (%(default)s)")
    given = options.parse_args()
    sizes = [tuple(map(int, size.split(":"))) for size in given.sizes.split(",")]
    gc.disable()  # this process only writes records
    rows = []
    with servers(heap_mb=768) as where:
        with pipeline(where, PARTITIONS) as pipe:
            asyncio.run(fill(pipe, 0, 0))
            _, cpu, resident = restart(pipe)
        for rooms, members in sizes:
            rows.append(measure(where, rooms, members, (cpu, resident)))
            show("recovery so far", rows)
    once = touched()
    CONSOLE.print(f"a worker with an empty table: {resident / 2**20:.0f} MiB; a touched room: {once:.0f} B")
    if given.save:
        save("recovery", rows=rows, empty_bytes=resident, touched_bytes=once, session_seconds=SESSION)


if __name__ == "__main__":
    main()
