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

from tests.chaos.faults import FAULTS, Fault
from tests.pipe import ROOT

TARGET: Final = {"worker": 100, "broker": 30, "cluster": 30, "network": 30, "data": 30}
"""Injections of each class of a kind that the file shall hold."""
LATE: Final = 100
"""... and of each class in which an answer or a request of a transaction is late."""
PLAN: Final = 80
GROUPS: Final[tuple[tuple[tuple[int, ...], Callable[[Fault], bool]], ...]] = (
    ((1,), lambda fault: fault.kind in {"worker", "broker", "data"}),
    ((3,), lambda fault: fault.kind in {"worker", "cluster", "data"} and fault.name != "retention"),
    ((1, 3), lambda fault: fault.kind in {"worker", "network"}),
    ((1, 3), lambda fault: fault.outlived),
)
"""What goes together in one run: numbers of brokers, and which faults. In the last no worker ends: counters are compared."""
CONSOLE = Console(stderr=True)


def done(file: Path) -> Counter[str]:
    """Injections per fault class so far."""
    counts: Counter[str] = Counter()
    for line in file.read_text().splitlines() if file.exists() else ():
        counts.update(json.loads(line)["injections"])
    return counts


def target(fault: Fault) -> int:
    """How often this class shall be injected."""
    return LATE if fault.name.startswith("late_") else TARGET[fault.kind]


def plan(counts: Counter[str], rng: random.Random) -> list[str]:
    """Arguments of the next run: faults that go together, those first that lack most."""
    lacking = {fault: max(0, target(fault) - counts[fault.name]) for fault in FAULTS}
    groups = [[fault for fault in FAULTS if goes(fault)] for _, goes in GROUPS]
    place = rng.choices(range(len(groups)), [1 + sum(lacking[f] for f in group) for group in groups])[0]
    chosen = rng.choices(groups[place], [lacking[fault] + 0.5 for fault in groups[place]], k=PLAN)
    nodes = rng.choice(GROUPS[place][0])
    options = {
        "--plan": ",".join(fault.name for fault in chosen),
        "--seed": rng.randrange(10**9),
        "--nodes": nodes,
        "--workers": rng.choice((2, 2, 3)),
        "--session": rng.choice((2, 2, 2, 3)),
        "--watchdog": rng.choice((2, 2, 4, 10)),
        "--rate": rng.choice((200, 400)),
        "--hot": rng.choice((0, 1000)),
        "--backlog": rng.choice((0, 300_000, 400_000, 600_000) if nodes == 1 else (0, 100_000, 200_000)),
        "--gap": rng.choice((0.1, 0.2)),
    }
    more = ["--overlap"] if rng.random() < 0.85 else []
    return [text for name, value in options.items() for text in (name, str(value))] + more


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--file", type=Path, default=ROOT / "docs" / "results" / "chaos.jsonl")
    parser.add_argument("--lanes", type=int, default=2, help="runs at once")
    given = parser.parse_args()
    given.file.parent.mkdir(parents=True, exist_ok=True)
    end, failed, rng = time.monotonic() + 60 * given.minutes, [], random.SystemRandom()

    def lane() -> None:
        while time.monotonic() < end:
            options = plan(done(given.file), random.Random(rng.random()))
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


def missing(file: Path) -> int:
    """Injections that the file still lacks."""
    counts = done(file)
    return sum(max(0, target(fault) - counts[fault.name]) for fault in FAULTS)


if __name__ == "__main__":
    sys.exit(main())
