"""Write the Grafana dashboard of the chart (`make chart-docs`). `ROWS` lists the panels and their queries.

python tools/dashboard.py            write helm/conference-pipeline/dashboards/conference-pipeline.json
python tools/dashboard.py --check    exit with 1 if that file differs
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final, NamedTuple

FILE: Final = Path(__file__).resolve().parent.parent / "helm/conference-pipeline/dashboards/conference-pipeline.json"
WIDTH, HEIGHT, COLUMNS = 8, 7, 24
PICKED: Final = 'namespace=~"$namespace", job=~"$job"'
"""Selects the processes of the variables; an absent label counts as empty, and `.*` matches it."""


class Panel(NamedTuple):
    """One graph: queries by legend. `#` in a query is replaced by `PICKED`."""

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


def _rate_by_two(metric: str, first: str, second: str) -> dict[str, str]:
    by = f"{first}, {second}"
    return {f"{{{{{first}}}}} {{{{{second}}}}}": f"sum by ({by}) (rate({metric}{{#}}[$__rate_interval]))"}


def _each(metric: str) -> dict[str, str]:
    return {"{{instance}}": f"{metric}{{#}}"}


ROWS: Final[dict[str, list[Panel]]] = {
    "Flow": [
        Panel("Signals", "ops", _rate("pipeline_signals_total", "type"), "Signals processed, by type.", True),
        Panel("Events", "ops", _rate("pipeline_events_total", "type"), "Events published, by type.", True),
        Panel(
            "Lag",
            "short",
            {"{{topic}} {{partition}}": "sum by (topic, partition) (pipeline_lag_records{#}) > 0"},
            "Records appended but not yet applied, by partition.",
            True,
        ),
        Panel(
            "Oldest waiting signal",
            "s",
            {"{{topic}} {{partition}}": "max by (topic, partition) (pipeline_lag_seconds{#}) > 0"},
            "Seconds that the oldest signal of each partition has waited.",
        ),
        Panel(
            "Kafka",
            "s",
            {"{{instance}}": "pipeline_kafka_silent_seconds{#}"},
            "Seconds since Kafka last answered each worker; it is asked every 5 s.",
        ),
        Panel(
            "Latency",
            "s",
            _quantiles("pipeline_latency_seconds"),
            "Time from the append of a signal to the commit of its events, by the broker's clock.",
        ),
        Panel(
            "Units",
            "s",
            _quantiles("pipeline_unit_seconds"),
            "Duration of a unit (one transaction): decide, write, commit.",
        ),
        Panel(
            "Signals per unit",
            "short",
            {
                "mean": "sum(rate(pipeline_unit_signals_total{#}[$__rate_interval]))"
                " / sum(rate(pipeline_unit_seconds_count{#}[$__rate_interval]))"
            },
            "Grows with the load, so that each signal has a smaller share of a transaction's cost.",
        ),
    ],
    "Problems": [
        Panel(
            "Rejected",
            "ops",
            _rate("pipeline_rejected_total", "reason"),
            "Signals that do not fit their room's state, by reason.",
        ),
        Panel(
            "Dead letters",
            "ops",
            _rate("pipeline_dead_letters_total", "topic"),
            "Records that are not valid signals, by topic.",
        ),
        Panel(
            "Damaged batches",
            "ops",
            _rate("pipeline_damaged_batches_total", "topic"),
            "Fetched batches of signals with a wrong checksum, by topic; each is fetched again.",
        ),
        Panel("No-ops", "ops", _rate("pipeline_no_ops_total", "reason"), "Signals without an event, by reason."),
        Panel(
            "Watchdog",
            "ops",
            {"fired": "sum(rate(pipeline_watchdog_fired_total{#}[$__rate_interval]))"},
            "Playbacks that the watchdog failed, because no signal reported their end.",
        ),
        Panel(
            "Wrong partition",
            "ops",
            {"records": "sum(rate(pipeline_wrong_partition_total{#}[$__rate_interval]))"},
            "Records whose producer does not use murmur2.",
        ),
        Panel(
            "Transactions",
            "short",
            {
                "open, hiding signals": "sum(pipeline_open_foreign_transactions{#})",
                "aborted, of dead workers": "sum(pipeline_fenced_owners{#})",
                "without an answer": "sum(pipeline_producers_renewed{#})",
            },
            "Open: producers' transactions now. Aborted and without an answer: totals since the workers started.",
        ),
        Panel(
            "Barrier",
            "ops",
            {
                "waits": "sum(rate(pipeline_barrier_waits_total{#}[$__rate_interval]))",
                "log end requests": "sum(rate(pipeline_barrier_questions{#}[$__rate_interval]))",
            },
            "Signals that waited for an earlier deadline, and requests for the end of a log.",
        ),
        Panel(
            "Topics",
            "short",
            {
                "settings that break a promise": "max(pipeline_topic_deviations{#})",
                "seconds ahead of the clock": "max(pipeline_time_ahead_seconds{#})",
                "signals without an append time": "sum(increase(pipeline_undated_signals_total{#}[$__rate_interval]))",
            },
            "Settings changed after the start, and how far the time of a partition is ahead of the broker's clock.",
        ),
    ],
    "Rooms": [
        Panel("Rooms", "short", {"rooms": "sum(pipeline_rooms{#})"}, "Known rooms."),
        Panel("Members", "short", {"members": "sum(pipeline_members{#})"}, "Members in those rooms."),
        Panel("Playbacks", "short", {"watched": "sum(pipeline_watchdog_armed{#})"}, "Playbacks with a deadline."),
    ],
    "Workers": [
        Panel("Partitions", "short", _each("pipeline_partitions"), "Partitions owned by each worker.", True),
        Panel(
            "Recovery",
            "s",
            _each("pipeline_recovery_seconds"),
            "Duration of the latest loading of partitions.",
        ),
        Panel(
            "Restarts",
            "short",
            {"{{instance}}": "changes(pipeline_process_start_time_seconds{#}[$__rate_interval])"},
            "Restarts of a worker's process.",
        ),
        Panel(
            "CPU",
            "percentunit",
            {"{{instance}}": "rate(pipeline_process_cpu_seconds_total{#}[$__rate_interval])"},
            "Share of one core. A worker uses at most one.",
        ),
        Panel("Memory", "bytes", _each("pipeline_process_resident_memory_bytes"), "Resident memory."),
        Panel(
            "Versions",
            "short",
            {"{{version}}, Python {{python}}": "count by (version, python) (pipeline_build_info{#})"},
            "Number of workers by version.",
            True,
        ),
    ],
    "Gateways": [
        Panel(
            "Requests",
            "ops",
            _rate_by_two("gateway_requests_total", "endpoint", "status"),
            "Requests answered, by endpoint and status.",
            True,
        ),
        Panel("Answers", "s", _quantiles("gateway_request_seconds"), "Time from a request to its answer."),
        Panel("Signals written", "ops", _rate("gateway_signals_total", "type"), "Signals of requests, by type.", True),
        Panel(
            "Under way",
            "short",
            {
                "{{instance}} requests": "gateway_pending_operations{#}",
                "{{instance}} streams": "gateway_streams{#}",
            },
            "Requests whose outcome is not known yet, and open event streams.",
        ),
        Panel(
            "Event streams",
            "ops",
            {
                "events": "sum(rate(gateway_stream_events_total{#}[$__rate_interval]))",
                "ended, too slow": "sum(rate(gateway_slow_streams_total{#}[$__rate_interval]))",
            },
            "Events written to streams, and streams that were ended because their client was too slow.",
        ),
        Panel(
            "State",
            "short",
            {
                "view stale": "max(gateway_view_stale{#})",
                "apps file broken": "max(gateway_apps_file_broken{#})",
                "nodes announced": "max(gateway_nodes{#})",
                "nodes lost": "max(gateway_lost_nodes{#})",
                "rooms": "max(gateway_rooms{#})",
                "gateways": "count(gateway_build_info{#})",
            },
            "What the gateways know. A stale view answers nothing.",
        ),
    ],
    "Engine bridges": [
        Panel("Engine events", "ops", _rate("bridge_signals_total", "type"), "Signals of the engines, by type.", True),
        Panel(
            "Commands",
            "ops",
            _rate_by_two("bridge_commands_total", "command", "result"),
            "Commands given to engines, by name and result.",
            True,
        ),
        Panel(
            "Queue",
            "bytes",
            {"{{instance}}": "bridge_waiting_bytes{#}"},
            "Bytes of signals that Kafka has not acknowledged; at 64 MiB the bridge stops reading its engine.",
        ),
        Panel(
            "Waiting signals",
            "short",
            {
                "{{instance}}": "bridge_waiting_signals{#}",
                "queue full": "sum(increase(bridge_queue_full_total{#}[$__rate_interval]))",
            },
            "Signals that Kafka has not acknowledged.",
        ),
        Panel(
            "Engines",
            "s",
            {
                "{{instance}} away": "bridge_engine_away_seconds{#}",
                "{{instance}} last event": "bridge_last_signal_seconds{#}",
            },
            "Seconds for which an engine can't be reached, and since its last event.",
        ),
        Panel(
            "Mismatches",
            "short",
            {
                "{{kind}}": "sum by (kind) (increase(bridge_mismatches_total{#}[$__rate_interval]))",
                "repaired": "sum(increase(bridge_audit_repairs_total{#}[$__rate_interval]))",
            },
            "Differences between engine and rooms that audits found.",
        ),
        Panel(
            "Audits",
            "short",
            {
                "completed": "sum(increase(bridge_audits_total{#}[$__rate_interval]))",
                "given up": "sum(increase(bridge_failed_audits_total{#}[$__rate_interval]))",
                "before time": "sum(increase(bridge_doubts_total{#}[$__rate_interval]))",
                "connections": "sum(increase(bridge_engine_connections_total{#}[$__rate_interval]))",
            },
            "Audits, reasons for one before time, and connections to engines.",
        ),
        Panel(
            "Nodes",
            "short",
            {"bridges": "count(bridge_build_info{#})", "lost nodes": "max(bridge_lost_nodes{#})"},
            "Bridges that are scraped, and nodes that were announced and are not any more.",
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
    selector = ", ".join(filter(None, ('__name__=~"(pipeline|gateway|bridge)_build_info"', within)))
    query = f"label_values({{{selector}}}, {name})"
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
    """Return the dashboard in the format of Grafana 10 and later."""
    source = {"name": "datasource", "type": "datasource", "query": "prometheus", "refresh": 1}
    within = 'namespace=~"$namespace"'
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
    """Run the command and return its exit code."""
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
