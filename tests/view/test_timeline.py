"""The order of a timeline, and what it says of each signal, in any order of the outcomes."""

from __future__ import annotations

from pipeline.model.events import Event, Meta, PlayFailed, PlayStarted
from pipeline.model.signals import AnySignal, ConferencePause, PlayProgress
from pipeline.view.timeline import SETTLE, Entry, Timeline

API, MEDIA = "t.api.signals/3", "t.media.signals/3"


def pause(name: str) -> AnySignal:
    return ConferencePause(name, "room", 0, "o")


def event(sequence: int, at: int = 0) -> Event:
    return PlayStarted("room", ("u",), "o", Meta("e", sequence, at, "a", "c", "o", False, False))


def timeout(sequence: int, at: int) -> Event:
    return PlayFailed("room", "o", ("u",), "playback_timeout", Meta("e", sequence, at, "a", "o", "o", True, True))


def shown(entries: list[Entry]) -> list[tuple[str, str, list[int]]]:
    return [(one.place, one.outcome, [event.meta.sequence for event in one.events]) for one in entries]


def test_signals_come_in_their_order_whatever_the_outcomes_order() -> None:
    found = Timeline()
    found.add_signal(10, f"{API}/1", pause("a"))
    found.add_signal(20, f"{API}/2", pause("b"))
    found.add_outcome(30, f"{API}/2", "rejected", "why")
    found.add_event(31, f"{API}/1", event(1))
    found.add_event(31, f"{API}/1", event(2))
    assert list(found.complete()) == []
    assert shown(list(found.end())) == [(f"{API}/1", "events", [1, 2]), (f"{API}/2", "rejected", [])]


def test_a_deadline_stands_before_the_signals_that_are_not_earlier() -> None:
    found = Timeline()
    found.add_signal(10, f"{API}/1", pause("play"))
    found.add_signal(20, f"{API}/2", pause("before"))
    found.add_signal(30, f"{API}/3", pause("after"))
    found.add_event(40, f"{API}/1", event(1))
    found.add_outcome(40, f"{API}/2", "no_op", "join")
    found.add_outcome(40, f"{API}/3", "rejected", "why")
    found.add_event(41, "", timeout(2, 30))
    entries = list(found.end())
    assert [one.place for one in entries] == [f"{API}/1", f"{API}/2", "", f"{API}/3"]
    assert (entries[2].kind, entries[2].time, entries[2].delay) == ("timeout", 30, 11)


def test_a_straggler_does_not_put_a_deadline_before_earlier_events() -> None:
    found = Timeline()
    found.add_signal(10, f"{API}/1", pause("play"))
    found.add_signal(50, f"{MEDIA}/9", pause("straggler"))
    found.add_event(60, f"{API}/1", event(1))
    found.add_event(60, f"{MEDIA}/9", event(2))
    found.add_event(61, "", timeout(3, 40))
    assert [one.place for one in found.end()] == [f"{API}/1", f"{MEDIA}/9", ""]


def test_silence_is_no_effect_only_behind_a_later_outcome() -> None:
    found = Timeline()
    for offset in (4, 6):
        found.add_signal(10 + offset, f"{MEDIA}/{offset}", PlayProgress("p", "room", 0, None, None))
    found.add_signal(30, f"{API}/1", pause("a"))
    found.add_progress(f"{MEDIA}/5", 40)
    assert shown(list(found.end())) == [
        (f"{MEDIA}/4", "none", []),
        (f"{MEDIA}/6", "unknown", []),
        (f"{API}/1", "unknown", []),
    ]


def test_an_entry_is_complete_when_its_outcome_is_old() -> None:
    found = Timeline()
    found.add_signal(10, f"{API}/1", pause("a"))
    found.add_event(20, f"{API}/1", event(1))
    found.add_progress(f"{API}/2", 20 + SETTLE)
    assert list(found.complete()) == []
    found.add_progress(f"{API}/3", 21 + SETTLE)
    assert shown(list(found.complete())) == [(f"{API}/1", "events", [1])]
    assert list(found.end()) == []


def test_outcomes_without_their_signal_are_kept() -> None:
    found = Timeline()
    found.add_event(20, f"{API}/1", event(1))
    found.add_outcome(30, f"{API}/2", "dead", "why")
    found.add_batch(40, f"{API}/3", "broken")
    entries = list(found.end())
    assert [(one.kind, one.outcome, one.delay) for one in entries] == [
        ("lost", "events", None),
        ("lost", "dead", None),
        ("batch", "dead", None),
    ]
    assert entries[0].fields()["signal"] is None
