"""Memory and time of one destroy of a room with many members, each with the longest caller_id (contract §4, promise 4).

    python -m benchmarks.destroy [--members 20000] [--save]

One signal's output is one transaction: an event for each member, and a tombstone. `at rest` is the resident memory with
all members joined, `peak` the highest during the destroy.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from benchmarks.shared import CONSOLE, Row, parser, pipeline, save, servers, show
from pipeline.model import signals as s
from pipeline.model.codec import signal_json
from testkit.pipe import ROOT, Pipe, WorkerProcess

OCCURRED_AT = 1_795_354_386_106_600
CALLER = "\N{GRINNING FACE}" * 1024
"""The longest caller_id that is kept: 1,024 code points of four bytes."""
LIMIT_MB = 512


def resident(pid: int, name: str) -> int:
    """Return VmRSS or VmHWM of a process, in megabytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024 // 1_000_000


def send(pipe: Pipe, signals: Sequence[s.AnySignal]) -> None:
    """Send signals of one room in their order; each topic by itself."""
    options: dict[str, Any] = {"bootstrap.servers": pipe.settings.bootstrap_servers, "partitioner": "murmur2_random"}
    producer = Producer({**options, "enable.idempotence": True})
    for signal in signals:
        while True:
            try:
                producer.produce(pipe.topic(f"{signal.TOPIC}.signals"), signal_json(signal), signal.room_id)
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush()


def until(worker: WorkerProcess, name: str, wanted: int) -> float:
    """Wait until a metric has this value; return the seconds."""
    began = time.monotonic()
    while worker.metric(name) != wanted:
        if worker.returncode is not None:
            sys.exit(f"the worker ended with {worker.returncode}: {worker.lines[-1]}")
        time.sleep(0.02)
    return time.monotonic() - began


def measure(pipe: Pipe, members: int) -> Row:
    """Let members join, destroy the room, and return what it took."""
    command = [sys.executable, "-m", "pipeline", "worker"]
    worker = WorkerProcess(subprocess.Popen(command, cwd=ROOT, env=pipe.env, stderr=subprocess.PIPE, text=True))
    try:
        worker.until_ready()
        send(pipe, [s.ConferenceCreate("c", "room", OCCURRED_AT, "app", "name")])
        until(worker, 'pipeline_events_total{type="conference.created"}', 1)
        joins = [s.MemberJoined(f"j{n}", "room", OCCURRED_AT, f"session-{n}", CALLER) for n in range(members)]
        send(pipe, joins)
        until(worker, 'pipeline_events_total{type="conference.member.joined"}', members)
        rest = resident(worker.pid, "VmRSS")
        Path(f"/proc/{worker.pid}/clear_refs").write_text("5")  # the peak starts anew
        send(pipe, [s.ConferenceDestroy("d", "room", OCCURRED_AT)])
        seconds = until(worker, 'pipeline_events_total{type="conference.destroyed"}', 1)
        peak = resident(worker.pid, "VmHWM")
        left = 'pipeline_events_total{type="conference.member.left"}'
        assert worker.metric(left) == members, worker.metric(left)
        return {"members": members, "at rest, MB": rest, "peak, MB": peak, "destroy, s": seconds}
    finally:
        worker.end()


def main() -> None:
    """Measure, print and, with --save, write the result."""
    options = parser(__doc__ or "")
    options.add_argument("--members", type=int, default=20_000, help="members of the room (%(default)s)")
    given = options.parse_args()
    with servers() as found, pipeline(found, partitions=1) as pipe:
        row = measure(pipe, given.members)
    show("destroy of a large room", [row])
    if row["peak, MB"] > LIMIT_MB:
        CONSOLE.print(f"more than {LIMIT_MB} MB")
    if given.save:
        save("destroy", rows=[row])


if __name__ == "__main__":
    main()
