"""The demo's timeline: a recorded conference, merged by time with the API calls that the recording does not contain.

`freeswitch-mod_conference.jsonl` has 18 seconds of events of a real FreeSWITCH. `scenario.jsonl` has the API signals
on the same clock, each with a `title` for the reader. Together they cause all 13 events, some no-ops, one rejected
signal, and one playback that only the watchdog ends. tests/captures/freeswitch.events.expected.jsonl has the expected
events.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

from msgspec import json, structs

from pipeline.engines.freeswitch.adapter import Adapter
from pipeline.model.codec import decode_json, signal_json
from pipeline.model.signals import AnySignal

CAPTURE: Final = "freeswitch-mod_conference.jsonl"
SCENARIO: Final = "scenario.jsonl"
MEDIA_MAP: Final = (("/var/lib/media", "https://cdn.example.com/audio"),)

MIN_DELAY: Final = 0.02
"""Least seconds between signals of different topics. Within one millisecond of append time, api goes first."""


@dataclass(frozen=True, slots=True)
class Step:
    """One signal to send, `delay` seconds after the step before it was acknowledged."""

    delay: float
    title: str
    hold: bool  # whether `delay` is kept as recorded: the watchdog (10 s) must fire before this step
    signal: AnySignal

    @property
    def line(self) -> bytes:
        """Return the signal as a JSON line that ends with LF."""
        return signal_json(self.signal)


def steps(*, room_id: str | None = None, speed: float = 1.0, longest: float = 1.0) -> list[Step]:
    """Return the timeline. Gaps are divided by `speed` and at most `longest` seconds; steps with `hold` keep theirs.

    `room_id` replaces the recorded room's id, so that no state of an earlier run matters.
    """
    recorded = sorted([*_api(), *_media()], key=lambda row: (row[0].occurred_at, row[0].TOPIC))
    timeline: list[Step] = []
    for recorded_signal, title, hold in recorded:
        signal = recorded_signal if room_id is None else structs.replace(recorded_signal, room_id=room_id)
        last = timeline[-1].signal if timeline else signal
        delay = (signal.occurred_at - last.occurred_at) / 1e6
        if not hold:
            delay = min(delay / speed, longest)
        if signal.TOPIC != last.TOPIC:
            delay = max(delay, MIN_DELAY)
        timeline.append(Step(delay, title, hold, signal))
    return timeline


def _api() -> Iterator[tuple[AnySignal, str, bool]]:
    for line in _lines(SCENARIO):
        row: dict[str, Any] = json.decode(line)
        yield decode_json(line), row["title"], row.get("hold", False)


def _media() -> Iterator[tuple[AnySignal, str, bool]]:
    adapter = Adapter(MEDIA_MAP)
    for line in _lines(CAPTURE):
        event: dict[str, Any] = json.decode(line)
        for signal in adapter.feed(event).signals:
            yield signal, f"mod_conference: {event['Action']}", False


def _lines(name: str) -> list[bytes]:
    return files("pipeline.demo").joinpath(name).read_bytes().splitlines()
