"""Events of Janus for tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.engines.janus.adapter import Adapter, Output, read_events
from pipeline.engines.rules.ids import Node
from pipeline.errors import SignalError
from pipeline.model.signals import MediaSignal

CAPTURES = Path(__file__).parents[1] / "captures"
TIME = 1_795_970_356_000_000


def captured(name: str) -> Iterator[dict[str, Any]]:
    """Yield the events of a recording, as Janus sent them."""
    for line in (CAPTURES / name).read_text().splitlines():
        found = json.loads(line)
        if "emitter" in found:
            yield found
        elif isinstance(found.get("event"), dict):
            yield found["event"]


def event(kind: str, time: int = TIME, *, own: bool = False, **data: Any) -> dict[str, Any]:
    """Return an event of the room n1-room-1; `own`: a member's session caused it."""
    whole = {"event": kind, "room": "n1-room-1", **data}
    envelope = {"emitter": "n1", "type": 64, "timestamp": time}
    if own:
        envelope["session_id"] = 1
    return {**envelope, "event": {"plugin": "janus.plugin.audiobridge", "data": whole}}


def core(subtype: int = 1, time: int = TIME) -> dict[str, Any]:
    """Return the event of a start of Janus (1) or of its end (2)."""
    return {"emitter": "n1", "type": 256, "subtype": subtype, "timestamp": time, "event": {"status": "started"}}


def fed(adapter: Adapter, *events: dict[str, Any]) -> list[Output]:
    """Return what events give."""
    outputs = []
    for one in events:
        for found in read_events(json.dumps(one).encode()):
            assert not isinstance(found, SignalError), found
            outputs.append(adapter.apply(found))
    return outputs


def signals_of(node: str, *events: dict[str, Any]) -> list[MediaSignal]:
    """Return the signals that events give."""
    return [one for output in fed(Adapter(Node(node)), *events) for one in output.signals]


def short(signals: list[MediaSignal]) -> list[str]:
    """Return signals in short, without the node: `1 left a hangup`, `1 finished op-1`."""
    texts = []
    for signal in signals:
        room = signal.room_id.partition("-room-")[2].removeprefix("janus-")
        fields = [
            getattr(signal, name, None) for name in ("session_uuid", "caller_id", "muted", "reason", "operation_id")
        ]
        words = ["muted" if one is True else one.replace("acW68-", "").removeprefix("n1-") for one in fields if one]
        texts.append(" ".join([room, signal.TYPE.partition(".")[2], *words]))
    return texts
