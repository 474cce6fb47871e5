"""Events of FreeSWITCH for tests."""

from __future__ import annotations

import gzip
import itertools
import json
from pathlib import Path
from typing import Any

from pipeline.engines.freeswitch.adapter import Adapter, Output
from pipeline.model.signals import MediaSignal

CAPTURES = Path(__file__).parents[1] / "captures"
FAULTS = Path(__file__).parents[1] / "data" / "faults"
TIME = 1_795_354_386_106_600
ENVELOPE = {
    "Event-Name": "CUSTOM",
    "Event-Subclass": "conference::maintenance",
    "Core-UUID": "core",
    "FreeSWITCH-Switchname": "acW68",
    "Event-Date-Timestamp": str(TIME),
    "Conference-Name": "room",
}
_numbers = itertools.count(7)


def event(action: str, **headers: Any) -> dict[str, Any]:
    """Return an event; `Unique_ID="a"` sets the header `Unique-ID`, None omits a header. Each has a later sequence."""
    values = {
        **ENVELOPE,
        "Event-Sequence": str(next(_numbers)),
        "Action": action,
        **{key.replace("_", "-"): value for key, value in headers.items()},
    }
    return {key: value for key, value in values.items() if value is not None}


def member(action: str, **headers: Any) -> dict[str, Any]:
    """Return an event of the member `a`."""
    return event(action, **{"Unique_ID": "a", "Answer_State": "answered", "Speak": "true", **headers})


def hangup_complete(**headers: Any) -> dict[str, Any]:
    """Return the hang-up of the member `a`."""
    bare = {"Event_Name": "CHANNEL_HANGUP_COMPLETE", "Event_Subclass": None, "Conference_Name": None}
    return member("", **{**bare, "Hangup_Cause": "NORMAL_CLEARING", "Answer_State": "hangup", **headers})


def captured(name: str) -> list[dict[str, Any]]:
    """Return the events of a recording."""
    data = (CAPTURES / name).read_bytes()
    return [json.loads(line) for line in (gzip.decompress(data) if name.endswith(".gz") else data).splitlines()]


def fed(adapter: Adapter, *events: dict[str, Any]) -> Output:
    """Return what the events give, without what waits."""
    found = Output([], [])
    for one in events:
        output = adapter.feed(one)
        found.signals.extend(output.signals)
        found.reports.extend(output.reports)
    return found


def all_of(adapter: Adapter, *events: dict[str, Any]) -> Output:
    """Return what the events give, to the end."""
    first, last = fed(adapter, *events), adapter.end()
    return Output(first.signals + last.signals, first.reports + last.reports)


def short(signals: list[MediaSignal]) -> list[str]:
    """Return the signals in short: `left a hangup`, `finished op-1 /a.wav`."""
    texts = []
    for signal in signals:
        fields = [getattr(signal, name, None) for name in ("session_uuid", "reason", "operation_id", "url", "urls")]
        words = [" ".join(one) if isinstance(one, tuple) else one for one in fields if one]
        texts.append(" ".join([signal.TYPE.partition(".")[2], *words]).replace("acW68-", ""))
    return texts
