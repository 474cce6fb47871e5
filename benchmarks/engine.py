"""CPU time per signal of the worker's engine alone, from fetched records to encoded batches, on the load of the peers.

    python -m benchmarks.engine [--signals 300000] [--rooms 20000] [--per-unit 10000]
    make compile && PYTHONSAFEPATH=1 PYTHONPATH=build/compiled:. .venv/bin/python -m benchmarks.engine

The first third of the signals is a warm-up that fills the rooms' state. It runs in one process without servers, so it
is the quickest way to measure a change. Alternate runs of the old and the new code: the speed of a machine drifts.
"""

from __future__ import annotations

from itertools import islice

from benchmarks.peers.load import Load, room_partition
from benchmarks.peers.rooms import AVRO, Codec
from benchmarks.shared import CONSOLE, parser
from pipeline.core import room
from pipeline.core.merge import Record
from testkit import engine

PARTITIONS = 12


def records(count: int, rooms: int) -> list[tuple[int, str, Record]]:
    """Return `count` signals as (partition, topic, record); the first ones create the rooms."""
    ids = {name: number for name, number in engine.IDS.items() if (AVRO / f"{name}.avsc").exists()}
    made, offsets = [], dict[tuple[int, str], int]()
    for n, (topic, key, value) in enumerate(islice(Load(Codec(ids), "x", rooms), count)):
        place = room_partition(key, PARTITIONS), topic.split(".")[1]
        offset = offsets[place] = offsets.get(place, -1) + 1
        made.append((*place, Record(engine.NOW + n, offset, key, value, b"")))
    return made


def main() -> None:
    """Measure once and print the result."""
    options = parser(__doc__ or "", saves=False)
    options.add_argument("--signals", type=int, default=300_000, help="signals, a third as warm-up (%(default)s)")
    options.add_argument("--rooms", type=int, default=20_000, help="rooms (%(default)s)")
    options.add_argument("--per-unit", type=int, default=10_000, help="signals per unit (%(default)s)")
    given = options.parse_args()
    made = records(given.rooms + given.signals, given.rooms)
    before = given.rooms + given.signals // 3
    core = engine.Core(0, partitions=PARTITIONS)
    core.run(made[:before], given.per_unit)
    spent = core.run(made[before:], given.per_unit)
    CONSOLE.print(f"{spent:.2f} µs of CPU per signal ({'not ' if room.__file__.endswith('.py') else ''}compiled)")


if __name__ == "__main__":
    main()
