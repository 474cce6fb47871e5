"""Does the checker bite? Every seeded bug, under faults that should show it, until it is caught.

    python -m tests.chaos.bite [--bugs NAME,NAME] [--file docs/results/bugs.jsonl]

A bug is caught by the pure tests, or by the harness after so many injections; a bug that nothing catches is a hole.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from testkit.chaos.world import Setting
from testkit.pipe import ROOT
from tests.chaos.bugs import BUGS
from tests.chaos.faults import BY_NAME
from tests.chaos.run import run

SHOWN_BY: Final = {
    "offsets_before_records": "stall_records",
    "no_generation_fence": "stall_offsets,stall_records",
    "no_owner_fence": "kill",
    "fence_last_committed_owner": "newcomer",
    "recovery_to_stable_offset": "stall_end",
    "positions_of_the_group": "offsets_lost",
    "no_new_producer": "late_end",
    "watchdog_by_wall_clock": "freeze_short,clock",
    "barrier_at_stable_offset": "abort",
    "stale_table": "expelled",
    "rejected_outside_the_transaction": "stall_offsets,kill",
}
"""The faults that a bug needs; the others show under whatever makes a rebalance."""
OTHERS: Final = "rolling,kill"
NODES: Final = {"no_new_producer": 3}
"""Brokers, where one is not enough: with one, all records of a unit are appended at once, and nothing gets lost."""
INJECTIONS: Final = 3
ATTEMPTS: Final = 6
BROKEN: Final = re.compile(r"ended with 1 \((in bugs\.py|.*\): unexpected: )")
"""A worker that ended so has stumbled over the patch, which is no longer the bug that it was."""
OF_A_WORKER: Final = ("no recovery", "recovered only", "workers ended", "fenced", "not drained")
"""Signs of what is wrong with the workers, not with what they wrote."""
PURE: Final = (
    "test_room.py",
    "test_deadlines.py",
    "test_partition.py",
    "test_merge.py",
    "test_worker_parts.py",
    "test_worker_positions.py",
)
IN_THE_CORE: Final = {
    "deadline_new_after_pause",
    "toggle_without_memory",
    "sequence_anew_after_restore",
    "recent_not_restored",
    "deadlines_not_restored",
    "queue_lost_on_rebalance",
    "tombstone_lost",
    "merge_without_waiting",
    "no_grace",
}
"""Bugs that the pure tests can see at all."""


def bite(bug: str) -> dict[str, Any]:
    """Who caught it."""
    faults = SHOWN_BY.get(bug, OTHERS).split(",")
    found: dict[str, Any] = {
        "bug": bug,
        "what": (BUGS[bug].__doc__ or "").strip(),
        "tests": _pure(bug) if bug in IN_THE_CORE else "",
        "injections": 0,
    }
    proxied = any(BY_NAME[name].kind == "network" for name in faults)
    for attempt in range(ATTEMPTS):
        seed = random.randrange(10**9) * 2
        plan = list(itertools.islice(itertools.cycle(faults), INJECTIONS))
        result = run(
            _setting(bug, seed, proxied),
            plan,
            gap=0.5,
            backlog=20_000 if "merge" in bug or "queue" in bug else 0,
        )
        found["injections"] += sum(result["injections"].values())
        found["seed"] = seed
        if result["violations"]:
            broken = [text for text in result["violations"] if BROKEN.search(text)]
            assert not broken, f"{bug} is no bug any more, it fails by itself: {broken[0]}"
            first = _telling(result["violations"])
            return {**found, "harness": first.splitlines()[0][:160], "runs": attempt + 1}
    return {**found, "harness": "", "runs": ATTEMPTS}


def _setting(bug: str, seed: int, proxied: bool) -> Setting:
    nodes = NODES.get(bug, 1)
    return Setting(
        seed, nodes=nodes, rate=300, rooms=150, hot=50, watchdog=2, session=3, proxied=proxied, bug=bug
    )


def _telling(violations: list[str]) -> str:
    """The one that says most: what is wrong in the logs, unless that is what nobody came to write."""
    stuck = any("not drained" in text for text in violations)
    return min(violations, key=lambda text: any(sign in text for sign in OF_A_WORKER) != stuck)


def _pure(bug: str) -> str:
    """The first of the pure tests that fails with the bug."""
    files = [str(ROOT / "tests" / name) for name in PURE]
    code = (
        f"import sys, pytest\nfrom tests.chaos.bugs import BUGS\nBUGS[{bug!r}]()\n"
        f"sys.exit(pytest.main({files} + ['-x', '-q', '--no-header', '-p', 'no:cacheprovider']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    return failed[0].split(" - ")[0].removeprefix("FAILED tests/") if failed else ""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.bite", description=__doc__.splitlines()[0])
    parser.add_argument("--bugs", default=",".join(BUGS))
    parser.add_argument("--lanes", type=int, default=2, help="runs at once")
    parser.add_argument("--file", type=Path, help="append the results to this file of JSON lines")
    given = parser.parse_args()
    console = Console()
    holes = 0
    with ThreadPoolExecutor(given.lanes) as pool:
        for found in pool.map(bite, given.bugs.split(",")):
            caught = found["harness"] or found["tests"]
            holes += not caught
            style = "" if caught else "bold red"
            console.print(
                f"{found['bug']}: {found['injections']} injections in {found['runs']} runs: "
                f"{found['harness'] or 'NOT by the harness'}; tests: {found['tests'] or '-'}",
                markup=False,
                style=style,
            )
            if given.file:
                with given.file.open("a") as file:
                    file.write(json.dumps(found) + "\n")
    return 1 if holes else 0


if __name__ == "__main__":
    sys.exit(main())
