"""Tables of the fault-injection results in docs/results/chaos.jsonl and docs/results/bugs.jsonl."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from pathlib import Path
from typing import Any, Final

RESULTS: Final = Path(__file__).resolve().parent.parent / "docs" / "results"


def lines(name: str) -> list[dict[str, Any]]:
    """Return the results in a file of JSON lines, empty if the file is missing."""
    file = RESULTS / name
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def faults() -> list[tuple[str, ...]]:
    """Return a row per fault: injections in all runs; pauses and recoveries in runs without overlapping faults."""
    runs = lines("chaos.jsonl")
    injections: Counter[str] = Counter()
    for run in runs:
        injections.update(run["injections"])
    alone = [run for run in runs if not run["overlap"]]
    rows = [
        (
            "fault",
            "injections",
            "pause of affected partitions, s",
            "of the others, s",
            "caught up after its end, s",
        )
    ]
    for fault, number in sorted(injections.items()):
        hit, kept, settled = (
            _spread([value for run in alone for value in run[column].get(name, [])])
            for column, name in (("silence", fault), ("silence", f"{fault}, kept"), ("settled", fault))
        )
        rows.append((f"`{fault}`", str(number), hit, kept, settled))
    return rows


def sums() -> list[tuple[str, ...]]:
    """Return the totals of all runs."""
    runs = lines("chaos.jsonl")
    calm = [run["timeouts_caught_up"] for run in runs if run["timeouts_caught_up"]["n"]]
    middle = [quantiles["p50"] for quantiles in calm for _ in range(quantiles["n"])]
    exits: Counter[str] = Counter()
    for run in runs:
        exits.update(run["exits"])
    return [
        ("", "total"),
        ("runs, each with its seed", str(len(runs))),
        ("injections", str(sum(sum(run["injections"].values()) for run in runs))),
        ("signals checked", f"{sum(run['signals'] for run in runs):,}"),
        ("events checked", f"{sum(run['events'] for run in runs):,}"),
        ("violations", str(sum(run["violations"] for run in runs))),
        ("timeouts", f"{sum(run['timeouts']['n'] for run in runs):,}"),
        ("… while the partition was caught up", f"{sum(quantiles['n'] for quantiles in calm):,}"),
        ("… time after the deadline, s (p50, max)", _pair(middle, [q["max"] for q in calm])),
        (
            "timeouts before a signal whose acknowledgement came too late",
            str(sum(run["excused"] for run in runs)),
        ),
        (
            "runs without a lost worker and with equal counters",
            str(sum(r["counters"] == "equal" for r in runs)),
        ),
        ("worker exits by code", ", ".join(f"{code}: {number}" for code, number in sorted(exits.items()))),
    ]


def bugs() -> list[tuple[str, ...]]:
    """Return a row per seeded bug: whether the harness and which test of the core caught it."""
    latest = {found["bug"]: found for found in lines("bugs.jsonl")}
    rows = [("bug", "effect", "harness", "injections", "test of the core")]
    for found in latest.values():
        caught = "caught" if found["harness"] else "**not caught**"
        test = f"`{found['tests'].split('::')[-1]}`" if found["tests"] else "–"
        rows.append((f"`{found['bug']}`", found["what"], caught, str(found["injections"]), test))
    return rows


def _spread(values: list[float]) -> str:
    """Return median and maximum as text."""
    return f"{statistics.median(values):.1f} / {max(values):.1f}" if values else "–"


def _pair(middle: list[float], most: list[float]) -> str:
    return f"{statistics.median(middle):.2f}, {max(most):.2f}" if middle else "–"


def bridges() -> list[tuple[str, ...]]:
    """Return a row per fault of bridges and engines, and the totals of all runs."""
    runs = lines("bridges.jsonl")
    injections: Counter[str] = Counter()
    for run in runs:
        injections.update(run["injections"])
    sums = {name: sum(run[name] for run in runs) for name in ("signals", "events", "commands", "playbacks", "rounds")}
    return [
        ("", "total"),
        *((f"`{fault}`", str(number)) for fault, number in sorted(injections.items())),
        ("injections in all", str(injections.total())),
        ("comparisons of all engines with the view", str(sums.pop("rounds"))),
        *((f"{name} checked", f"{number:,}") for name, number in sums.items()),
        ("violations", str(sum(run["violations"] for run in runs))),
    ]


def bridge_bugs() -> list[tuple[str, ...]]:
    """Return a row per error that was built into the bridge, and what the checks found."""
    latest = {found["bug"]: found for found in lines("bridge_bugs.jsonl")}
    return [
        ("error", "effect", "found in run"),
        *((f"`{one['bug']}`", one["what"], str(one["runs"] or "**not found**")) for one in latest.values()),
    ]
