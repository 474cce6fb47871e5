"""The Python peers of the benchmark do the same work as we: byte for byte the same events and rows for its load."""

from __future__ import annotations

from itertools import islice

from benchmarks.peers.load import Load
from benchmarks.peers.rooms import AVRO, Codec, Row, step
from pipeline.partition import Partition
from pipeline.records import Member, Room
from pipeline.room import Rules
from pipeline.wire import DECODERS, ENCODERS


def test_peers_say_what_we_say() -> None:
    ids = {file.stem: number for number, file in enumerate(sorted(AVRO.glob("*.avsc")), 1)}
    del ids["conference.Meta"]
    records = {number: name for name, number in ids.items()}
    codec, ours = Codec(ids), Partition(Rules())
    rooms: dict[str, Row] = {}
    members: dict[str, Row] = {}

    def encoded(record: Room | Member) -> bytes:
        return ENCODERS[type(record)](record, b"\0" + ids[record.RECORD].to_bytes(4))

    for _, key, value in islice(Load(codec, "any", 20), 1_000):
        signal = DECODERS[records[int.from_bytes(value[1:5])]](value, 5)
        decision = ours.apply(signal, signal.occurred_at)
        [event] = decision.events
        kind, fields = codec.decode(value)
        session = fields.get("session_uuid")
        room, member, said = step(codec.names, rooms.get(key.decode()), members.get(session), kind, fields)
        assert said is not None
        assert codec.event(said) == ENCODERS[type(event)](event, b"\0" + ids[event.RECORD].to_bytes(4))
        assert decision.room is not None
        row = {
            **room,
            "deadline": decision.room.deadline,
            "remaining": decision.room.remaining,
        }  # no watchdog there
        assert codec.encode("conference.Room", row) == encoded(decision.room)
        if session:
            [(_, after)] = decision.members
            assert (member and codec.encode("conference.Member", member)) == (after and encoded(after))
            if member is not None:
                members[session] = member
        rooms[room["room_id"]] = room
