"""The model against what contract §5 says around the state table, computed by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from testkit.model import Model, Signal, micros, replay, rfc3339
from tests.testkit.short_signals import (
    ONE,
    STOPPED,
    T0,
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
    shown,
    sig,
    stop,
)


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
def test_progress_mode_moves_the_deadline_of_the_playback_named(progress: Signal, deadline: float) -> None:
    signals = (*ONE, sig(5, "play.progress", **progress))
    assert last(*signals, mode="progress", until=deadline - 0.000001) == []
    assert last(*signals, mode="progress", until=deadline) != []


def test_progress_mode_leaves_a_paused_playback_alone() -> None:
    signals = (*ONE, pause(4), sig(5, "play.progress", url=A), pause(6))
    assert last(*signals, mode="progress", until=12.999999) == []
    assert last(*signals, mode="progress", until=13) != []


def test_deadlines_fire_by_deadline_then_by_bytes_of_room_id() -> None:
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


def test_timeout_is_caused_by_the_playback_at_the_deadline() -> None:
    model = Model()
    replay(list(ONE), model)
    (outcome,) = model.due(T0 + 10**9)
    meta = outcome["event"]["meta"]
    assert (meta["cause"], meta["occurred_at"], meta["sequence"]) == ("op", "2026-01-01T00:00:11.000000Z", 3)


def test_sequence_begins_anew_in_the_next_life() -> None:
    outcomes = replay([joined(0), create(1), joined(2, "t"), destroy(3), joined(4), left(5), create(6)], Model())
    assert [one["event"]["meta"]["sequence"] for one in outcomes] == [1, 2, 3, 4, 5, 6, 1, 2, 1]


def test_timeout_may_end_a_discovered_room_before_the_signal() -> None:
    outcomes = replay([joined(0), play(1), left(2), joined(20)], Model())
    assert [shown(one).split()[0] for one in outcomes[3:]] == ["play.failed", "member.joined"]
    assert outcomes[-1]["event"]["meta"]["sequence"] == 1


def test_rows_hold_the_state_and_the_times_for_readers() -> None:
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


def test_repeated_destroy_does_not_end_the_next_life() -> None:
    assert of_file("retry-across-lives.jsonl") == [
        "created app n",
        "destroyed app",
        "created app n",
        "member.joined s1 1",
        "no_op repeated",
    ]


def test_late_end_of_a_stopped_file_finishes_no_other_playback() -> None:
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
