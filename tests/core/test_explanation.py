"""The search for an order that explains a room's records: it finds each order that happened, and each change."""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec
import pytest

from pipeline.core.explanation import Explanation, Input, Published, Recorded
from pipeline.core.partition import Partition
from pipeline.core.watchdog import Rules
from pipeline.model import framing
from pipeline.model import signals as s
from pipeline.model.wire import ENCODERS

RULES = Rules(5)
SESSIONS, URL = ("s-1", "s-2"), "http://x/a"
Records = tuple[list[Input], list[Input], list[Published]]


def api_signal(chance: random.Random, number: int) -> s.AnySignal:
    name = f"a-{number if chance.random() < 0.9 else max(0, number - 1)}"
    session = chance.choice(SESSIONS)
    make: list[Callable[[], s.AnySignal]] = [
        lambda: s.ConferenceCreate(name, "r", number, "app", "n"),
        lambda: s.ConferencePlay(name, "r", number, (URL,), f"o-{number}"),
        lambda: s.ConferencePause(name, "r", number, "o"),
        lambda: s.ConferenceStop(name, "r", number, "o"),
        lambda: s.ConferenceMute(name, "r", number, session),
        lambda: s.ConferenceLeave(name, "r", number, session),
        lambda: s.ConferenceDestroy(name, "r", number),
    ]
    return chance.choice(make)()


def media_signal(chance: random.Random, number: int) -> s.AnySignal:
    session = chance.choice(SESSIONS)
    make: list[Callable[[], s.AnySignal]] = [
        lambda: s.MemberJoined(f"m-{number}", "r", number, session, "+1", chance.random() < 0.3),
        lambda: s.MemberLeft(f"m-{number}", "r", number, session, None),
        lambda: s.MemberUnmuted(f"m-{number}", "r", number, session),
        lambda: s.PlayFinished(f"m-{number}", "r", number, URL, None),
        lambda: s.PlayProgress(f"m-{number}", "r", number, None, URL),
    ]
    return chance.choice(make)()


def history(seed: int, *, stragglers: float) -> Records:
    """Return what a worker would have recorded; with this share, the next signal is not the one whose turn it is."""
    chance = random.Random(seed)
    times = [sorted(chance.randrange(60) for _ in range(12)) for _ in range(2)]
    queues = [
        [(time, api_signal(chance, number)) for number, time in enumerate(times[0])],
        [(time, media_signal(chance, number)) for number, time in enumerate(times[1])],
    ]
    partition, events, found = Partition(RULES), list[Published](), ([], [])
    while queues[0] or queues[1]:
        heads = [n for n in (0, 1) if queues[n]]
        heads.sort(key=lambda n: (queues[n][0][0], n))
        which = heads[-1] if chance.random() < stragglers else heads[0]
        time, signal = queues[which].pop(0)
        for timeout in partition.due(time):
            events += [published("", event) for event in partition.expire(timeout).events]
        decision = partition.apply(signal, time)
        place = f"t.{('api', 'media')[which]}.signals/0/{len(found[which])}"
        events += [published(place, event) for event in decision.events]
        recorded = Recorded("none")
        if decision.events:
            recorded = Recorded("events", "", len(decision.events))
        elif decision.rejected:
            recorded = Recorded("rejected", decision.rejected)
        elif which == 0:
            recorded = Recorded("no_op", decision.no_op or "")
        found[which].append(Input(place, time, signal, recorded))
    return found[0], found[1], events


def published(place: str, event: object) -> Published:
    return Published(place, event, ENCODERS[type(event)](event, framing.head(7)))


def difference(records: Records, rules: Rules = RULES, reached: int | None = None) -> object:
    return Explanation("r", *records, rules).difference(reached)


@pytest.mark.parametrize("stragglers", [0.0, 0.1, 0.5])
def test_each_order_that_happened_is_found(stragglers: float) -> None:
    for seed in range(150):
        assert difference(history(seed, stragglers=stragglers)) is None, seed


def test_a_changed_event_is_a_difference() -> None:
    for seed in range(60):
        api, media, events = history(seed, stragglers=0.2)
        if not events:
            continue
        at = random.Random(seed).randrange(len(events))
        one = events[at].event
        meta = msgspec.structs.replace(one.meta, sequence=one.meta.sequence + 1)
        events[at] = published(events[at].place, msgspec.structs.replace(one, meta=meta))
        assert difference((api, media, events)) is not None, seed


def test_a_missing_or_repeated_event_is_a_difference() -> None:
    for seed in range(60):
        api, media, events = history(seed, stragglers=0.2)
        if events:
            at = random.Random(seed).randrange(len(events))
            assert difference((api, media, events[:at] + events[at + 1 :])) is not None, seed
            assert difference((api, media, [*events[: at + 1], events[at], *events[at + 1 :]])) is not None, seed


def test_another_reason_is_a_difference() -> None:
    for seed in range(60):
        api, media, events = history(seed, stragglers=0.2)
        for at, one in enumerate(api):
            if one.recorded.kind != "events":
                wrong = one._replace(recorded=Recorded("rejected", "volume_out_of_range"))
                assert difference(([*api[:at], wrong, *api[at + 1 :]], media, events)) is not None, seed


def test_the_first_difference_names_place_and_both_versions() -> None:
    create, play = s.ConferenceCreate("c", "r", 1, "app", "n"), s.ConferencePlay("p", "r", 2, (URL,), "o")
    partition = Partition(RULES)
    events = [published(f"p/{n}", partition.apply(one, n).events[0]) for n, one in enumerate((create, play))]
    api = [Input(f"p/{n}", n, one, Recorded("events", "", 1)) for n, one in enumerate((create, play))]
    assert difference((api, [], events)) is None
    assert difference((api, [], events), reached=5) is None
    found = difference((api, [], events), reached=6)
    assert found == ("", 6, "the deadline has fired", "no event", False)
    wrong = [events[0], events[1]._replace(value=(events[1].value or b"") + b"!")]
    found = difference((api, [], wrong))
    assert isinstance(found, tuple)
    assert found[0] == "p/1"
    timed = [published("", one) for one in partition.expire(next(partition.due(9))).events]
    assert difference((api, [], [*events, *timed])) is None
    assert difference((api, [], [*events, *timed]), Rules(4)) is not None
