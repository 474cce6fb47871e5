"""The merge of two topics and the barrier (contract §5), record by record."""

from __future__ import annotations

from pipeline.core.merge import GRACE, Input, Merge, Record


def records(*times: int, first: int = 0) -> list[Record]:
    return [Record(time, first + n, b"r", b"v", ()) for n, time in enumerate(times)]


def merge(api: list[int] | None, media: list[int] | None) -> Merge:
    """Two inputs that have fetched these records up to the end of the log; None: nothing was fetched yet."""
    inputs = Input("api", 0, 0), Input("media", 0, 0)
    for source, times in zip(inputs, (api, media), strict=True):
        if times is not None:
            source.fetched(records(*times), len(times), len(times))
    return Merge(*inputs)


def drain(both: Merge) -> list[tuple[str, int]]:
    found = []
    while (source := both.next()) is not None:
        record = source.queue[0]
        found.append((source.topic, source.head_time))
        source.applied(record, source.head_time)
        assert source.offset == record.offset + 1
    return found


def test_order_is_time_then_api_then_offset() -> None:
    found = drain(merge([1, 5, 5], [2, 5, 9]))
    assert found == [("api", 1), ("media", 2), ("api", 5), ("api", 5), ("media", 5), ("media", 9)]


def test_time_never_runs_back_on_one_topic() -> None:
    assert drain(merge([5, 3, 7], [4, 6])) == [("media", 4), ("api", 5), ("api", 5), ("media", 6), ("api", 7)]
    later = Input("api", 0, 10, time=8)  # the position remembers the time
    later.fetched(records(3, first=10), 11, 11)
    assert later.head_time == 8


def test_a_head_waits_until_the_other_topic_is_read_to_its_end() -> None:
    both = merge([1], None)
    assert both.next() is None  # nothing is known of media
    both.media.fetched([], 0, 4)
    assert both.next() is None  # media has four records that were not fetched
    both.media.fetched(records(0, first=2), 4, 4)  # two of them were markers
    assert both.next() is both.media
    both.media.applied(both.media.queue[0], 0)
    assert both.next() is both.api
    both.api.fetched([], 1, 5)
    both.media.fetched(records(9, first=4), 5, 5)
    both.api.applied(both.api.queue[0], 1)
    assert both.next() is None  # and the other way round


def test_a_straggler_is_applied_when_it_comes() -> None:
    both = merge([10], [])
    assert drain(both) == [("api", 10)]
    both.media.fetched(records(3), 1, 1)
    assert drain(both) == [("media", 3)]


def test_a_head_waits_for_what_is_fetched_and_on_its_way() -> None:
    both = merge([10], [])
    both.media.coming = True
    assert both.next() is None
    both.media.fetched(records(3), 1, 1)
    both.media.coming = False
    assert drain(both) == [("media", 3), ("api", 10)]
    both.media.coming = True
    both.media.rewind()
    assert not both.media.coming


def test_nothing_at_hand_is_no_next() -> None:
    assert merge([], []).next() is None


def test_a_rewind_forgets_what_was_fetched() -> None:
    both = merge([1, 2], [])
    both.api.applied(both.api.queue[0], 1)
    both.api.probe = (99, 2)
    both.api.rewind()
    assert (both.api.position, both.api.end, both.api.probe, both.api.offset) == (1, None, None, 1)
    assert not both.api.caught_up
    assert both.next() is None


def test_a_record_of_the_deadline_or_later_is_the_barrier() -> None:
    source = Input("api", 0, 0)
    assert not source.reached(10)
    source.fetched(records(9, 10), 2, 2)
    assert not source.reached(10)  # the record of 9 is before it
    source.applied(source.queue[0], 9)
    assert source.reached(10)
    assert not source.reached(11)
    source.applied(source.queue[0], 10)
    assert source.reached(10)
    assert not source.reached(11)


def test_a_dead_letter_does_not_move_time_but_its_record_was_reached() -> None:
    source = Input("api", 0, 0, time=5)
    source.fetched(records(10), 1, 1)
    assert source.reached(10)
    source.applied(source.queue[0], source.time)
    assert source.time == 5
    assert not source.reached(10)


def test_the_end_of_the_log_is_the_barrier_when_asked_for_late_enough() -> None:
    source = Input("api", 0, 0)
    source.fetched([], 3, 3)
    source.probe = (10 + GRACE - 1, 3)
    assert not source.reached(10)  # a broker's clock may be behind by the grace
    source.probe = (10 + GRACE, 4)
    assert not source.reached(10)  # one record is not fetched yet
    source.fetched([], 4, 4)
    assert source.reached(10)
    assert not source.reached(11)
    source.fetched(records(9, first=4), 5, 5)
    assert not source.reached(10)  # what is at hand goes first


def test_both_topics_must_be_behind_the_barrier() -> None:
    both = merge([10], [])
    assert not both.reached(10)
    both.media.probe = (10 + GRACE, 0)
    assert both.reached(10)
    both.api.applied(both.api.queue[0], 9)
    assert not both.reached(10)
