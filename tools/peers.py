"""The comparison with other stream processors, from docs/results/peers.jsonl (`make bench-peers`)."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final

import results
from markdown import paragraph

from benchmarks.peers.contestants import contestants
from benchmarks.peers.latency import Latency, middle, steady

Rows = list[dict[str, Any]]
OURS: Final = "ours"
RATES: Final = (500.0, 2000.0)


def table() -> list[tuple[str, ...]]:
    """Return a row per contestant, the fastest first: medians over the rounds, latencies at two rates."""
    rows = results.lines("peers.jsonl")
    runs, latencies = _by_name(rows, "throughput"), _by_name(rows, "latency")
    titles = {one.name: one.title for one in contestants([], 0, 0)}
    head = (
        "", "k signals/s", "CPU, µs/signal", "broker CPU, µs/signal", "throughput ratio", "CPU ratio",
        *(f"p50 / p99 at {rate:,.0f}/s, ms" for rate in RATES),
    )  # fmt: skip
    lines = []
    for name in sorted(runs, key=lambda name: -_median(runs[name], "k_per_s")):
        title = f"**{titles[name]}**" if name == OURS else titles[name]
        figures = (f"{_median(runs[name], what):,.1f}" for what in ("k_per_s", "worker_us", "broker_us"))
        ratios = (_ratio(runs[OURS], runs[name], what) for what in ("k_per_s", "worker_us"))
        lines.append((title, *figures, *ratios, *(_latency(latencies[name], rate) for rate in RATES)))
    return [head, *lines]


def where() -> str:
    """Return the machine, the load and the number of violations."""
    rows = results.lines("peers.jsonl")
    facts = next(row for row in rows if row["bench"] == "settings")
    titles = {one.name: one.title for one in contestants([], 0, 0)}
    counts = {name: _violations(runs) for name, runs in _by_name(rows, "throughput").items()}
    violations = ", ".join(f"{titles[name]} {count}" for name, count in counts.items() if count) or "none"
    return paragraph(
        f"Measured {facts['at'][:10]} on {facts['machine']}, {facts['Python']}, {facts['broker']}: {facts['load']}. "
        "Figures are medians over the rounds. A ratio is conference-pipeline divided by the row, within a round. "
        f"Violations of sequence and parity in all runs: {violations}. "
        "All settings, ranges and rates: [peers.md](docs/results/peers.md)."
    )


def _by_name(rows: Rows, bench: str) -> dict[str, Rows]:
    found: dict[str, Rows] = defaultdict(list)
    for row in rows:
        if row["bench"] == bench:
            found[row["contestant"]].append(row)
    return found


def _violations(runs: Rows) -> int:
    return sum(sum(run["violations"].values()) for run in runs)


def _median(runs: Rows, what: str) -> float:
    return statistics.median(run[what] for run in runs)


def _ratio(ours: Rows, theirs: Rows, what: str) -> str:
    by_round = {run["round"]: run[what] for run in ours}
    ratios = [by_round[run["round"]] / run[what] for run in theirs if run["round"] in by_round]
    return f"{statistics.median(ratios):.2f} ×" if ratios else "–"


def _latency(rows: Rows, rate: float) -> str:
    runs = [Latency(**{what: row[what] for what in row if what != "bench"}) for row in rows]
    good = steady([run for run in runs if run.rate == rate and not run.nominal])
    if good:
        shown = middle(good)
        return f"{shown.p50:.0f} / {shown.p99:.0f}"
    return "overloaded" if rows else "–"


TABLES: Final[dict[str, Callable[[], list[tuple[str, ...]]]]] = {"peers": table}
TEXTS: Final[dict[str, Callable[[], str]]] = {"peers-where": where}
