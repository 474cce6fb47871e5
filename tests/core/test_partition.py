"""The table of one partition: deadlines in order, members, recovery."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.partition import NEVER, Deadlines, Partition
from pipeline.core.room import SECOND, Rules, Timeout
from pipeline.model import signals as s
from pipeline.model.records import Member, Room


def partition(*rooms: str, rules: Rules | None = None) -> Partition:
    found = Partition(rules or Rules())
    for room in rooms:
        found.apply(s.ConferenceCreate("c", room, 0, "app", ""), 0)
    return found


def play(found: Partition, room: str, at: int, operation: str = "o", **more: Any) -> None:
    found.apply(s.ConferencePlay(f"play-{at}", room, at, ("http://x",), operation), at)


def test_deadlines_fire_by_time_then_by_the_bytes_of_the_room_id() -> None:
    rooms = ["\U00010000", "\uffff", "é", "z", "a"]  # UTF-16 would sort the first before the second
    found = partition(*rooms, "early")
    play(found, "early", 1)
    for room in rooms:
        play(found, room, 2)
    assert (found.armed, found.earliest) == (6, 1 + 10 * SECOND)
    fired = []
    for timeout in found.due(2 + 10 * SECOND):
        fired.append(timeout.room_id)
        found.expire(timeout)
    assert (
        fired == ["early", *sorted(rooms, key=str.encode)] == ["early", "a", "z", "é", "\uffff", "\U00010000"]
    )
    assert (found.armed, found.earliest, found.next_timeout()) == (0, None, None)


PAIRS = st.tuples(st.integers(0, 9), st.sampled_from("abc"))


@given(st.lists(PAIRS).map(sorted), st.lists(PAIRS | st.none()))
def test_the_first_deadline_is_the_lowest_of_all(
    loaded: list[tuple[int, str]], steps: list[tuple[int, str] | None]
) -> None:
    found, expected = Deadlines(loaded), list(loaded)
    for pair in steps:
        if pair is not None:
            found.add(*pair)
            expected = sorted([*expected, pair])
        elif expected:
            found.drop()
            del expected[0]
        assert len(found) == len(expected)
        assert found.time() == (expected[0][0] if expected else NEVER)
        assert not expected or found.room_id() == expected[0][1]


def test_a_queue_that_moves_on_takes_no_more_room_than_twice_what_is_in_it() -> None:
    found, most = Deadlines([(n, f"room-{n}") for n in range(500)]), 0
    for n in range(500, 10_240):
        found.add(n, f"room-{n}")
        assert (found.time(), found.room_id()) == (n - 500, f"room-{n - 500}")
        found.drop()
        most = max(most, len(found._times), len(found._rooms))
    assert len(found) == 500
    assert most <= 2 * 500


def test_a_deadline_that_was_moved_or_disarmed_does_not_fire() -> None:
    found = partition("a", "b", "c")
    for room in "abc":
        play(found, room, 0)
    found.apply(s.ConferencePause("1", "a", 5, "o"), 5)
    found.apply(s.ConferenceStop("1", "b", 5, "o"), 5)
    found.apply(s.ConferenceDestroy("1", "c", 5), 5)
    assert found.earliest == 10 * SECOND  # a bound only: nobody has looked yet
    assert found.next_timeout() is None
    found.apply(s.ConferencePause("2", "a", 7, "o"), 7)
    assert found.next_timeout() == Timeout("a", 10 * SECOND + 2, "o")
    assert list(found.due(10 * SECOND + 1)) == []


def test_a_room_that_plays_again_has_the_new_deadline_only() -> None:
    found = partition("a")
    play(found, "a", 0)
    found.apply(s.ConferenceStop("1", "a", 1, "o"), 1)
    play(found, "a", 2, "o2")
    assert found.next_timeout() == Timeout("a", 2 + 10 * SECOND, "o2")


def test_what_moves_a_deadline_often_does_not_grow_for_ever() -> None:
    found = partition("a", rules=Rules(progress=True))
    play(found, "a", 0)
    for at in range(0, 3600 * SECOND, SECOND):
        assert list(found.due(at)) == []
        found.apply(s.PlayProgress("p", "a", at, None, "http://x"), at)
    assert len(found._deadlines) < 15


def test_members_of_a_room_without_any_have_no_entry() -> None:
    found = partition("a")
    found.apply(s.MemberJoined("j", "a", 1, "x", "+1", True), 1)
    assert found.members == {"a": {"x": Member("a", "x", "+1", True, False, 2)}}
    found.apply(s.MemberLeft("l", "a", 2, "x"), 2)
    assert found.members == {}
    found.apply(s.MemberJoined("j", "discovered", 1, "x", ""), 1)
    found.apply(s.MemberLeft("l", "discovered", 2, "x"), 2)
    assert set(found.rooms) == {"a"}
    assert found.members == {}


def test_a_log_of_rows_is_taken_over_in_any_order() -> None:
    found = Partition(Rules())
    playing = Room("a", "app", playback_status="playing", operation_id="o", urls=("u",), deadline=9)
    found.restore_member("a", "x", None)
    found.restore_member("a", "x", Member("a", "x", sequence=7))
    found.restore_member("a", "y", Member("a", "y", sequence=3))
    found.restore_room("a", Room("a"))
    found.restore_room("a", playing)
    found.restore_room("gone", Room("gone", deadline=1))
    found.restore_room("gone", None)
    found.restore_room("never", None)
    found.restore_member("gone", "z", Member("gone", "z"))
    found.restore_member("gone", "z", None)
    found.restore_member("gone", "z", None)
    found.restored()
    assert (found.rooms, set(found.members), found.armed) == ({"a": playing}, {"a"}, 1)
    assert found.next_timeout() == Timeout("a", 9, "o")
    destroyed = found.apply(s.ConferenceDestroy("d", "a", 5), 5)
    assert [getattr(event, "session_uuid", None) for event in destroyed.events] == [None, "y", "x", None]
    assert (found.rooms, found.members, found.next_timeout()) == ({}, {}, None)
