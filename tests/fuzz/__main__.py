"""`make fuzz`: mutants of real bytes, then what Hypothesis draws, to everything that reads bytes from outside.

    python -m tests.fuzz --count 1000000 --examples 10000 --seed 7 --seconds 600
    python -m tests.fuzz --reproduce fuzz-found/signal--JSON.0123456789ab

Exit code 1 when an input broke something; the line says which, and where it is kept.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from tests.fuzz.run import FoundError, Runner
from tests.fuzz.targets import targets

MOST_MEMORY = 50.0
"""MiB that the peak of the process may be above its start."""


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--count", type=int, default=10_000_000, help="mutants of real bytes (%(default)s)")
    parser.add_argument("--examples", type=int, default=100_000, help="inputs of Hypothesis (%(default)s)")
    parser.add_argument("--seconds", type=float, default=1e9, help="no more mutants after that time")
    parser.add_argument(
        "--seed", type=int, default=int(time.time()), help="of the random numbers (the clock)"
    )
    parser.add_argument("--target", action="append", help="only this one; repeatable")
    parser.add_argument("--results", type=Path, help="append a line of JSON about the run to this file")
    parser.add_argument(
        "--found", type=Path, default=Path("fuzz-found"), help="folder for inputs that broke something"
    )
    parser.add_argument(
        "--reproduce", type=Path, help="read this input again, by the target that its name tells"
    )
    asked = parser.parse_args()
    names = [target.name for target in targets()]
    for name in asked.target or ():
        if name not in names:
            parser.error(f"--target: no target {name!r}, there are {', '.join(names)}")
    return asked


def table(runner: Runner) -> Table:
    """The account of a run, for people."""
    found = Table(title=f"{runner.mutated:,} mutants, {runner.examples:,} of Hypothesis, seed {runner.seed}")
    for title in ("target", "inputs", "values", "dead letters", "slowest", "of", "most often dead for"):
        found.add_column(title, justify="left" if title[0] in "tm" else "right")
    for name, tally in runner.tallies.items():
        often = ", ".join(f"{reason} {count:,}" for reason, count in tally.dead.most_common(3))
        dead = tally.dead.total()
        slowest = (f"{tally.slowest * 1000:.2f} ms", f"{tally.size:,} B")
        found.add_row(name, f"{tally.inputs:,}", f"{tally.ok:,}", f"{dead:,}", *slowest, often)
    return found


def reproduce(path: Path) -> None:
    """Read one kept input again, and show what it does."""
    for target in targets():
        if path.name.startswith("".join(char if char.isalnum() else "-" for char in target.name) + "."):
            print(target.name, target.read(path.read_bytes()))


def main() -> int:
    """Exit code."""
    asked, console = arguments(), Console()
    if asked.reproduce:
        reproduce(asked.reproduce)
        return 0
    chosen = [target for target in targets() if not asked.target or target.name in asked.target]
    runner = Runner(chosen, asked.seed, asked.found)
    try:
        with Progress(console=console, disable=not console.is_terminal) as progress:
            mutants = progress.add_task("mutants", total=asked.count)
            runner.mutate(asked.count, asked.seconds, lambda done: progress.update(mutants, completed=done))
            examples = progress.add_task("Hypothesis", total=asked.examples)
            runner.draw(asked.examples, lambda done: progress.update(examples, completed=done))
    except FoundError as error:
        console.print(table(runner))
        console.print(f"found: {error}", markup=False)
        return 1
    console.print(table(runner))
    above = runner.above_start
    console.print(f"{runner.left:.0f} s; memory at its peak {above:.1f} MiB above its start")
    if asked.results:
        with asked.results.open("a") as file:
            file.write(json.dumps(runner.result(), ensure_ascii=False) + "\n")
    if above > MOST_MEMORY:
        console.print(f"found: more than {MOST_MEMORY:.0f} MiB above the start")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
