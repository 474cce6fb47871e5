"""The tables of docs/guarantees.md: what the files of results say, summed."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from pathlib import Path
from typing import Any, Final

from tests.chaos.faults import FAULTS

RESULTS: Final = Path(__file__).parent.parent.parent / "docs" / "results"


def lines(name: str) -> list[dict[str, Any]]:
    """The results in a file of JSON lines, none if it is not there."""
    file = RESULTS / name
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def faults() -> list[tuple[str, ...]]:
    """Per fault class: injections, silences and recoveries, over all runs; the last row is the sum."""
    runs = lines("chaos.jsonl")
    injections: Counter[str] = Counter()
    for run in runs:
        injections.update(run["injections"])
    rows = [
        (
            "fault",
            "needs",
            "injections",
            "silence of what it hit, s",
            "of the others",
            "caught up after its end, s",
        )
    ]
    for fault in FAULTS:
        alone = [run for run in runs if not run["overlap"]]
        rows.append(
            (
                f"`{fault.name}`",
                fault.kind,
                f"{injections[fault.name]}",
                _spread([value for run in alone for value in run["silence"].get(fault.name, [])]),
                _spread([value for run in alone for value in run["silence"].get(f"{fault.name}, kept", [])]),
                _spread([value for run in alone for value in run["settled"].get(fault.name, [])]),
            )
        )
    return rows


def sums() -> dict[str, Any]:
    """Runs, signals, injections and violations in all; how late timeouts were where nothing disturbed."""
    runs = lines("chaos.jsonl")
    calm = [run["timeouts_calm"] for run in runs if run["timeouts_calm"]["n"]]
    return {
        "runs": len(runs),
        "signals": sum(run["signals"] for run in runs),
        "events": sum(run["events"] for run in runs),
        "injections": sum(sum(run["injections"].values()) for run in runs),
        "violations": sum(run["violations"] for run in runs),
        "timeouts": sum(run["timeouts"]["n"] for run in runs),
        "timeouts_calm": sum(quantiles["n"] for quantiles in calm),
        "calm_p50": statistics.median(quantiles["p50"] for quantiles in calm) if calm else None,
        "calm_max": max((quantiles["max"] for quantiles in calm), default=None),
        "excused": sum(run["excused"] for run in runs),
        "overtaken": max((run["overtaken"].get("max", 0) for run in runs), default=0),
    }


def bugs() -> list[tuple[str, ...]]:
    """Per seeded bug: who caught it."""
    latest = {found["bug"]: found for found in lines("bugs.jsonl")}
    rows = [("bug", "what it does", "the harness", "injections", "the tests of the core")]
    for found in latest.values():
        caught = "caught" if found["harness"] else "**not caught**"
        test = f"`{found['tests'].split('::')[-1]}`" if found["tests"] else "–"
        rows.append((f"`{found['bug']}`", found["what"], caught, str(found["injections"]), test))
    return rows


def _spread(values: list[float]) -> str:
    """Median and maximum."""
    return f"{statistics.median(values):.1f} / {max(values):.1f}" if values else "–"
