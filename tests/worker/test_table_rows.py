"""Rows of the table, decoded by the schema they were written with."""

from __future__ import annotations

import pytest

from pipeline.errors import FatalError, SignalError
from pipeline.model.records import Member
from pipeline.model.wire import ENCODERS, SCHEMAS
from pipeline.worker.table_rows import TableRows
from tests.support.worker import FakeRegistry


async def test_rows_are_read_by_their_writers_schema() -> None:
    registry = FakeRegistry({7: SCHEMAS["conference.Member"]})
    rows = TableRows(registry)  # type: ignore[arg-type]
    member = Member("room", "alice", "+1", True, False, 3)
    value = ENCODERS[Member](member, b"\0\0\0\0\7")
    assert await rows.decode(value) == await rows.decode(value) == member
    assert registry.asked == [7]
    with pytest.raises(SignalError, match="wire format"):
        await rows.decode(b"junk")
    with pytest.raises(SignalError, match=r"conference\.Member"):
        await rows.decode(value[:-1])
    with pytest.raises(FatalError, match="lost schema id 8"):
        await rows.decode(b"\0\0\0\0\10junk")
