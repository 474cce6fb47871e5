"""Every metric, in one list. Labels are closed: types, reasons and topics, never ids (contract §4, §5)."""

from __future__ import annotations

import platform
from bisect import bisect_left
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from itertools import accumulate
from typing import Final, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from pipeline.core.decision import NoOp, Rejection
from pipeline.model.events import EVENTS
from pipeline.model.signals import SIGNALS

_LATENCY: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


def package_version() -> str:
    """The version of the installed distribution."""
    try:
        return version("conference-pipeline")
    except PackageNotFoundError:
        return "unknown"


class Durations(Collector):
    """A histogram of seconds that takes many equal observations at once; the library's own locks twice for each."""

    def __init__(self, name: str, text: str, registry: CollectorRegistry) -> None:
        self._name, self._text = name, text
        self._counts = [0] * (len(_LATENCY) + 1)
        self._sum = 0.0
        registry.register(self)

    def observe(self, seconds: float, times: int = 1) -> None:
        """Something took so long, so often."""
        self._counts[bisect_left(_LATENCY, seconds)] += times
        self._sum += seconds * times

    def describe(self) -> Iterable[HistogramMetricFamily]:
        """What it is, for the registry."""
        yield HistogramMetricFamily(self._name, self._text)

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """What it has counted, for the registry."""
        bounds = [*map(floatToGoString, (*_LATENCY, float("inf")))]
        buckets = [*zip(bounds, accumulate(self._counts), strict=True)]
        yield HistogramMetricFamily(self._name, self._text, buckets=buckets, sum_value=self._sum)


class Metrics:
    """The metrics of one worker, on a registry of their own. All names begin with `pipeline_`."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()

        def counter(name: str, text: str, label: str | None = None, values: tuple[str, ...] = ()) -> Counter:
            metric = Counter(f"pipeline_{name}", text, [label] if label else [], registry=registry)
            for value in values:  # a series that can be alerted on exists before its first increment
                metric.labels(value)
            return metric

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"pipeline_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str) -> Durations:
            return Durations(f"pipeline_{name}", text, registry)

        types = tuple(signal.TYPE for signal in SIGNALS)
        names = tuple(event.EVENT for event in EVENTS)
        self.signals = counter("signals_total", "Signals taken in, by type.", "type", types)
        self.events = counter("events_total", "Events published, by type.", "type", names)
        self.rejected = counter(
            "rejected_total",
            "Signals that made no sense in their room's state.",
            "reason",
            get_args(Rejection),
        )
        self.no_ops = counter(
            "no_ops_total", "Signals that made sense and caused no event.", "reason", get_args(NoOp)
        )
        self.dead = counter("dead_letters_total", "Records that are no signals, by topic.", "topic")
        self.timeouts = counter("watchdog_fired_total", "Playbacks that the watchdog failed.")
        self.wrong_partition = counter(
            "wrong_partition_total", "Records of rooms whose key murmur2 puts on another partition."
        )
        self.armed = gauge("watchdog_armed", "Playbacks with a watchdog running.")
        self.rooms = gauge("rooms", "Rooms in the table of this worker.")
        self.members = gauge("members", "Members in those rooms.")
        self.partitions = gauge("partitions", "Partition numbers that this worker owns.")
        self.lag = gauge("lag_records", "Records appended and not yet applied.", "topic", "partition")
        self.latency = histogram(
            "latency_seconds", "From a signal's append to the commit of its events, by the broker's clock."
        )
        self.units = histogram(
            "unit_seconds", "Duration of a unit: decide, write, commit; its count is the units."
        )
        self.unit_signals = counter("unit_signals_total", "Signals in committed units.")
        self.barrier_waits = counter(
            "barrier_waits_total", "Times a signal had to wait for a deadline before it."
        )
        self.barrier_questions = gauge(
            "barrier_questions", "Ends of logs asked for, for the barrier, since the start."
        )
        self.foreign_open = gauge(
            "open_foreign_transactions", "Inputs on which a producer's open transaction hides records."
        )
        self.fenced_owners = gauge("fenced_owners", "Dead workers whose open transaction this one aborted.")
        self.renewed = gauge(
            "producers_renewed", "Times a transactional request went unanswered and the epoch was raised."
        )
        self.recovery = gauge("recovery_seconds", "How long the latest loading of partitions took.")
        self.build = gauge("build_info", "Always 1; what runs is in the labels.", "version", "python")
        self.build.labels(package_version(), platform.python_version()).set(1)
        # Start time, CPU, memory and files: alerts see restarts by the start time, also outside Kubernetes.
        ProcessCollector(namespace="pipeline", registry=registry)
