"""Writes the Grafana dashboard of the chart (`make chart-docs`): what a panel shows stands here, one line each.

python tools/dashboard.py            writes helm/conference-pipeline/dashboards/conference-pipeline.json
python tools/dashboard.py --check    exits with 1 if that file is another
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final, NamedTuple

FILE: Final = (
    Path(__file__).resolve().parent.parent / "helm/conference-pipeline/dashboards/conference-pipeline.json"
)
WIDTH, HEIGHT, COLUMNS = 8, 7, 24
PICKED: Final = 'namespace=~"$namespace", job=~"$job"'
"""The workers that the variables pick; an absent label is an empty one, which `.*` matches."""


class Panel(NamedTuple):
    """One graph: queries by legend. `#` in a query stands for the picked workers."""

    title: str
    unit: str
    queries: dict[str, str]
    description: str
    stacked: bool = False


def _rate(metric: str, by: str) -> dict[str, str]:
    return {f"{{{{{by}}}}}": f"sum by ({by}) (rate({metric}{{#}}[$__rate_interval]))"}


def _quantiles(metric: str) -> dict[str, str]:
    return {
        f"p{share}": f"histogram_quantile(0.{share}, sum by (le) (rate({metric}_bucket{{#}}[$__rate_interval])))"
        for share in (50, 99)
    }


def _each(metric: str) -> dict[str, str]:
    return {"{{instance}}": f"{metric}{{#}}"}


ROWS: Final[dict[str, list[Panel]]] = {
    "Flow": [
        Panel("Signals", "ops", _rate("pipeline_signals_total", "type"), "Signals taken in, by type.", True),
        Panel("Events", "ops", _rate("pipeline_events_total", "type"), "Events published, by type.", True),
        Panel(
            "Lag",
            "short",
            {"{{topic}}": "sum by (topic) (pipeline_lag_records{#})"},
            "Records appended and not yet applied.",
        ),
        Panel(
            "Latency",
            "s",
            _quantiles("pipeline_latency_seconds"),
            "From a signal's append to the commit of its events, by the broker's clock.",
        ),
        Panel(
            "Units",
            "s",
            _quantiles("pipeline_unit_seconds"),
            "One transaction: decide, write, commit.",
        ),
        Panel(
            "Signals per unit",
            "short",
            {
                "mean": "sum(rate(pipeline_unit_signals_total{#}[$__rate_interval]))"
                " / sum(rate(pipeline_unit_seconds_count{#}[$__rate_interval]))"
            },
            "Grows with the load: the cost of a transaction is shared.",
        ),
    ],
    "What should be rare": [
        Panel(
            "Rejected", "ops", _rate("pipeline_rejected_total", "reason"), "No sense in their room's state."
        ),
        Panel("Dead letters", "ops", _rate("pipeline_dead_letters_total", "topic"), "No signals at all."),
        Panel("No events", "ops", _rate("pipeline_no_ops_total", "reason"), "Signals that caused no event."),
        Panel(
            "Watchdog",
            "ops",
            {"fired": "sum(rate(pipeline_watchdog_fired_total{#}[$__rate_interval]))"},
            "Playbacks that were failed because nobody reported their end.",
        ),
        Panel(
            "Wrong partition",
            "ops",
            {"records": "sum(rate(pipeline_wrong_partition_total{#}[$__rate_interval]))"},
            "Produced with another partitioner than murmur2.",
        ),
        Panel(
            "Transactions",
            "short",
            {
                "open ones that hide signals": "sum(pipeline_open_foreign_transactions{#})",
                "of dead workers, aborted": "sum(pipeline_fenced_owners{#})",
                "begun anew": "sum(pipeline_producers_renewed{#})",
            },
            "Producers' open ones; and what the workers had to clean up since they started.",
        ),
        Panel(
            "Barrier",
            "ops",
            {
                "waits": "sum(rate(pipeline_barrier_waits_total{#}[$__rate_interval]))",
                "questions": "sum(rate(pipeline_barrier_questions{#}[$__rate_interval]))",
            },
            "Signals that waited for a deadline before them, and ends of logs that were asked for.",
        ),
    ],
    "Rooms": [
        Panel("Rooms", "short", {"rooms": "sum(pipeline_rooms{#})"}, "Live rooms."),
        Panel("Members", "short", {"members": "sum(pipeline_members{#})"}, "Members in them."),
        Panel(
            "Playbacks", "short", {"watched": "sum(pipeline_watchdog_armed{#})"}, "With a watchdog running."
        ),
    ],
    "Workers": [
        Panel("Partitions", "short", _each("pipeline_partitions"), "Partition numbers of each worker.", True),
        Panel(
            "Recovery",
            "s",
            _each("pipeline_recovery_seconds"),
            "How long the latest loading of partitions took.",
        ),
        Panel(
            "Restarts",
            "short",
            {"{{instance}}": "changes(pipeline_process_start_time_seconds{#}[$__rate_interval])"},
            "Starts of a process.",
        ),
        Panel(
            "CPU",
            "percentunit",
            {"{{instance}}": "rate(pipeline_process_cpu_seconds_total{#}[$__rate_interval])"},
            "Of one core, and a worker uses one at most.",
        ),
        Panel("Memory", "bytes", _each("pipeline_process_resident_memory_bytes"), "Resident."),
        Panel(
            "Versions",
            "short",
            {"{{version}}, Python {{python}}": "count by (version, python) (pipeline_build_info{#})"},
            "Workers by what they run.",
            True,
        ),
    ],
}


def _source() -> dict[str, str]:
    return {"type": "prometheus", "uid": "${datasource}"}


def _panel(panel: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    stacking = {"mode": "normal" if panel.stacked else "none"}
    custom = {"fillOpacity": 20 if panel.stacked else 0, "showPoints": "never", "stacking": stacking}
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.description,
        "datasource": _source(),
        "gridPos": {"x": x, "y": y, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, "custom": custom}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {
                "refId": chr(65 + n),
                "datasource": _source(),
                "expr": text.replace("#", PICKED),
                "legendFormat": key,
            }
            for n, (key, text) in enumerate(panel.queries.items())
        ],
    }


def _row(title: str, number: int, y: int) -> dict[str, Any]:
    place = {"x": 0, "y": y, "w": COLUMNS, "h": 1}
    return {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}


def _panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    y = 0
    for title, panels in ROWS.items():
        found.append(_row(title, len(found) + 1, y))
        y += 1
        for index, panel in enumerate(panels):
            line, column = divmod(index, COLUMNS // WIDTH)
            found.append(_panel(panel, len(found) + 1, column * WIDTH, y + line * HEIGHT))
        y += -(-len(panels) * WIDTH // COLUMNS) * HEIGHT
    return found


def _variable(name: str, within: str) -> dict[str, Any]:
    query = f"label_values(pipeline_build_info{within}, {name})"
    return {
        "name": name,
        "type": "query",
        "datasource": _source(),
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana 10 and later import it."""
    source = {"name": "datasource", "type": "datasource", "query": "prometheus", "refresh": 1}
    within = '{namespace=~"$namespace"}'
    return {
        "uid": "conference-pipeline",
        "title": "Conference pipeline",
        "tags": ["conference-pipeline"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [source, _variable("namespace", ""), _variable("job", within)]},
        "panels": _panels(),
    }


def main(arguments: list[str]) -> int:
    """The command; its exit code."""
    text = json.dumps(dashboard(), indent=1) + "\n"
    if arguments == ["--check"]:
        if FILE.read_text() != text:
            print(f"{FILE.name}: differs from tools/dashboard.py, run `make chart-docs`")
            return 1
        return 0
    if arguments:
        print("usage: python tools/dashboard.py [--check]", file=sys.stderr)
        return 2
    FILE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
