"""The metrics of a bridge."""

from __future__ import annotations

import platform
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector

from pipeline.engines.rules.audit import KINDS
from pipeline.engines.rules.commands import CAPABILITIES
from pipeline.metrics import package_version
from pipeline.model.signals import SIGNALS

RESULTS: Final = ("done", "refused", "late", "unable")


class BridgeMetrics:
    """The metrics of one bridge, in their own registry. All names begin with `bridge_`."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        counter = partial(Counter, namespace="bridge", registry=registry)
        gauge = partial(Gauge, namespace="bridge", registry=registry)
        self.signals = counter("signals_total", "Signals that the engine's events gave, by type.", ["type"])
        self.waiting = gauge("waiting_bytes", "Signals that are not acknowledged yet, in bytes of memory.")
        self.waiting_signals = gauge("waiting_signals", "Signals that are not acknowledged yet.")
        self.queue_full = counter(
            "queue_full_total", "Times that the queue was full, so that the bridge stopped reading the engine."
        )
        self.silent = gauge("last_signal_seconds", "Seconds since the engine's last event that gave a signal.")
        self.away = gauge("engine_away_seconds", "Seconds for which the engine could not be reached; 0 while it can.")
        self.connections = counter(
            "engine_connections_total", "Times that the engine came within reach, also at the start."
        )
        self.lost_nodes = gauge("lost_nodes", "Nodes, of any bridge, that were announced and are not any more.")
        self.audits = counter("audits_total", "Audits that were completed.")
        self.failed_audits = counter(
            "failed_audits_total", "Audits that were given up: engine or Kafka away, view late."
        )
        self.mismatches = counter(
            "mismatches_total",
            "Differences between engine and view that both looks of an audit showed, by kind.",
            ["kind"],
        )
        self.repairs = counter("audit_repairs_total", "Differences that an audit repaired, by kind.", ["kind"])
        self.doubts = counter("doubts_total", "Reasons to audit before time: reconnects, restarts, counts that differ.")
        self.commands = counter(
            "commands_total",
            "Commands by name and result: done, refused by the engine, late, unable: the engine lacks the capability.",
            ["command", "result"],
        )
        self.build = gauge("build_info", "Always 1; the labels have the versions.", ["version", "python"])
        self.build.labels(package_version(), platform.python_version()).set(1)
        for difference in KINDS:
            self.mismatches.labels(difference)
            self.repairs.labels(difference)
        for signal in SIGNALS:
            if signal.TOPIC == "media":
                self.signals.labels(signal.TYPE)
        for kind in CAPABILITIES:
            for result in RESULTS:
                self.commands.labels(kind.__name__.lower(), result)
        ProcessCollector(namespace="bridge", registry=registry)
