"""Logs of a correct pipeline, made with the model, for the tests of the chaos checker."""

from __future__ import annotations

import copy
import random

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
        signal = Signal((f"t.{name}", 0, end_of(log, name)), now, value, str(value).encode())
        log.signals[name].append(signal)
        order.append(signal)
        if rng.random() < 0.05:
            add_dead(log, rng.choice((API, MEDIA)), now, batch=rng.random() < 0.5)
    for first, second in (swaps or {}).items():
        order[first], order[second] = order[second], order[first]
    models: dict[str, Model] = {}
    for signal in order:
        assert signal.value is not None
        model = models.setdefault(signal.value["room_id"], Model(WATCHDOG))
        publish(log, model.signal(signal.value, signal.time), signal)
    for model in models.values():
        publish(log, model.due(FOREVER), None)
        set_rows(log, model)
    set_positions(log)
    return log


def valid(log: PartitionLog) -> list[Signal]:
    """Return the signals that are not dead letters, by time."""
    return sorted((s for records in log.signals.values() for s in records if s.value is not None), key=lambda s: s.time)


def end_of(log: PartitionLog, name: str) -> int:
    return log.signals[name][-1].end if log.signals[name] else 0


def add_dead(log: PartitionLog, name: str, time: int, *, batch: bool) -> None:
    """Add a record that is not a signal, or a broken batch of 41 offsets, and its dead letter."""
    offset = end_of(log, name)
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


def set_positions(log: PartitionLog) -> None:
    for name, signals in log.signals.items():
        log.positions[f"t.{name}"] = end_of(log, name)
        log.times[f"t.{name}"] = max((signal.time for signal in signals if signal.value is not None), default=0)


def publish(log: PartitionLog, outcomes: list[Outcome], signal: Signal | None) -> None:
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


def set_rows(log: PartitionLog, model: Model) -> None:
    tables = {"room": log.rooms, "gone": log.gone}
    for (kind, *ids), row in model.rows().items():
        table = log.members.setdefault(ids[0], {}) if kind == "member" else tables[kind]
        table[ids[-1]] = copy.deepcopy(row)
    end = max(signal.time for signals in log.signals.values() for signal in signals)
    log.gone = {name: row for name, row in log.gone.items() if row["forgotten_at"] + GONE_US > end}
    log.read_at = end
