"""The demo's timeline, against expected events written by hand from the recording and the contract."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from pipeline.core.watchdog import Rules
from pipeline.demo import scenario
from pipeline.demo.scenario import steps
from pipeline.model import events, signals
from pipeline.model.codec import signal_json
from pipeline.replay import Replay

CAPTURES = Path(__file__).parent.parent / "captures"
EXPECTED = CAPTURES / "freeswitch.events.expected.jsonl"
URL_NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")


REJECTED = {
    "signal_id": "demo-volume-2",
    "room_id": "acW68-room-abc123",
    "type": "conference.volume",
    "reason": "volume_out_of_range",
}


def expected() -> list[dict[str, Any]]:
    return [json.loads(line) for line in EXPECTED.read_bytes().splitlines()]


def test_package_and_tests_have_the_same_recording() -> None:
    packaged = Path(scenario.__file__).with_name(scenario.CAPTURE)
    assert packaged.read_bytes() == (CAPTURES / scenario.CAPTURE).read_bytes()


def test_expected_events_cover_all_13_kinds_without_a_gap() -> None:
    names = {line["event"] for line in expected()}
    assert names == {event.EVENT for event in events.EVENTS}
    assert [line["meta"]["sequence"] for line in expected()] == list(range(1, len(expected()) + 1))


def test_timeline_is_ordered_and_has_every_signal_type() -> None:
    timeline = steps()
    times = [step.signal.occurred_at for step in timeline]
    assert times == sorted(times)
    types = Counter(step.signal.TYPE for step in timeline)
    assert set(types) == {signal.TYPE for signal in signals.SIGNALS}
    assert Counter(step.signal.TOPIC for step in timeline) == {"api": 19, "media": 16}


def test_timeline_is_short_but_keeps_the_watchdogs_10_seconds() -> None:
    timeline = steps()
    assert 20 < sum(step.delay for step in timeline) < 40
    assert timeline[0].delay == 0
    last_play = max(i for i, step in enumerate(timeline) if step.signal.TYPE == "conference.play")
    assert [step.signal.TYPE for step in timeline if step.hold] == ["conference.destroy"]
    for speed in (1.0, 10.0):
        assert sum(step.delay for step in steps(speed=speed)[last_play + 1 :]) >= 10.5
    assert max(step.delay for step in timeline if not step.hold) <= 1.0


def test_topics_alternate_on_different_milliseconds() -> None:
    for before, after in zip(steps(speed=100), steps(speed=100)[1:], strict=False):
        if before.signal.TOPIC != after.signal.TOPIC:
            assert after.delay >= scenario.MIN_DELAY


def test_room_id_replaces_the_recorded_one() -> None:
    replaced, recorded = steps(room_id="demo-7"), steps()
    assert {json.loads(step.line)["room_id"] for step in replaced} == {"demo-7"}
    assert {json.loads(step.line)["room_id"] for step in recorded} == {"acW68-room-abc123"}
    assert [step.delay for step in replaced] == [step.delay for step in recorded]
    assert all(step.line.endswith(b"}\n") and b"title" not in step.line for step in recorded)


def replay(lines: list[bytes]) -> tuple[list[dict[str, Any]], list[dict[str, Any]], Replay]:
    """Return events, rejected signals and the Replay; fail on a dead letter."""
    found: list[bytes] = []
    rejected: list[bytes] = []
    dead: list[bytes] = []
    run = Replay(Rules(), found.append, rejected=rejected.append, dead=dead.append)
    run.feed(lines)
    assert not dead
    return [json.loads(line) for line in found], [json.loads(line) for line in rejected], run


def test_replay_gives_the_expected_events() -> None:
    found, rejected, run = replay([step.line for step in steps()])
    for line in found:
        meta = line["meta"]
        name = f"{line['room_id']}/{meta['sequence']}/{meta['cause']}"
        assert meta.pop("event_id") == str(uuid.uuid5(URL_NAMESPACE, name))
    assert found == expected()
    assert [list(line) for line in found] == [list(line) for line in expected()]
    assert rejected == [REJECTED]
    # No-ops: the API's 3 joins and 1 leave, 2 mutes of the engine and 1 unmute of the API without a change,
    # 1 repeated pause, 3 play.progress, and the end of a file that was already stopped.
    assert run.counts["no_ops"] == 3 + 1 + 2 + 1 + 1 + 3 + 1


def test_faster_timeline_gives_the_same_events() -> None:
    clock, lines = 0.0, []
    for step in steps(speed=2.0, longest=0.5):
        clock += step.delay
        at = signals.Micros(round(clock * 1e6))
        lines.append(signal_json(msgspec.structs.replace(step.signal, occurred_at=at)))
    found, rejected, _ = replay(lines)
    assert [without_times(line) for line in found] == [without_times(line) for line in expected()]
    assert rejected == [REJECTED]


def without_times(line: dict[str, Any]) -> dict[str, Any]:
    meta = {key: value for key, value in line["meta"].items() if key not in ("event_id", "occurred_at")}
    return {**line, "meta": meta}


def test_replay_command_gives_the_expected_events(tmp_path: Path) -> None:
    timeline, rejected, dead = (tmp_path / name for name in ("timeline", "rejected", "dead"))
    timeline.write_bytes(b"".join(step.line for step in steps()))
    command = [sys.executable, "-m", "pipeline", "replay", str(timeline), "--until", "2026-11-22T13:34:00Z"]
    command += ["--rejected", str(rejected), "--dead", str(dead)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    assert not dead.exists() or dead.read_bytes() == b""
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["meta"].pop("event_id") for line in found]
    assert found == expected()
    assert [json.loads(line) for line in rejected.read_bytes().splitlines()] == [REJECTED]
