"""How long a worker reads its table before it goes on, and what the table costs in memory and on disk.

    python -m benchmarks.recovery [--sizes 10000:0,100000:0,1000000:0,100000:1000000] [--save]

A size is rooms:members. The table is written straight to its topic, as workers would have left it: rooms with a name
and 16 remembered signal_ids, a third of them playing. Then

  restart    a worker starts on all 12 partitions. `read` is what its own log says: from the assignment to the last row.
             `CPU` is that of the process until it is ready, without that of a worker with an empty table.
  take-over  a second worker joins, the first is killed, the second reads the first one's half. `silent` is from the
             kill until it has it, the session timeout (6 s) included.
  memory     of the restarted worker, resident, without that of a worker with an empty table, per room (or member).
  disk       bytes of the topic's log per row, before compaction, which only removes what is superseded.

What was read stays as rows; `touched` is what a room takes when it has been used since (sizes of its objects).
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
"""CPU seconds and bytes of a worker that is ready, with an empty table."""


def assigned(worker: WorkerProcess, partitions: int, since: int = 0) -> dict[str, Any]:
    """The log line (not among the first `since`) that says that the worker has so many partitions; waits for it."""
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        for line in worker.log[since:]:
            if line["msg"] == "partitions assigned" and len(line["partitions"]) == partitions:
                return line
        assert worker.returncode is None, "\n".join(worker.lines)
        time.sleep(0.02)
    raise TimeoutError("no assignment")


def restart(pipe: Pipe) -> tuple[float, float, int]:
    """Seconds that a worker reads its table, its CPU seconds until ready, its memory then (bytes)."""
    with pipe.worker(ready=False) as worker:
        line = assigned(worker, PARTITIONS)
        worker.until_ready(PATIENCE)
        time.sleep(1.0)  # what was loaded is frozen, buffers are given back
        return line["seconds"], cpu_seconds(worker.pid), memory(worker.pid)


def take_over(pipe: Pipe) -> tuple[float, float]:
    """Seconds until the other worker has everything after one was killed, and how long it reads of that."""
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
    """One size."""
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
    """Bytes of the objects of a room that is held as a record, as a mean over the mix, with its place in the table."""
    total, count = 0, 300
    for n, recent in zip(range(count), recents(count), strict=True):
        made = decode_room(encode_room(room(n, recent)), 0)
        parts = [made, made.room_id, made.name, made.urls, made.recent, *made.urls]
        parts += [made.app_id, made.playback_status, made.operation_id, made.deadline, made.sequence]
        total += sum(-(-sys.getsizeof(part) // 16) * 16 for part in parts)
    return total / count + sys.getsizeof(dict.fromkeys(range(100_000))) / 100_000


def main() -> None:
    """Fill, restart, take over, for each size."""
    options = parser(__doc__ or "")
    options.add_argument("--sizes", default=SIZES, metavar="ROOMS:MEMBERS,…")
    given = options.parse_args()
    sizes = [tuple(map(int, size.split(":"))) for size in given.sizes.split(",")]
    gc.disable()  # of this process, which only writes
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
