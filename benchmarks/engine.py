"""The engine alone on the load of the comparison with peers, up to the bytes of its batches: CPU of a signal.

    python -m benchmarks.engine [--signals 300000] [--rooms 20000] [--per-unit 10000]
    make compile && PYTHONSAFEPATH=1 PYTHONPATH=build/compiled:. .venv/bin/python -m benchmarks.engine

A third of the signals goes before, so that rooms remember and play. Nothing but one process and no server: the quickest
way to see what a change costs. Run the code before and after in turns, since machines drift.
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
    """Partition, topic and record of so many signals; the first ones create the rooms."""
    ids = {name: number for name, number in engine.IDS.items() if (AVRO / f"{name}.avsc").exists()}
    made, offsets = [], dict[tuple[int, str], int]()
    for n, (topic, key, value) in enumerate(islice(Load(Codec(ids), "x", rooms), count)):
        place = room_partition(key, PARTITIONS), topic.split(".")[1]
        offset = offsets[place] = offsets.get(place, -1) + 1
        made.append((*place, Record(engine.NOW + n, offset, key, value, ())))
    return made


def main() -> None:
    """Measure it once."""
    options = parser(__doc__ or "", saves=False)
    options.add_argument("--signals", type=int, default=300_000)
    options.add_argument("--rooms", type=int, default=20_000)
    options.add_argument("--per-unit", type=int, default=10_000)
    given = options.parse_args()
    made = records(given.rooms + given.signals, given.rooms)
    before = given.rooms + given.signals // 3
    core = engine.Core(0, partitions=PARTITIONS)
    core.run(made[:before], given.per_unit)
    spent = core.run(made[before:], given.per_unit)
    CONSOLE.print(
        f"{spent:.2f} µs of CPU a signal ({'not ' if room.__file__.endswith('.py') else ''}compiled)"
    )


if __name__ == "__main__":
    main()
