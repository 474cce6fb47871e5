"""Events of one switch in the order of Event-Sequence, within a window."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.engines.freeswitch.adapter import Adapter, order
from tests.support.freeswitch import TIME, all_of, fed, member, short

WINDOW = 250_000


def muted(sequence: int, micros: int = 0, **headers: Any) -> dict[str, Any]:
    """Return a mute of the member that is named as the sequence."""
    time = str(TIME + micros)
    number = str(sequence)
    return member("mute-member", Unique_ID=number, Event_Sequence=number, Event_Date_Timestamp=time, **headers)


def numbers(signals: list[Any]) -> list[int]:
    return [int(text.split()[1].rpartition("-")[2]) for text in short(signals)]


@given(st.permutations(range(1, 30)), st.lists(st.integers(0, WINDOW - 1), min_size=30, max_size=30))
def test_events_within_the_window_come_out_in_order(sequence: list[int], times: list[int]) -> None:
    found = all_of(Adapter(reorder=WINDOW), *(muted(one, times[one]) for one in sequence))
    assert numbers(found.signals) == sorted(sequence)
    assert found.reports == []


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 3_000_000), st.sampled_from("ab")), max_size=40))
def test_no_event_is_lost_whatever_the_order(events: list[tuple[int, int, str]]) -> None:
    whole = [muted(*one[:2], FreeSWITCH_Switchname=one[2], Core_UUID=one[2]) for one in events]
    ids = [sorted(one.signal_id for one in all_of(Adapter(reorder=n), *whole).signals) for n in (0, WINDOW)]
    assert ids[0] == ids[1]


def test_event_waits_for_the_window_and_no_longer() -> None:
    adapter = Adapter(reorder=WINDOW)
    assert numbers(fed(adapter, muted(1), muted(3, WINDOW - 1)).signals) == []
    assert numbers(fed(adapter, muted(2, WINDOW)).signals) == [1]
    assert numbers(fed(adapter, muted(9, 3 * WINDOW)).signals) == [2, 3]
    assert numbers(adapter.end().signals) == [9]


def test_live_events_wait_by_the_clock_of_their_arrival() -> None:
    adapter = Adapter(reorder=WINDOW)
    for now, sequence in enumerate((5, 3, 4)):
        assert adapter.feed(muted(sequence), now).signals == []
    assert adapter.advance(WINDOW - 1).signals == []
    assert numbers(adapter.advance(WINDOW).signals) == [3, 4, 5]
    assert not adapter.waits


def test_event_that_comes_after_the_window_is_reported() -> None:
    found = all_of(Adapter(reorder=WINDOW), muted(1), muted(3), muted(9, 4 * WINDOW), muted(2, 4 * WINDOW))
    assert numbers(found.signals) == [1, 3, 2, 9]
    assert [report.text for report in found.reports] == [
        "switch acW68, room room: Event-Sequence 2 after 3: the order of the room's events is lost"
    ]


def test_events_before_a_restart_come_first() -> None:
    adapter = Adapter(reorder=WINDOW)
    events = [muted(90), muted(1, Core_UUID="new"), muted(80), muted(2, Core_UUID="new"), muted(100)]
    found = all_of(adapter, *events)
    assert numbers(found.signals) == [80, 90, 100, 1, 2]
    assert [report.kind for report in found.reports] == ["restart"]


def test_number_and_size_of_waiting_events_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "MAX_HELD", 20)
    monkeypatch.setattr(order, "MAX_SWITCHES", 3)
    adapter = Adapter(reorder=WINDOW)
    found: list[Any] = []
    for n in range(100):
        switch = f"fs{random.Random(n).randrange(8)}"
        found += adapter.feed(muted(n, FreeSWITCH_Switchname=switch, Core_UUID=switch)).signals
        assert adapter._order._held == sum(map(len, adapter._order._queues.values())) <= 20
        assert len(adapter._order._queues) <= 3
    assert sorted(numbers(found + adapter.end().signals)) == list(range(100))
    monkeypatch.setattr(order, "MAX_WEIGHT", 3_000)
    adapter = Adapter(reorder=WINDOW)
    assert len(fed(adapter, *(muted(n) for n in range(20))).signals) >= 15
