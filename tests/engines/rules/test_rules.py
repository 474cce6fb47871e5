"""What all bridges have in common: ids, commands, order, journal, audit, claim."""

from __future__ import annotations

import pytest

from pipeline.engines.rules import journal
from pipeline.engines.rules.audit import Difference, ViewRoom, both, differences, repair
from pipeline.engines.rules.claim import FRESH_SECONDS, WAIT_SECONDS, Claim
from pipeline.engines.rules.commands import (
    Create,
    Destroy,
    Join,
    Leave,
    Mute,
    Pause,
    Play,
    Resume,
    Stop,
    Volume,
    of_event,
    of_no_op,
)
from pipeline.engines.rules.ended import Ended
from pipeline.engines.rules.ids import MAX_ID, Node, bounded_id
from pipeline.engines.rules.order import Entry, Order
from pipeline.engines.rules.snapshot import EngineMember, EngineRoom, Snapshot, by_room_id
from pipeline.errors import ConfigError
from pipeline.model import events as e
from pipeline.model import signals as s
from pipeline.model.records import Engine, Member, NoOp, Room

T = s.Micros(1_795_354_386_106_600)
ROOM = "acW68-room-1"


def meta(*, playback: str | None = None, ends: bool = False) -> e.Meta:
    return e.Meta("id", 1, T, "app", "cause", playback, ends, False)


# --- ids -----------------------------------------------------------------------------------------------------


def test_a_room_of_another_name_gets_the_node() -> None:
    node = Node("acW68")
    assert node.room_id("acW68-room-1") == "acW68-room-1"
    assert node.room_id("lobby") == "acW68-room-lobby"
    assert node.room_names("acW68-room-lobby") == ("acW68-room-lobby", "lobby")
    assert node.room_id("") is None
    assert node.room_id("x" * MAX_ID) is None


def test_a_short_name_is_one_that_becomes_the_id() -> None:
    node = Node("acW68")
    for room_id in ("acW68-room-acW68-room-1", "acW68-room-", "other-room-1"):
        assert node.room_names(room_id) == (room_id,)


def test_only_rooms_of_the_own_prefix_are_the_nodes() -> None:
    assert Node("a").owns("a-room-1")
    assert not Node("a").owns("ab-room-1")
    assert not Node("a").owns("a-rooms")


def test_sessions_of_other_nodes_have_no_engine_id() -> None:
    node = Node("acW68")
    assert node.engine_id(node.session_uuid("u-1") or "") == "u-1"
    assert node.engine_id("other-u-1") is None
    assert node.engine_id("acW68-") is None
    assert node.session_uuid("x" * MAX_ID) is None


@pytest.mark.parametrize("name", ["", "a-b", "x" * 33, "ä", "a\n"])
def test_a_bad_node_is_one_line(name: str) -> None:
    with pytest.raises(ConfigError, match="--node: expected 1 to 32 letters and digits") as found:
        Node(name)
    assert "\n" not in str(found.value)


def test_long_ids_stay_apart() -> None:
    assert bounded_id("x" * 255) == "x" * 255
    assert len({bounded_id("x" * 256), bounded_id("x" * 257)}) == 2


# --- commands ------------------------------------------------------------------------------------------------

PLAYED = e.PlayStarted(ROOM, ("http://a/b",), "op", meta(playback="op"))
STOPPED = e.PlayStopped(ROOM, "req", meta(playback="op", ends=True))
FAILED = e.PlayFailed(ROOM, "op", ("http://a/b",), "playback_timeout", meta(playback="op", ends=True))
STRAY = e.PlayFailed(ROOM, "", (), "playback_error", meta())
MUTED = e.MemberMuted("acW68-u", ROOM, "+1", meta())


def test_events_of_api_signals_command_the_engine() -> None:
    assert of_event(PLAYED, by_api=True) == Play(ROOM, "op", ("http://a/b",))
    assert of_event(MUTED, by_api=True) == Mute(ROOM, "acW68-u", True)
    assert of_event(e.PlayVolumeChanged(ROOM, 3, "req", meta(playback="op")), by_api=True) == Volume(ROOM, 3)
    assert of_event(e.PlayPaused(ROOM, "req", meta(playback="op")), by_api=True) == Pause(ROOM)
    assert of_event(e.Destroyed("app", ROOM, meta()), by_api=True) == Destroy(ROOM)


def test_events_of_media_signals_command_nothing() -> None:
    assert of_event(PLAYED, by_api=False) is None
    assert of_event(MUTED, by_api=False) is None
    assert of_event(e.Destroyed("app", ROOM, meta()), by_api=False) is None


def test_every_end_but_finished_stops_the_engine() -> None:
    assert of_event(STOPPED, by_api=True) == Stop(ROOM, "op")
    assert of_event(FAILED, by_api=False) == Stop(ROOM, "op")
    assert of_event(STRAY, by_api=False) is None
    finished = e.PlayFinished(ROOM, "op", ("http://a/b",), meta(playback="op", ends=True))
    assert of_event(finished, by_api=False) is None


def test_of_a_destroy_only_the_destroyed_commands() -> None:
    synthetic = e.PlayStopped(ROOM, "op", e.Meta("id", 1, T, "app", "cause", "op", True, True))
    assert of_event(synthetic, by_api=True) is None


def test_only_the_no_ops_of_join_and_leave_command() -> None:
    def no_op(reason: str) -> NoOp:
        return NoOp("s", ROOM, "conference.join", reason, "t", 0, 1)

    assert of_no_op(no_op("join"), "acW68-u") == Join(ROOM, "acW68-u")
    assert of_no_op(no_op("leave"), "acW68-u") == Leave(ROOM, "acW68-u")
    assert of_no_op(no_op("repeated"), "acW68-u") is None


def test_the_end_of_a_stopped_playback_is_not_reported() -> None:
    ended = Ended()
    ended.add(ROOM, "op")
    ended.add(ROOM, None)
    assert ended.hides(s.PlayFinished("x", ROOM, T, url="u", operation_id="op"))
    assert ended.hides(s.PlayFailed("x", ROOM, T, "op", ()))
    assert not ended.hides(s.PlayFinished("x", "acW68-room-2", T, url="u", operation_id="op"))
    assert not ended.hides(s.PlayFinished("x", ROOM, T, url="u", operation_id="other"))
    assert not ended.hides(s.PlayProgress("x", ROOM, T, "op"))
    assert not ended.hides(s.PlayFinished("x", ROOM, T, url="u"))


# --- order ---------------------------------------------------------------------------------------------------


def drained(order: Order[str]) -> list[str]:
    found = []
    while (one := order.next()) is not None:
        found.append(one[1].item)
    return found


def test_a_no_op_precedes_events_of_later_signals() -> None:
    order: Order[str] = Order()
    order.events.extend([Entry(0, 1, "e1"), Entry(1, -1, "media"), Entry(2, 5, "e5")])
    order.no_ops.append(Entry(0, 3, "n3"))
    assert order.mark()
    assert drained(order) == ["e1", "media", "n3", "e5"]


def test_records_that_came_after_the_mark_wait() -> None:
    order: Order[str] = Order()
    order.events.append(Entry(0, 1, "e1"))
    assert order.mark()
    order.events.append(Entry(1, 4, "e4"))
    order.no_ops.append(Entry(0, 2, "n2"))
    assert drained(order) == ["e1"]
    assert order.mark()
    assert drained(order) == ["n2", "e4"]
    assert not order.mark()


# --- journal -------------------------------------------------------------------------------------------------


def test_a_play_that_was_begun_is_found_in_the_metadata() -> None:
    begun = journal.Begun(7, "event")
    assert journal.decode(journal.encode(begun)) == begun
    assert len(journal.encode(journal.Begun(2**63, "x" * 36))) < journal.MAX_METADATA


@pytest.mark.parametrize("metadata", ["", "text", "{}", '{"offset":"x"}'])
def test_foreign_metadata_say_nothing(metadata: str) -> None:
    assert journal.decode(metadata) is None


# --- audit ---------------------------------------------------------------------------------------------------


def view_room(*members: Member, status: str = "stopped", operation_id: str = "") -> ViewRoom:
    return ViewRoom(Room(ROOM, "app", playback_status=status, operation_id=operation_id), members)


def kinds(here: EngineRoom | None, there: ViewRoom | None, *, needs_rooms: bool = False) -> set[tuple[str, str]]:
    snapshot = Snapshot(T, "core", {} if here is None else {ROOM: here})
    found = differences(snapshot, {} if there is None else {ROOM: there}, needs_rooms=needs_rooms)
    return {(one.kind, one.subject) for one in found}


def test_every_row_of_the_audit_table() -> None:
    a, muted = EngineMember("1"), EngineMember("1", muted=True)
    known = Member(ROOM, "a")
    assert kinds(EngineRoom({"a": a}), view_room()) == {("joined", "a")}
    assert kinds(EngineRoom({"a": a}), None) == {("joined", "a")}
    assert kinds(EngineRoom(), view_room(known)) == {("left", "a")}
    assert kinds(None, view_room(known)) == {("left", "a")}
    assert kinds(EngineRoom({"a": muted}), view_room(known)) == {("muted", "a")}
    assert kinds(EngineRoom({"a": a}), view_room(Member(ROOM, "a", muted=True))) == {("unmuted", "a")}
    assert kinds(EngineRoom(), view_room(status="paused", operation_id="op")) == {("play_failed", "op")}
    assert kinds(EngineRoom(plays=True), view_room(status="paused", operation_id="op")) == set()
    assert kinds(EngineRoom(plays=True, playing="x"), view_room(status="playing", operation_id="op")) == {
        ("play_failed", "op")
    }
    assert kinds(EngineRoom(plays=True), view_room()) == {("stop", "")}
    assert kinds(None, view_room(), needs_rooms=True) == {("create", "")}
    assert kinds(None, view_room()) == set()
    assert kinds(EngineRoom(made=True), None) == {("destroy", "")}
    assert kinds(EngineRoom(), None) == set()
    assert kinds(EngineRoom({"a": muted}), view_room(Member(ROOM, "a", muted=True))) == set()
    assert kinds(EngineRoom(names=(ROOM, "1")), view_room()) == {("two_rooms", "")}


def test_two_engine_rooms_with_one_id_are_one() -> None:
    a, muted = EngineMember("1"), EngineMember("1", muted=True)
    node, other = Node("acW68"), "acW68-room-2"
    rooms = {"1": EngineRoom({"a": muted, "b": a}, True, "op", True), ROOM: EngineRoom({"a": a}), "": EngineRoom()}
    found = by_room_id(node, {**rooms, "2": EngineRoom({"c": a}, made=True)})
    assert found == {
        ROOM: EngineRoom({"a": a, "b": a}, True, "op", False, (ROOM, "1")),
        other: EngineRoom({"c": a}, made=True, names=("2",)),
    }


def test_a_difference_counts_only_if_both_looks_show_it() -> None:
    one, other = Difference("left", ROOM, "a"), Difference("left", ROOM, "b")
    assert both([one, other], {other: None}) == [other]


def test_repairs_are_signals_or_commands() -> None:
    snapshot = Snapshot(T, "core")
    joined = repair(Difference("joined", ROOM, "a"), EngineMember("+1" * 600, True), snapshot)
    assert isinstance(joined, s.MemberJoined)
    assert (joined.session_uuid, len(joined.caller_id), joined.muted) == ("a", 1024, True)
    assert joined.signal_id == f"audit/core/{T}/joined/a"
    left = repair(Difference("left", ROOM, "a"), None, snapshot)
    assert isinstance(left, s.MemberLeft)
    assert left.reason == "orphan"
    failed = repair(Difference("play_failed", ROOM, "op"), None, snapshot)
    assert isinstance(failed, s.PlayFailed)
    assert failed.operation_id == "op"
    assert repair(Difference("stop", ROOM), None, snapshot) == Stop(ROOM)
    assert repair(Difference("create", ROOM), None, snapshot) == Create(ROOM)
    assert repair(Difference("destroy", ROOM), None, snapshot) == Destroy(ROOM)
    assert isinstance(repair(Difference("muted", ROOM, "a"), None, snapshot), s.MemberMuted)
    assert isinstance(repair(Difference("unmuted", ROOM, "a"), None, snapshot), s.MemberUnmuted)


# --- claim ---------------------------------------------------------------------------------------------------


def record(epoch: int) -> Engine:
    return Engine("freeswitch", "", (), 0, epoch, T)


def held(node: str = "n") -> Claim:
    claim = Claim(node)
    claim.apply(b"n", 4, record(-1))
    claim.begin(4, 100.0)
    return claim


def test_a_bridge_waits_before_its_first_command() -> None:
    claim = held()
    claim.read_end(100.0 + WAIT_SECONDS)
    assert not claim.may_command(100.0 + WAIT_SECONDS - 0.1)
    assert claim.may_command(100.0 + WAIT_SECONDS)


def test_a_bridge_that_has_not_read_the_end_sends_nothing() -> None:
    claim = held()
    claim.read_end(110.0)
    assert claim.may_command(110.0 + FRESH_SECONDS - 0.1)
    assert not claim.may_command(110.0 + FRESH_SECONDS)


def test_a_later_first_record_takes_the_node() -> None:
    claim = held()
    claim.read_end(110.0)
    claim.apply(b"other", 5, record(-1))
    assert claim.may_command(110.0)
    claim.apply(b"n", 6, record(-1))
    assert claim.lost
    assert not claim.may_command(110.0)
    assert not claim.may_end


def test_an_old_bridges_record_does_not_take_the_node() -> None:
    claim = held()
    claim.apply(b"n", 5, record(2))
    assert not claim.lost
    assert not claim.may_end  # that bridge still lives, and would lose its record
    claim.apply(b"n", 6, record(4))
    assert claim.may_end


def test_a_tombstone_takes_nothing() -> None:
    claim = held()
    claim.apply(b"n", 5, None)
    claim.read_end(110.0)
    assert claim.may_command(110.0)
    assert claim.may_end


def test_resumed_is_a_command() -> None:
    assert of_event(e.PlayResumed("app", ROOM, "req", meta(playback="op")), by_api=True) == Resume(ROOM)
