"""The Python peers of the benchmark do the same work as we: byte for byte the same events and rows for its load.

And what sends that load at a rate sends all of it, in order, to where the contract wants it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from itertools import islice
from multiprocessing import Pipe as pair
from typing import Any

import pytest

from benchmarks.peers.load import Load
from benchmarks.peers.pacer import Todo, pace
from benchmarks.peers.rooms import AVRO, Codec, Row, step
from pipeline.core.partition import Partition
from pipeline.core.watchdog import Rules
from pipeline.model.records import Member, Room
from pipeline.model.wire import DECODERS, ENCODERS
from testkit.pipe import PARTITIONS, Pipe

IDS = {file.stem: number for number, file in enumerate(sorted(AVRO.glob("*.avsc")), 1)}
del IDS["conference.Meta"]


def test_peers_say_what_we_say() -> None:
    records = {number: name for name, number in IDS.items()}
    codec, ours = Codec(IDS), Partition(Rules())
    rooms: dict[str, Row] = {}
    members: dict[str, Row] = {}

    def encoded(record: Room | Member) -> bytes:
        return ENCODERS[type(record)](record, b"\0" + IDS[record.RECORD].to_bytes(4))

    for _, key, value in islice(Load(codec, "any", 20), 1_000):
        signal = DECODERS[records[int.from_bytes(value[1:5])]](value, 5)
        decision = ours.apply(signal, signal.occurred_at)
        [event] = decision.events
        kind, fields = codec.decode(value)
        session: Any = fields.get("session_uuid")
        room, member, said = step(codec.names, rooms.get(key.decode()), members.get(session), kind, fields)
        assert said is not None
        assert codec.event(said) == ENCODERS[type(event)](event, b"\0" + IDS[event.RECORD].to_bytes(4))
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


@pytest.mark.broker
async def test_signals_are_sent_at_a_rate_each_once_and_in_order(pipe: Pipe) -> None:
    rooms, signals, rate = 20, 500, 1_000.0
    ours, theirs = pair()
    todo = Todo(
        pipe.settings.bootstrap_servers, pipe.prefix, IDS, rooms, PARTITIONS, rate, signals, linger_ms=5
    )
    pacing = asyncio.create_task(asyncio.to_thread(pace, theirs, todo))
    assert await asyncio.to_thread(ours.recv) == "ready"
    ours.send("go")
    took = await asyncio.to_thread(ours.recv)
    await pacing
    assert took >= signals / rate

    codec, asked, found = Codec(IDS), defaultdict(list), defaultdict(list)
    for topic, key, value in islice(Load(codec, pipe.prefix, rooms), rooms + signals):
        place = topic, pipe.partition(key.decode())
        asked[place].append(codec.decode(value)[1]["signal_id"])
    for name in ("api.signals", "media.signals"):
        for record in await pipe.records(name):
            found[record.topic, record.partition].append(codec.decode(record.value)[1]["signal_id"])
    assert found == asked
