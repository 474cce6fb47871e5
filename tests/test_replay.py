"""Offline replay (contract §7): signals in, events out; no line stops it."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from pipeline.core.watchdog import Rules
from pipeline.model.codec import MAX_VALUE
from pipeline.model.times import parse_time
from pipeline.replay import Replay
from testkit.model import Model, line, replay, rfc3339
from tests.core.test_room_rules import random_history
from tests.support.examples import ROOM, START, api, create, finished, member, play

Json = dict[str, Any]


def signal(short: Json, at: float, name: str = "s") -> Json:
    """Complete a signal of tests.support.examples; `at` is in seconds after START."""
    time = rfc3339(START + round(at * 1_000_000))
    return {"signal_id": name, "room_id": ROOM, "occurred_at": time, **short}


class Run:
    """The replay of a file with these bytes, and its output."""

    def __init__(self, text: bytes, *, rules: Rules | None = None, until: float | None = None) -> None:
        self.lines: list[bytes] = []
        self.rejections: list[bytes] = []
        self.no_ops: list[bytes] = []
        self.letters: list[bytes] = []
        run = Replay(
            rules or Rules(),
            self.lines.append,
            rejected=self.rejections.append,
            noops=self.no_ops.append,
            dead=self.letters.append,
        )
        run.feed(io.BytesIO(text))
        if until is not None:
            run.until(START + round(until * 1_000_000))
        self.counts = run.counts
        self.events = [json.loads(text) for text in self.lines]
        self.names = [event["event"].removeprefix("conference.") for event in self.events]


def text(*signals: Json) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in signals)


STARTED = text(signal(create(), 0, "c"), signal(play(), 1, "p"))


@pytest.mark.parametrize(
    ("until", "names"),
    [(None, []), (10.999999, []), (11, ["play.failed"]), (99, ["play.failed"])],
)
def test_until_fires_deadlines_up_to_that_time(until: float | None, names: list[str]) -> None:
    run = Run(STARTED, until=until)
    assert run.names == ["created", "play.started", *names]
    assert run.counts["events"] == len(run.events)


def test_deadlines_fire_before_the_next_signal_of_any_room() -> None:
    rooms = ("b", "é", "a")
    plays = [signal({**play(operation_id=room), "room_id": room}, 1, "p") for room in rooms]
    creates = [signal({**create(), "room_id": room}, 0, "c") for room in rooms]
    run = Run(text(*creates, *plays, signal({**finished(), "room_id": "b"}, 11)))
    assert [(event["room_id"], event["event"]) for event in run.events[6:]] == [
        ("a", "conference.play.failed"),
        ("b", "conference.play.failed"),
        ("é", "conference.play.failed"),
        ("b", "conference.play.finished"),
    ]
    assert [event["meta"]["occurred_at"] for event in run.events[6:]] == ["2026-01-01T00:00:11.000000Z"] * 4


def test_time_never_runs_back_but_occurred_at_is_unchanged() -> None:
    run = Run(STARTED + text(signal(member("joined"), 60, "m"), signal(play(), 5, "p2")), until=69.9)
    assert run.names == ["created", "play.started", "play.failed", "member.joined", "play.started"]
    assert run.events[-1]["meta"]["occurred_at"] == "2026-01-01T00:00:05.000000Z"
    assert Run(STARTED + text(signal(member("joined"), 60, "m"), signal(play(), 5, "p2")), until=70).names[5:] == [
        "play.failed"
    ]


def test_dead_letter_does_not_advance_time() -> None:
    dead = signal({**create(), "app_id": ""}, 3600)
    assert Run(STARTED + text(dead, signal(finished(), 2))).names[2:] == ["play.finished"]


def test_rejected_signal_advances_time() -> None:
    assert Run(STARTED + text(signal({**api("stop"), "room_id": "x"}, 60), signal(finished(), 2))).names[2:] == [
        "play.failed",
        "play.finished",
    ]


def test_rejected_signals_are_written_with_their_reason() -> None:
    run = Run(text(signal({**api("mute"), "room_id": "é"}, 0, 'q"\n'), signal(create(), 0, "c"), signal(create(), 0)))
    assert [one.decode() for one in run.rejections] == [
        '{"signal_id":"q\\"\\n","room_id":"é","type":"conference.mute","reason":"room_unknown"}\n',
        f'{{"signal_id":"s","room_id":"{ROOM}","type":"conference.create","reason":"room_exists"}}\n',
    ]
    assert run.counts == {"lines": 3, "rejected": 2, "events": 1}


def test_no_ops_of_the_api_are_written_with_their_reason() -> None:
    run = Run(
        text(
            signal({**create(), "room_id": "é"}, 0, "c"),
            signal({**create(), "room_id": "é"}, 1, "c"),
            signal({"type": "play.progress", "room_id": "é"}, 2, "m"),
            signal({**api("join"), "room_id": "é"}, 3, 'q"\n'),
        )
    )
    assert [one.decode() for one in run.no_ops] == [
        '{"signal_id":"c","room_id":"é","type":"conference.create","reason":"repeated"}\n',
        '{"signal_id":"q\\"\\n","room_id":"é","type":"conference.join","reason":"join"}\n',
    ]
    assert run.counts == {"lines": 4, "no_ops": 3, "events": 1}


def test_a_room_is_gone_for_60_s_of_occurred_at() -> None:
    ended = text(signal(create(), 0, "c"), signal(api("destroy"), 1, "d"))
    echo, again = signal(member("left"), 60.999999, "m"), signal(create(), 60.999999, "c")
    assert Run(ended + text(echo, again)).counts == {"lines": 4, "no_ops": 2, "events": 2}
    later = [{**one, "occurred_at": rfc3339(START + 61_000_000)} for one in (echo, again)]
    assert Run(ended + text(*later)).counts == {"lines": 4, "rejected": 1, "events": 3}


def test_records_of_gone_rooms_do_not_pile_up() -> None:
    run, lines = Replay(Rules(), lambda _: None), list[bytes]()
    for n in range(500):
        for kind in (create(), api("destroy")):
            lines.append(text(signal({**kind, "room_id": f"r{n}"}, n, kind["type"])))
    run.feed(lines)
    assert set(run._partition.gone) == {f"r{n}" for n in range(440, 500)}


GOOD = json.dumps(signal(create(), 0)).encode()


@pytest.mark.parametrize(
    ("dead", "shown", "error"),
    [
        (b"", "", "the line is blank"),
        (b" \t\r", " \t\r", "the line is blank"),
        (b"[]", "[]", "expected a JSON object"),
        (b"\xef\xbb\xbf" + GOOD, "\ufeff" + GOOD.decode(), "expected a JSON object"),
        (b"{\xff\xc3\x28}", "{\ufffd\ufffd(}", "the text is not UTF-8: invalid start byte at byte 1"),
        (
            b"{\xed\xa0\x80}",
            "{\ufffd\ufffd\ufffd}",
            "the text is not UTF-8: invalid continuation byte at byte 1",
        ),
        (b'{"a":"\\ud800"}', '{"a":"\\ud800"}', "the text holds a lone surrogate"),
        (GOOD + GOOD, (GOOD + GOOD).decode(), "no JSON object (RFC 8259)"),
        (b"{\r,}", "{\r,}", "no JSON object (RFC 8259)"),
        (b"\x0b" + GOOD, "\x0b" + GOOD.decode(), "expected a JSON object"),
        (
            b"{" + b" " * MAX_VALUE + b"}",
            "{" + " " * MAX_VALUE + "}",
            "the line has 1048578 bytes, more than 1048576",
        ),
    ],
)
def test_invalid_lines_are_written_with_their_error(dead: bytes, shown: str, error: str) -> None:
    run = Run(dead + b"\n" + GOOD)
    letter = json.loads(run.letters[0])
    assert list(letter) == ["line", "error"]
    assert letter["line"] == shown
    assert error in letter["error"]
    assert run.letters[0].endswith(b"}\n")
    assert run.letters[0].count(b"\n") == 1
    assert run.names == ["created"]
    assert run.counts == {"lines": 2, "dead": 1, "events": 1}


def test_lines_end_at_lf_only() -> None:
    breaks = "\x0b\x0c\x1c\x85\u2028\u2029"
    pretty = b"\r\t " + GOOD.replace(b", ", b",\r") + b"\r"
    named = json.dumps(signal({**create(), "name": breaks.lstrip("\x0b\x0c\x1c")}, 0), ensure_ascii=False).encode()
    for value in (pretty, named, GOOD + b"\r\n", GOOD):
        run = Run(value)
        assert run.names == ["created"]
        assert run.letters == []


def test_empty_file_gives_no_lines() -> None:
    run = Run(b"", until=5)
    assert (run.lines, run.letters, run.rejections) == ([], [], [])


def test_watchdog_rules_apply() -> None:
    quick = Rules(watchdog=500_000)
    assert Run(STARTED, rules=quick, until=1.5).names[2:] == ["play.failed"]
    assert Run(STARTED, rules=quick, until=1.4).names[2:] == []


def test_feeding_in_parts_equals_feeding_at_once() -> None:
    parts = [STARTED, text(signal(member("joined"), 60, "m")), text(signal(play(), 5, "p2"))]
    lines: list[bytes] = []
    run = Replay(Rules(), lines.append)
    for part in parts:
        run.feed(io.BytesIO(part))
    assert lines == Run(b"".join(parts)).lines
    assert run.counts["lines"] == 4


@pytest.mark.parametrize("seed", range(20))
def test_replay_matches_the_model_and_is_repeatable(seed: int) -> None:
    at, signals = START, []
    for short, step in random_history(seed, 200):
        at += step
        signals.append({**short, "occurred_at": rfc3339(at)})
    run = Run(text(*signals), until=10**6)
    expected = replay(signals, Model(), until=START + 10**12)
    assert run.lines == [line(outcome["event"]) for outcome in expected if "event" in outcome]
    assert [json.loads(one) for one in run.rejections] == [one["rejected"] for one in expected if "rejected" in one]
    assert run.counts["no_ops"] == sum("no_op" in one for one in expected)
    assert Run(text(*signals), until=10**6).lines == run.lines


def test_play_at_the_last_possible_time_does_not_time_out() -> None:
    late = {"occurred_at": "9999-12-31T23:59:59.999999Z"}
    run = Run(text({**signal(create(), 0, "c"), **late}, {**signal(play(), 0, "p"), **late}))
    end = (parse_time(late["occurred_at"]) - START) / 1_000_000
    assert run.names == ["created", "play.started"]
    assert (
        Run(text({**signal(create(), 0, "c"), **late}, {**signal(play(), 0, "p"), **late}), until=end - 1).names
        == run.names
    )
