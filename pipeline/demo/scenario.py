"""The demo's timeline: a recorded conference and the API calls that the engine can't know of, merged by time.

`freeswitch-mod_conference.jsonl` is what a real FreeSWITCH said in 18 seconds; `scenario.jsonl` has the API
signals, in the same time frame, each with a `title` for people. The whole gives all 13 events, some no-ops,
one rejected signal, and one playback that only the watchdog ends. What must come of it is written down in
tests/captures/freeswitch.events.expected.jsonl.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final, Literal

import msgspec

from pipeline.engines.freeswitch.adapter import Adapter
from pipeline.model.codec import decode_json, signal_json
from pipeline.model.signals import AnySignal

CAPTURE: Final = "freeswitch-mod_conference.jsonl"
SCENARIO: Final = "scenario.jsonl"
MEDIA_MAP: Final = (("/var/lib/media", "https://cdn.example.com/audio"),)

MIN_DELAY: Final = 0.02
"""Seconds between signals of different topics: the broker counts milliseconds, and in one api goes first."""


@dataclass(frozen=True, slots=True)
class Step:
    """One signal to send, `delay` seconds after the step before it was acknowledged."""

    delay: float
    topic: Literal["api", "media"]
    title: str
    """What happened, for people."""
    hold: bool
    """True if `delay` is not to be shortened: the step comes when the watchdog (10 s) must have spoken."""
    signal: AnySignal

    @property
    def line(self) -> bytes:
        """The signal as a JSON line, LF at the end; its key is `signal.room_id`."""
        return signal_json(self.signal)


def steps(*, room_id: str | None = None, speed: float = 1.0, longest: float = 1.0) -> list[Step]:
    """The timeline.

    Args:
        room_id: takes the place of the recorded room's id, so that a run meets nothing of an aborted one.
        speed: the recorded gaps are divided by this.
        longest: seconds; longer gaps are cut to this. A step that says `hold` keeps its recorded gap.
    """
    recorded = sorted([*_api(), *_media()], key=lambda row: (row[0].occurred_at, row[0].TOPIC))
    timeline: list[Step] = []
    for signal, title, hold in recorded:
        last = timeline[-1].signal if timeline else signal
        delay = (signal.occurred_at - last.occurred_at) / 1e6
        if not hold:
            delay = min(delay / speed, longest)
        if signal.TOPIC != last.TOPIC:
            delay = max(delay, MIN_DELAY)
        topic: Literal["api", "media"] = "api" if signal.TOPIC == "api" else "media"
        timeline.append(Step(delay, topic, title, hold, signal))
    if room_id is None:
        return timeline
    return [
        Step(
            step.delay,
            step.topic,
            step.title,
            step.hold,
            msgspec.structs.replace(step.signal, room_id=room_id),
        )
        for step in timeline
    ]


def _api() -> Iterator[tuple[AnySignal, str, bool]]:
    for line in _lines(SCENARIO):
        row: dict[str, Any] = msgspec.json.decode(line)
        yield decode_json(line), row["title"], row.get("hold", False)


def _media() -> Iterator[tuple[AnySignal, str, bool]]:
    adapter = Adapter(MEDIA_MAP)
    for line in _lines(CAPTURE):
        event: dict[str, Any] = msgspec.json.decode(line)
        signal = adapter.signal(event)
        if signal is not None:
            yield signal, f"mod_conference: {event['Action']}", False


def _lines(name: str) -> list[bytes]:
    return files("pipeline.demo").joinpath(name).read_bytes().splitlines()
