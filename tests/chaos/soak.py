"""Run faults with new seeds until the time is over, starting with the fault classes that have the fewest injections.

    python -m tests.chaos.soak --minutes 60 --file docs/results/chaos.jsonl

Each run is a separate process that appends its result as one line to the file.
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
"""Injections per fault class, by kind, to reach in the file."""
LATE: Final = 100
"""The same for the classes that delay a transactional request."""
MOST: Final = 80
"""Maximum injections of a run."""
LEAST: Final = 20
"""Minimum injections of a run."""
EACH: Final = 30
"""Maximum entries of one class in the pool from which a run's injections are drawn."""
SIGNALS: Final = 5_000_000
"""Signals to reach over all runs; until then, most runs begin with a backlog."""
BESIDE: Final = {"kill", "freeze_long", "pair", "abort", "compaction"}
"""Faults that runs with three brokers add to the cluster faults."""
GROUPS: Final[tuple[tuple[tuple[int, ...], Callable[[Fault], bool]], ...]] = (
    ((1,), lambda fault: fault.kind in {"worker", "broker", "data"}),
    ((3,), lambda fault: fault.kind == "cluster" or fault.name in BESIDE),
    ((1, 1, 1, 1, 3), lambda fault: fault.kind in {"worker", "network"}),
    ((1, 1, 1, 1, 3), lambda fault: fault.survived),
)
"""Groups of faults that share a run, with the numbers of brokers to choose from. An injection takes twice as long with
three brokers. In the last group no worker ends, so that counters can be compared."""
PATIENT: Final = 10
"""Session timeout of the last group in seconds: if the machine stalls for longer, workers are expelled."""
CONSOLE = Console(stderr=True)


def done(file: Path) -> tuple[Counter[str], int]:
    """Return the file's injections per fault class, and its signals."""
    counts: Counter[str] = Counter()
    signals = 0
    for line in file.read_text().splitlines() if file.exists() else ():
        result = json.loads(line)
        counts.update(result["injections"])
        signals += result["signals"]
    return counts, signals


def target(fault: Fault) -> int:
    """Return the number of injections to reach for this class."""
    return LATE if fault.name.startswith("late_") else TARGET[fault.kind]


def plan(counts: Counter[str], signals: int, rng: random.Random, *, alone: bool) -> list[str]:
    """Return the next run's arguments: a group of faults, chosen by what is missing, filled up to a minimum.

    Only a run that is `alone` on the machine may wait for recoveries and time them.
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
    parser.add_argument("--minutes", type=float, default=60, help="start no run after this time (default: 60)")
    parser.add_argument(
        "--file",
        type=Path,
        default=ROOT / "docs" / "results" / "chaos.jsonl",
        help="JSON lines of results (default: docs/results/chaos.jsonl)",
    )
    parser.add_argument("--parallel", type=int, default=2, help="concurrent runs (default: 2)")
    given = parser.parse_args()
    given.file.parent.mkdir(parents=True, exist_ok=True)
    end, failed, rng = time.monotonic() + 60 * given.minutes, [], random.SystemRandom()

    planned: Counter[str] = Counter()
    """Injections of the current runs."""
    planning = threading.Lock()

    def work() -> None:
        while time.monotonic() < end:
            with planning:
                counts, signals = done(given.file)
                options = plan(counts + planned, signals, random.Random(rng.random()), alone=given.parallel == 1)
                own = Counter(options[1].split(","))
                planned.update(own)
            CONSOLE.print(f"python -m tests.chaos {' '.join(options)}", style="dim", soft_wrap=True)
            report = given.file.parent / f"violations-{options[3]}.txt"
            command = [
                sys.executable,
                "-m",
                "tests.chaos",
                *options,
                "--append",
                given.file,
                "--report",
                report,
            ]
            run = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
            with planning:
                planned.subtract(own)
            if run.returncode:
                failed.append(options)
                CONSOLE.print(f"FAILED with {run.returncode}: {' '.join(options)}\n{run.stderr[-3000:]}", markup=False)

    threads = [threading.Thread(target=work) for _ in range(given.parallel)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
