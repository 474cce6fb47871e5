"""Many runs, one after another, until every fault class has been injected often enough, or the time is over.

    python -m tests.chaos.soak --minutes 60 --file docs/results/chaos.jsonl

Each run is a process of its own with a seed of its own, whose result is a line of the file. What is done next is what
the file still lacks most.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rich.console import Console

from testkit.pipe import ROOT
from tests.chaos.faults import FAULTS, Fault

TARGET: Final = {"worker": 100, "broker": 30, "cluster": 30, "network": 30, "data": 30}
"""Injections of each class of a kind that the file shall hold."""
LATE: Final = 100
"""... and of each class in which an answer or a request of a transaction is late."""
MOST: Final = 80
LEAST: Final = 20
"""Injections of a run."""
EACH: Final = 30
"""Injections of one class among which those of a run are chosen."""
SIGNALS: Final = 5_000_000
"""Signals of all runs together; while some lack, most runs begin with a backlog."""
BESIDE: Final = {"kill", "freeze_long", "pair", "abort", "compaction"}
"""What comes beside the faults of a cluster."""
GROUPS: Final[tuple[tuple[tuple[int, ...], Callable[[Fault], bool]], ...]] = (
    ((1,), lambda fault: fault.kind in {"worker", "broker", "data"}),
    ((3,), lambda fault: fault.kind == "cluster" or fault.name in BESIDE),
    ((1, 1, 1, 1, 3), lambda fault: fault.kind in {"worker", "network"}),
    ((1, 1, 1, 1, 3), lambda fault: fault.outlived),
)
"""What goes together in one run: numbers of brokers, and which faults. An injection into three brokers takes the machine
twice as long as one into one. In the last group no worker ends: counters are compared."""
PATIENT: Final = 10
"""The session timeout of that group: a machine that stands still for longer than it expels workers, too."""
CONSOLE = Console(stderr=True)


def done(file: Path) -> tuple[Counter[str], int]:
    """Injections per fault class, and signals, so far."""
    counts: Counter[str] = Counter()
    signals = 0
    for line in file.read_text().splitlines() if file.exists() else ():
        result = json.loads(line)
        counts.update(result["injections"])
        signals += result["signals"]
    return counts, signals


def target(fault: Fault) -> int:
    """How often this class shall be injected."""
    return LATE if fault.name.startswith("late_") else TARGET[fault.kind]


def plan(counts: Counter[str], signals: int, rng: random.Random, *, alone: bool) -> list[str]:
    """Arguments of the next run: faults that go together, of those that are lacking; any others fill it up. Only where it
    is `alone` on the machine may it be one that times recoveries.
    """
    lacking = {fault: max(0, target(fault) - counts[fault.name]) for fault in FAULTS}
    groups = [[fault for fault in FAULTS if goes(fault)] for _, goes in GROUPS]
    place = rng.choices(range(len(groups)), [1 + sum(lacking[f] for f in group) for group in groups])[0]
    pool = [fault for fault in groups[place] for _ in range(min(lacking[fault], EACH))]
    chosen = rng.sample(pool, min(MOST, len(pool))) + rng.choices(groups[place], k=max(0, LEAST - len(pool)))
    nodes = rng.choice(GROUPS[place][0])
    backlogs = (0, 300_000, 400_000, 600_000) if nodes == 1 else (0, 100_000, 200_000)
    options = {
        "--plan": ",".join(fault.name for fault in chosen),
        "--seed": rng.randrange(10**9),
        "--nodes": nodes,
        "--workers": rng.choice((2, 2, 3)),
        "--session": PATIENT if place == len(GROUPS) - 1 else rng.choice((2, 2, 2, 3)),
        "--watchdog": rng.choice((2, 2, 4, 10)),
        "--rate": rng.choice((200, 400)),
        "--hot": rng.choice((0, 1000)),
        "--backlog": rng.choice(backlogs) if signals < SIGNALS else 0,
        "--gap": rng.choice((0.1, 0.2)),
    }
    more = ["--overlap"] if not alone or rng.random() < 0.85 else []
    return [text for name, value in options.items() for text in (name, str(value))] + more


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--file", type=Path, default=ROOT / "docs" / "results" / "chaos.jsonl")
    parser.add_argument("--lanes", type=int, default=2, help="runs at once")
    given = parser.parse_args()
    given.file.parent.mkdir(parents=True, exist_ok=True)
    end, failed, rng = time.monotonic() + 60 * given.minutes, [], random.SystemRandom()

    planned: Counter[str] = Counter()
    """What runs now, in all lanes."""
    planning = threading.Lock()

    def lane() -> None:
        while time.monotonic() < end:
            with planning:
                counts, signals = done(given.file)
                options = plan(counts + planned, signals, random.Random(rng.random()), alone=given.lanes == 1)
                own = Counter(options[1].split(","))
                planned.update(own)
            CONSOLE.print(f"python -m tests.chaos {' '.join(options)}", style="dim", soft_wrap=True)
            stories = given.file.parent / f"violations-{options[3]}.txt"
            command = [
                sys.executable,
                "-m",
                "tests.chaos",
                *options,
                "--append",
                given.file,
                "--stories",
                stories,
            ]
            run = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
            with planning:
                planned.subtract(own)
            if run.returncode:
                failed.append(options)
                CONSOLE.print(
                    f"FAILED with {run.returncode}: {' '.join(options)}\n{run.stderr[-3000:]}", markup=False
                )

    lanes = [threading.Thread(target=lane) for _ in range(given.lanes)]
    for thread in lanes:
        thread.start()
    for thread in lanes:
        thread.join()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
