"""The model against the rows of the state table of contract §5, computed by hand."""

from __future__ import annotations

import pytest

from testkit.model import Signal
from tests.testkit.short_signals import (
    IN,
    ONE,
    STOPPED,
    TWO,
    A,
    B,
    C,
    create,
    destroy,
    failed,
    finished,
    joined,
    last,
    left,
    pause,
    play,
    sig,
    stop,
)

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
