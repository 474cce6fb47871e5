"""`rooms` and `signal` on real servers with a worker: what they print, and their exit codes."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from rich.cells import cell_len

from pipeline.cli.output import print_table
from pipeline.cli.signal import _complete
from pipeline.kafka.partitioning import partition_of, room_key
from pipeline.model import signals as s
from pipeline.model.signals import SIGNALS
from pipeline.model.times import ago
from pipeline.view.one_room import nearest_ids
from testkit.fork_server import run
from testkit.pipe import ROOT, Pipe
from testkit.servers import Servers
from tests.cli.test_terminal import HOSTILE, RAW, is_safe, on_terminal
from tests.support.commands import PROGRAM

pytestmark = pytest.mark.broker
T = 1_795_354_386_106_600
LONG = "acW68-room-f47ac10b-58cc-4372-a567-000000000001"
ANSI = re.compile("\x1b\\[[0-9;]*m")
ROOMS = {LONG: "Team Standup", "b-room-2": "Sales", "b-room-3": f"Board {HOSTILE}", "plain": "ä 会議"}


def signals() -> list[s.AnySignal]:
    made: list[s.AnySignal] = []
    for n, (room, name) in enumerate(ROOMS.items()):
        made.append(s.ConferenceCreate(f"c{n}", room, T, "other" if room == "plain" else "my-app", name))
    made += [s.MemberJoined(f"j{n}", LONG, T, f"session-{n}", f"+1555{n}", n == 1) for n in range(3)]
    made.append(s.MemberJoined("k", "b-room-2", T, "alone", "+1"))
    files = ("http://x/1.wav", "http://x/2.wav")
    made += [
        s.ConferencePlay("p1", LONG, T, files, "o-1"),
        s.PlayFinished("f1", LONG, T, files[0], "o-1"),
        s.ConferencePlay("p2", "b-room-2", T, files, "o-2"),
        s.ConferencePause("p3", "b-room-2", T, "o-3"),
        s.ConferenceCreate("d1", "gone-room", T, "my-app", "gone"),
        s.ConferenceDestroy("d2", "gone-room", T),
    ]
    return made


@pytest.fixture(scope="module")
def site(servers: Servers) -> Iterator[Pipe]:
    """Four rooms, and a worker that goes on."""
    pipe = Pipe(servers)
    asyncio.run(pipe.set_up())
    with pipe.worker(PIPELINE_WATCHDOG_SECONDS="600") as worker:
        asyncio.run(pipe.send(*signals()))
        asyncio.run(pipe.until_events(len(signals()) + 1))
        yield pipe
        assert worker.stop() == 0
    if servers.lasting:
        asyncio.run(pipe.remove_topics())


def listed(pipe: Pipe, *options: str) -> list[dict[str, Any]]:
    done = run("rooms", "list", *options, env=pipe.env)
    assert (done.returncode, done.stderr) == (0, b"")
    return [json.loads(line) for line in done.stdout.splitlines()]


# --- rooms list ---


def test_list_prints_json_lines_in_a_pipe(site: Pipe) -> None:
    found = listed(site)
    assert [room["room_id"] for room in found] == sorted(ROOMS)
    first = found[0]
    assert list(first) == [
        "room_id", "app_id", "name", "node", "members", "playback_status", "created_at", "started_at", "last_event_at",
    ]  # fmt: skip
    times = {name: first.pop(name) for name in ("created_at", "started_at", "last_event_at")}
    assert all(re.fullmatch(r"20\d\d-\d\d-\d\dT[\d:]{8}\.\d{6}Z", time) for time in times.values())
    assert first == {
        "room_id": LONG,
        "app_id": "my-app",
        "name": "Team Standup",
        "node": "acW68",
        "members": 3,
        "playback_status": "playing",
    }
    assert [room["started_at"] is None for room in found[1:]] == [False, True, True]


def test_list_as_json_is_one_array(site: Pipe) -> None:
    done = run("rooms", "list", "--output", "json", env=site.env)
    assert [room["room_id"] for room in json.loads(done.stdout)] == sorted(ROOMS)
    done = run("rooms", "list", "--output", "json", "--app", "nobody", env=site.env)
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        (("--app", "other"), ["plain"]),
        (("--node", "b"), ["b-room-2", "b-room-3"]),
        (("--playing",), [LONG]),
        (("--name", "STAND"), [LONG]),
        (("--node", "b", "--app", "other"), []),
        (("--node", "b", "--name", "sales", "--app", "my-app"), ["b-room-2"]),
    ],
)
def test_list_filters_rooms(site: Pipe, options: tuple[str, ...], ids: list[str]) -> None:
    assert [room["room_id"] for room in listed(site, *options)] == ids


@pytest.mark.parametrize("columns", [250, 80, 60])
def test_table_fits_the_terminal_and_cuts_nothing(site: Pipe, columns: int) -> None:
    done = run("rooms", "list", "--output", "table", env={**site.env, "COLUMNS": str(columns)})
    text = done.stdout.decode()
    assert RAW.search(text) is None
    for word in (*ROOMS, "Team Standup", "会議", "my-app", "playing", "paused", "stopped"):
        assert word in text
    fitting = [line for line in text.splitlines() if "owned" not in line and "u001b" not in line]
    assert max(map(cell_len, fitting)) <= columns
    assert ("MEMBERS" in text) is (columns == 250)


def test_table_on_a_terminal_has_colours_and_is_safe(site: Pipe) -> None:
    shown = on_terminal(*PROGRAM, "rooms", "list", env=site.env)
    assert is_safe(shown)
    assert "\x1b[32m" in shown  # green: playing
    assert ANSI.sub("", shown).splitlines()[0].split() == [
        "ROOM", "NAME", "APP", "MEMBERS", "PLAYBACK", "SINCE", "LAST", "EVENT",
    ]  # fmt: skip


def test_list_without_such_rooms_says_so(site: Pipe) -> None:
    done = run("rooms", "list", "--output", "table", "--app", "nobody", env=site.env)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"no such rooms\n")


# --- rooms show ---


def test_show_prints_one_json_object_in_a_pipe(site: Pipe) -> None:
    done = run("rooms", "show", LONG, env=site.env)
    room = json.loads(done.stdout)
    assert [one["session_uuid"] for one in room["members"]] == ["session-0", "session-1", "session-2"]
    assert [one["muted"] for one in room["members"]] == [False, True, False]
    assert [one["muted_at"] is None for one in room["members"]] == [True, False, True]
    playback = room["playback"]
    assert (playback["status"], playback["files_finished"], len(playback["urls"])) == ("playing", 1, 2)
    assert playback["deadline"] > playback["started_at"]
    assert room["node"] == "acW68"


def test_show_on_a_terminal_tells_members_and_playback(site: Pipe) -> None:
    shown = ANSI.sub("", on_terminal(*PROGRAM, "rooms", "show", LONG, env=site.env))
    assert "playing, 1 of 2 files done" in shown
    assert "deadline 20" in shown
    assert re.search(r"session-1 +\+15551 +muted", shown)
    assert re.search(r"timeline  the last \d+ lines, UTC\r?\n[\d:.]+ +create +→ created", shown)
    assert is_safe(on_terminal(*PROGRAM, "rooms", "show", "b-room-3", env=site.env))


@pytest.mark.parametrize(
    ("room", "text"),
    [
        (LONG[:-1] + "2", f"the nearest: {LONG}"),
        ("room-3", "the nearest: b-room-3"),
        ("gone-room", ", it ended at 20"),
        ("xyz", "error: no room 'xyz'\n"),
        ("\udcff", "error: no room '"),
    ],
)
def test_unknown_room_is_one_line_with_the_nearest(site: Pipe, room: str, text: str) -> None:
    done = run("rooms", "show", room, env=site.env)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (1, b"", 1)
    assert text in done.stderr.decode()


def test_documentation_names_each_json_field(site: Pipe) -> None:
    documented = set(re.findall(r"`(\w+)`", (ROOT / "docs" / "reference" / "rooms.md").read_text()))
    room = json.loads(run("rooms", "show", "b-room-2", env=site.env).stdout)
    _, result = signal(site, "join", "--room", "plain", "--session", "x")
    shown = {*listed(site)[0], *room, *room["members"][0], *room["playback"], *result}
    assert shown <= documented


# --- signal ---


def signal(pipe: Pipe, *words: str) -> tuple[int, dict[str, Any]]:
    done = run("signal", *words, env=pipe.env)
    assert done.stderr == b""
    [line] = done.stdout.splitlines()
    return done.returncode, json.loads(line)


def test_outcome_decides_the_exit_code(site: Pipe) -> None:
    code, found = signal(site, "create", "--room", "s1", "--app", "a", "--name", "n", "--id", "id-1")
    assert (code, found["outcome"], found["signal_id"]) == (0, "events", "id-1")
    [event] = found["events"]
    assert (event["event"], event["meta"]["cause"]) == ("conference.created", "id-1")
    assert (found["topic"], found["partition"]) == (site.topic("api.signals"), site.partition("s1"))
    assert found["record"].startswith(site.topic("events"))
    code, found = signal(site, "join", "--room", "s1", "--session", "x")
    assert (code, found["outcome"], found["reason"], found["events"]) == (0, "no_op", "join", [])
    code, found = signal(site, "conference.pause", "--room", "s1")
    assert (code, found["outcome"], found["reason"]) == (3, "rejected", "playback_inactive")
    code, found = signal(site, "joined", "--room", "s1", "--session", "x", "--muted")
    assert [event["event"] for event in found["events"]] == ["conference.member.joined", "conference.member.muted"]
    code, found = signal(site, "play", "--room", "s1", "--url", "http://x/1", "--url", "http://x/2")
    assert (code, found["events"][0]["urls"]) == (0, ["http://x/1", "http://x/2"])
    code, found = signal(site, "progress", "--room", "s1", "--timeout", "0.3")
    assert (code, found["outcome"]) == (5, "unknown")  # a media signal without effect leaves no record
    code, found = signal(site, "destroy", "--room", "s1")
    events = [event["event"] for event in found["events"]]
    assert (code, events, found["members_left"]) == (0, ["conference.play.stopped", "conference.destroyed"], 1)


def test_signal_on_a_terminal_is_one_readable_outcome(site: Pipe) -> None:
    def shown(*words: str) -> str:
        return ANSI.sub("", on_terminal(*PROGRAM, "signal", *words, env=site.env))

    text = shown("create", "--room", f"t{HOSTILE}".replace("\x00", ""), "--app", "a", "--name", "owned")
    assert is_safe(text)
    assert "conference.create took effect after" in text
    assert "conference.pause was rejected after" in shown("pause", "--room", "plain")
    assert "conference.leave" in shown("leave", "--room", "plain", "--session", "x")
    assert "had no event after" in shown("join", "--room", "plain", "--session", "x")
    assert "and 3 conference.member.left" in shown("destroy", "--room", LONG)


async def test_without_a_worker_the_outcome_is_unknown(pipe: Pipe) -> None:
    code, found = await asyncio.to_thread(signal, pipe, "pause", "--room", "r", "--timeout", "0.5")
    assert (code, found["outcome"], found["offset"], found["events"]) == (5, "unknown", 0, [])
    shown = await asyncio.to_thread(
        on_terminal, *PROGRAM, "signal", "pause", "--room", "r", "--timeout", "0.5", env=pipe.env
    )
    assert re.search(r"unknown after \d+ ms: it is at .*/1; signal_id ", shown)


async def test_a_dead_letter_gives_exit_code_four(pipe: Pipe) -> None:
    """Workers of another version may not accept what this one sends."""
    ended = threading.Event()

    def send() -> subprocess.CompletedProcess[bytes]:
        try:
            return run("signal", "pause", "--room", "r", "--timeout", "20", env=pipe.env)
        finally:
            ended.set()

    sending = asyncio.create_task(asyncio.to_thread(send))
    number = pipe.partition("r")
    place = f"{pipe.topic('api.signals')}/{number}/0".encode()
    headers = [("ce_signal", place), ("__connect.errors.exception.message", b"no good\x1b[2J")]
    async with AIOKafkaProducer(**pipe.settings.kafka()) as producer:
        while not ended.is_set():
            await producer.send_and_wait(pipe.topic("signals.dead"), b"x", b"r", number, headers=headers)
            await asyncio.sleep(0.1)
    done = await sending
    found = json.loads(done.stdout)
    assert (done.returncode, found["outcome"], found["reason"]) == (4, "dead", "no good\x1b[2J")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("conference.crate --room r", "do you mean 'conference.create'?"),
        ("nothing --room r", "expected one of conference.create"),
        ("pause --room r --volume 3", "conference.pause has no --volume; it takes --room, --operation"),
        ("destroy --room r --session x", "it takes --room, no more options"),
        ("play --room r", "conference.play needs --url"),
        ("mute --room r", "conference.mute needs --session"),
        ("finished --room r --url a --url b", "play.finished takes one --url, got 2"),
        ("play --room r --url ftp://x", "urls[0]"),
        ("pause", "Missing option '--room'"),
    ],
)
def test_wrong_usage_of_signal_names_the_remedy(words: str, text: str) -> None:
    done = run("signal", *words.split(), env={"COLUMNS": "200", "TERM": "dumb"})
    assert (done.returncode, done.stdout) == (2, b"")
    assert text in " ".join(done.stderr.decode().split())


@pytest.mark.parametrize("option", ["--room", "--name", "--id"])
def test_an_option_that_is_not_utf_8_is_named(option: str) -> None:
    words = ["create", "--room", "r", "--app", "a", "--name", "n", option, "\udcff"]
    done = run("signal", *words, env={"COLUMNS": "200", "TERM": "dumb"})
    assert (done.returncode, done.stdout) == (2, b"")
    assert "is not UTF-8" in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


@pytest.mark.parametrize("one", SIGNALS, ids=lambda one: one.TYPE)
def test_each_type_can_be_sent_by_its_short_name(one: Any, site: Pipe) -> None:
    values = {
        "app_id": ["--app", "a"], "name": ["--name", "n"], "urls": ["--url", "http://x"], "url": ["--url", "http://x"],
        "volume": ["--volume", "-3"], "session_uuid": ["--session", "x"], "reason": ["--reason", "orphan"],
        "operation_id": ["--operation", "o"], "caller_id": ["--caller", "+1"], "muted": ["--muted"],
    }  # fmt: skip
    options = [word for field in one.__struct_fields__[3:] for word in values[field]]
    word = one.TYPE.rpartition(".")[2]
    code, found = signal(site, word, "--room", "every-type", *options, "--timeout", "0")
    assert (code, found["type"]) == (5, one.TYPE)


def test_types_are_completed() -> None:
    assert _complete("pau") == ["pause"]
    assert _complete("conference.pau") == ["conference.pause"]
    assert len(_complete("")) == 2 * len(SIGNALS)


# --- parts ---


def test_nearest_ids_share_beginning_or_end() -> None:
    known = ["a-room-1234", "a-room-1235", "b-room-9999", "zzz"]
    assert nearest_ids("a-room-1236", known) == ["a-room-1235", "a-room-1234"]
    assert nearest_ids("1235", known)[0] == "a-room-1235"
    assert nearest_ids("b-roon-9999", known) == ["b-room-9999"]
    assert nearest_ids("quite different", known) == []


def test_partition_of_a_room_is_murmur2(pipe: Pipe) -> None:
    for room in ("r", "é", LONG):
        assert partition_of(room_key(room), pipe.settings.partitions) == pipe.partition(room)


def test_ages_are_short() -> None:
    now = 10**15
    ages = [0, 59, 60, 3599, 3600, 86_399, 86_400, 8_640_000]
    assert [ago(now - age * 10**6, now) for age in ages] == ["0s", "59s", "1m", "59m", "1h", "23h", "1d", "100d"]
    assert (ago(now + 10**6, now), ago(None, now)) == ("0s", "")


def test_a_narrow_table_becomes_lines(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [["a" * 30, "x y " * 10]]
    print_table(("A", "B"), rows, lambda cells: cells[1], width=40)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "a" * 30
    assert " ".join(line.strip() for line in lines[1:]) == ("x y " * 10).strip()
    assert max(map(len, lines)) <= 40
