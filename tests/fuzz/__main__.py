"""Feed mutated seeds, then inputs drawn by Hypothesis, to all parsers of external bytes (`make fuzz`).

Then write broken record batches to a real broker, with a worker that reads them.

    python -m tests.fuzz --count 1000000 --examples 10000 --batches 20000 --seed 7 --seconds 600
    python -m tests.fuzz --target "record batch, worker"
    python -m tests.fuzz --reproduce fuzz-found/signal--JSON.0123456789ab

The exit code is 1 if an input fails; the input is saved to a file, which the output names.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from tests.fuzz import live
from tests.fuzz.run import FoundError, Runner
from tests.fuzz.targets import targets


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=10_000_000, help="mutants (default: %(default)s)")
    parser.add_argument("--examples", type=int, default=100_000, help="Hypothesis inputs (default: %(default)s)")
    parser.add_argument(
        "--batches", type=int, default=200_000, help="record batches for a broker and a worker (default: %(default)s)"
    )
    parser.add_argument(
        "--seconds", type=float, default=1e9, help="stop mutating, and writing batches, after this time"
    )
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
    names = [*(target.name for target in targets()), live.NAME]
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


def live_table(run: live.Live) -> Table:
    """Return the counts of a run with a broker as a table."""
    found = Table(title=f"{run.batches:,} record batches, {run.stored:,} stored by the broker, seed {run.seed}")
    for title in ("damaged", "batches", "stored", "refused, by error code"):
        found.add_column(title, justify="left" if title[0] in "dr" else "right")
    for kind, answers in sorted(run.answers.items()):
        refused = ", ".join(f"{code}: {count:,}" for code, count in answers.most_common() if code)
        found.add_row(kind, f"{answers.total():,}", f"{answers[0]:,}", refused)
    return found


def reproduce(path: Path) -> None:
    """Parse one saved input and print the result; or write saved batches to a broker, one by one."""
    if path.name.startswith("record-batches."):
        with live.on_servers(0, path.parent) as run:
            run.replay(live.saved(path))
        print(f"{live.NAME}: no failure")
        return
    for target in targets():
        if path.name.startswith("".join(char if char.isalnum() else "-" for char in target.name) + "."):
            print(target.name, target.read(path.read_bytes()))


def parse(given: argparse.Namespace, console: Console) -> list[str]:
    """Feed the parsers in this process; return what was found."""
    chosen = [target for target in targets() if not given.target or target.name in given.target]
    if not chosen:
        return []
    runner = Runner(chosen, given.seed, given.found)
    found = []
    try:
        with Progress(console=console, disable=not console.is_terminal) as progress:
            mutants = progress.add_task("mutants", total=given.count)
            runner.mutate(given.count, given.seconds, lambda done: progress.update(mutants, completed=done))
            examples = progress.add_task("Hypothesis", total=given.examples)
            runner.draw(given.examples, lambda done: progress.update(examples, completed=done))
    except FoundError as error:
        found.append(str(error))
    console.print(table(runner))
    console.print(f"{runner.elapsed:.0f} s; memory peak {runner.above_start:.1f} MiB above the start")
    if not found:
        save(given.results, runner.result())
    return [*found, *runner.too_large()]


def write(given: argparse.Namespace, console: Console) -> list[str]:
    """Write batches to a broker with a worker; return what was found."""
    if not given.batches or (given.target and live.NAME not in given.target):
        return []
    with live.on_servers(given.seed, given.found) as run:
        found = []
        try:
            with Progress(console=console, disable=not console.is_terminal) as progress:
                batches = progress.add_task("record batches", total=given.batches)
                run.run(given.batches, given.seconds, lambda done: progress.update(batches, completed=done))
        except FoundError as error:
            found.append(str(error))
    console.print(live_table(run))
    waits = ", ".join(f"{name} {value * 1000:.0f} ms" for name, value in live.quantiles(run.waits).items())
    console.print(
        f"{run.seconds:.0f} s; {len(run.waits):,} good signals waited: {waits}; {run.slow_rounds} slow rounds"
    )
    console.print(f"{run.dead:,.0f} dead letters; memory peak {run.above:.1f} MiB above idle ({run.idle:.0f} MiB)")
    if not found:
        save(given.results, run.result())
    return found


def save(results: Path | None, result: dict[str, Any]) -> None:
    """Append a result to the file, if one was given."""
    if results is not None:
        with results.open("a") as file:
            file.write(json.dumps(result, ensure_ascii=False) + "\n")


def main() -> int:
    """Run the command and return its exit code."""
    given, console = arguments(), Console()
    if given.reproduce:
        reproduce(given.reproduce)
        return 0
    found = [*parse(given, console), *write(given, console)]
    for line in found:
        console.print(f"found: {line}", markup=False)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
