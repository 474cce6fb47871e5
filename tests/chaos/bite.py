"""Check that the checker catches each seeded bug: run every bug under suitable faults until a violation is found.

    python -m tests.chaos.bite [--bugs NAME,NAME] [--file docs/results/bugs.jsonl]

A bug may be caught by the unit tests of the core or by the checker. The exit code is 1 if a bug is not caught.
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

from testkit.chaos.testbed import RunConfig
from testkit.pipe import ROOT
from tests.chaos.bugs import BUGS, patch
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
    "broken_batch_of_one_offset": "broken,kill",
}
"""The faults that reveal a bug; the other bugs show under any rebalance."""
OTHERS: Final = "rolling,kill"
NODES: Final = {"no_new_producer": 3}
"""Brokers, where one is not enough: it appends all records of a unit in one request, so that none can be lost."""
INJECTIONS: Final = 3
"""Injections per run."""
ATTEMPTS: Final = 6
"""Runs per bug."""
BROKEN: Final = re.compile(r"ended with 1 \((in bugs\.py|.*\): unexpected: )")
"""An exit caused by the patch itself: the patch must be adapted to the worker."""
OF_A_WORKER: Final = ("no recovery", "recovered only", "workers ended", "fenced", "not drained")
"""Parts of violations that concern the workers, not the topics."""
CORE_TESTS: Final = (
    "core/test_room.py",
    "core/test_deadlines.py",
    "core/test_partition.py",
    "core/test_merge.py",
    "worker/test_barrier.py",
    "worker/test_engine.py",
    "worker/test_faust_store.py",
    "worker/test_unit.py",
)
"""Unit tests, relative to tests/, that run without servers."""
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
    "gone_not_remembered",
    "gone_not_restored",
    "gone_deleted_early",
    "signal_ids_of_one_life",
    "ended_forgotten_at_play",
    "ended_only_by_a_stop",
    "rejected_not_remembered",
    "no_op_record_missing",
}
"""Bugs that the unit tests can catch."""


def bite(bug: str) -> dict[str, Any]:
    """Return what caught the bug, as a line of docs/results/bugs.jsonl."""
    faults = SHOWN_BY.get(bug, OTHERS).split(",")
    found: dict[str, Any] = {
        "bug": bug,
        "what": (BUGS[bug].__doc__ or "").strip(),
        "tests": _core_test(bug) if bug in IN_THE_CORE else "",
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
            assert not broken, f"the patch of {bug} fails by itself, adapt it to the worker: {broken[0]}"
            first = _telling(result["violations"])
            return {**found, "harness": first.splitlines()[0][:160], "runs": attempt + 1}
    return {**found, "harness": "", "runs": ATTEMPTS}


def _setting(bug: str, seed: int, proxied: bool) -> RunConfig:
    nodes = NODES.get(bug, 1)
    return RunConfig(
        seed,
        nodes=nodes,
        rate=300,
        rooms=150,
        hot=50,
        watchdog=2,
        session=3,
        proxied=proxied,
        patch=patch(bug),
    )


def _telling(violations: list[str]) -> str:
    """Return the most specific violation: one of the topics or, if the workers are stuck, one of the workers."""
    stuck = any("not drained" in text for text in violations)
    return min(violations, key=lambda text: any(sign in text for sign in OF_A_WORKER) != stuck)


def _core_test(bug: str) -> str:
    """Return the first unit test that fails with the bug, or ""."""
    files = [str(ROOT / "tests" / name) for name in CORE_TESTS]
    code = (
        f"import sys, pytest\nfrom tests.chaos.bugs import BUGS\nBUGS[{bug!r}]()\n"
        f"sys.exit(pytest.main({files} + ['-x', '-q', '--no-header', '-p', 'no:cacheprovider']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    return failed[0].split(" - ")[0].removeprefix("FAILED tests/") if failed else ""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.bite", description=__doc__.splitlines()[0])
    parser.add_argument("--bugs", default=",".join(BUGS), help="comma-separated names (default: all)")
    parser.add_argument("--parallel", type=int, default=2, help="concurrent runs (default: 2)")
    parser.add_argument("--file", type=Path, help="append the results to this file of JSON lines")
    given = parser.parse_args()
    console = Console()
    missed = 0
    with ThreadPoolExecutor(given.parallel) as pool:
        for found in pool.map(bite, given.bugs.split(",")):
            caught = found["harness"] or found["tests"]
            missed += not caught
            style = "" if caught else "bold red"
            console.print(
                f"{found['bug']}: {found['injections']} injections in {found['runs']} runs: "
                f"{found['harness'] or 'NOT caught by the checker'}; unit test: {found['tests'] or '-'}",
                markup=False,
                style=style,
            )
            if given.file:
                with given.file.open("a") as file:
                    file.write(json.dumps(found) + "\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
