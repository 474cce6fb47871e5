"""The table of rooms, row by row."""

from __future__ import annotations

from conference_events.kafka import Rooms
from conference_events.records import Gone, Member, Room

from tests.samples import T


def test_rows_make_rooms_and_tombstones_delete_them() -> None:
    rooms = Rooms()
    rows = [
        (b'["position"]', None),
        (b'["room","quote\\"r"]', Room('quote"r', "app", "Team")),
        (b'["member","quote\\"r","bob"]', Member('quote"r', "bob", sequence=5)),
        (b'["member","quote\\"r","alice"]', Member('quote"r', "alice", sequence=2)),
        (b'["gone","other"]', Gone("other", T)),
        (b'["later",["kind"],5]', None),
        (b"no json", None),
        (b"\xff", None),
    ]
    assert [rooms.apply(key, row) for key, row in rows] == ["", *['quote"r'] * 3, "", "", "", ""]
    state = rooms.get('quote"r')
    assert state is not None
    assert [member.session_uuid for member in state.members] == ["alice", "bob"]
    rooms.apply(b'["member","quote\\"r","alice"]', None)
    assert [member.session_uuid for member in state.members] == ["bob"]
    rooms.apply(b'["member","quote\\"r","bob"]', None)
    rooms.apply(b'["room","quote\\"r"]', None)
    rooms.apply(b'["room","never seen"]', None)
    assert rooms.get('quote"r') is None
    assert rooms.all() == {}


def test_a_member_before_its_room_shows_no_room() -> None:
    rooms = Rooms()
    rooms.apply(b'["member","r","alice"]', Member("r", "alice"))
    assert rooms.get("r") is None
    assert rooms.all() == {}
    rooms.apply(b'["room","r"]', Room("r"))
    assert list(rooms.all()) == ["r"]
