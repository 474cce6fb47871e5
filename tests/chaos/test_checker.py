"""The chaos checker accepts correct logs and reports each kind of error in generated logs."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from testkit.chaos.checker import Verdict, check
from testkit.chaos.load import RoomLife
from testkit.chaos.logs import API, MEDIA, Event, PartitionLog, Signal
from testkit.model import Model, rfc3339

WATCHDOG = 4_000_000
FOREVER = 1 << 61
START = 1_795_354_386_000_000


def made(seed: int, swaps: dict[int, int] | None = None) -> PartitionLog:
    """Return the log of a correct pipeline for three rooms; `swaps` swaps signals before they are applied."""
    rng = random.Random(seed)
    lives = [RoomLife(f"room-{number}", rng, 40) for number in range(3)]
    log, now = PartitionLog(0), START
    order: list[Signal] = []
    while lives:
        life = rng.choice(lives)
        value = life.next()
        if value is None:
            lives.remove(life)
            continue
        now += rng.randrange(1, 900_000)
        name = API if value["type"].startswith("conference.") else MEDIA
        value["occurred_at"] = rfc3339(now)
        signal = Signal((f"t.{name}", 0, len(log.signals[name])), now, value, str(value).encode())
        log.signals[name].append(signal)
        order.append(signal)
    for first, second in (swaps or {}).items():
        order[first], order[second] = order[second], order[first]
    models: dict[str, Model] = {}
    for signal in order:
        assert signal.value is not None
        model = models.setdefault(signal.value["room_id"], Model(WATCHDOG))
        _publish(log, model.signal(signal.value, signal.time), signal)
    for model in models.values():
        _publish(log, model.due(FOREVER), None)
        _rows(log, model)
    log.positions = {f"t.{name}": len(signals) for name, signals in log.signals.items()}
    return log


def _publish(log: PartitionLog, outcomes: list[dict[str, object]], signal: Signal | None) -> None:
    for outcome in outcomes:
        if "event" in outcome:
            event = outcome["event"]
            assert isinstance(event, dict)
            cause = None if event.get("error") == "playback_timeout" or signal is None else signal.at
            log.events.append(Event(("t.events", 0, len(log.events)), 0, cause, event))
        elif "rejected" in outcome:
            assert signal is not None
            row = {**outcome["rejected"], "signal": signal.raw}  # type: ignore[dict-item]
            log.rejected.append((signal.at, row))


def _rows(log: PartitionLog, model: Model) -> None:
    for name, room in model.rooms.items():
        row = {**room, "playback_status": room["status"], "files_finished": room["finished"]}
        row["remaining"] = room.get("remaining")
        log.rooms[name] = row
        members = {m["session_uuid"]: {**m, "sequence": n} for n, m in enumerate(room["members"])}
        log.members[name] = members


def verdict(log: PartitionLog, late: dict[tuple[str, int, int], int] | None = None) -> Verdict:
    return check(log, FOREVER, WATCHDOG, late or {})


@pytest.mark.parametrize("seed", range(20))
def test_correct_logs_have_no_violation(seed: int) -> None:
    log = made(seed)
    found = verdict(log)
    assert found.violations == []
    assert found.events == len(log.events) > 20
    counted = {kind: sum(n for (k, _), n in found.counts.items() if k == kind) for kind in ("events", "rejected")}
    assert counted == {"events": len(log.events), "rejected": len(log.rejected)}
    assert found.signals == sum(len(signals) for signals in log.signals.values())


def an_event(log: PartitionLog, name: str) -> int:
    return next(number for number, event in enumerate(log.events) if event.json["event"].endswith(name))


def lost(log: PartitionLog) -> None:
    del log.events[an_event(log, "member.joined")]


def doubled(log: PartitionLog) -> None:
    log.events.insert(5, copy.deepcopy(log.events[4]))


def reordered(log: PartitionLog) -> None:
    room = log.events[-1].json["room_id"]
    mine = [number for number, event in enumerate(log.events) if event.json["room_id"] == room]
    a, b = mine[3:5]
    log.events[a], log.events[b] = log.events[b], log.events[a]


def from_nowhere(log: PartitionLog) -> None:
    event = copy.deepcopy(log.events[-1])
    event.json["meta"]["sequence"] += 1
    event.json["meta"]["event_id"] = "another"
    log.events.append(event)


def other_cause(log: PartitionLog) -> None:
    log.events[3] = replace(log.events[3], cause=("t.media.signals", 0, 999))


def twice_paused(log: PartitionLog) -> None:
    number = an_event(log, "play.paused")
    again = copy.deepcopy(log.events[number])
    again.json["meta"]["event_id"] = "another"
    log.events.insert(number + 1, again)


def second_end(log: PartitionLog) -> None:
    number = next(n for n, event in enumerate(log.events) if event.json["meta"]["ends_playback"])
    again = copy.deepcopy(log.events[number])
    again.json["meta"]["event_id"] = "another"
    log.events.append(again)


def no_timeout(log: PartitionLog) -> None:
    del log.events[next(n for n, event in enumerate(log.events) if event.json.get("error") == "playback_timeout")]


def early_timeout(log: PartitionLog) -> None:
    event = next(event for event in log.events if event.json.get("error") == "playback_timeout")
    event.json["meta"]["occurred_at"] = "2026-11-22T13:33:06.000000Z"


def unrejected(log: PartitionLog) -> None:
    del log.rejected[0]


def rejected_twice(log: PartitionLog) -> None:
    log.rejected.append(log.rejected[0])


def other_reason(log: PartitionLog) -> None:
    log.rejected[0][1]["reason"] = "room_exists_not"


def no_dead_letter(log: PartitionLog) -> None:
    log.signals[API][3] = replace(log.signals[API][3], value=None)


def behind(log: PartitionLog) -> None:
    log.positions[f"t.{API}"] -= 1


def stale_row(log: PartitionLog) -> None:
    log.rooms["room-that-is-gone"] = {}
    log.signals[API].append(
        Signal((f"t.{API}", 0, len(log.signals[API])), FOREVER - 1, {"type": "conference.leave", "signal_id": "x",
               "room_id": "room-that-is-gone", "session_uuid": "s", "occurred_at": "2026-11-22T13:33:06Z"})
    )  # fmt: skip
    log.positions[f"t.{API}"] += 1


WRONGS = (
    lost, doubled, reordered, from_nowhere, other_cause, twice_paused, second_end, no_timeout, early_timeout,
    unrejected, rejected_twice, other_reason, no_dead_letter, behind, stale_row,
)  # fmt: skip


@pytest.mark.parametrize("wrong", WRONGS, ids=lambda wrong: wrong.__name__)
def test_each_wrong_log_is_a_violation(wrong: Callable[[PartitionLog], None]) -> None:
    log = made(2)
    wrong(log)
    assert verdict(log).violations


def test_straggler_is_accepted_and_reported() -> None:
    found = 0
    for seed in range(12):
        plain = made(seed)
        order = sorted((s for records in plain.signals.values() for s in records), key=lambda s: s.time)
        for place in range(10, len(order) - 1, 2):
            a, b = order[place], order[place + 1]
            assert a.value is not None
            assert b.value is not None
            if a.at[0] == b.at[0] or a.value["room_id"] != b.value["room_id"]:
                continue
            log = made(seed, {place: place + 1})
            if [event.cause for event in log.events] == [event.cause for event in plain.events]:
                continue  # the swap changed nothing
            result = verdict(log)
            assert result.violations == [], (seed, place)
            assert result.overtaken == [b.time - a.time]
            found += 1
    assert found > 2


def test_swapped_signals_of_one_topic_are_a_violation() -> None:
    found = 0
    for place in range(10, 60):
        plain = made(3)
        order = sorted((s for records in plain.signals.values() for s in records), key=lambda s: s.time)
        a, b = order[place], order[place + 1]
        assert a.value is not None
        assert b.value is not None
        if a.at[0] != b.at[0] or a.value["room_id"] != b.value["room_id"]:
            continue
        log = made(3, {place: place + 1})
        if [event.json for event in log.events] != [event.json for event in plain.events]:
            assert verdict(log).violations
            found += 1
    assert found > 2


def test_only_a_late_acknowledgement_excuses_an_early_timeout() -> None:
    log = PartitionLog(0)
    base = {"room_id": "r", "occurred_at": "2026-11-22T13:33:06Z"}
    create = {**base, "type": "conference.create", "signal_id": "1", "app_id": "a", "name": "n"}
    play = {**base, "type": "conference.play", "signal_id": "2", "urls": ["http://x/y"], "operation_id": "op"}
    finished = {**base, "type": "play.finished", "signal_id": "3", "operation_id": "op", "url": "http://x/y"}
    log.signals[API] = [
        Signal((f"t.{API}", 0, 0), START, create),
        Signal((f"t.{API}", 0, 1), START + 1, play),
    ]
    before = START + WATCHDOG - 5
    log.signals[MEDIA] = [Signal((f"t.{MEDIA}", 0, 0), before, finished)]
    model = Model(WATCHDOG)
    for signal in log.signals[API]:
        assert signal.value is not None
        _publish(log, model.signal(signal.value, signal.time), signal)
    _publish(log, model.due(START + WATCHDOG + 1), None)
    _publish(log, model.signal(finished, before), log.signals[MEDIA][0])
    _rows(log, model)
    log.positions = {f"t.{API}": 2, f"t.{MEDIA}": 1}
    assert verdict(log).violations
    deadline = START + 1 + WATCHDOG
    assert verdict(log, {(f"t.{MEDIA}", 0, 0): deadline + 200_000}).violations
    result = verdict(log, {(f"t.{MEDIA}", 0, 0): deadline + 260_000})
    assert result.violations == []
    assert result.excused == 1


def test_late_acknowledgement_alone_does_not_move_the_timeout_forward() -> None:
    """A play rejected before the timeout has no event, so the timeout is the next event in either order."""
    log = PartitionLog(0)
    base = {"room_id": "r", "occurred_at": "2026-11-22T13:33:06Z"}
    create = {**base, "type": "conference.create", "signal_id": "1", "app_id": "a", "name": "n"}
    play = {**base, "type": "conference.play", "signal_id": "2", "urls": ["http://x/y"], "operation_id": "op"}
    again = {**play, "signal_id": "3", "operation_id": "op2"}
    for offset, (time, value) in enumerate(((START, create), (START + 1, play), (START + WATCHDOG - 5, again))):
        log.signals[API].append(Signal((f"t.{API}", 0, offset), time, dict(value), str(value).encode()))
    model = Model(WATCHDOG)
    for signal in log.signals[API]:
        assert signal.value is not None
        _publish(log, model.signal(signal.value, signal.time), signal)
    _publish(log, model.due(FOREVER), None)
    _rows(log, model)
    log.positions = {f"t.{API}": 3}
    result = verdict(log, {(f"t.{API}", 0, 2): START + WATCHDOG + 260_000})
    assert result.violations == []
    assert result.excused == 0
    assert result.counts["rejected", "playback_active"] == 1
