"""`dead redrive` on real servers: what is sent, where to, and what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from pipeline.admin.redrive import refusal, run_jq
from pipeline.core.merge import Record
from pipeline.errors import ConfigError
from pipeline.kafka.ranges import Found
from pipeline.model import framing
from pipeline.model import signals as s
from pipeline.model.codec import signal_json
from pipeline.view.letters import letter_of
from testkit.fork_server import run
from testkit.pipe import Pipe

CREATE = signal_json(s.ConferenceCreate("c", "room", 1, "app", "n")).strip()
LOUD = signal_json(s.ConferenceVolume("v", "room", 2, 7, "o")).strip()


async def bury(pipe: Pipe, *records: tuple[str, str | None, bytes], room: str = "room", letters: int = 0) -> list[str]:
    """Append (topic, key, value) to the partition of `room`; return the places of all letters once there are enough."""
    async with AIOKafkaProducer(**pipe.settings.kafka(), acks="all") as producer:
        for topic, key, value in records:
            encoded = None if key is None else key.encode()
            await producer.send_and_wait(
                pipe.topic(topic), value, encoded, partition=pipe.partition(room), headers=[("own", b"1")]
            )
    while len(found := await pipe.records("signals.dead")) < (letters or len(records)):
        pass
    return [f"{one.partition}/{one.offset}" for one in found]


def redrive(pipe: Pipe, *arguments: str, **env: str) -> tuple[int, str, str]:
    done = run("dead", "redrive", *arguments, env={**pipe.env, **env})
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.mark.broker
async def test_an_edited_letter_takes_effect_on_its_own_topic(pipe: Pipe) -> None:
    with pipe.worker():
        await pipe.send(s.ConferenceCreate("c", "room", 1, "app", "n"))
        wrong = LOUD.replace(b'"volume":7', b'"volume":"7"')
        [place] = await bury(pipe, ("media.signals", None, wrong))
        code, out, err = redrive(pipe, place, "--dry-run", "--jq", ".volume = 7")
        assert (code, err) == (0, "")
        assert "room 'room': stopped, 0 members" in out
        assert f"to {pipe.topic('api.signals')}, key 'room'" in out
        assert len(await pipe.records("api.signals")) == 1, "a dry run sends nothing"
        code, out, err = redrive(pipe, place, "--jq", ".volume = 7")
        assert (code, err) == (0, "")
        assert f"letter {place} sent: {pipe.topic('api.signals')}/{pipe.partition('room')}/1" in out
        assert (await pipe.until_events(2))[1]["event"] == "conference.play.volume_changed"
    sent = (await pipe.records("api.signals"))[1]
    assert (sent.value, sent.key) == (LOUD, b"room")
    assert sent.headers[0] == ("own", b"1")
    assert sent.headers[-1] == ("redriven-from", f"{pipe.topic('signals.dead')}/{place}".encode())


@pytest.mark.broker
async def test_a_letter_is_sent_twice_only_with_again(pipe: Pipe) -> None:
    with pipe.worker():
        [place] = await bury(pipe, ("media.signals", "room", CREATE))
        assert redrive(pipe, place)[0] == 0
        await pipe.until_events(1)
        code, out, err = redrive(pipe, place)
        assert (code, err) == (1, f"letter {place} is not sent: it was sent again before: --again sends it once more\n")
        assert "sent: " not in out
        assert redrive(pipe, place, "--again")[0] == 0
        while len(noops := await pipe.records("signals.noops")) < 1:
            pass
        assert len(noops) == 1, "the room knows the signal"
    assert len(await pipe.events()) == 1


@pytest.mark.broker
async def test_a_letter_that_fails_again_keeps_its_history(pipe: Pipe) -> None:
    with pipe.worker():
        [first] = await bury(pipe, ("api.signals", "room", b"{"))
        code, _, err = redrive(pipe, first)
        assert code == 0
        assert err.startswith("  it will be a dead letter again: no JSON object")
        [_, second] = await bury(pipe, letters=2)
        assert redrive(pipe, second)[0] == 0
        await bury(pipe, letters=3)
    listed = [json.loads(one) for one in run("dead", "list", env=pipe.env).stdout.splitlines()]
    topic = pipe.topic("signals.dead")
    assert [one["redriven_from"] for one in listed] == [
        [],
        [f"{topic}/{first}"],
        [f"{topic}/{first}", f"{topic}/{second}"],
    ]
    shown = run("dead", "show", listed[2]["letter"], env=pipe.env).stdout.decode()
    assert shown.count("where it failed with: no JSON object") == 2


@pytest.mark.broker
async def test_a_misplaced_signal_goes_to_the_partition_of_its_key(pipe: Pipe) -> None:
    other = next(f"r{n}" for n in range(99) if pipe.partition(f"r{n}") != pipe.partition("room"))
    create = signal_json(s.ConferenceCreate("c", other, 1, "app", "n")).strip()
    with pipe.worker():
        [place] = await bury(pipe, ("api.signals", other, create))
        assert redrive(pipe, place)[0] == 0
        [event] = await pipe.until_events(1)
    assert event["room_id"] == other


@pytest.mark.broker
async def test_an_editor_changes_a_signal(pipe: Pipe, tmp_path: Path) -> None:
    script = tmp_path / "editor.py"
    script.write_text(
        "import sys; p = sys.argv[1]; t = open(p).read(); open(p, 'w').write(t.replace('crate', 'create'))"
    )
    editor = f"{sys.executable} {script}"
    with pipe.worker():
        wrong = CREATE.replace(b"create", b"crate")
        [place, binary] = await bury(
            pipe, ("api.signals", "room", wrong), ("api.signals", "room", framing.head(1 << 30))
        )
        assert redrive(pipe, place, "--edit", EDITOR=editor, VISUAL="")[0] == 0
        await pipe.until_events(1)
    for env, error in (
        ({"EDITOR": "true"}, "the editor changed nothing"),
        ({"EDITOR": "false"}, "the editor 'false' ended with 1"),
        ({"EDITOR": "/no/such"}, "the editor '/no/such' does not start"),
    ):
        code, _, err = redrive(pipe, binary, "--edit", VISUAL="", **env)
        assert (code, err.count("\n")) == (1, 1)
        assert error in err
    code, _, err = redrive(pipe, binary, "--jq", ".")
    assert (code, err.count("\n")) == (1, 1)
    assert "is not sent: " in err


def letter(*headers: tuple[str, bytes]) -> Any:
    return letter_of(Found("t.signals.dead", 0, Record(0, 0, b"k", b"v", headers)))


def test_cut_letters_and_those_of_batches_are_refused() -> None:
    assert refusal(letter()) == ""
    assert refusal(letter(("original-size", b"2000000"), ("original-key-size", b"9"))) == (
        "only the beginning of its key and value is kept"
    )
    assert "a batch that can't be read" in refusal(letter(("last-offset", b"5")))


def test_a_wrong_expression_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_jq(".a = 1", b'{"b":2}') == b'{"b":2,"a":1}\n'
    for expression, error in ((".a |", "--jq '.a |': jq: error"), ("-n", "begin the expression with a space")):
        with pytest.raises(ConfigError) as caught:
            run_jq(expression, b"{}")
        assert error in str(caught.value)
        assert "\n" not in str(caught.value)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="install it, or use --edit"):
        run_jq(".", b"{}")


def test_edit_and_jq_exclude_each_other() -> None:
    done = run("dead", "redrive", "0/0", "--edit", "--jq", ".")
    assert done.returncode == 2
    assert b"exclude each other" in done.stderr
