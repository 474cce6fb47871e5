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
from testkit.model import GONE_US, Model, Outcome, rfc3339
from testkit.raw_fetch import StoredRecord

WATCHDOG = 4_000_000
FOREVER = 1 << 61
START = 1_795_354_386_000_000


def made(seed: int, swaps: dict[int, int] | None = None) -> PartitionLog:
    """Return the log of a correct pipeline for three rooms, each of which lives twice, and one that does not end.

    `swaps` swaps signals before they are applied.
    """
    rng = random.Random(seed)
    lives = [RoomLife(f"room-{number}", rng, 30) for number in range(3)]
    again = list(lives)
    log, now = PartitionLog(0), START
    order: list[Signal] = []
    endless = RoomLife("room-endless", rng, 10_000, hold=3)
    while lives:
        life = rng.choice([*lives, endless])
        value = life.next()
        if value is None:
            lives.remove(life)
            if life in again:
                lives.append(RoomLife(life.room_id, rng, 10, earlier=life.requests))
                now += rng.choice((0, 30_000_000, 61_000_000))
            continue
        now += rng.randrange(1, 900_000)
        name = API if value["type"].startswith("conference.") else MEDIA
        value["occurred_at"] = rfc3339(now)
        signal = Signal((f"t.{name}", 0, _end(log, name)), now, value, str(value).encode())
        log.signals[name].append(signal)
        order.append(signal)
        if rng.random() < 0.05:
            _add_dead(log, rng.choice((API, MEDIA)), now, batch=rng.random() < 0.5)
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
    _positions(log)
    return log


def valid(log: PartitionLog) -> list[Signal]:
    """Return the signals that are not dead letters, by time."""
    return sorted((s for records in log.signals.values() for s in records if s.value is not None), key=lambda s: s.time)


def _end(log: PartitionLog, name: str) -> int:
    return log.signals[name][-1].end if log.signals[name] else 0


def _add_dead(log: PartitionLog, name: str, time: int, *, batch: bool) -> None:
    """Add a record that is not a signal, or a broken batch of 41 offsets, and its dead letter."""
    offset = _end(log, name)
    own: tuple[tuple[bytes, bytes | None], ...] = () if batch else ((b"\xff", None), (b"ce_signal", b"mine"))
    signal = Signal((f"t.{name}", 0, offset), time, None, b"x" * 70_000, headers=own)
    why = {
        "topic": f"t.{name}",
        "partition": 0,
        "offset": offset,
        "exception.class.name": "E",
        "exception.message": "m",
    }
    headers = [(f"__connect.errors.{part}".encode(), str(value).encode()) for part, value in why.items()]
    headers.append((b"ce_signal", f"t.{name}/0/{offset}".encode()))
    value = signal.raw
    if batch:
        signal.last, value = offset + 40, b"x" * 65_536
        headers.append((b"last-offset", str(offset + 40).encode()))
    log.signals[name].append(signal)
    log.dead.append((signal.at, StoredRecord(len(log.dead), 0, None, value, (*own, *headers))))


def _positions(log: PartitionLog) -> None:
    for name, signals in log.signals.items():
        log.positions[f"t.{name}"] = _end(log, name)
        log.times[f"t.{name}"] = max((signal.time for signal in signals if signal.value is not None), default=0)


def _publish(log: PartitionLog, outcomes: list[Outcome], signal: Signal | None) -> None:
    for outcome in outcomes:
        if "event" in outcome:
            event = outcome["event"]
            cause = None if event.get("error") == "playback_timeout" or signal is None else signal.at
            log.events.append(Event(("t.events", 0, len(log.events)), 0, cause, event))
            continue
        assert signal is not None
        if "rejected" in outcome:
            log.rejected.append((signal.at, {**outcome["rejected"], "signal": signal.raw}))
        elif outcome["no_op"]["type"].startswith("conference."):
            log.noops.append((signal.at, outcome["no_op"]))


def _rows(log: PartitionLog, model: Model) -> None:
    tables = {"room": log.rooms, "gone": log.gone}
    for (kind, *ids), row in model.rows().items():
        table = log.members.setdefault(ids[0], {}) if kind == "member" else tables[kind]
        table[ids[-1]] = copy.deepcopy(row)
    end = max(signal.time for signals in log.signals.values() for signal in signals)
    log.gone = {name: row for name, row in log.gone.items() if row["forgotten_at"] + GONE_US > end}
    log.read_at = end


def verdict(log: PartitionLog, late: dict[tuple[str, int, int], int] | None = None) -> Verdict:
    return check(log, FOREVER, WATCHDOG, late or {})


@pytest.mark.parametrize("seed", range(20))
def test_correct_logs_have_no_violation(seed: int) -> None:
    log = made(seed)
    found = verdict(log)
    assert found.violations == []
    assert found.events == len(log.events) > 20
    counted = {
        kind: sum(n for (k, _), n in found.counts.items() if k == kind) for kind in ("events", "rejected", "dead")
    }
    assert counted == {"events": len(log.events), "rejected": len(log.rejected), "dead": len(log.dead)}
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


def no_op_lost(log: PartitionLog) -> None:
    del log.noops[0]


def no_op_twice(log: PartitionLog) -> None:
    log.noops.append(log.noops[0])


def no_op_of_another_reason(log: PartitionLog) -> None:
    log.noops[0][1]["reason"] = "join_not"


def no_op_of_a_media_signal(log: PartitionLog) -> None:
    signal = next(s for s in log.signals[MEDIA] if s.value is not None and s.value["type"] == "play.progress")
    assert signal.value is not None
    row = {name: signal.value[name] for name in ("signal_id", "room_id", "type")}
    log.noops.append((signal.at, {**row, "reason": "progress"}))


def without_outcome(log: PartitionLog) -> None:
    """A rejected signal of a room that no other signal names: the counts alone show it."""
    place = (f"t.{API}", 0, _end(log, API))
    value = {
        "type": "conference.leave",
        "signal_id": "x",
        "room_id": "q",
        "session_uuid": "s",
        "occurred_at": "2026-11-22T13:33:06Z",
    }
    log.signals[API].append(Signal(place, FOREVER - 1, value, b"x"))
    _positions(log)


def no_dead_letter(log: PartitionLog) -> None:
    log.signals[API][3] = replace(log.signals[API][3], value=None)


def _letter(log: PartitionLog, *, batch: bool) -> int:
    return next(n for n, (_, one) in enumerate(log.dead) if (one.header(b"last-offset") is not None) == batch)


def _relabel(log: PartitionLog, number: int, name: bytes, value: bytes | None) -> None:
    place, letter = log.dead[number]
    headers = tuple((key, value if key == name else old) for key, old in letter.headers)
    log.dead[number] = place, replace(letter, headers=headers)


def letter_without_its_place(log: PartitionLog) -> None:
    _relabel(log, 0, b"ce_signal", None)


def letter_with_another_value(log: PartitionLog) -> None:
    number = _letter(log, batch=False)
    log.dead[number] = log.dead[number][0], replace(log.dead[number][1], value=b"y")


def letter_without_the_headers(log: PartitionLog) -> None:
    number = _letter(log, batch=False)
    log.dead[number] = log.dead[number][0], replace(log.dead[number][1], headers=log.dead[number][1].headers[1:])


def batch_of_one_offset(log: PartitionLog) -> None:
    number = _letter(log, batch=True)
    place = log.dead[number][0]
    _relabel(log, number, b"last-offset", str(place[2]).encode())


def batch_with_a_letter_for_each_offset(log: PartitionLog) -> None:
    (topic, partition, offset), letter = log.dead[_letter(log, batch=True)]
    log.dead.append(((topic, partition, offset + 1), letter))


def whole_batch_in_the_letter(log: PartitionLog) -> None:
    number = _letter(log, batch=True)
    log.dead[number] = log.dead[number][0], replace(log.dead[number][1], value=b"x" * 70_000)


def position_in_a_batch(log: PartitionLog) -> None:
    _add_dead(log, MEDIA, FOREVER - 1, batch=True)
    _positions(log)
    log.positions[f"t.{MEDIA}"] -= 40


def behind(log: PartitionLog) -> None:
    log.positions[f"t.{API}"] -= 1


def time_of_a_dead_letter(log: PartitionLog) -> None:
    log.times[f"t.{MEDIA}"] += 1


def _gone(log: PartitionLog) -> str:
    """Return a room that is gone at the end; its row is still needed."""
    room_id = next(iter(log.gone))
    log.read_at = log.gone[room_id]["forgotten_at"] + GONE_US - 1
    return room_id


def gone_not_written(log: PartitionLog) -> None:
    del log.gone[_gone(log)]


def gone_with_another_time(log: PartitionLog) -> None:
    log.gone[_gone(log)]["forgotten_at"] += 1


def gone_with_other_signal_ids(log: PartitionLog) -> None:
    log.gone[_gone(log)]["recent"] = []


def gone_never_deleted(log: PartitionLog) -> None:
    for name in (API, MEDIA):
        _add_dead(log, name, log.gone[_gone(log)]["forgotten_at"] + 91_000_000, batch=False)
    _positions(log)


def gone_from_nowhere(log: PartitionLog) -> None:
    log.gone["never"] = {"room_id": "never", "forgotten_at": START, "recent": []}


def _column(name: str) -> Callable[[PartitionLog], None]:
    def wrong(log: PartitionLog) -> None:
        row = next(row for row in log.rooms.values() if row[name] or name == "remaining")
        row[name] = None

    wrong.__name__ = f"wrong_{name}"
    return wrong


def member_with_another_time(log: PartitionLog) -> None:
    next(row for rows in log.members.values() for row in rows.values())["joined_at"] += 1


def stale_row(log: PartitionLog) -> None:
    log.members.setdefault(next(iter(log.gone)), {})["s"] = {"session_uuid": "s", "sequence": 1}


WRONGS = (
    lost, doubled, reordered, from_nowhere, other_cause, twice_paused, second_end, no_timeout, early_timeout,
    unrejected, rejected_twice, other_reason, no_op_lost, no_op_twice, no_op_of_another_reason, no_op_of_a_media_signal,
    without_outcome, no_dead_letter, letter_without_its_place, letter_with_another_value, letter_without_the_headers,
    batch_of_one_offset, batch_with_a_letter_for_each_offset, whole_batch_in_the_letter, position_in_a_batch, behind,
    time_of_a_dead_letter, stale_row, gone_not_written, gone_with_another_time, gone_with_other_signal_ids,
    gone_never_deleted, gone_from_nowhere, member_with_another_time,
    *map(_column, ("ended_operation_id", "ended_by", "ended_at", "created_at", "last_event_at", "recent")),
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
        order = valid(plain)
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
    found, plain = 0, made(3)
    order = valid(plain)
    for place in range(10, len(order) - 1):
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
    _positions(log)
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
    _positions(log)
    result = verdict(log, {(f"t.{API}", 0, 2): START + WATCHDOG + 260_000})
    assert result.violations == []
    assert result.excused == 0
    assert result.counts["rejected", "playback_active"] == 1


def test_only_a_late_acknowledgement_excuses_an_early_end_of_a_gone_room() -> None:
    """The row of a gone room was deleted after the barrier; then came an echo that was appended before."""
    log = PartitionLog(0)
    base = {"room_id": "r", "occurred_at": "2026-11-22T13:33:06Z"}
    create = {**base, "type": "conference.create", "signal_id": "1", "app_id": "a", "name": "n"}
    destroy = {**base, "type": "conference.destroy", "signal_id": "2"}
    joined = {**base, "type": "member.joined", "signal_id": "0", "session_uuid": "s", "caller_id": ""}
    left = {**base, "type": "member.left", "signal_id": "3", "session_uuid": "s"}
    log.signals[API] = [
        Signal((f"t.{API}", 0, 0), START, create, b"1"),
        Signal((f"t.{API}", 0, 1), START + 1, destroy, b"2"),
    ]
    end = START + 1 + GONE_US
    echo = Signal((f"t.{MEDIA}", 0, 1), end - 5, left, b"3")
    log.signals[MEDIA] = [Signal((f"t.{MEDIA}", 0, 0), START, joined, b"0"), echo]
    model = Model(WATCHDOG)
    _publish(log, model.signal(create, START), log.signals[API][0])
    _publish(log, model.signal(joined, START), log.signals[MEDIA][0])
    _publish(log, model.signal(destroy, START + 1), log.signals[API][1])
    log.rejected.append(
        (echo.at, {"signal_id": "3", "room_id": "r", "type": "member.left", "reason": "room_unknown", "signal": b"3"})
    )
    _positions(log)
    log.read_at = end + 10**6
    assert verdict(log).violations
    assert verdict(log, {echo.at: end + 200_000}).violations
    result = verdict(log, {echo.at: end + 260_000})
    assert (result.violations, result.excused) == ([], 1)
    echo.unstamped = True
    assert verdict(log).violations == []
