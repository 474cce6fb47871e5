"""The queue of deadlines: order, and the memory it takes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.deadlines import NEVER, Deadlines

PAIRS = st.tuples(st.integers(0, 9), st.sampled_from("abc"))


@given(st.lists(PAIRS).map(sorted), st.lists(PAIRS | st.none()))
def test_first_deadline_is_the_lowest_after_any_steps(
    loaded: list[tuple[int, str]], steps: list[tuple[int, str] | None]
) -> None:
    deadlines, expected = Deadlines(loaded), list(loaded)
    for pair in steps:
        if pair is not None:
            deadlines.add(*pair)
            expected = sorted([*expected, pair])
        elif expected:
            deadlines.drop_first()
            del expected[0]
        assert len(deadlines) == len(expected)
        assert deadlines.first_time() == (expected[0][0] if expected else NEVER)
        assert not expected or deadlines.first_room_id() == expected[0][1]


def test_queues_hold_at_most_twice_the_live_deadlines() -> None:
    deadlines, most = Deadlines([(n, f"room-{n}") for n in range(500)]), 0
    for n in range(500, 10_240):
        deadlines.add(n, f"room-{n}")
        assert (deadlines.first_time(), deadlines.first_room_id()) == (n - 500, f"room-{n - 500}")
        deadlines.drop_first()
        most = max(most, len(deadlines._times), len(deadlines._rooms))
    assert len(deadlines) == 500
    assert most <= 2 * 500
