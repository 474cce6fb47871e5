"""The records of one partition number, grouped by room."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from testkit.chaos.logs import API, MEDIA, Event, Key, PartitionLog, Signal
from testkit.chaos.scan import shown


@dataclass
class RoomHistory:
    """The signals of one room, and what became of them."""

    room_id: str
    api: list[Signal] = field(default_factory=list)
    media: list[Signal] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    rejected: dict[Key, dict[str, Any]] = field(default_factory=dict)
    noops: dict[Key, dict[str, Any]] = field(default_factory=dict)

    def render(self, most: int = 400) -> str:
        """Format the history by append time; the last `most` lines."""
        lines: list[tuple[int, str]] = [
            (signal.time, f"{signal.time} signal {shown(signal.at)} {json.dumps(signal.value)}")
            for signal in (*self.api, *self.media)
        ]
        for event in self.events:
            cause = shown(event.cause) if event.cause else "a deadline"
            lines.append((event.time, f"{event.time} EVENT {shown(event.at)} of {cause} {json.dumps(event.json)}"))
        for what, found in (("rejected", self.rejected), ("no-op", self.noops)):
            lines += [(0, f"{what} {shown(where)} {row['reason']}") for where, row in found.items()]
        return "\n".join(text for _, text in sorted(lines)[-most:])


def histories(log: PartitionLog, violations: list[str]) -> dict[str, RoomHistory]:
    """Group the records by room; append violations of the rejected and no-op records to `violations`."""
    found: dict[str, RoomHistory] = {}

    def of(room_id: str) -> RoomHistory:
        return found.setdefault(room_id, RoomHistory(room_id))

    for name in (API, MEDIA):
        for signal in log.signals[name]:
            if signal.value is not None:
                history = of(signal.value["room_id"])
                (history.api if name == API else history.media).append(signal)
    for event in log.events:
        of(event.json["room_id"]).events.append(event)
    raw = {s.at: s.raw for records in log.signals.values() for s in records}
    for place, rejection in log.rejected:
        history = of(rejection["room_id"])
        if place in history.rejected:
            violations.append(f"{shown(place)} was rejected twice\n{history.render()}")
        if rejection["signal"] != raw.get(place):
            violations.append(f"{shown(place)}: the rejected record has another value than this signal")
        history.rejected[place] = rejection
    for place, row in log.noops:
        history = of(row["room_id"])
        if place in history.noops:
            violations.append(f"{shown(place)} has two no-op records\n{history.render()}")
        history.noops[place] = row
    return found
