"""Throughput of the `replay` command on one core, from and to files of JSON lines.

    python benchmarks/replay.py [--signals 1000000]

It writes realistic signals to a temporary file, runs `python -m pipeline replay` on it with the output redirected to a
file, and prints signals per second of CPU time and of wall time, and the peak memory.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

URL = "https://cdn.example.com/audio/announcement.wav"
START = datetime(2026, 11, 22, 13, 33, 6, tzinfo=UTC)
ROOMS = 300


def signals(count: int) -> Iterator[dict[str, Any]]:
    """Yield signals of rooms whose members join, leave, mute and listen; one signal in 5,000 ends a room."""
    chance = random.Random(1)
    rooms: dict[str, list[str]] = {}
    at = START
    for n in range(count):
        at += timedelta(microseconds=chance.randint(10, 3000))
        room = f"acW68-room-{chance.randrange(ROOMS):04}"
        head = {"signal_id": f"f47ac10b-58cc-4372-a567-{n:012}", "room_id": room}
        head["occurred_at"] = at.isoformat(timespec="microseconds").replace("+00:00", "Z")
        if room not in rooms:
            rooms[room] = []
            yield {"type": "conference.create", **head, "app_id": "my-app", "name": "Team Standup"}
        elif chance.random() < 0.0002:
            del rooms[room]
            yield {"type": "conference.destroy", **head}
        else:
            yield {**head, **_in_room(chance, rooms[room], n)}


def _in_room(chance: random.Random, members: list[str], n: int) -> dict[str, Any]:
    dice = chance.random()
    if dice < 0.3 or not members:
        members.append(f"acW68-{n:036}")
        return {"type": "member.joined", "session_uuid": members[-1], "caller_id": "+15551234567"}
    if dice < 0.55:
        return {"type": "member.left", "session_uuid": members.pop(0), "reason": "hangup"}
    if dice < 0.7:
        kind = chance.choice(["conference.mute", "member.unmuted"])
        return {"type": kind, "session_uuid": members[-1]}
    if dice < 0.8:
        return {"type": "conference.play", "urls": [URL], "operation_id": f"operation-{n}"}
    if dice < 0.9:
        return {"type": "conference.pause", "operation_id": f"operation-{n}"}
    if dice < 0.95:
        return {"type": "conference.volume", "operation_id": f"operation-{n}", "volume": 2}
    return {"type": "play.finished", "url": URL}


def main() -> None:
    """Write the signals, run the command, print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--signals", type=int, default=1_000_000, metavar="N", help="signals (%(default)s)")
    count = parser.parse_args().signals
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "signals.jsonl"), Path(folder, "events.jsonl")
        with source.open("w") as file:
            file.writelines(json.dumps(signal) + "\n" for signal in signals(count))
        began = time.perf_counter()
        with target.open("wb") as out:
            run = subprocess.Popen([sys.executable, "-m", "pipeline", "replay", str(source)], stdout=out)
            _, status, used = os.wait4(run.pid, 0)
        run.returncode = os.waitstatus_to_exitcode(status)
        wall, cpu = time.perf_counter() - began, used.ru_utime + used.ru_stime
        with target.open("rb") as file:
            events = sum(1 for _ in file)
    if run.returncode:
        sys.exit(f"replay ended with exit code {run.returncode}")
    print(f"{count:,} signals, {events:,} events, including the start of Python")
    print(f"{count / cpu:>9,.0f} signals/s of CPU time  ({cpu:.1f} s)")
    print(f"{count / wall:>9,.0f} signals/s of wall time ({wall:.1f} s)")
    print(f"{used.ru_maxrss / 1024:>9,.0f} MiB peak memory")


if __name__ == "__main__":
    main()
