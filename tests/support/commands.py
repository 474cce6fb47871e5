"""What tests of the command line share: an environment without servers, lines of signals."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

PREFIXES = ("KAFKA_", "SCHEMA_REGISTRY_", "PIPELINE_")
PLAY: dict[str, Any] = {"urls": ["http://x/a.wav"], "operation_id": "o-1"}
PROGRAM = [sys.executable, "-m", "pipeline"]


def no_servers(tmp_path: Path, **more: str) -> dict[str, str]:
    """Return an environment without servers and without a local stack."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIXES)}
    return {**kept, "CONFERENCE_PIPELINE_CACHE": str(tmp_path / "cache"), **more}


def line(kind: str, signal_id: str, second: int, room_id: str = "r", **more: Any) -> bytes:
    at = f"2026-11-22T13:00:{second:02d}Z"
    fields = {"type": kind, "signal_id": signal_id, "room_id": room_id, "occurred_at": at, **more}
    return json.dumps(fields).encode() + b"\n"


CREATE = line("conference.create", "s-1", 0, app_id="a", name="n")
START = line("conference.play", "s-2", 1, **PLAY)
