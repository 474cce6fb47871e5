"""CPU time per signal, in microseconds, as rooms, members, units, bad input, partitions and the rate grow.

    python -m benchmarks.growth [--million] [--signals 20000] [--backlog 40000] [--only rooms,members] [--save]

rooms       10^2 to 10^5 (--million: 10^6) rooms of 3 members on one partition, units of 1,000
members     1 to 10^4 members in each of 10 rooms
unit        1 to 4,000 signals per unit, 1,000 rooms, one partition
bad         0 to 50 % of the records are not signals and become dead letters
partitions  1 to 48, a worker process with a broker on a backlog, without its start; units of any size
rate        100 to 4,000 signals/s on 12 partitions, a worker process with a broker: small units

All but the last two run the engine in this process, from fetched records to encoded batches (testkit/engine.py), and
report the minimum of three runs. `×` is the cost relative to the first row of the same kind.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from benchmarks.shared import CONSOLE, Row, cpu_seconds, parser, pipeline, save, servers, show
from testkit.chaos.load import Load
from testkit.engine import Core, stream
from testkit.pipe import Pipe, WorkerProcess
from testkit.servers import Servers

RUNS: Final = 3
SECONDS: Final = 10.0
PATIENCE: Final = 600.0


def inside(signals: int, rooms: int, members: int = 3, per_unit: int = 1000, bad: float = 0.0) -> float:
    """Return the CPU microseconds per signal of the engine alone."""
    least = float("inf")
    for seed in range(RUNS):
        core = Core(rooms, members)
        least = min(least, core.run(stream(core, signals, rooms, members, bad=bad, seed=seed), per_unit))
    return least


def cases(signals: int, million: bool) -> Iterator[tuple[str, str, Callable[[], float]]]:
    """Yield (kind, case, measurement) of the measurements inside this process."""
    for rooms in (100, 1000, 10_000, 100_000, *([1_000_000] if million else [])):
        yield "rooms", f"{rooms:,}", partial(inside, signals, rooms)
    for members in (1, 100, 10_000):
        yield "members", f"{members:,}", partial(inside, signals, 10, members)
    for size in (1, 10, 100, 1000, 4000):
        yield "unit", f"{size:,}", partial(inside, signals, 1000, per_unit=size)
    for share in (0, 1, 10, 50):
        yield "bad", f"{share} %", partial(inside, signals, 1000, bad=share / 100)


def done(worker: WorkerProcess) -> float:
    """Return the number of signals in committed units."""
    return worker.metric("pipeline_unit_signals_total")


def _until(worker: WorkerProcess, signals: float) -> None:
    limit = time.monotonic() + PATIENCE
    while done(worker) < signals:
        assert worker.returncode is None, "\n".join(worker.lines)
        assert time.monotonic() < limit, f"{done(worker)} of {signals} signals after {PATIENCE} s"
        time.sleep(0.2)


def _load(pipe: Pipe, rate: float = 0.0) -> Load:
    return Load(pipe.servers.bootstrap_servers, pipe.topic, 7, rate=rate, rooms=500, hot=0)


def backlog(where: Servers, partitions: int, signals: int) -> Row:
    """Measure a worker process on a backlog."""
    with pipeline(where, partitions) as pipe:
        with pipe.worker() as idle:
            began = cpu_seconds(idle.pid)
        load = _load(pipe)
        load.burst(signals)
        with pipe.worker(ready=False) as worker:
            worker.until_ready(PATIENCE)
            _until(worker, load.sent)
            spent = cpu_seconds(worker.pid) - began
            units = worker.metric("pipeline_unit_seconds_count")
    return {"µs/signal": spent / load.sent * 1e6, "signals/unit": load.sent / units}


def rated(where: Servers, rate: float) -> Row:
    """Measure a worker process under a constant load."""
    with pipeline(where, 12) as pipe, pipe.worker() as worker:
        load = _load(pipe, rate)
        load.start()
        time.sleep(3)
        before = cpu_seconds(worker.pid), done(worker), worker.metric("pipeline_unit_seconds_count")
        time.sleep(SECONDS)
        after = cpu_seconds(worker.pid), done(worker), worker.metric("pipeline_unit_seconds_count")
        load.finish()
    spent, signals, units = (b - a for a, b in zip(before, after, strict=True))
    return {"µs/signal": spent / signals * 1e6, "signals/unit": signals / units}


def outside(signals: int, wanted: Callable[[str], bool]) -> Iterator[Row]:
    """Yield the measurements that need a broker."""
    if not (wanted("partitions") or wanted("rate")):
        return
    with servers() as where:
        for partitions in (1, 4, 12, 48) if wanted("partitions") else ():
            yield {"as … grow": "partitions", "to": str(partitions), **backlog(where, partitions, signals)}
        for rate in (100, 1000, 4000) if wanted("rate") else ():
            yield {"as … grow": "rate", "to": f"{rate:,}/s", **rated(where, rate)}


def relative(rows: list[Row]) -> list[Row]:
    """Return the rows with their cost relative to the first of the same kind."""
    first: dict[str, float] = {}
    return [
        {
            **row,
            "signals/unit": row.get("signals/unit", ""),
            "×": row["µs/signal"] / first.setdefault(row["as … grow"], row["µs/signal"]),
        }
        for row in rows
    ]


def main() -> None:
    """Measure everything and print one table."""
    options = parser(__doc__ or "")
    options.add_argument("--million", action="store_true", help="also 10^6 rooms, which needs 3 GB of memory")
    options.add_argument(
        "--signals", type=int, default=20_000, help="signals of a run inside this process (%(default)s)"
    )
    options.add_argument("--backlog", type=int, default=40_000, help="signals of a run with a broker (%(default)s)")
    options.add_argument("--only", default="", metavar="KINDS", help="only these kinds, such as rooms,unit")
    given = options.parse_args()

    def wanted(kind: str) -> bool:
        return not given.only or kind in given.only.split(",")

    rows: list[dict[str, Any]] = []
    for kind, case, call in cases(given.signals, given.million):
        if wanted(kind):
            rows.append({"as … grow": kind, "to": case, "µs/signal": call()})
            CONSOLE.print(f"{kind} {case}: {rows[-1]['µs/signal']:.1f} µs", style="dim")
    rows += outside(given.backlog, wanted)
    rows = relative(rows)
    show("CPU time of the worker per signal", rows)
    if given.save:
        save("growth", rows=rows, signals=given.signals, backlog=given.backlog)


if __name__ == "__main__":
    main()
