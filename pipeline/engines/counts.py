"""The metrics of a bridge."""

from __future__ import annotations

import platform
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector

from pipeline.engines.rules.commands import CAPABILITIES
from pipeline.metrics import package_version

RESULTS: Final = ("done", "refused", "late", "unable")


class BridgeMetrics:
    """The metrics of one bridge, in their own registry. All names begin with `bridge_`."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        counter = partial(Counter, namespace="bridge", registry=registry)
        gauge = partial(Gauge, namespace="bridge", registry=registry)
        self.signals = counter("signals_total", "Signals that the engine's events gave, by type.", ["type"])
        self.waiting = gauge("waiting_bytes", "Signals that are not acknowledged yet, in bytes of memory.")
        self.silent = gauge("last_signal_seconds", "Seconds since the engine's last event that gave a signal.")
        self.away = gauge("engine_away_seconds", "Seconds for which the engine could not be reached; 0 while it can.")
        self.audits = counter("audits_total", "Audits that were completed.")
        self.repairs = counter("audit_repairs_total", "Differences that an audit repaired, by kind.", ["kind"])
        self.doubts = counter("doubts_total", "Reasons to audit before time: reconnects, restarts, counts that differ.")
        self.commands = counter(
            "commands_total",
            "Commands by name and result: done, refused by the engine, late, unable: the engine lacks the capability.",
            ["command", "result"],
        )
        self.build = gauge("build_info", "Always 1; the labels have the versions.", ["version", "python"])
        self.build.labels(package_version(), platform.python_version()).set(1)
        for kind in CAPABILITIES:
            for result in RESULTS:
                self.commands.labels(kind.__name__.lower(), result)
        ProcessCollector(namespace="bridge", registry=registry)
