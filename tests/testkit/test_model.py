"""The model against contract §5: every row of the state table, and every sentence below it, computed by hand.

An outcome is shown as one line: the event's name without `conference.`, the values of its fields but for room_id, and
behind `|` what is set of `playback_id`, `ends_playback` and `synthetic`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from testkit.model import Model, Outcome, Signal, micros, replay, rfc3339

T0 = 1_767_225_600_000_000
A, B, C = "https://x/a.wav", "https://x/b.wav", "https://x/c.wav"


def sig(at: float, kind: str, **fields: Any) -> Signal:
    """Return a signal at a time in seconds; its signal_id is its type and time unless `id` gives another."""
    kind = kind if "." in kind else f"conference.{kind}"
    ids = {"type": kind, "signal_id": fields.pop("id", f"{kind}@{at}"), "room_id": fields.pop("room", "r")}
    return {**ids, "occurred_at": rfc3339(T0 + round(at * 1_000_000)), **fields}


def create(at: float = 0, **fields: Any) -> Signal:
    return sig(at, "create", **{"app_id": "app", "name": "Name", **fields})


def joined(at: float, session: str = "s", **fields: Any) -> Signal:
    return sig(at, "member.joined", session_uuid=session, **{"caller_id": "1", **fields})


def left(at: float, session: str = "s", **fields: Any) -> Signal:
    return sig(at, "member.left", session_uuid=session, **fields)


def play(at: float, *urls: str, op: str = "op", **fields: Any) -> Signal:
    return sig(at, "play", urls=list(urls or (A,)), operation_id=op, **fields)


def stop(at: float, **fields: Any) -> Signal:
    return sig(at, "stop", operation_id="st", **fields)


def pause(at: float, **fields: Any) -> Signal:
    return sig(at, "pause", operation_id="pa", **fields)


def finished(at: float, url: str = A, **fields: Any) -> Signal:
    return sig(at, "play.finished", url=url, **fields)


def failed(at: float, *urls: str, **fields: Any) -> Signal:
    return sig(at, "play.failed", urls=list(urls), **fields)


def destroy(at: float, **fields: Any) -> Signal:
    return sig(at, "destroy", **fields)


def shown(outcome: Outcome) -> str:
    """Format an outcome, see the module."""
    if "event" not in outcome:
        ((kind, found),) = outcome.items()
        return f"{kind} {found['reason']}"
    fields = dict(outcome["event"])
    meta, name = fields.pop("meta"), fields.pop("event").removeprefix("conference.")
    fields.pop("room_id")
    values = [",".join(v) if isinstance(v, list) else str(v) for v in fields.values()]
    marks = [str(meta["playback_id"])] if meta["playback_id"] is not None else []
    marks += [word for word in ("ends_playback", "synthetic") if meta[word]]
    return " ".join([name, *(value or "''" for value in values), *(["|", *marks] if marks else [])])


def last(*signals: Signal, mode: str = "dispatch", until: float | None = None) -> list[str]:
    """Return the outcomes of the last signal or, with `until`, of the deadlines up to that time."""
    model = Model(mode=mode)
    if until is not None:
        replay(list(signals), model)
        return [shown(one) for one in model.due(T0 + round(until * 1_000_000))]
    *before, signal = signals
    replay(before, model)
    return [shown(one) for one in replay([signal], model)]


ONE = (create(), play(1))
TWO = (create(), play(1, A, B))
IN = (create(), joined(1))
STOPPED = (*ONE, stop(2))

ROWS: dict[str, tuple[tuple[Signal, ...], list[str]]] = {
    # any API signal of a known or gone room whose signal_id is among the last 16
    "repeated create": ((create(), create(1, id="conference.create@0")), ["no_op repeated"]),
    "repeated, rejected before": ((create(), stop(1), stop(2, id="conference.stop@1")), ["no_op repeated"]),
    "repeated, of another type": ((create(), pause(1, id="conference.create@0")), ["no_op repeated"]),
    "repeated join": (
        (create(), sig(1, "join", session_uuid="s", id="x"), sig(2, "join", session_uuid="s", id="x")),
        ["no_op repeated"],
    ),
    "repeated in a gone room": ((create(), destroy(1), destroy(2, id="conference.destroy@1")), ["no_op repeated"]),
    "repeated create in a gone room": (
        (create(), destroy(1), create(2, id="conference.create@0")),
        ["no_op repeated"],
    ),
    "media signals repeat": ((*IN, left(2, id="m"), joined(3), left(4, id="m")), ["member.left s hangup 1"]),
    "a media signal_id is not known": ((*IN, stop(2, id="member.joined@1")), ["rejected playback_inactive"]),
    # echoes of a gone room
    **{
        f"{kind} of a gone room": ((create(), destroy(1), sig(2, kind, **fields)), ["no_op room_gone"])
        for kind, fields in {
            "member.left": {"session_uuid": "s"},
            "member.muted": {"session_uuid": "s"},
            "member.unmuted": {"session_uuid": "s"},
            "play.progress": {"url": A},
            "play.finished": {"url": A},
            "play.failed": {"urls": [A]},
        }.items()
    },
    # any but create and member.joined, room unknown or gone
    **{
        f"{kind} of an unknown room": ((sig(0, kind, **fields),), ["rejected room_unknown"])
        for kind, fields in {
            "destroy": {},
            "play": {"urls": [A], "operation_id": "op"},
            "pause": {"operation_id": "op"},
            "stop": {"operation_id": "op"},
            "volume": {"volume": 0, "operation_id": "op"},
            "join": {"session_uuid": "s"},
            "leave": {"session_uuid": "s"},
            "mute": {"session_uuid": "s"},
            "unmute": {"session_uuid": "s"},
            "member.left": {"session_uuid": "s"},
            "member.muted": {"session_uuid": "s"},
            "member.unmuted": {"session_uuid": "s"},
            "play.progress": {"url": A},
            "play.finished": {"url": A},
            "play.failed": {"urls": [A]},
        }.items()
    },
    "stop of a gone room": ((create(), destroy(1), stop(2)), ["rejected room_unknown"]),
    "it is not remembered": ((create(), destroy(1), stop(2), stop(3, id="conference.stop@2")), ["rejected room_unknown"]),
    # create
    "create": ((create(),), ["created app Name"]),
    "create after destroy": ((create(), destroy(1), create(2)), ["created app Name"]),
    "create of a discovered room": ((joined(0), create(1)), ["created app Name"]),
    "create again": ((create(), create(1)), ["rejected room_exists"]),
    # destroy
    "destroy": ((create(), destroy(1)), ["destroyed app"]),
    "destroy of a discovered room": ((joined(0), destroy(1)), ["member.left s removed 1 | synthetic", "destroyed ''"]),
    "destroy of a full room": (
        (create(), joined(1, "b"), joined(2, "a"), play(3), pause(4), destroy(5)),
        [
            "play.stopped op | op ends_playback synthetic",
            "member.left b removed 1 | synthetic",
            "member.left a removed 1 | synthetic",
            "destroyed app",
        ],
    ),
    # play, pause, stop, volume
    "play": ((create(), play(1, A, B)), [f"play.started {A},{B} op | op"]),
    "play while playing": ((*ONE, play(2, op="op2")), ["rejected playback_active"]),
    "play while paused": ((*ONE, pause(2), play(3, op="op2")), ["rejected playback_active"]),
    "pause": ((*ONE, pause(2)), ["play.paused pa | op"]),
    "resume": ((*ONE, pause(2), pause(3)), ["play.resumed app pa | op"]),
    "resume in a discovered room": ((joined(0), play(1), pause(2), pause(3)), ["play.resumed '' pa | op"]),
    "pause while stopped": ((create(), pause(1)), ["rejected playback_inactive"]),
    "stop while stopped": ((create(), stop(1)), ["rejected playback_inactive"]),
    "stop while playing": (STOPPED, ["play.stopped st | op ends_playback"]),
    "stop while paused": ((*ONE, pause(2), stop(3)), ["play.stopped st | op ends_playback"]),
    "volume, lowest": ((create(), sig(1, "volume", volume=-50, operation_id="v")), ["play.volume_changed -50 v"]),
    "volume, highest": ((*ONE, sig(2, "volume", volume=7, operation_id="v")), ["play.volume_changed 7 v | op"]),
    "volume too low": ((create(), sig(1, "volume", volume=-51, operation_id="v")), ["rejected volume_out_of_range"]),
    "volume too high": ((create(), sig(1, "volume", volume=8, operation_id="v")), ["rejected volume_out_of_range"]),
    # members
    "join": ((create(), sig(1, "join", session_uuid="s")), ["no_op join"]),
    "leave": ((*IN, sig(2, "leave", session_uuid="s")), ["no_op leave"]),
    "leave again": ((*IN, sig(2, "leave", session_uuid="s"), sig(3, "leave", session_uuid="s")), ["no_op leave"]),
    **{
        f"{kind} of no member": ((create(), sig(1, kind, session_uuid="s")), ["rejected not_a_member"])
        for kind in ("leave", "mute", "unmute", "member.muted", "member.unmuted", "member.left")
    },
    **{
        f"{kind} of an unmuted member": ((*IN, sig(2, kind, session_uuid="s")), ["member.muted s 1"])
        for kind in ("mute", "member.muted")
    },
    **{
        f"{kind} of a muted member": (
            (create(), joined(1, muted=True), sig(2, kind, session_uuid="s")),
            ["member.unmuted s 1"],
        )
        for kind in ("unmute", "member.unmuted")
    },
    **{
        f"{kind} of a muted one": ((create(), joined(1, muted=True), sig(2, kind, session_uuid="s")), ["no_op already_muted"])
        for kind in ("mute", "member.muted")
    },
    **{
        f"{kind} of an unmuted one": ((*IN, sig(2, kind, session_uuid="s")), ["no_op already_unmuted"])
        for kind in ("unmute", "member.unmuted")
    },
    "joined": (IN, ["member.joined s 1"]),
    "joined muted": ((create(), joined(1, muted=True)), ["member.joined s 1", "member.muted s 1"]),
    "joined an unknown room": ((joined(0),), ["member.joined s 1"]),
    "joined a gone room": ((create(), destroy(1), joined(2)), ["member.joined s 1"]),
    "joined again, muted, with another caller": ((*IN, joined(2, muted=True, caller_id="2")), ["no_op already_member"]),
    "left": ((*IN, left(2)), ["member.left s hangup 1"]),
    "left, reason null": ((*IN, left(2, reason=None)), ["member.left s hangup 1"]),
    "left with a reason": ((*IN, left(2, reason="orphan")), ["member.left s orphan 1"]),
    "left with an empty reason": ((*IN, left(2, reason="")), ["member.left s '' 1"]),
    "left after a leave": ((*IN, sig(2, "leave", session_uuid="s"), left(3)), ["member.left s removed 1"]),
    "left with a reason after a leave": (
        (*IN, sig(2, "leave", session_uuid="s"), left(3, reason="hangup")),
        ["member.left s hangup 1"],
    ),
    "left after a leave and a new join": (
        (*IN, sig(2, "leave", session_uuid="s"), left(3), joined(4), left(5)),
        ["member.left s hangup 1"],
    ),
    "long texts are cut": (
        (create(), joined(1, caller_id="é" * 1025), left(2, reason="😀" * 1025)),
        [f"member.left s {'😀' * 1024} {'é' * 1024}"],
    ),
    # the media's play signals
    "progress": ((*ONE, sig(2, "play.progress", url=A)), ["no_op progress"]),
    "progress of nothing": ((create(), sig(1, "play.progress")), ["no_op progress"]),
    "finished by url": ((*ONE, finished(2)), [f"play.finished op {A} | op ends_playback"]),
    "finished by operation_id, of any url": ((*ONE, finished(2, C, operation_id="op")), [f"play.finished op {C} | op ends_playback"]),
    "finished while paused": ((*ONE, pause(2), finished(3)), [f"play.finished op {A} | op ends_playback"]),
    "finished the first of two": ((*TWO, finished(2, B)), [f"play.finished op {B} | op"]),
    "finished the second of two": ((*TWO, finished(2), finished(3)), [f"play.finished op {A} | op ends_playback"]),
    "failed without urls": ((*TWO, failed(2)), [f"play.failed op {A},{B} playback_error | op ends_playback"]),
    "failed by one of its urls": ((*ONE, failed(2, C, A)), [f"play.failed op {C},{A} playback_error | op ends_playback"]),
    "failed by operation_id": ((*ONE, failed(2, C, operation_id="op")), [f"play.failed op {C} playback_error | op ends_playback"]),
    "finished another url": ((*ONE, finished(2, C)), [f"play.finished '' {C}"]),
    "finished another operation_id": ((*ONE, finished(2, operation_id="no")), [f"play.finished '' {A}"]),
    "failed another url": ((*ONE, failed(2, C)), [f"play.failed '' {C} playback_error"]),
    "failed when nothing was played": ((create(), failed(1)), ["play.failed '' '' playback_error"]),
    "finished when nothing was played": ((create(), finished(1)), [f"play.finished '' {A}"]),
    # the end of a file that was stopped
    "finished after a stop": ((*STOPPED, finished(90)), ["no_op after_stop"]),
    "failed after a stop": ((*STOPPED, failed(90, A)), ["no_op after_stop"]),
    "failed after a stop, without urls": ((*STOPPED, failed(3)), ["play.failed '' '' playback_error"]),
    "failed after a stop, with two urls": ((*STOPPED, failed(3, A, B)), [f"play.failed '' {A},{B} playback_error"]),
    "finished twice after a stop": ((*STOPPED, finished(3), finished(4)), [f"play.finished '' {A}"]),
    "another url after a stop": ((*STOPPED, finished(3, B)), [f"play.finished '' {B}"]),
    "finished right after a stop and a play": ((*STOPPED, play(3, op="op2"), finished(3.999999)), ["no_op after_stop"]),
    "finished 2 s after the stop, in the next playback": (
        (*STOPPED, play(3, op="op2"), finished(4)),
        [f"play.finished op2 {A} | op2 ends_playback"],
    ),
    "finished 2 s after the stop, in a playback of another file": (
        (*STOPPED, play(3, B, op="op2"), finished(4)),
        [f"play.finished '' {A}"],
    ),
    "finished with the next operation_id": (
        (*STOPPED, play(2.1, op="op2"), finished(2.2, operation_id="op2")),
        [f"play.finished op2 {A} | op2 ends_playback"],
    ),
    "finished with the stopped operation_id": (
        (*STOPPED, play(3, op="op2"), finished(9, operation_id="op")),
        ["no_op after_stop"],
    ),
    "it takes its file out": (
        (*STOPPED, finished(3, operation_id="op"), finished(4)),
        [f"play.finished '' {A}"],
    ),
    "failed with the stopped operation_id takes its first file out": (
        (create(), play(1, A, B), stop(2), failed(3, B, A, operation_id="op"), finished(4, A)),
        ["no_op after_stop"],
    ),
    "but not its second one": (
        (create(), play(1, A, B), stop(2), failed(3, B, A, operation_id="op"), finished(4, B)),
        [f"play.finished '' {B}"],
    ),
    "failed with the stopped operation_id, no urls": (
        (*STOPPED, failed(3, operation_id="op"), finished(4)),
        ["no_op after_stop"],
    ),
    "finished with the finished operation_id": (
        (*ONE, finished(2), finished(3, operation_id="op")),
        ["no_op already_ended"],
    ),
    "failed with the finished operation_id": (
        (*ONE, finished(2), failed(3, operation_id="op")),
        ["no_op already_ended"],
    ),
    "finished with the failed operation_id": (
        (*ONE, failed(2), finished(3, operation_id="op")),
        ["no_op already_ended"],
    ),
    "finished without operation_id after the end": ((*ONE, finished(2), finished(3)), [f"play.finished '' {A}"]),
    "finished after the watchdog": ((*ONE, finished(11, operation_id="op")), [
        f"play.failed op {A} playback_timeout | op ends_playback synthetic",
        f"play.finished '' {A}",
    ]),
    "finished after the watchdog, again": ((*ONE, finished(11), finished(12, operation_id="op")), [f"play.finished '' {A}"]),
    "failed after the watchdog": ((*ONE, finished(11), failed(12, operation_id="op")), ["play.failed '' '' playback_error"]),
    # which files are left
    "a file that had finished is not left": ((*TWO, finished(2, A), stop(3), finished(4, A)), [f"play.finished '' {A}"]),
    "the file that ran is left": ((*TWO, finished(2, A), stop(3), finished(4, B)), ["no_op after_stop"]),
    "the first n are not left, whatever has finished": (
        (*TWO, finished(2, B), stop(3), finished(4, B)),
        ["no_op after_stop"],
    ),
    "equal files are taken out one by one": (
        (create(), play(1, A, A), stop(2), finished(3), finished(4)),
        ["no_op after_stop"],
    ),
    # the playback that ended last
    "it is kept over the next play": (
        (*ONE, finished(2), play(3, op="op2"), finished(4, operation_id="op")),
        ["no_op already_ended"],
    ),
    "until that one ends": (
        (*ONE, finished(2), play(3, op="op2"), finished(4), finished(5, operation_id="op")),
        [f"play.finished '' {A}"],
    ),
    "also by the watchdog": (
        (*ONE, finished(2), play(3, B, op="op2"), finished(13, operation_id="op")),
        [f"play.failed op2 {B} playback_timeout | op2 ends_playback synthetic", f"play.finished '' {A}"],
    ),
    "a stop after a stop": (
        (*STOPPED, play(3, B, op="op2"), stop(4), finished(4.1, A)),
        [f"play.finished '' {A}"],
    ),
    "a live playback precedes one that ended with the same operation_id": (
        (*STOPPED, play(3), finished(9, operation_id="op")),
        [f"play.finished op {A} | op ends_playback"],
    ),
    # gone for 60 s
    "gone until 60 s": ((create(), destroy(1), left(60.999999)), ["no_op room_gone"]),
    "unknown at 60 s": ((create(), destroy(1), left(61)), ["rejected room_unknown"]),
    "repeated create after 60 s": ((create(), destroy(1), create(61, id="conference.create@0")), ["created app Name"]),
    "repeated destroy after 60 s": ((create(), destroy(1), destroy(61, id="conference.destroy@1")), ["rejected room_unknown"]),
    "gone after the last member": ((joined(0), left(1), left(60.999999)), ["no_op room_gone"]),
    "unknown 60 s after the last member": ((joined(0), left(1), left(61)), ["rejected room_unknown"]),
    "the last signal of a discovered room decides": (
        (joined(0), play(1), left(2), stop(3), finished(62.999999)),
        ["no_op room_gone"],
    ),
    "gone since the deadline": (
        (joined(0), play(1), left(2), finished(70.999999)),
        [f"play.failed op {A} playback_timeout | op ends_playback synthetic", "no_op room_gone"],
    ),
    "unknown 60 s after the deadline": (
        (joined(0), play(1), left(2), finished(71)),
        [f"play.failed op {A} playback_timeout | op ends_playback synthetic", "rejected room_unknown"],
    ),
    "a created room is kept": ((*IN, left(2), stop(3)), ["rejected playback_inactive"]),
    "a discovered room that plays is kept": ((joined(0), play(1), left(2), pause(3)), ["play.paused pa | op"]),
    "signal_ids go to the next life": (
        (create(), destroy(1), create(2), destroy(3, id="conference.destroy@1")),
        ["no_op repeated"],
    ),
    "also with a joined": ((create(), destroy(1), joined(2), destroy(3, id="conference.destroy@1")), ["no_op repeated"]),
    "and to the one after": (
        (create(), destroy(1), create(2), destroy(3), create(4), create(5, id="conference.create@0")),
        ["no_op repeated"],
    ),
    "nothing else goes to the next life": (
        (*STOPPED, destroy(2.5), create(2.6), finished(2.7)),
        [f"play.finished '' {A}"],
    ),
    "echoes in the next life are judged as that life's": (
        (*IN, destroy(2), create(3), left(4)),
        ["rejected not_a_member"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_row(name: str) -> None:
    signals, expected = ROWS[name]
    assert last(*signals) == expected


@pytest.mark.parametrize(
    ("signals", "deadline"),
    [
        (ONE, 11),
        ((*ONE, pause(4), pause(100)), 107),  # 7 s were left
        ((*ONE, pause(4), pause(5), pause(6), pause(50)), 56),  # 7 s, of which 1 s ran
        ((*TWO, finished(4)), 14),
        ((*TWO, pause(4), finished(5), pause(6)), 16),  # a paused one keeps 10 s
        ((*TWO, finished(4, operation_id="no")), 11),
        ((*ONE, sig(5, "play.progress", url=A)), 11),
        ((*STOPPED, play(3, op="op2"), finished(3.5)), 13),
    ],
)
def test_watchdog(signals: tuple[Signal, ...], deadline: float) -> None:
    assert last(*signals, until=deadline - 0.000001) == []
    (found,) = last(*signals, until=deadline)
    assert found.startswith("play.failed op")
    assert "playback_timeout" in found


def test_paused_playback_has_no_deadline() -> None:
    assert last(*ONE, pause(10.999999), until=10**6) == []


@pytest.mark.parametrize(
    ("progress", "deadline"),
    [
        ({"url": A}, 15),
        ({"operation_id": "op"}, 15),
        ({"url": B}, 11),
        ({"operation_id": "no", "url": A}, 11),
        ({}, 11),
    ],
)
def test_progress_mode_moves_the_deadline_of_the_playback_that_it_names(progress: Signal, deadline: float) -> None:
    signals = (*ONE, sig(5, "play.progress", **progress))
    assert last(*signals, mode="progress", until=deadline - 0.000001) == []
    assert last(*signals, mode="progress", until=deadline) != []


def test_progress_mode_leaves_a_paused_playback_alone() -> None:
    signals = (*ONE, pause(4), sig(5, "play.progress", url=A), pause(6))
    assert last(*signals, mode="progress", until=12.999999) == []
    assert last(*signals, mode="progress", until=13) != []


def test_deadlines_fire_by_deadline_and_then_by_the_bytes_of_the_room_id() -> None:
    rooms = ("b", "\U0001f600", "\uffff", "a")  # by UTF-16, the emoji would come before U+FFFF
    signals = (
        [create(0, room=room) for room in rooms] + [play(1, room=room) for room in rooms[:3]] + [play(0, room="a")]
    )
    model = Model()
    replay(signals, model)
    assert [one["event"]["room_id"] for one in model.due(T0 + 10**9)] == ["a", "b", "\uffff", "\U0001f600"]


def test_the_last_16_signal_ids_are_known() -> None:
    many = [sig(n, "join", session_uuid="s", id=f"j{n}") for n in range(16)]
    assert last(create(), *many, sig(20, "join", session_uuid="s", id="j0")) == ["no_op repeated"]
    again = (create(), *many, sig(20, "join", session_uuid="s", id="j16"), sig(21, "join", session_uuid="s", id="j0"))
    assert last(*again) == ["no_op join"]
    # A repetition is not remembered again: j0 is still the oldest.
    renewed = (create(), *many, many[0], sig(20, "join", session_uuid="s", id="j16"), many[0])
    assert last(*renewed) == ["no_op join"]


def test_event_has_the_pages_fields_and_meta() -> None:
    outcomes = replay([create(0.5), joined(1), play(2), finished(3)], Model())
    assert [json.dumps(one["event"]) for one in outcomes[:2]] == [
        '{"event": "conference.created", "app_id": "app", "room_id": "r", "name": "Name", "meta": '
        # printf 'r/1/conference.create@0.5' behind the 16 bytes of the namespace, sha1sum, then version and variant
        '{"event_id": "40110edf-47c2-5204-a78e-998c8770d393", "sequence": 1, '
        '"occurred_at": "2026-01-01T00:00:00.500000Z", "app_id": "app", "cause": "conference.create@0.5", '
        '"playback_id": null, "ends_playback": false, "synthetic": false}}',
        '{"event": "conference.member.joined", "session_uuid": "s", "room_id": "r", "caller_id": "1", "meta": '
        '{"event_id": "c381c2d1-729d-5bb0-ac6f-44cee25e6b66", "sequence": 2, '
        '"occurred_at": "2026-01-01T00:00:01.000000Z", "app_id": "app", "cause": "member.joined@1", '
        '"playback_id": null, "ends_playback": false, "synthetic": false}}',
    ]


def test_timeout_is_caused_by_the_playback_and_occurred_at_the_deadline() -> None:
    model = Model()
    replay(list(ONE), model)
    (outcome,) = model.due(T0 + 10**9)
    meta = outcome["event"]["meta"]
    assert (meta["cause"], meta["occurred_at"], meta["sequence"]) == ("op", "2026-01-01T00:00:11.000000Z", 3)


def test_sequence_goes_on_in_a_life_and_begins_anew_in_the_next() -> None:
    outcomes = replay([joined(0), create(1), joined(2, "t"), destroy(3), joined(4), left(5), create(6)], Model())
    assert [one["event"]["meta"]["sequence"] for one in outcomes] == [1, 2, 3, 4, 5, 6, 1, 2, 1]


def test_timeout_may_end_a_discovered_room_before_the_signal() -> None:
    outcomes = replay([joined(0), play(1), left(2), joined(20)], Model())
    assert [shown(one).split()[0] for one in outcomes[3:]] == ["play.failed", "member.joined"]
    assert outcomes[-1]["event"]["meta"]["sequence"] == 1


def test_rows_hold_what_the_next_signal_needs_and_the_times_for_readers() -> None:
    model = Model()
    replay(
        [
            joined(1, muted=True),
            create(2),
            joined(3, "t"),
            play(4, A, B),
            finished(5),
            stop(6),
            play(7, C, op="op2"),
            pause(9),
        ],
        model,
    )
    base, rows = T0, model.rows()
    assert rows["room", "r"] == {
        "room_id": "r", "app_id": "app", "name": "Name", "sequence": 9, "playback_status": "paused",
        "operation_id": "op2", "urls": [C], "files_finished": 0, "deadline": None, "remaining": 8_000_000,
        "ended_operation_id": "op", "ended_by": "stop", "ended_at": base + 6_000_000, "ended_urls": [B],
        "created_at": base + 1_000_000, "last_event_at": base + 9_000_000, "started_at": base + 7_000_000,
        "recent": ["conference.create@2", "conference.play@4", "conference.stop@6", "conference.play@7", "conference.pause@9"],
    }  # fmt: skip
    assert rows["member", "r", "s"] == {
        "room_id": "r", "session_uuid": "s", "caller_id": "1", "muted": True, "leaving": False, "sequence": 1,
        "joined_at": base + 1_000_000, "muted_at": base + 1_000_000,
    }  # fmt: skip
    assert rows["member", "r", "t"]["sequence"] == 4
    replay([sig(10, "unmute", session_uuid="s"), sig(11, "leave", session_uuid="s")], model)
    assert {k: v for k, v in model.rows()["member", "r", "s"].items() if k in {"muted", "muted_at", "leaving"}} == {
        "muted": False, "muted_at": None, "leaving": True,
    }  # fmt: skip
    replay([destroy(12)], model)
    recent = [*rows["room", "r"]["recent"], "conference.unmute@10", "conference.leave@11", "conference.destroy@12"]
    assert model.rows() == {("gone", "r"): {"room_id": "r", "forgotten_at": base + 12_000_000, "recent": recent}}
    model.delete_gone(base + 71_999_999)
    assert ("gone", "r") in model.rows()
    model.delete_gone(base + 72_000_000)
    assert model.rows() == {}


def test_ended_playback_in_the_row() -> None:
    for signals, by, at in (
        ((*ONE, finished(2)), "finished", 2),
        ((*TWO, finished(2), failed(3)), "failed", 3),
        ((*ONE, joined(12)), "timeout", 11),
    ):
        model = Model()
        replay(list(signals), model)
        row = model.rooms["r"]
        assert (row["ended_operation_id"], row["ended_by"], row["ended_urls"]) == ("op", by, [])
        assert row["ended_at"] == T0 + at * 1_000_000
        assert (row["playback_status"], row["operation_id"], row["urls"], row["started_at"]) == (
            "stopped",
            "",
            [],
            None,
        )


def test_straggler_finds_a_room_gone_by_its_own_time() -> None:
    model = Model()
    replay([create(), destroy(1)], model)
    assert [shown(one) for one in model.signal(left(61), T0 + 61_000_000)] == ["rejected room_unknown"]
    assert [shown(one) for one in model.signal(left(60), T0 + 60_000_000)] == ["no_op room_gone"]


FAULTS = Path(__file__).parent / "faults"


def of_file(name: str) -> list[str]:
    signals = [json.loads(text) for text in (FAULTS / name).read_text().splitlines()]
    return [shown(one) for one in replay(signals, Model())]


def test_echoes_of_a_destroyed_room() -> None:
    assert of_file("destroy-then-lefts.jsonl") == [
        "created app n",
        "member.joined s1 1",
        "member.joined s2 2",
        "play.started https://x/a.wav op | op",
        "play.stopped op | op ends_playback synthetic",
        "member.left s1 removed 1 | synthetic",
        "member.left s2 removed 2 | synthetic",
        "destroyed app",
        *["no_op room_gone"] * 3,
    ]


def test_repeated_destroy_of_the_first_life_does_not_end_the_second() -> None:
    assert of_file("retry-across-lives.jsonl") == [
        "created app n",
        "destroyed app",
        "created app n",
        "member.joined s1 1",
        "no_op repeated",
    ]


def test_late_end_of_a_stopped_file_does_not_finish_the_next_playback_of_it() -> None:
    url = "https://cdn.example.com/hold.wav"
    assert of_file("restart-same-url.jsonl") == [
        "created app n",
        f"play.started {url} op1 | op1",
        "play.stopped st1 | op1 ends_playback",
        f"play.started {url} op2 | op2",
        "no_op after_stop",
        "no_op progress",
        "play.paused pa1 | op2",
        f"play.finished op2 {url} | op2 ends_playback",
    ]


def test_micros_reads_what_rfc3339_writes() -> None:
    assert micros(rfc3339(T0 + 1)) == T0 + 1
