"""The chaos checker accepts correct logs and reports each kind of error in generated logs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from testkit.chaos.checker import Verdict, check
from testkit.chaos.logs import API, MEDIA, PartitionLog, Signal
from testkit.model import GONE_US, Model
from tests.chaos.made_logs import FOREVER, START, WATCHDOG, made, publish, set_positions, set_rows, valid
from tests.chaos.run import counters_fault
from tests.chaos.wrong_logs import WRONGS


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
        publish(log, model.signal(signal.value, signal.time), signal)
    publish(log, model.due(START + WATCHDOG + 1), None)
    publish(log, model.signal(finished, before), log.signals[MEDIA][0])
    set_rows(log, model)
    set_positions(log)
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
        publish(log, model.signal(signal.value, signal.time), signal)
    publish(log, model.due(FOREVER), None)
    set_rows(log, model)
    set_positions(log)
    result = verdict(log, {(f"t.{API}", 0, 2): START + WATCHDOG + 260_000})
    assert result.violations == []
    assert result.excused == 0
    assert result.counts["rejected", "playback_active"] == 1


def test_late_acknowledgement_excuses_an_early_end_of_a_gone_room() -> None:
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
    publish(log, model.signal(create, START), log.signals[API][0])
    publish(log, model.signal(joined, START), log.signals[MEDIA][0])
    publish(log, model.signal(destroy, START + 1), log.signals[API][1])
    log.rejected.append(
        (echo.at, {"signal_id": "3", "room_id": "r", "type": "member.left", "reason": "room_unknown", "signal": b"3"})
    )
    set_positions(log)
    log.read_at = end + 10**6
    assert verdict(log).violations
    assert verdict(log, {echo.at: end + 200_000}).violations
    result = verdict(log, {echo.at: end + 260_000})
    assert (result.violations, result.excused) == ([], 1)
    echo.unstamped = True
    assert verdict(log).violations == []


def test_only_reasons_of_few_no_ops_may_differ() -> None:
    counts = Counter({("events", "a"): 5, ("no_ops", "room_gone"): 5, ("no_ops", "join"): 5})
    assert counters_fault(counts, counts, 0) == ""
    late = Counter({("events", "a"): 5, ("no_ops", "room_gone"): 4, ("no_ops", "join"): 6})
    assert counters_fault(late, counts, 1) == ""
    for wrong in (
        {("events", "a"): 5, ("no_ops", "room_gone"): 2, ("no_ops", "join"): 8},
        {("events", "a"): 5, ("no_ops", "room_gone"): 4, ("no_ops", "join"): 5},
        {("events", "a"): 4, ("no_ops", "room_gone"): 6, ("no_ops", "join"): 5},
    ):
        assert "the counters differ" in counters_fault(Counter(wrong), counts, 2)
