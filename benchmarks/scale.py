"""Scaling 1 → 3 → 1 workers under a constant load, and the throughput of one, two and three workers.

    python -m benchmarks.scale [--rounds 3] [--rate 500] [--backlog 300000] [--save]

First, workers join and leave one at a time. The table has the longest time without events of a partition around each
change, for a read_committed consumer, as median and maximum over partitions and rounds; the row `none` is measured
without a change. The chaos checker, which shares no code with the pipeline, counts lost, duplicate and reordered ones.

Then the workers process a backlog: signals per second, relative to one worker, and the CPU time of all workers per
signal, from the moment when each has its share of the partitions until 90 % is done. Everything runs on one machine:
more workers than cores share the cores.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from typing import Final

from benchmarks.shared import CONSOLE, Row, cpu_seconds, parser, save, show
from testkit.chaos.checker import Verdict, check
from testkit.chaos.testbed import RunConfig, Slot, Testbed

AROUND: Final = 8.0
"""Seconds after a change in which silences are measured."""
MOST: Final = 3
PARTITIONS: Final = 12
PATIENCE: Final = 300.0


def changes(seed: int, rounds: int, rate: float) -> tuple[list[Row], int, int]:
    """Return the silences by change, the number of violations, and the number of signals checked."""
    silences: dict[str, list[float]] = {}
    config = RunConfig(seed, workers=1, partitions=PARTITIONS, rate=rate, hot=0, poison=0)
    with Testbed(config) as testbed:
        testbed.load.start()
        assert testbed.settle(PATIENCE), "the worker did not come up"
        time.sleep(3)
        _note(silences, testbed, "none", time.monotonic())
        for _ in range(rounds):
            for number, joins in ((1, True), (2, True), (2, False), (1, False)):
                began = time.monotonic()
                name = _change(testbed, testbed.slots[number], joins)
                assert testbed.settle(PATIENCE), f"no recovery after: {name}"
                _note(silences, testbed, name, began)
        testbed.load.finish()
        assert testbed.drain(PATIENCE), "not drained"
        testbed.stop()
        violations = _check(testbed)
        sent = testbed.load.sent
    rows: list[Row] = [
        {"change": name, "median silence, s": statistics.median(seconds), "max, s": max(seconds)}
        for name, seconds in silences.items()
    ]
    return rows, violations, sent


def _note(silences: dict[str, list[float]], testbed: Testbed, name: str, began: float) -> None:
    """Add the longest silence of each partition in the AROUND seconds after `began`."""
    time.sleep(max(0.0, began + AROUND - time.monotonic()))
    until = time.monotonic()
    found = [testbed.monitor.silence(partition, began, until) for partition in range(PARTITIONS)]
    silences.setdefault(name, []).extend(found)


def _change(testbed: Testbed, slot: Slot, joins: bool) -> str:
    """Start or stop the slot's worker; return the change as text."""
    before = len(testbed.running)
    if joins:
        with slot.held:
            testbed.start(slot)
        limit = time.monotonic() + PATIENCE
        while not testbed.partitions_of(slot):
            assert time.monotonic() < limit, f"worker {slot.number} got no partitions"
            time.sleep(0.01)
        return f"{before} → {before + 1}"
    with slot.held:
        slot.wanted = False
        assert slot.process is not None
        slot.process.stop(PATIENCE)
        testbed.record_exit(slot)
    return f"{before} → {before - 1}"


def _check(testbed: Testbed) -> int:
    verdict = Verdict()
    for number in range(testbed.config.partitions):
        verdict.add(
            check(testbed.reader.read(number), 1 << 61, round(testbed.config.watchdog * 1e6), testbed.load.late)
        )
    for violation in [*testbed.unexpected, *verdict.violations]:
        CONSOLE.print(violation[:600], markup=False, style="red")
    return len(testbed.unexpected) + len(verdict.violations)


def throughput(seed: int, backlog: int) -> list[Row]:
    """Measure how fast 1, 2 and 3 workers process a backlog."""
    rows: list[Row] = []
    for workers in range(1, MOST + 1):
        config = RunConfig(seed, workers=0, partitions=PARTITIONS, hot=0, poison=0)
        with Testbed(config) as testbed:
            testbed.load.burst(backlog)
            for slot in testbed.slots[:workers]:
                with slot.held:
                    testbed.start(slot)
            rate, cost, counted = _empty(testbed, workers, backlog)
            testbed.stop()
        first = rows[0]["signals/s"] if rows else rate
        row = {"workers": workers, "signals/s": rate, "× one": rate / first, "CPU of all, µs/signal": cost}
        rows.append({**row, "signals counted": counted})
    return rows


def _empty(testbed: Testbed, workers: int, backlog: int) -> tuple[float, float, int]:
    """Return signals per second, CPU microseconds per signal, and the number of signals counted.

    Measured from the moment when all workers have their share of the partitions until 90 % of the backlog is done.
    """
    limit = time.monotonic() + PATIENCE
    slots = testbed.slots[:workers]
    while any(len(testbed.partitions_of(slot)) != PARTITIONS // workers for slot in slots):
        assert time.monotonic() < limit, f"the workers do not share the partitions after {PATIENCE:.0f} s"
        time.sleep(0.02)
    began, cpu, done = time.monotonic(), _cpu(testbed), _done(testbed)
    while (now := _done(testbed)) < 0.9 * backlog:
        assert time.monotonic() < limit, f"{now:.0f} of {backlog} signals"
        time.sleep(0.05)
    assert now > done, "the backlog was processed before all workers had started: set a larger --backlog"
    counted = now - done
    return counted / (time.monotonic() - began), (_cpu(testbed) - cpu) / counted * 1e6, round(counted)


def _done(testbed: Testbed) -> float:
    """Return the number of signals that the workers have committed."""
    return sum(slot.process.metric("pipeline_unit_signals_total") for slot in testbed.running if slot.process)


def _cpu(testbed: Testbed) -> float:
    """Return the CPU seconds of all workers."""
    return sum(cpu_seconds(slot.process.pid) for slot in testbed.running if slot.process is not None)


def main() -> int:
    """Measure both parts; return 1 if there was a violation."""
    options = parser(__doc__ or "")
    options.add_argument("--rounds", type=int, default=3, help="rounds of changes; 0: only the backlog (%(default)s)")
    options.add_argument("--rate", type=float, default=500.0, help="signals per second (%(default)s)")
    options.add_argument("--backlog", type=int, default=300_000, help="signals; 0: only the changes (%(default)s)")
    seed = random.SystemRandom().randrange(10**6) * 2
    options.add_argument("--seed", type=int, default=seed, help="of the load (random)")
    given = options.parse_args()
    CONSOLE.print(f"seed {given.seed}")
    rows: list[Row] = []
    violations = checked = 0
    if given.rounds:
        rows, violations, checked = changes(given.seed, given.rounds, given.rate)
        show(f"{given.rate:g} signals/s, {checked:,} signals checked, {violations} violations", rows)
    carried = throughput(given.seed, given.backlog) if given.backlog else []
    if carried:
        show(f"a backlog of {given.backlog:,} signals", carried)
    if given.save:
        more = {"rate": given.rate, "rounds": given.rounds, "backlog": given.backlog, "seed": given.seed}
        save("scale", changes=rows, throughput=carried, violations=violations, checked=checked, **more)
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
