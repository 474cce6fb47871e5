"""What a worker reports in its metrics (pipeline/metrics.py)."""

from __future__ import annotations

import time

from pipeline.metrics import Metrics
from pipeline.worker.task import PartitionTask
from pipeline.worker.unit import Unit


def count_unit(metrics: Metrics, unit: Unit, broker_time: int | None) -> None:
    """Count a committed unit. `broker_time` is in microseconds; None while it is unknown."""
    families = {
        "signals": metrics.signals,
        "events": metrics.events,
        "rejected": metrics.rejected,
        "no_ops": metrics.no_ops,
        "dead": metrics.dead,
    }
    timeouts = unit.counts["timeouts"].total()
    metrics.timeouts.inc(timeouts)
    for family, metric in families.items():
        for label, number in unit.counts[family].items():
            metric.labels(label).inc(number)
    metrics.units.observe(time.monotonic() - unit.began)
    metrics.unit_signals.inc(unit.signals - timeouts)
    if broker_time is not None:
        for appended, times in unit.event_times.items():
            metrics.latency.observe(max(0, broker_time - appended) / 1e6, times)


def update_gauges(metrics: Metrics, tasks: list[PartitionTask]) -> None:
    """Set the gauges that describe tasks to their current values."""
    partitions = [task.partition for task in tasks]
    metrics.partitions.set(len(tasks))
    metrics.rooms.set(sum(len(partition.rooms) for partition in partitions))
    metrics.members.set(sum(len(m) for partition in partitions for m in partition.members.values()))
    metrics.armed.set(sum(partition.armed for partition in partitions))
    metrics.lag.clear()
    invisible = 0
    for source in (source for task in tasks for source in task.merge.inputs):
        end = max(source.end or 0, source.probe[1] if source.probe else 0)
        # From the position, not from the offset: transaction markers need not be applied.
        behind = max(0, end - source.position) + source.queued
        metrics.lag.labels(source.topic, str(source.partition)).set(behind)
        if source.probe is not None and source.caught_up and source.position < source.probe[1]:
            invisible += 1
    metrics.foreign_open.set(invisible)
