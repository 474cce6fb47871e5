"""Members whose events were lost, restarts, sizes of conferences, repeats, reasons that come late, signal ids, bounds."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.engines.freeswitch.adapter import Adapter, playbacks, rooms
from pipeline.engines.freeswitch.adapter.hold import HANGUP_WITHIN
from pipeline.engines.freeswitch.adapter.hold import MAX_HELD as MOST_HELD
from pipeline.model.signals import MemberLeft
from tests.support.freeswitch import TIME, all_of, captured, event, fed, hangup_complete, member, short


def at(micros: int) -> str:
    return str(TIME + micros)


# --- orphans ---


@pytest.mark.parametrize(
    ("end", "others"),
    [
        (event("conference-destroy"), []),
        (event("conference-create"), []),
        (member("mute-member", Unique_ID="b", Conference_Unique_ID="2"), ["muted b"]),
        (event("floor-change", Core_UUID="new"), []),
        ({**event(""), "Event-Name": "STARTUP", "Core-UUID": "new"}, []),
        ({**event(""), "Event-Name": "HEARTBEAT", "Core-UUID": "new"}, []),
    ],
    ids=["destroy", "create", "another life", "another core", "startup", "heartbeat"],
)
def test_who_is_still_remembered_leaves_as_orphan(end: dict[str, Any], others: list[str]) -> None:
    adapter = Adapter()
    joins = [member("add-member", Unique_ID=name, Conference_Unique_ID="1") for name in "ab"]
    found = all_of(adapter, *joins, {**end, "Event-Sequence": "1000000"})
    assert short(found.signals) == ["joined a", "joined b", "left a orphan", "left b orphan", *others]
    core = end["Core-UUID"]
    assert [one.signal_id for one in found.signals[2:4]] == [
        f"{core}/1000000/acW68-a/orphan",
        f"{core}/1000000/acW68-b/orphan",
    ]
    assert [report.kind for report in found.reports] == (["restart"] if core == "new" else [])


def test_restart_concerns_only_the_rooms_of_its_switch() -> None:
    adapter = Adapter()
    joins = [
        member("add-member", Unique_ID="a"),
        member("add-member", Unique_ID="b", Conference_Name="other"),
        member("add-member", Unique_ID="c", FreeSWITCH_Switchname="fs2", Core_UUID="its"),
    ]
    found = all_of(adapter, *joins, event("conference-create", Core_UUID="new"))
    assert short(found.signals)[3:] == ["left a orphan", "left b orphan"]
    assert found.signals[4].room_id == "other"
    assert "acW68: it was restarted (process core, now new); 2 members left as orphan" in found.reports[0].text


def test_same_name_on_another_switch_is_another_room() -> None:
    there = {"FreeSWITCH_Switchname": "fs2", "Core_UUID": "its"}
    found = all_of(Adapter(), member("add-member"), event("conference-create", **there))
    assert short(found.signals) == ["joined a"]


def test_late_end_of_a_room_concerns_only_who_entered_before() -> None:
    found = all_of(
        Adapter(),
        member("add-member", Event_Sequence="10"),
        member("add-member", Unique_ID="b", Event_Sequence="20"),
        event("conference-destroy", Event_Sequence="15"),
        member("del-member", Unique_ID="b", Hangup_Cause="NORMAL", Event_Sequence="25"),
    )
    assert short(found.signals) == ["joined a", "joined b", "left a orphan", "left b hangup"]
    assert [report.kind for report in found.reports] == ["order"]


def test_del_member_after_an_orphan_gives_nothing_more() -> None:
    found = all_of(Adapter(), member("add-member"), event("conference-destroy"), member("del-member"))
    assert short(found.signals) == ["joined a", "left a orphan"]


def test_event_of_a_replaced_process_is_ignored() -> None:
    adapter = Adapter()
    late = member("add-member", Unique_ID="b", Event_Date_Timestamp=at(5_000_000))
    found = all_of(adapter, member("add-member"), event("conference-create", Core_UUID="new"), late)
    assert short(found.signals) == ["joined a", "left a orphan"]
    assert [report.kind for report in found.reports] == ["restart", "stale"]
    assert adapter.counts["stale"] == 1


def test_two_switches_of_one_name_are_told_apart() -> None:
    """Containers often share a host name. Their first contact looks like a restart."""
    events = [
        member("add-member", Unique_ID=f"{core}{n}", Core_UUID=core, Event_Date_Timestamp=at(n * 6_000_000))
        for n in range(5)
        for core in ("one", "two")
    ]
    adapter = Adapter()
    found = all_of(adapter, *events)
    assert [report.kind for report in found.reports] == ["restart", "stale", "shared"]
    joined = [text for text in short(found.signals) if text.startswith("joined")]
    assert joined == [f"joined {event['Unique-ID']}" for event in events if event["Unique-ID"] != "one1"]


def test_recorded_kill_lets_everyone_leave_as_orphan() -> None:
    found = all_of(Adapter(), *captured("freeswitch-restart.jsonl"))
    reasons = [signal.reason for signal in found.signals if isinstance(signal, MemberLeft)]
    assert reasons == ["hangup", "hangup", "orphan", "orphan"]  # a shutdown, then kill -9
    assert [report.kind for report in found.reports] == ["restart", "restart"]


# --- reasons that come late ---


@pytest.mark.parametrize(("after", "reason"), [(0, "hangup"), (200_000, "hangup"), (200_001, "removed")])
def test_hangup_within_200_ms_gives_the_reason(after: int, reason: str) -> None:
    adapter = Adapter()
    hang_up = hangup_complete(Event_Date_Timestamp=at(after))
    found = fed(adapter, member("add-member"), member("del-member"), hang_up)
    assert short(found.signals) == ["joined a", f"left a {reason}"]
    assert not adapter.waits


def test_room_keeps_its_order_while_a_reason_is_open() -> None:
    adapter = Adapter()
    events = [
        member("add-member"),
        member("del-member"),
        member("add-member", Unique_ID="b"),
        member("add-member", Unique_ID="b", Conference_Name="other"),
    ]
    assert short(fed(adapter, *events).signals) == ["joined a", "joined b"]  # the second in the other room
    later = member("mute-member", Unique_ID="b", Event_Date_Timestamp=at(HANGUP_WITHIN + 1))
    assert short(fed(adapter, later).signals) == ["left a removed", "joined b", "muted b"]


@pytest.mark.parametrize("room", ["room", "next"])
def test_entering_again_decides_the_reason(room: str) -> None:
    adapter = Adapter()
    events = [member("add-member"), member("del-member"), member("add-member", Conference_Name=room)]
    assert short(fed(adapter, *events).signals) == ["joined a", "left a removed", "joined a"]


def test_live_feed_decides_by_its_clock() -> None:
    adapter = Adapter()
    assert len(adapter.feed(member("add-member"), 0).signals) == 1
    assert adapter.feed(member("del-member"), 1000).signals == []
    assert adapter.waits
    assert adapter.advance(1000 + HANGUP_WITHIN).signals == []
    assert short(adapter.advance(1001 + HANGUP_WITHIN).signals) == ["left a removed"]


@pytest.mark.parametrize("reorder", [0, 250_000, 2_000_000])
def test_recorded_storm_has_its_reasons_and_sizes(reorder: int) -> None:
    """Of 397 hang-ups 14 had a del-member without any mark; no size is wrong."""
    adapter = Adapter(reorder=reorder)
    found = all_of(adapter, *captured("freeswitch-storm.jsonl.gz"))
    reasons = [signal.reason for signal in found.signals if isinstance(signal, MemberLeft)]
    assert (reasons.count("hangup"), reasons.count("removed"), len(reasons)) == (397, 177, 574)
    assert {report.kind for report in found.reports} == (set() if reorder else {"late"})
    assert len(found.signals) == 1631
    assert short(found.signals).count("joined") == 0
    assert not adapter.waits


# --- sizes ---


def test_size_that_does_not_fit_is_reported_once() -> None:
    found = all_of(
        Adapter(),
        event("conference-create", Conference_Size="0"),
        member("add-member", Conference_Size="1"),
        member("mute-member", Conference_Size="2"),  # the add-member of another was lost
        event("floor-change", Conference_Size="2"),
        member("add-member", Unique_ID="c", Conference_Size="3"),
        member("del-member", Unique_ID="b", Conference_Size="2", Hangup_Cause="NORMAL"),
        member("del-member", Conference_Size="1", Hangup_Cause="NORMAL"),
        event("floor-change", Conference_Size="2"),
    )
    assert [report.text for report in found.reports] == [
        "switch acW68, room room: Conference-Size is 2, the events give 1: events are missing",
        "switch acW68, room room: Conference-Size is 2, the events give 1: events are missing",
    ]


def test_feed_that_begins_late_learns_the_size() -> None:
    events = [
        member("mute-member", Conference_Size="5"),
        member("del-member", Conference_Size="4", Hangup_Cause="NORMAL"),
        member("add-member", Conference_Size="5"),
        hangup_complete(),
        member("mute-member", Unique_ID="b", Conference_Size="5"),  # FreeSWITCH still counts the one that hung up
        member("del-member", Conference_Size="4", Hangup_Cause="NORMAL"),
        member("mute-member", Unique_ID="b", Conference_Size="3", Conference_Ghosts="1"),
    ]
    assert all_of(Adapter(), *events).reports == []


# --- playbacks ---


@pytest.mark.parametrize(
    ("file", "headers", "signals"),
    [
        ("/a.wav", {"samples": "800"}, ["finished /a.wav"]),
        ("/a.wav", {"samples": "0"}, ["failed /a.wav"]),
        ("/a.wav", {"Conference_Size": "0", "samples": "800"}, ["failed /a.wav"]),
        ("{vol=2}/a.wav", {}, ["finished /a.wav"]),
        ("{operation_id=op%2C1,vol=2}/a.wav", {"operation_id": "other"}, ["finished op,1 /a.wav"]),
        ("{vol=2}{operation_id=op1}/a.wav", {}, ["finished op1 /a.wav"]),
        ("{^^;operation_id=op1;vol=2}/a.wav", {}, ["finished op1 /a.wav"]),
        ("{operation_id=}/a.wav", {}, ["finished /a.wav"]),
        ("{x={y}}/a.wav", {}, ["finished /a.wav"]),
        ("{operation_id=op1/a.wav", {}, ["finished {operation_id=op1/a.wav"]),
        ("file_string:///a.wav!/b.wav", {}, ["finished /a.wav", "finished /b.wav"]),
        ("{operation_id=op1}file_string:///a.wav!{vol=1}/b.wav!", {}, ["finished op1 /a.wav", "finished op1 /b.wav"]),
        ("{operation_id=op1}file_string:///a.wav!/b.wav", {"samples": "0"}, ["failed op1 /a.wav /b.wav"]),
        ("file_string://", {}, ["finished file_string://"]),
        ("tone_stream://%(200,0,500)", {}, []),
        ("silence_stream://100", {"Conference_Size": "0"}, []),
        ("{operation_id=op1}tone_stream://%(200,0,500)", {}, ["finished op1 tone_stream://%(200,0,500)"]),
    ],
)
def test_end_of_a_file(file: str, headers: dict[str, str], signals: list[str]) -> None:
    assert short(all_of(Adapter(), event("play-file-done", File=file, **headers)).signals) == signals


def test_tone_that_was_played_ends() -> None:
    tone = "tone_stream://%(200,0,500)"
    events = [event(f"play-file{end}", File=tone) for end in ("", "", "-done", "-done", "-done")]
    found = short(all_of(Adapter(), *events).signals)
    assert found == [f"progress {tone}"] * 2 + [f"finished {tone}"] * 2


def test_recorded_commands_give_their_operation_ids() -> None:
    found = all_of(Adapter([("/var/lib/media", "https://m")]), *captured("freeswitch-rules.jsonl"))
    plays = [text for text in short(found.signals) if text.split()[0] in {"progress", "finished", "failed"}]
    assert plays[:14] == [
        "progress op-1 https://m/t2.wav", "finished op-1 https://m/t2.wav",
        "progress op-2 https://m/t2.wav", "progress op-3 https://m/t5.wav",  # queued: its header says op-2
        "finished op-2 https://m/t2.wav", "finished op-3 https://m/t5.wav",
        "progress op-4 https://m/t5.wav", "progress op-5 https://m/t5.wav",
        "finished op-4 https://m/t5.wav", "failed op-5 https://m/t5.wav",  # stopped before it was heard
        "progress op-6 https://m/t5.wav", "finished op-6 https://m/t5.wav",
        "progress op-7 https://m/t2.wav", "finished op-7 https://m/t2.wav",
    ]  # fmt: skip
    assert plays[-2:] == ["failed op-11 https://m/t20.wav", "failed op-12 https://m/t5.wav"]  # the room ended
    assert found.reports == []


def test_recorded_list_of_files_finishes_twice() -> None:
    found = all_of(Adapter(), *captured("freeswitch-commands.jsonl")).signals
    files = [signal for signal in found if getattr(signal, "operation_id", None) == "op-fs"]
    assert [signal.TYPE for signal in files] == ["play.progress", "play.finished", "play.finished"]
    assert files[2].signal_id == f"{files[1].signal_id}/2/file"


# --- signal ids and repeats ---


@pytest.mark.parametrize("name", ["rules.jsonl", "restart.jsonl", "commands.jsonl", "storm.jsonl.gz"])
def test_signal_ids_are_unique_and_stable(name: str) -> None:
    events = captured(f"freeswitch-{name}")
    first, second = (all_of(Adapter(reorder=reorder), *events).signals for reorder in (0, 250_000))
    ids = [signal.signal_id for signal in first]
    assert len(ids) == len(set(ids))
    assert {signal.signal_id: signal for signal in first} == {signal.signal_id: signal for signal in second}


def test_repeated_event_gives_nothing() -> None:
    events = captured("freeswitch-rules.jsonl")
    twice = [one for each in events for one in (each, each)]
    assert all_of(Adapter(), *twice) == all_of(Adapter(), *events)


def test_derived_ids_of_two_events_differ() -> None:
    """Also for ids that hold slashes, and for long ones."""
    cores, members = ["c", "c/1", "c" * 250], ["a", "a/2", "x" * 200, "x" * 199 + "y"]
    found = []
    for core in cores:
        joins = [member("add-member", Unique_ID=name, Core_UUID=core, Event_Sequence="1") for name in members]
        found += all_of(Adapter(), *joins, event("conference-destroy", Core_UUID=core, Event_Sequence="2")).signals
    left = [signal.signal_id for signal in found if isinstance(signal, MemberLeft)]
    assert len(left) == len(cores) * len(members) == len(set(left))
    assert max(map(len, left)) <= 255


def test_late_add_member_of_who_has_left_gives_nothing() -> None:
    found = all_of(
        Adapter(),
        member("del-member", Event_Sequence="12", Hangup_Cause="NORMAL"),
        member("mute-member", Event_Sequence="11"),
        member("add-member", Event_Sequence="10"),
    )
    assert short(found.signals) == ["left a hangup", "muted a"]
    assert [report.kind for report in found.reports] == ["order", "order"]


# --- bounds ---


def test_memory_of_members_rooms_and_repeats_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playbacks, "MAX_STREAMS", 50)
    for name in ("MAX_MEMBERS", "MAX_ROOMS", "MAX_SEEN", "MAX_SWITCHES"):
        monkeypatch.setattr(rooms, name, 50)
    adapter = Adapter()
    for n in range(400):
        for action in ("add-member", "kick-member", "del-member", "add-member"):
            switch = {"FreeSWITCH_Switchname": f"fs{n % 120}", "Core_UUID": f"core{n % 120}"}
            adapter.feed(member(action, Unique_ID=f"m{n % 90}", Conference_Name=f"r{n}", **switch))
        adapter.feed(event("play-file", File=f"tone_stream://{n}"))
    state = adapter._rooms
    held = (
        state._switches, state._rooms, state._members, state._room_of, state._removing, state._left, state._seen,
        state._playbacks._streams, state._shared,
    )  # fmt: skip
    assert max(map(len, held)) == 50
    assert sum(len(room.members) for room in state._rooms.values()) <= 50
    assert all(room in state._rooms.values() for room in state._members.values())


def test_open_reasons_are_bounded() -> None:
    adapter = Adapter()
    found = fed(adapter, *(member("del-member", Unique_ID=f"m{n}") for n in range(MOST_HELD + 5)))
    assert short(found.signals) == [f"left m{n} removed" for n in range(5)]
