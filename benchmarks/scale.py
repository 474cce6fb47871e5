"""1 → 3 → 1 workers under a constant load, and what one, two and three workers carry.

    python benchmarks/scale.py [--rounds 3] [--rate 500] [--backlog 300000]

First, workers join and leave one at a time; the table has the longest silence of a partition around each change, as
median and maximum over partitions and rounds, and the fault suite's checker says whether anything was lost, doubled or
out of order. Then the workers empty a backlog: signals and CPU time of all workers, relative to one. It brings servers
of its own; everything shares one machine, so beyond its cores more workers share what there is.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import time
from typing import Final

from rich.console import Console
from rich.table import Table

from tests.chaos.checker import Verdict, check
from tests.chaos.world import Setting, Slot, World

TICKS: Final = os.sysconf("SC_CLK_TCK")
AROUND: Final = 8.0
"""Seconds after a change in which silences are looked for."""
MOST: Final = 3
PARTITIONS: Final = 12
CONSOLE = Console()


def changes(seed: int, rounds: int, rate: float) -> int:
    """Print the silences by change; the number of violations."""
    silences: dict[str, list[float]] = {}
    setting = Setting(seed, workers=1, partitions=PARTITIONS, rate=rate, hot=0, poison=0)
    with World(setting) as world:
        world.load.start()
        assert world.settle(90), "the worker did not come up"
        time.sleep(3)
        for _ in range(rounds):
            for number, joins in ((1, True), (2, True), (2, False), (1, False)):
                began = time.monotonic()
                name = _change(world, world.slots[number], joins)
                assert world.settle(60), f"no recovery after: {name}"
                time.sleep(max(0.0, began + AROUND - time.monotonic()))
                silences.setdefault(name, []).extend(
                    world.follower.silence(partition, began, began + AROUND)
                    for partition in range(PARTITIONS)
                )
        world.load.finish()
        assert world.drain(), "not drained"
        world.stop()
        violations = _check(world)
    table = Table("change", "longest silence of a partition: median, s", "maximum, s")
    for name, seconds in silences.items():
        table.add_row(name, f"{statistics.median(seconds):.2f}", f"{max(seconds):.2f}")
    CONSOLE.print(table)
    CONSOLE.print(f"{rate:g} signals/s, {rounds} rounds, {violations} violations")
    return violations


def _change(world: World, slot: Slot, joins: bool) -> str:
    before = len(world.running)
    if joins:
        world.start(slot)
        while not world.partitions_of(slot):
            time.sleep(0.01)
        return f"{before} → {before + 1}"
    slot.wanted = False
    assert slot.process is not None
    slot.process.terminate()
    world.buried(slot)
    return f"{before} → {before - 1}"


def _check(world: World) -> int:
    verdict = Verdict()
    for number in range(world.setting.partitions):
        verdict.add(
            check(world.reader.read(number), 1 << 61, round(world.setting.watchdog * 1e6), world.load.late)
        )
    for violation in [*world.unexpected, *verdict.violations]:
        CONSOLE.print(violation[:600], markup=False, style="red")
    return len(world.unexpected) + len(verdict.violations)


def throughput(seed: int, backlog: int) -> None:
    """Print how fast 1, 2 and 3 workers empty a backlog."""
    table = Table("workers", "k signals/s", "relative to one", "CPU of all workers, µs/signal")
    first = 0.0
    for workers in range(1, MOST + 1):
        setting = Setting(seed, workers=0, partitions=PARTITIONS, hot=0, poison=0)
        with World(setting) as world:
            world.load.burst(backlog)
            for slot in world.slots[:workers]:
                world.start(slot)
            rate, cpu = _empty(world, workers, backlog)
            world.stop()
        first = first or rate
        table.add_row(str(workers), f"{rate / 1e3:.1f}", f"{rate / first:.2f}", f"{cpu / backlog * 1e6:.1f}")
    CONSOLE.print(table)


def _empty(world: World, workers: int, backlog: int) -> tuple[float, float]:
    """Signals per second between 20 % and 80 % of the backlog, and the CPU seconds for all of it."""
    marks: dict[float, float] = {}
    began = _cpu(world)
    while (done := sum(_done(slot) for slot in world.running)) < 0.999 * backlog:
        for share in (0.2, 0.8):
            if done >= share * backlog:
                marks.setdefault(share, time.monotonic() - 0.0)
                marks.setdefault(share + 1, done)
        time.sleep(0.05)
    rate = (marks[1.8] - marks[1.2]) / (marks[0.8] - marks[0.2])
    return rate, _cpu(world) - began


def _done(slot: Slot) -> float:
    process = slot.process
    return process.metric("pipeline_unit_signals_sum") if process is not None and process.log else 0.0


def _cpu(world: World) -> float:
    """CPU seconds of the workers so far."""
    total = 0.0
    for slot in world.running:
        assert slot.process is not None
        with open(f"/proc/{slot.process.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / TICKS
    return total


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=float, default=500.0, help="signals per second")
    parser.add_argument("--backlog", type=int, default=300_000, help="signals; 0: only the changes")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6) * 2)
    given = parser.parse_args()
    CONSOLE.print(f"seed {given.seed}")
    violations = changes(given.seed, given.rounds, given.rate) if given.rounds else 0
    if given.backlog:
        throughput(given.seed, given.backlog)
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
