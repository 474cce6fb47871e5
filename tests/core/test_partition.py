"""The rooms of one partition: deadlines in order, members, recovery."""

from __future__ import annotations

from pipeline.core.deadlines import NEVER
from pipeline.core.decision import GONE_FOR
from pipeline.core.partition import Partition
from pipeline.core.watchdog import SECOND, Rules, Timeout
from pipeline.model import signal_ids
from pipeline.model import signals as s
from pipeline.model.records import Gone, Member, Room
from tests.support.state import as_dict


def partition(*rooms: str, rules: Rules | None = None) -> Partition:
    """A partition with these rooms, created at time 0."""
    created = Partition(rules or Rules())
    for room in rooms:
        created.apply(s.ConferenceCreate("c", room, 0, "app", ""), 0)
    return created


def play(target: Partition, room: str, at: int, operation: str = "o") -> None:
    target.apply(s.ConferencePlay(f"play-{at}", room, at, ("http://x",), operation), at)


def test_deadlines_fire_by_time_then_utf8_room_id() -> None:
    rooms = ["\U00010000", "\uffff", "é", "z", "a"]  # UTF-16 would sort the first before the second
    tested = partition(*rooms, "early")
    play(tested, "early", 1)
    for room in rooms:
        play(tested, room, 2)
    assert (tested.armed, tested.earliest) == (6, 1 + 10 * SECOND)
    fired = []
    for timeout in tested.due(2 + 10 * SECOND):
        fired.append(timeout.room_id)
        tested.expire(timeout)
    assert fired == ["early", *sorted(rooms, key=str.encode)] == ["early", "a", "z", "é", "\uffff", "\U00010000"]
    assert (tested.armed, tested.earliest, tested.next_timeout()) == (0, None, None)


def test_moved_or_disarmed_deadlines_do_not_fire() -> None:
    tested = partition("a", "b", "c")
    for room in "abc":
        play(tested, room, 0)
    tested.apply(s.ConferencePause("1", "a", 5, "o"), 5)
    tested.apply(s.ConferenceStop("1", "b", 5, "o"), 5)
    tested.apply(s.ConferenceDestroy("1", "c", 5), 5)
    assert tested.earliest == 10 * SECOND  # only a bound: the stale deadlines are still queued
    assert tested.next_timeout() is None
    tested.apply(s.ConferencePause("2", "a", 7, "o"), 7)
    assert tested.next_timeout() == Timeout("a", 10 * SECOND + 2, "o")
    assert list(tested.due(10 * SECOND + 1)) == []


def test_second_playback_has_only_its_own_deadline() -> None:
    tested = partition("a")
    play(tested, "a", 0)
    tested.apply(s.ConferenceStop("1", "a", 1, "o"), 1)
    play(tested, "a", 2, "o2")
    assert tested.next_timeout() == Timeout("a", 2 + 10 * SECOND, "o2")


def test_queued_deadlines_stay_bounded_when_progress_moves_them() -> None:
    tested = partition("a", rules=Rules(progress=True))
    play(tested, "a", 0)
    for at in range(0, 3600 * SECOND, SECOND):
        assert list(tested.due(at)) == []
        tested.apply(s.PlayProgress("p", "a", at, None, "http://x"), at)
    assert len(tested._deadlines) < 15


def test_room_without_members_has_no_members_entry() -> None:
    tested = partition("a")
    tested.apply(s.MemberJoined("j", "a", 1, "x", "+1", True), 1)
    assert tested.members == {"a": {"x": Member("a", "x", "+1", True, False, 2, 1, 1)}}
    tested.apply(s.MemberLeft("l", "a", 2, "x"), 2)
    assert tested.members == {}
    tested.apply(s.MemberJoined("j", "discovered", 1, "x", ""), 1)
    tested.apply(s.MemberLeft("l", "discovered", 2, "x"), 2)
    assert set(tested.rooms) == {"a"}
    assert tested.members == {}


def test_rows_restore_in_any_order() -> None:
    tested = Partition(Rules())
    playing = Room("a", "app", playback_status="playing", operation_id="o", urls=("u",), deadline=9)
    tested.restore_member("a", "x", None)
    tested.restore_member("a", "x", Member("a", "x", sequence=7))
    tested.restore_member("a", "y", Member("a", "y", sequence=3))
    tested.restore_room("a", Room("a"))
    tested.restore_room("a", playing)
    tested.restore_room("gone", Room("gone", deadline=1))
    tested.restore_room("gone", None)
    tested.restore_room("never", None)
    tested.restore_member("gone", "z", Member("gone", "z"))
    tested.restore_member("gone", "z", None)
    tested.restore_member("gone", "z", None)
    tested.restored()
    assert (as_dict(tested.rooms), set(tested.members), tested.armed) == ({"a": playing}, {"a"}, 1)
    assert tested.next_timeout() == Timeout("a", 9, "o")
    destroyed = tested.apply(s.ConferenceDestroy("d", "a", 5), 5)
    assert [getattr(event, "session_uuid", None) for event in destroyed.events] == [None, "y", "x", None]
    assert (as_dict(tested.rooms), tested.members, tested.next_timeout()) == ({}, {}, None)


# --- gone rooms ---


def destroy(target: Partition, room: str, at: int) -> None:
    target.apply(s.ConferenceDestroy(f"destroy-{room}-{at}", room, at), at)


def test_gone_rooms_are_deleted_in_the_order_of_their_ends() -> None:
    tested = partition("a", "b", "c")
    for at, room in ((5, "b"), (7, "c"), (6, "a")):  # times of two topics are not in order
        destroy(tested, room, at)
    deleted = []
    while (until := tested.gone_until) != NEVER:
        deleted.append((until - GONE_FOR, tested.delete_gone()))
    assert deleted == [(5, "b"), (6, "a"), (7, "c")]
    assert tested.gone == {}


def test_a_room_that_lives_again_is_not_gone() -> None:
    tested = partition("a", "b")
    destroy(tested, "a", 5)
    destroy(tested, "b", 6)
    tested.apply(s.ConferenceCreate("again", "a", 7, "app", ""), 7)
    assert tested.gone == {"b": Gone("b", 6, signal_ids.of(["c", "destroy-b-6"]))}
    assert tested.gone_until == 6 + GONE_FOR
    destroy(tested, "a", 9)
    assert tested.gone["a"] == Gone("a", 9, signal_ids.of(["c", "destroy-a-5", "again", "destroy-a-9"]))
    assert [tested.delete_gone(), tested.gone_until] == ["b", 9 + GONE_FOR]


def test_a_gone_room_counts_by_the_time_of_each_signal() -> None:
    """The two topics' times are not in order: a signal of the one may be later than the next of the other."""
    tested = partition("a")
    destroy(tested, "a", 5)
    late = s.ConferenceCreate("c", "a", 0, "app", "")
    assert tested.apply(s.MemberLeft("l", "a", 0, "x"), 5 + GONE_FOR).rejected == "room_unknown"
    assert tested.apply(late, 4 + GONE_FOR).no_op == "repeated"
    assert set(tested.gone) == {"a"}
    assert tested.apply(late, 5 + GONE_FOR).events
    assert tested.gone == {}, "a room that is known has no record, however old"


def test_an_expired_deadline_leaves_a_gone_room() -> None:
    tested = partition()
    tested.apply(s.MemberJoined("j", "a", 0, "x", ""), 0)
    play(tested, "a", 1)
    tested.apply(s.MemberLeft("l", "a", 2, "x"), 2)
    timeout = next(tested.due(1 + 10 * SECOND))
    decision = tested.expire(timeout)
    assert decision.gone == tested.gone["a"] == Gone("a", 1 + 10 * SECOND, signal_ids.of(["play-1"]))


def test_restored_gone_rooms_are_queued() -> None:
    tested = Partition(Rules())
    tested.restore_gone("b", Gone("b", 7))
    tested.restore_gone("a", Gone("a", 8))
    tested.restore_gone("a", Gone("a", 5))
    tested.restore_gone("c", Gone("c", 1))
    tested.restore_gone("c", None)
    tested.restore_gone("never", None)
    tested.restored()
    assert tested.gone == {"a": Gone("a", 5), "b": Gone("b", 7)}
    assert [tested.gone_until, tested.delete_gone(), tested.delete_gone(), tested.gone_until] == [
        *(5 + GONE_FOR, "a", "b", NEVER)
    ]
