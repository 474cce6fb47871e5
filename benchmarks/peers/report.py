"""The tables of a run in Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable

from benchmarks.peers.contestants import Contestant
from benchmarks.peers.latency import Latency, steady
from benchmarks.peers.throughput import Throughput


def spread(values: Iterable[float], digits: int = 1) -> str:
    """Format the median and the range."""
    found = sorted(values)
    if not found:
        return "-"
    middle, least, most = (f"{one:,.{digits}f}" for one in (statistics.median(found), found[0], found[-1]))
    return middle if least == most else f"{middle} ({least}–{most})"


def by_name(runs: list[Throughput]) -> dict[str, list[Throughput]]:
    """Group the runs by contestant, ordered by round."""
    found: dict[str, list[Throughput]] = {}
    for run in sorted(runs, key=lambda run: run.round):
        found.setdefault(run.contestant, []).append(run)
    return found


def _paired(pipeline: list[Throughput], peer: list[Throughput], what: Callable[[Throughput], float]) -> list[float]:
    rounds = {run.round: what(run) for run in pipeline}
    return [rounds[run.round] / max(what(run), 1e-9) for run in peer if run.round in rounds]


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return lines + [f"| {' | '.join(row)} |" for row in rows] + [""]


def throughput(contestants: list[Contestant], runs: list[Throughput], failures: list[str]) -> list[str]:
    """Return the throughput table: median (range) over the rounds."""
    found = by_name(runs)
    pipeline = found.get("ours", [])
    rows = []
    for one in contestants:
        mine = found.get(one.name, [])
        if not mine:
            continue
        wrong: dict[str, int] = {}
        for run in mine:
            for kind, count in run.violations.items():
                wrong[kind] = wrong.get(kind, 0) + count
        rows.append(
            [
                one.title,
                "exactly once" if one.exactly_once else "at least once",
                f"{sum(run.signals for run in mine):,}",
                spread(run.k_per_s for run in mine),
                spread(run.worker_us for run in mine),
                spread(run.broker_us for run in mine),
                spread(_paired(pipeline, mine, lambda run: run.k_per_s), 2),
                spread(_paired(pipeline, mine, lambda run: run.worker_us), 2),
                spread(_paired(pipeline, mine, lambda run: run.worker_us + run.broker_us), 2),
                spread((run.peak_mb for run in mine), 0),
                ", ".join(f"{kind}: {count}" for kind, count in wrong.items()) or "0",
            ]
        )
    head = [
        "contestant", "delivery", "signals measured", "k signals/s", "its CPU, µs/signal",
        "broker's CPU, µs/signal", "pipeline ÷ it, signals/s", "pipeline ÷ it, its CPU",
        "pipeline ÷ it, CPU of both", "peak memory, MiB", "violations",
    ]  # fmt: skip
    return _table(head, rows) + [f"- failed: {text}" for text in failures]


def latency(contestants: list[Contestant], runs: list[Latency]) -> list[str]:
    """Return the latency table, from append to visible: median (range) over the rounds."""
    titles = {one.name: one.title for one in contestants}
    rows = []
    for mine in by_rate(runs):
        good = [run for run in mine if run.complete]
        figures = [spread(getattr(run, what) for run in steady(mine)) for what in ("p50", "p99", "p999")]
        rate = spread((run.rate for run in mine), 0) if mine[0].nominal else f"{mine[0].rate:,.0f}"
        slow = [f"the sender reached {run.sent:,.0f} signals/s" for run in good if run.sent < 0.95 * run.rate]
        rows.append(
            [
                titles[mine[0].contestant],
                rate + mine[0].nominal,
                spread((run.carried for run in mine), 0),
                *figures,
                *(spread((getattr(run, what) for run in good), 2) for what in ("cores", "broker_cores")),
                f"{sum(run.signals for run in good):,}",
                f"{len(good)} of {len(mine)}",
                "; ".join([run.note for run in mine if run.note] + slow),
            ]
        )
    head = [
        "contestant", "signals sent/s", "events received/s", "p50, ms", "p99, ms", "p99.9, ms", "its cores",
        "broker's cores", "signals",
        "rounds with all events", "note",
    ]  # fmt: skip
    return _table(head, rows)


def by_rate(runs: Iterable[Latency]) -> list[list[Latency]]:
    """Group the runs by contestant and rate, ordered by rate."""
    found: dict[tuple[str, float | str], list[Latency]] = {}
    for run in runs:
        found.setdefault((run.contestant, run.nominal or run.rate), []).append(run)
    return sorted(found.values(), key=lambda mine: (mine[0].nominal, 0 if mine[0].nominal else mine[0].rate))
