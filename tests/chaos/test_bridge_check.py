"""The checks of bridges find what is wrong in commands and records written by hand."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

from testkit.chaos.logs import MEDIA, Event, PartitionLog, Signal
from testkit.pipe import ROOT
from tests.chaos.bridges import check
from tests.chaos.bridges.bugs import BUGS, SHOWN_BY, patch
from tests.chaos.bridges.faults import OF_NODE, OF_SERVERS
from tests.chaos.bridges.switch import Command

ROOM, SECOND = "n1-room-1", 1_000_000
PLAY = f"conference {ROOM} play {{operation_id=op}}/media/1.wav"


def event(kind: str, at: int, cause: str = "t.api.signals", **fields: Any) -> Event:
    ends = fields.pop("ends", None)
    meta = {"event_id": f"{kind}{at}", "sequence": 1, "playback_id": ends, "ends_playback": ends is not None}
    row = {"event": f"conference.{kind}", "room_id": ROOM, "meta": meta, **fields}
    return Event(("t.events", 0, at), at * SECOND, (cause, 0, at), row)


STARTED = event("play.started", 1, operation_id="op", urls=["https://cdn.example.com/1.wav"])
STOPPED = event("play.stopped", 5, operation_id="r", ends="op")


def command(at: float, text: str, *, wire: int = 0, playing: str = "") -> Command:
    return Command(int(at * SECOND), wire, text, "+OK\n", playing, held=False)


def found(events: list[Event], *commands: Command) -> list[str]:
    log = PartitionLog(0, events=events)
    node: Any = SimpleNamespace(name="n1", switch=SimpleNamespace(commands=commands))
    return list(check.commands(node, check.Decided([log], {})))


def test_what_was_decided_may_be_performed() -> None:
    muted = event("member.muted", 2, session_uuid="n1-u")
    mute, stop = f"conference {ROOM} mute uuid=u", f"conference {ROOM} stop all"
    assert not found(
        [STARTED, muted, STOPPED], command(1.1, PLAY), command(2.1, mute), command(5.1, stop, playing="op")
    )


def test_a_play_is_sent_once_in_time_if_decided() -> None:
    assert "a second time" in found([STARTED], command(1.1, PLAY), command(1.2, PLAY))[0]
    assert "no play decided it" in found([], command(1.1, PLAY))[0]
    assert "no play decided it" in found([STARTED], command(0.5, PLAY))[0]
    assert "19.0 s after" in found([STARTED], command(20, PLAY))[0]
    assert "not one of" in found([STARTED], command(1.1, PLAY.replace("1.wav", "2.wav")))[0]


def test_other_commands_follow_a_decision() -> None:
    mute, stop = f"conference {ROOM} mute uuid=u", f"conference {ROOM} stop all"
    of_engine = event("member.muted", 2, cause="t.media.signals", session_uuid="n1-u")
    assert "nothing decided" in found([of_engine], command(3, mute))[0]
    assert "nothing decided" in found([event("member.muted", 4, session_uuid="n1-u")], command(3, mute))[0]
    assert "had not ended" in found([STARTED, STOPPED], command(4, stop, playing="op"))[0]
    assert "unknown" in found([], command(4, "conference all hup"))[0]


def test_a_bridge_that_was_replaced_gives_no_command() -> None:
    lives = [SimpleNamespace(slot=0, began=0, ended=9 * SECOND), SimpleNamespace(slot=1, began=SECOND, ended=1 << 62)]

    def acts(*commands: Command) -> list[str]:
        node: Any = SimpleNamespace(name="n1", lives=lives, switch=SimpleNamespace(commands=commands))
        return list(check.acting(node))

    assert not acts(command(2, PLAY), command(3, PLAY, wire=1))
    assert len(acts(command(3, PLAY, wire=1), command(4, PLAY))) == 1


def test_each_playback_has_one_end() -> None:
    def ends(*events: Event) -> list[str]:
        log = PartitionLog(0, events=[*events])
        return [text for text in check.ends([log], check.Decided([log], {})) if "ends:" in text]

    assert not ends(STARTED, STOPPED)
    assert len(ends(STARTED)) == len(ends(STARTED, STOPPED, STOPPED)) == 1


def test_an_audit_reports_no_member_after_a_later_event() -> None:
    def audited(*rows: tuple[str, str]) -> int:
        log = PartitionLog(0)
        for number, (signal_id, second) in enumerate(rows):
            value = {"signal_id": signal_id, "room_id": ROOM, "session_uuid": "n1-u",
                     "occurred_at": f"2026-01-01T00:00:{second}.000000Z"}  # fmt: skip
            log.signals[MEDIA].append(Signal(("t.media.signals", 0, number), number, value))
        return len(list(check.audits(log)))

    assert audited(("core/1", "01"), ("audit/core/2/left/n1-u", "02")) == 0
    assert audited(("core/1", "03"), ("audit/core/2/left/n1-u", "02")) == 1


def test_the_errors_fit_the_bridge() -> None:
    """What a patch replaces must exist. Another process: patches stay."""
    functions = [patch(name).partition(":")[2] for name in ("", *BUGS)]
    code = f"from tests.chaos.bridges import bugs\nfor name in {functions}: getattr(bugs, name)()"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_each_error_has_faults_that_show_it() -> None:
    assert SHOWN_BY.keys() == BUGS.keys()
    assert {fault for faults, _ in SHOWN_BY.values() for fault in faults.split(",")} <= {*OF_NODE, *OF_SERVERS}
