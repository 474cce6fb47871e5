"""Repeats, gaps and lives of a room."""

from __future__ import annotations

from conference_events import Gap, Sequences

from tests.samples import joined


def test_repeats_gaps_and_new_lives_are_found() -> None:
    seen = Sequences()

    def take(sequence: int, life: str = "a", room: str = "r") -> tuple[bool, Gap | None]:
        return seen.take(joined(sequence, room, f"{room}/{life}/{sequence}"))

    assert [take(n)[0] for n in (1, 2, 1, 2, 3)] == [True, True, False, False, True]
    assert [take(1, "b")[0], take(1, "b")[0], take(2, "b")[0]] == [True, False, True]
    assert take(7, room="met in the middle") == (True, None)
    assert take(5, "b") == (True, Gap("r", 2, 5))
    assert take(6, "b") == (True, None)


def test_the_rooms_not_seen_for_longest_are_forgotten() -> None:
    seen = Sequences(max_rooms=2)
    for sequence, room in ((1, "a"), (1, "b"), (2, "a"), (1, "c")):
        seen.take(joined(sequence, room))
    assert not seen.take(joined(2, "a"))[0]
    assert seen.take(joined(1, "b"))[0]
