"""Diagnostics for a violation: the faults, position records with their writers, runs of events, the workers' logs."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

from testkit.chaos.logs import Reader
from testkit.chaos.testbed import Testbed


def evidence(testbed: Testbed) -> str:
    """Return the diagnostics as text: faults, positions and events by partition, then log lines by time."""
    ahead = time.time() - time.monotonic()
    lines = ["faults:"]
    for one in testbed.injections:
        began, ended = (_clock(ahead + moment) for moment in (one.began, one.ended))
        lines.append(f"{began} to {ended} {one.fault} {one.what} hit {sorted(one.hit)}")
    for number in range(testbed.config.partitions):
        lines += [
            f"positions of partition {number}, * if aborted:",
            *_positions(testbed.reader, number),
            f"events of partition {number}, first and last offset, * if aborted:",
            *_events(testbed.reader, number),
        ]
    lines.append("workers:")
    entries = [
        (entry.get("ts", ""), f"worker {slot}, process {number}: {json.dumps(entry)}")
        for number, (slot, process) in enumerate(testbed.started)
        for entry in process.log
    ]
    return "\n".join([*lines, *(text for _, text in sorted(entries))])


def _positions(reader: Reader, number: int) -> list[str]:
    topic = reader.topic("rooms")
    committed = {record.offset() for record in reader.fetch(topic, number)}
    lines = []
    for record in reader.fetch(topic, number, isolation="read_uncommitted"):
        if record.key() == b'["position"]' and record.value() is not None:
            row = reader.avro(record.value())
            places = {each["topic"].partition(".")[2]: each["offset"] for each in row["positions"]}
            mark = " " if record.offset() in committed else "*"
            when = _clock(record.timestamp()[1] / 1000)
            lines.append(f"{mark}{record.offset()} {when} {row['transactional_id']} {places}")
    return lines


def _events(reader: Reader, number: int) -> list[str]:
    """Return runs of events with contiguous offsets, which have no marker between them."""
    topic = reader.topic("events")
    committed = {record.offset() for record in reader.fetch(topic, number)}
    runs: list[tuple[str, int, int, str]] = []
    for record in reader.fetch(topic, number, isolation="read_uncommitted"):
        mark, at = " " if record.offset() in committed else "*", record.offset()
        if runs and (runs[-1][0], runs[-1][2] + 1) == (mark, at):
            runs[-1] = (mark, runs[-1][1], at, runs[-1][3])
        else:
            runs.append((mark, at, at, _clock(record.timestamp()[1] / 1000)))
    return [f"{mark}{first} to {last} {when}" for mark, first, last, when in runs]


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")[11:23]
