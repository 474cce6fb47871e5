"""Run faults of bridges and engines, and check: `python -m tests.chaos.bridges --help`."""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from tests.chaos.bridges.bugs import BUGS, SHOWN_BY
from tests.chaos.bridges.faults import OF_NODE, OF_SERVERS
from tests.chaos.bridges.run import run

CONSOLE: Final = Console(stderr=True)
FAULTS: Final = (*OF_NODE, *OF_SERVERS)
ATTEMPTS: Final = 5
"""Runs in which a bug must be found."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.bridges", description=__doc__)
    parser.add_argument("--seed", type=int, help="default: random")
    parser.add_argument("--faults", default=",".join(OF_NODE), help=f"comma-separated: {', '.join(FAULTS)}")
    parser.add_argument("--count", type=int, default=1, help="injections of each (default: 1)")
    parser.add_argument("--plan", help="comma-separated names in the order of injection, instead of both")
    parser.add_argument("--nodes", type=int, default=4, help="engine nodes (default: 4)")
    parser.add_argument("--size", type=int, default=8, help="faults at each node between two comparisons (default: 8)")
    parser.add_argument("--append", type=Path, help="append each result to this file of JSON lines")
    parser.add_argument("--until", type=int, default=0, help="run until the file has so many injections of each fault")
    parser.add_argument("--minutes", type=float, default=60, help="start no run after this time (default: 60)")
    parser.add_argument("--bug", default="", choices=("", *BUGS), help="an error in the bridges (see bugs.py)")
    parser.add_argument("--bite", action="store_true", help="check that each such error (or only --bug) is found")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that context managers stop servers and bridges
    if given.bite:
        return _bite(given)
    end, failed = time.monotonic() + 60 * given.minutes, False
    while True:
        seed = given.seed if given.seed is not None else random.SystemRandom().randrange(10**6)
        plan = _missing(given, seed) if given.until else _plan(given, seed)
        if not plan:
            return failed
        failed = bool(_one(given, seed, plan, given.bug)["violations"]) or failed
        if not given.until or time.monotonic() > end:
            return failed


def _plan(given: argparse.Namespace, seed: int) -> list[str]:
    if given.plan:
        return str(given.plan).split(",")
    plan = given.faults.split(",") * given.count
    random.Random(seed).shuffle(plan)
    return list(plan)


def _missing(given: argparse.Namespace, seed: int) -> list[str]:
    """Return two rounds of what the file lacks, the rarest first."""
    done: Counter[str] = Counter()
    for line in given.append.read_text().splitlines() if given.append.exists() else ():
        result = json.loads(line)
        done.update(result["injections"] if not result["violations"] else {})
    lacking = {name: max(0, given.until - done[name]) for name in given.faults.split(",")}
    CONSOLE.print(f"missing: {lacking}", style="dim")
    pool = [name for name, number in lacking.items() for _ in range(number)]
    rng = random.Random(seed)
    rng.shuffle(pool)
    return pool[: 2 * given.size * given.nodes]


def _one(given: argparse.Namespace, seed: int, plan: list[str], bug: str) -> dict[str, Any]:
    CONSOLE.print(f"seed {seed}: {len(plan)} injections")
    path = Path(f"bridges-{seed}.txt")
    result = run(seed, plan, nodes=given.nodes, size=given.size, bug=bug, report=path, say=_say)
    if violations := result["violations"]:
        CONSOLE.print(f"{len(violations)} violations, seed {seed}; see {path}", style="bold red")
        for text in violations[:5]:
            CONSOLE.print(text[:800], markup=False)
    shown = {**result, "violations": len(violations)}
    print(json.dumps(shown), flush=True)
    if given.append and not bug:
        with given.append.open("a") as file:
            file.write(json.dumps(shown) + "\n")
    return result


def _say(text: str) -> None:
    CONSOLE.print(f"{time.strftime('%H:%M:%S')} {text}", style="dim", markup=False)


def _bite(given: argparse.Namespace) -> int:
    missed = 0
    for bug in [given.bug] if given.bug else BUGS:
        faults, sign = SHOWN_BY[bug]
        found, runs = "", 0
        while not found and runs < ATTEMPTS:
            runs += 1
            seed = random.SystemRandom().randrange(10**6)
            violations = _one(given, seed, faults.split(",") * (2 * given.nodes), bug)["violations"]
            found = next((text for text in violations if sign in text), "")[:300]
        missed += not found
        CONSOLE.print(f"{bug}, run {runs}: {found or 'NOT found'}", markup=False, style="" if found else "bold red")
        if given.append:
            what = (BUGS[bug].__doc__ or "").strip()
            with given.append.open("a") as file:
                file.write(json.dumps({"bug": bug, "what": what, "found": found, "runs": runs * bool(found)}) + "\n")
    return missed


if __name__ == "__main__":
    sys.exit(main())
