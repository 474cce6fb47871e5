"""What PIPELINE_COMMIT_INTERVAL_MS costs and saves: a worker at ordinary load.

    make compile && python -m benchmarks.commit_interval [--rounds 3] [--seconds 8] [--save]

One compiled worker with 12 partitions, side by side with itself at other intervals: the rounds interleave them, and
the table has medians. Load, latency and CPU are those of `benchmarks.peers.latency`. The broker, which shares the two
cores, runs for 15 s before the first round.
"""

from __future__ import annotations

import statistics
import tempfile
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks.peers.contestants import Contestant, contestants
from benchmarks.peers.latency import Latency, LatencyPlan, measure
from benchmarks.peers.workspace import servers
from benchmarks.shared import Row, parser, save, show

INTERVALS: Final = 0, 10, 25, 50, 100, 250
RATES: Final = 100, 500
WARM_UP_SECONDS: Final = 3.0
BREAK_IN: Final = LatencyPlan(0, 2000), (3.0, 12.0)
LINGER_MS: Final = 5
Runs = dict[tuple[int, int], list[Latency]]


def worker(interval: int) -> Contestant:
    """Return the compiled worker of the comparison with peers, with this commit interval."""
    [ours] = (one for one in contestants([], 0, 0) if one.name == "ours")
    return replace(ours, env={**ours.env, "PIPELINE_COMMIT_INTERVAL_MS": str(interval)})


def row(interval: int, rate: int, runs: list[Latency]) -> Row:
    """Return the medians of some runs. Raises SystemExit if events were missing in one."""
    if not all(run.complete for run in runs):
        raise SystemExit(f"a run at {rate} signals/s and {interval} ms was overloaded: the machine is too busy")
    cores, broker, p50, p99 = (
        statistics.median(getattr(run, name) for run in runs) for name in ("cores", "broker_cores", "p50", "p99")
    )
    return {
        "commit interval, ms": interval, "signals/s": rate, "cores": cores, "cores of the broker": broker,
        "p50, ms": p50, "p99, ms": p99,
    }  # fmt: skip


def main() -> None:
    """Measure, print and, with --save, write the result."""
    options = parser(__doc__ or "")
    options.add_argument("--rounds", type=int, default=3, help="rounds (%(default)s)")
    options.add_argument("--seconds", type=float, default=8, help="duration of each run (%(default)s)")
    given = options.parse_args()
    runs: Runs = defaultdict(list)
    with servers() as where, tempfile.TemporaryDirectory() as folder:
        measure(worker(0), where, *BREAK_IN, Path(folder), LINGER_MS)
        for number in range(given.rounds):
            for rate in RATES:
                for interval in INTERVALS[:: -1 if number % 2 else 1]:
                    plan = LatencyPlan(number, rate)
                    seconds = WARM_UP_SECONDS, given.seconds
                    made = measure(worker(interval), where, plan, seconds, Path(folder), LINGER_MS)
                    runs[rate, interval].append(made)
    rows = [row(interval, rate, found) for (rate, interval), found in sorted(runs.items())]
    show("one worker", rows)
    if given.save:
        save("commit_interval", rows=rows)


if __name__ == "__main__":
    main()
