"""Feed mutated seeds, then inputs drawn by Hypothesis, to all parsers of external bytes (`make fuzz`).

    python -m tests.fuzz --count 1000000 --examples 10000 --seed 7 --seconds 600
    python -m tests.fuzz --reproduce fuzz-found/signal--JSON.0123456789ab

The exit code is 1 if an input fails; the input is saved to a file, which the output names.
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
"""MiB by which the memory peak may exceed the start."""


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=10_000_000, help="mutants (default: %(default)s)")
    parser.add_argument("--examples", type=int, default=100_000, help="Hypothesis inputs (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=1e9, help="stop mutating after this time")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="random seed (default: the time)")
    parser.add_argument("--target", action="append", help="fuzz only this target; may be repeated")
    parser.add_argument("--results", type=Path, help="append the result to this file as a line of JSON")
    parser.add_argument(
        "--found",
        type=Path,
        default=Path("fuzz-found"),
        help="folder for failing inputs (default: %(default)s)",
    )
    parser.add_argument("--reproduce", type=Path, help="parse this saved input with the target in its file name")
    given = parser.parse_args()
    names = [target.name for target in targets()]
    for name in given.target or ():
        if name not in names:
            parser.error(f"--target: no target {name!r}, there are {', '.join(names)}")
    return given


def table(runner: Runner) -> Table:
    """Return the run's counts as a table."""
    found = Table(title=f"{runner.mutated:,} mutants, {runner.examples:,} of Hypothesis, seed {runner.seed}")
    for title in ("target", "inputs", "values", "dead letters", "slowest", "its size", "top reasons"):
        found.add_column(title, justify="left" if title[0] in "tm" else "right")
    for name, tally in runner.tallies.items():
        often = ", ".join(f"{reason} {count:,}" for reason, count in tally.dead.most_common(3))
        dead = tally.dead.total()
        slowest = (f"{tally.slowest * 1000:.2f} ms", f"{tally.size:,} B")
        found.add_row(name, f"{tally.inputs:,}", f"{tally.ok:,}", f"{dead:,}", *slowest, often)
    return found


def reproduce(path: Path) -> None:
    """Parse one saved input and print the result."""
    for target in targets():
        if path.name.startswith("".join(char if char.isalnum() else "-" for char in target.name) + "."):
            print(target.name, target.read(path.read_bytes()))


def main() -> int:
    """Run the command and return its exit code."""
    given, console = arguments(), Console()
    if given.reproduce:
        reproduce(given.reproduce)
        return 0
    chosen = [target for target in targets() if not given.target or target.name in given.target]
    runner = Runner(chosen, given.seed, given.found)
    try:
        with Progress(console=console, disable=not console.is_terminal) as progress:
            mutants = progress.add_task("mutants", total=given.count)
            runner.mutate(given.count, given.seconds, lambda done: progress.update(mutants, completed=done))
            examples = progress.add_task("Hypothesis", total=given.examples)
            runner.draw(given.examples, lambda done: progress.update(examples, completed=done))
    except FoundError as error:
        console.print(table(runner))
        console.print(f"found: {error}", markup=False)
        return 1
    console.print(table(runner))
    above = runner.above_start
    console.print(f"{runner.elapsed:.0f} s; memory peak {above:.1f} MiB above the start")
    if given.results:
        with given.results.open("a") as file:
            file.write(json.dumps(runner.result(), ensure_ascii=False) + "\n")
    if above > MOST_MEMORY:
        console.print(f"found: a memory peak of more than {MOST_MEMORY:.0f} MiB above the start")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
