"""Run faults against a pipeline and check the topics: `python -m tests.chaos --help`."""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import time
from pathlib import Path

from rich.console import Console

from testkit.chaos.testbed import RunConfig
from tests.chaos.bugs import BUGS, patch
from tests.chaos.faults import BY_NAME, FAULTS
from tests.chaos.run import run

CONSOLE = Console(stderr=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description="Inject faults into a running pipeline, then check all topics.",
    )
    kinds = sorted({fault.kind for fault in FAULTS})
    parser.add_argument(
        "--faults",
        default="kill",
        help=f"comma-separated names ({', '.join(BY_NAME)}) or kinds ({', '.join(kinds)})",
    )
    parser.add_argument(
        "--plan", help="comma-separated names in the order of injection, instead of --faults and --count"
    )
    parser.add_argument("--count", type=int, default=3, help="injections of each fault (default: 3)")
    parser.add_argument("--seed", type=int, default=None, help="default: random")
    parser.add_argument("--nodes", type=int, default=1, help="brokers (default: 1)")
    parser.add_argument("--workers", type=int, default=2, help="workers (default: 2)")
    parser.add_argument("--rate", type=float, default=300.0, help="signals per second")
    parser.add_argument("--raw", type=float, default=20.0, help="raw record batches per second (default: 20)")
    parser.add_argument("--backlog", type=int, default=0, help="signals written before the workers start")
    parser.add_argument("--watchdog", type=float, default=4.0, help="watchdog timeout, seconds")
    parser.add_argument("--session", type=float, default=6.0, help="session timeout, seconds")
    parser.add_argument("--gap", type=float, default=1.0, help="mean seconds between faults")
    parser.add_argument("--hot", type=int, default=1000, help="members of the one large room; 0: no such room")
    parser.add_argument(
        "--bug",
        default="",
        choices=("", *BUGS),
        metavar="NAME",
        help="run the workers with this seeded bug (tests/chaos/bugs.py, bugs_rules.py)",
    )
    parser.add_argument("--overlap", action="store_true", help="do not wait for recovery between faults")
    parser.add_argument("--append", type=Path, help="append the result to this file of JSON lines")
    parser.add_argument(
        "--report", type=Path, help="write violations and diagnostics to this file (default: chaos-SEED.txt)"
    )
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that context managers stop servers and workers
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(10**6)
    names = [f.name for f in FAULTS if f.name in given.faults.split(",") or f.kind in given.faults.split(",")]
    plan = names * given.count
    random.Random(seed).shuffle(plan)
    if given.plan:
        plan = given.plan.split(",")
        names = sorted(set(plan))
    config = RunConfig(
        seed=seed, nodes=given.nodes, workers=given.workers, rate=given.rate, watchdog=given.watchdog,
        session=given.session, hot=given.hot, raw=given.raw, fixed_ids=seed % 2 == 1,
        patch=patch(given.bug) if given.bug else "",
        proxied=any(BY_NAME[name].kind == "network" for name in names),
    )  # fmt: skip
    CONSOLE.print(f"seed {seed}: {len(plan)} injections of {', '.join(names)}")
    began = time.monotonic()
    result = run(
        config,
        plan,
        gap=given.gap,
        settle=not given.overlap,
        backlog=given.backlog,
        say=lambda text: CONSOLE.print(text, style="dim"),
    )
    result["seconds"] = round(time.monotonic() - began)
    violations, facts = result.pop("violations"), result.pop("evidence")
    print(json.dumps(result, indent=1))
    if violations:
        path = given.report or Path(f"chaos-{seed}.txt")
        path.write_text("\n\n".join([*violations, facts]))
        CONSOLE.print(f"{len(violations)} violations, seed {seed}; see {path}", style="bold red")
        for violation in violations[:5]:
            CONSOLE.print(violation[:600], markup=False)
    result["violations"] = len(violations)
    if given.append:
        given.append.parent.mkdir(parents=True, exist_ok=True)
        with given.append.open("a") as file:
            file.write(json.dumps(result) + "\n")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
