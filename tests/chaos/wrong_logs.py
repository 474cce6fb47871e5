"""Changes of a correct log that the chaos checker must report."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

from testkit.chaos.logs import API, MEDIA, PartitionLog, Signal
from testkit.model import GONE_US
from tests.chaos.made_logs import FOREVER, START, add_dead, end_of, set_positions


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
    place = (f"t.{API}", 0, end_of(log, API))
    value = {
        "type": "conference.leave",
        "signal_id": "x",
        "room_id": "q",
        "session_uuid": "s",
        "occurred_at": "2026-11-22T13:33:06Z",
    }
    log.signals[API].append(Signal(place, FOREVER - 1, value, b"x"))
    set_positions(log)


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
    add_dead(log, MEDIA, FOREVER - 1, batch=True)
    set_positions(log)
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
        add_dead(log, name, log.gone[_gone(log)]["forgotten_at"] + 91_000_000, batch=False)
    set_positions(log)


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
