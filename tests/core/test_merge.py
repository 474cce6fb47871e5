"""The merge of two signal topics and the barrier (contract §5), record by record."""

from __future__ import annotations

from pipeline.core.merge import GRACE, Input, Merge, Record


def records(*times: int, first: int = 0) -> list[Record]:
    return [Record(time, first + n, b"r", b"v", b"") for n, time in enumerate(times)]


def merge(api: list[int] | None, media: list[int] | None) -> Merge:
    """Two inputs that fetched these records, up to the end of the log; None: no fetch."""
    inputs = Input("api", 0, 0), Input("media", 0, 0)
    for source, times in zip(inputs, (api, media), strict=True):
        if times is not None:
            source.fetched(records(*times), len(times), len(times))
    return Merge(*inputs)


def drain(both: Merge) -> list[tuple[str, int]]:
    """Apply all records that have a known order; return their topics and times."""
    found = []
    while (source := both.next()) is not None:
        record = source.queue[0]
        found.append((source.topic, source.head_time))
        source.applied(record, source.head_time)
        assert source.offset == record.offset + 1
    return found


def test_records_are_ordered_by_time_then_api_then_offset() -> None:
    found = drain(merge([1, 5, 5], [2, 5, 9]))
    assert found == [("api", 1), ("media", 2), ("api", 5), ("api", 5), ("media", 5), ("media", 9)]


def test_time_never_runs_back_on_one_topic() -> None:
    assert drain(merge([5, 3, 7], [4, 6])) == [("media", 4), ("api", 5), ("api", 5), ("media", 6), ("api", 7)]
    later = Input("api", 0, 10, time=8)  # restored from a position record
    later.fetched(records(3, first=10), 11, 11)
    assert later.head_time == 8


def test_head_waits_until_other_topic_is_read_to_its_end() -> None:
    both = merge([1], None)
    assert both.next() is None  # media has not been fetched
    both.media.fetched([], 0, 4)
    assert both.next() is None  # four records of media are not fetched yet
    both.media.fetched(records(0, first=2), 4, 4)  # the other two are markers
    assert both.next() is both.media
    both.media.applied(both.media.queue[0], 0)
    assert both.next() is both.api
    both.api.fetched([], 1, 5)
    both.media.fetched(records(9, first=4), 5, 5)
    both.api.applied(both.api.queue[0], 1)
    assert both.next() is None  # the same for a head of media


def test_straggler_is_applied_on_arrival() -> None:
    both = merge([10], [])
    assert drain(both) == [("api", 10)]
    both.media.fetched(records(3), 1, 1)
    assert drain(both) == [("media", 3)]


def test_head_waits_for_records_in_flight() -> None:
    both = merge([10], [])
    both.media.in_flight = True
    assert both.next() is None
    both.media.fetched(records(3), 1, 1)
    both.media.in_flight = False
    assert drain(both) == [("media", 3), ("api", 10)]
    both.media.in_flight = True
    both.media.rewind()
    assert not both.media.in_flight


def test_empty_inputs_have_no_next() -> None:
    assert merge([], []).next() is None


def test_rewind_drops_fetched_records() -> None:
    both = merge([1, 2], [])
    both.api.applied(both.api.queue[0], 1)
    both.api.probe = (99, 2)
    both.api.rewind()
    assert (both.api.position, both.api.end, both.api.probe, both.api.offset) == (1, None, None, 1)
    assert not both.api.caught_up
    assert both.next() is None


def test_record_at_or_after_the_deadline_is_the_barrier() -> None:
    source = Input("api", 0, 0)
    assert not source.reached(10)
    source.fetched(records(9, 10), 2, 2)
    assert not source.reached(10)  # the record of 9 comes first
    source.applied(source.queue[0], 9)
    assert source.reached(10)
    assert not source.reached(11)
    source.applied(source.queue[0], 10)
    assert source.reached(10)
    assert not source.reached(11)


def test_dead_letter_is_reached_but_does_not_advance_time() -> None:
    source = Input("api", 0, 0, time=5)
    source.fetched(records(10), 1, 1)
    assert source.reached(10)
    source.applied(source.queue[0], source.time)
    assert source.time == 5
    assert not source.reached(10)


def test_log_end_is_the_barrier_after_the_grace() -> None:
    source = Input("api", 0, 0)
    source.fetched([], 3, 3)
    source.probe = (10 + GRACE - 1, 3)
    assert not source.reached(10)  # another broker's clock may be behind by the grace
    source.probe = (10 + GRACE, 4)
    assert not source.reached(10)  # one record is not fetched yet
    source.fetched([], 4, 4)
    assert source.reached(10)
    assert not source.reached(11)
    source.fetched(records(9, first=4), 5, 5)
    assert not source.reached(10)  # the queued record comes first


def test_deadline_must_be_behind_the_barrier_on_both_topics() -> None:
    both = merge([10], [])
    assert not both.reached(10)
    both.media.probe = (10 + GRACE, 0)
    assert both.reached(10)
    both.api.applied(both.api.queue[0], 9)
    assert not both.reached(10)
