"""Rooms that stay rows until they are first read, and the rows that recovery restores."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.structs import TopicPartition
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.core.lazy_rooms import Rooms, deadline_of
from pipeline.core.partition import Partition
from pipeline.core.watchdog import Rules
from pipeline.errors import FatalError
from pipeline.model import signal_ids
from pipeline.model.records import Gone, Member, Position, Room
from pipeline.model.signals import ConferenceDestroy, ConferencePause
from pipeline.model.wire import ENCODERS, SCHEMAS
from pipeline.worker.table_rows import TableRows
from tests.support.state import as_dict, is_row

IDS = {Room.RECORD: 1, Member.RECORD: 2, Position.RECORD: 3, Gone.RECORD: 4}
TABLE = TopicPartition("t.rooms", 0)
TEXT = st.text(max_size=80)


def row(record: Any) -> bytes:
    return ENCODERS[type(record)](record, b"\0" + IDS[record.RECORD].to_bytes(4))


def playing(room_id: str = "r", deadline: int = 5_000_000) -> Room:
    return Room(room_id, "app", "", 3, "playing", "op", ("https://x/" + "y" * 70,), deadline=deadline)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.builds(
        Room,
        room_id=TEXT,
        app_id=TEXT,
        name=TEXT | st.just("\x0eplaying"),
        sequence=st.integers(0, 2**62),
        playback_status=st.sampled_from(["stopped", "playing", "paused"]),
        operation_id=TEXT | st.just("playing"),
        urls=st.lists(TEXT, max_size=3).map(tuple),
        files_finished=st.integers(0, 200),
        deadline=st.none() | st.integers(0, 2**62),
        recent=st.lists(TEXT | st.just("\x0eplaying"), max_size=16).map(signal_ids.of),
    )
)
def test_deadline_of_a_row_is_that_of_its_room(room: Room) -> None:
    if room.playback_status != "playing":
        room = Room(**{name: getattr(room, name) for name in room.__struct_fields__} | {"deadline": None})
    assert deadline_of(row(room)) == room.deadline


def test_rooms_are_decoded_on_first_access() -> None:
    rooms = Rooms()
    rooms.put_row("r", row(playing()))
    rooms.put_row("s", row(Room("s")))
    assert len(rooms) == 2
    assert "r" in rooms
    assert is_row(rooms, "r")
    assert list(rooms.deadlines()) == [(5_000_000, "r")]
    assert rooms["r"] == playing()
    assert not is_row(rooms, "r")
    assert is_row(rooms, "s")
    assert list(as_dict(rooms).items()) == [("r", playing()), ("s", Room("s"))]
    assert rooms.get("s") == Room("s")
    assert rooms.get("unknown") is None
    with pytest.raises(KeyError):
        rooms["unknown"]
    assert list(rooms.deadlines()) == [(5_000_000, "r")]


def test_invalid_row_raises_fatal_error() -> None:
    rooms = Rooms()
    rooms.put_row("r", row(playing())[:-1])
    with pytest.raises(FatalError, match="not a valid room"):
        rooms.get("r")
    rooms.put_row("r", row(Room("r"))[:5] + b"\x0eplaying")
    with pytest.raises(FatalError, match="not a valid room"):
        list(rooms.deadlines())


def test_armed_counts_rows_and_decoded_rooms() -> None:
    partition = Partition(Rules())
    for room_id in ("a", "b"):
        partition.restore_row(room_id, row(playing(room_id)))
    partition.restored()
    assert partition.armed == 2
    partition.apply(ConferencePause("s", "a", 1, "op2"), 1)
    assert partition.armed == 1
    timeout = partition.next_timeout()
    assert timeout is not None
    partition.expire(timeout)
    assert partition.armed == 0
    assert partition.next_timeout() is None


class Registry:
    """A registry with this version's schemas, except that the schema of a room is `room`."""

    def __init__(self, room: str = SCHEMAS[Room.RECORD]) -> None:
        self._texts = {1: room, 2: SCHEMAS[Member.RECORD], 3: SCHEMAS[Position.RECORD], 4: SCHEMAS[Gone.RECORD]}

    async def schema(self, schema_id: int) -> str | None:
        return self._texts.get(schema_id)


async def restored(*rows: tuple[bytes, bytes | None], registry: Any = None) -> tuple[Partition, Any]:
    """Restore a partition from these (key, value) records of the table's log."""
    partition, positions = Partition(Rules()), dict[int, Position]()
    records = [SimpleNamespace(offset=n, key=key, value=value) for n, (key, value) in enumerate(rows)]
    await TableRows(registry or Registry()).restore(partition, positions, TABLE, records)
    partition.restored()
    return partition, positions


LONG = "r" * 100
ROWS: list[tuple[bytes, bytes | None]] = [
    (b'["position"]', row(Position("owner"))),
    (b'["room","a"]', row(Room("a", sequence=1))),
    (b'["room","a"]', row(playing("a"))),
    (b'["room","b"]', row(Room("b"))),
    (b'["room","' + LONG.encode() + b'"]', row(Room(LONG))),
    (b'["room","b"]', None),
    (b'["member","a","s"]', row(Member("a", "s", "+1"))),
    (b'["member","a","t"]', row(Member("a", "t", "+2", muted=True))),
    (b'["member","a","s"]', row(Member("a", "s", "+1", muted=True))),
    (b'["member","a","t"]', None),
    (b'["member","c","t"]', row(Member("c", "t"))),
    (b'["member","c","t"]', None),
    (b'["gone","d"]', row(Gone("d", 5, signal_ids.of(["s"])))),
    (b'["gone","e"]', row(Gone("e", 5))),
    (b'["gone","e"]', None),
]


@pytest.mark.parametrize(
    ("change", "packed"),
    [
        pytest.param(("", ""), True, id="the current schema"),
        pytest.param(('"doc":"The conference room."', '"doc":"Another."'), True, id="another doc"),
        pytest.param(('"files_finished","type":"int"', '"files_finished","type":"long"'), False, id="another type"),
    ],
)
async def test_last_row_of_a_key_is_restored(change: tuple[str, str], packed: bool) -> None:
    assert change[0] in SCHEMAS[Room.RECORD]
    registry = Registry(SCHEMAS[Room.RECORD].replace(*change))
    partition, positions = await restored(*ROWS, registry=registry)
    assert is_row(partition.rooms, "a") == packed
    assert as_dict(partition.rooms) == {"a": playing("a"), LONG: Room(LONG)}
    assert partition.members == {"a": {"s": Member("a", "s", "+1", muted=True)}}
    assert partition.armed == 1
    assert partition.gone == {"d": Gone("d", 5, signal_ids.of(["s"]))}
    assert partition.gone_until == 60_000_005
    assert positions == {0: Position("owner")}


@pytest.mark.parametrize(
    "key",
    [b'["door","a"]', b'["door"]', b'["door","a","b","c"]', b'["door",1,{"a":null}]', b'["rooms","a"]', b'[""]'],
)
@pytest.mark.parametrize("value", [row(Room("a")), row(Member("a", "b")), b"\0\0\0\0\x63unknown schema", b"junk", None])
async def test_rows_of_unknown_kinds_are_skipped(key: bytes, value: bytes | None) -> None:
    partition, positions = await restored(*ROWS, (key, value))
    assert as_dict(partition.rooms) == {"a": playing("a"), LONG: Room(LONG)}
    assert (set(partition.members), set(partition.gone), set(positions)) == ({"a"}, {"d"}, {0})


@pytest.mark.parametrize("order", [1, -1])
async def test_of_a_room_and_a_gone_one_the_room_holds(order: int) -> None:
    rows = [(b'["room","a"]', row(Room("a", "app"))), (b'["gone","a"]', row(Gone("a", 5, signal_ids.of(["s"]))))]
    partition, _ = await restored(*rows[::order])
    decision = partition.apply(ConferencePause("s", "a", 6, "op"), 6)
    assert decision.rejected == "playback_inactive", "the room has not seen this signal"
    assert partition.gone_until == 60_000_005, "the record is deleted like all others"
    partition.apply(ConferenceDestroy("d", "a", 7), 7)
    assert partition.gone == {"a": Gone("a", 7, signal_ids.of(["s", "d"]))}
    assert partition.gone_until == 60_000_007


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"a", row(Room("a"))),
        (b'["room"]', row(Room("a"))),
        (b'["member","a"]', row(Member("a", "b"))),
        (b'["member","a",1]', row(Member("a", "b"))),
        (b'["room",1]', row(Room("a"))),
        (b'["gone","a"]', row(Room("a"))),
        (b'["gone"]', row(Gone("a", 5))),
        (b'["gone","a"]', row(Gone("a", 5))[:-1]),
        (b'{"door":1}', row(Room("a"))),
        (b"[]", row(Room("a"))),
        (b"[1]", row(Room("a"))),
        (b'["room","a"]', row(Room("a"))[:5]),
        (b'["room","other"]', row(Room("a"))[:5] + b"junk"),
        (b'["room","a"]', row(Member("a", "b"))),
        (b'["position"]', b"x"),
        (b'["member","a","b"]', row(Member("a", "b"))[:-1]),
    ],
)
@pytest.mark.parametrize("known", [True, False])
async def test_record_that_is_no_row_raises_fatal_error(key: bytes, value: bytes, known: bool) -> None:
    with pytest.raises(FatalError, match=r"not a row of the table|does not match the kind of its key"):
        await restored(*(ROWS if known else []), (key, value))
