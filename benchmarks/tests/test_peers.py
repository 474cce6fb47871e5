"""The Python peers produce the same bytes as the pipeline for the load, and the pacer sends the whole load in order."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from itertools import islice
from multiprocessing import Pipe as pair
from typing import Any

import pytest

from benchmarks.peers.load import Load
from benchmarks.peers.pacer import PacerConfig, pace
from benchmarks.peers.rooms import AVRO, Codec, Row, step
from pipeline.core.partition import Partition
from pipeline.core.watchdog import Rules
from pipeline.model.records import Member, Room
from pipeline.model.wire import DECODERS, ENCODERS
from testkit.pipe import PARTITIONS, Pipe

IDS = {file.stem: number for number, file in enumerate(sorted(AVRO.glob("*.avsc")), 1)}
del IDS["conference.Meta"]


def test_peers_produce_the_same_events_and_rows() -> None:
    records = {number: name for name, number in IDS.items()}
    codec, partition = Codec(IDS), Partition(Rules())
    rooms: dict[str, Row] = {}
    members: dict[str, Row] = {}

    def encoded(record: Room | Member) -> bytes:
        return ENCODERS[type(record)](record, b"\0" + IDS[record.RECORD].to_bytes(4))

    for _, key, value in islice(Load(codec, "any", 20), 1_000):
        signal = DECODERS[records[int.from_bytes(value[1:5])]](value, 5)
        decision = partition.apply(signal, signal.occurred_at)
        [event] = decision.events
        kind, fields = codec.decode(value)
        session: Any = fields.get("session_uuid")
        room, member, peer_event = step(
            codec.names, rooms.get(key.decode()), members.get(session), kind, fields, fields["occurred_at"]
        )
        assert peer_event is not None
        assert codec.event(peer_event) == ENCODERS[type(event)](event, b"\0" + IDS[event.RECORD].to_bytes(4))
        assert decision.room is not None
        # The peers have no watchdog.
        row = {**room, "deadline": decision.room.deadline, "remaining": decision.room.remaining}
        assert codec.encode("conference.Room", row) == encoded(decision.room)
        if session:
            [(_, after)] = decision.members
            assert (member and codec.encode("conference.Member", member)) == (after and encoded(after))
            if member is not None:
                members[session] = member
        rooms[room["room_id"]] = room


@pytest.mark.broker
async def test_pacer_sends_each_signal_once_and_in_order(pipe: Pipe) -> None:
    rooms, signals, rate = 20, 500, 1_000.0
    here, remote = pair()
    config = PacerConfig(
        pipe.settings.bootstrap_servers, pipe.prefix, IDS, rooms, PARTITIONS, rate, signals, linger_ms=5
    )
    pacing = asyncio.create_task(asyncio.to_thread(pace, remote, config))
    assert await asyncio.to_thread(here.recv) == "ready"
    here.send("go")
    took = await asyncio.to_thread(here.recv)
    await pacing
    assert took >= signals / rate

    codec, expected, found = Codec(IDS), defaultdict(list), defaultdict(list)
    for topic, key, value in islice(Load(codec, pipe.prefix, rooms), rooms + signals):
        place = topic, pipe.partition(key.decode())
        expected[place].append(codec.decode(value)[1]["signal_id"])
    for name in ("api.signals", "media.signals"):
        for record in await pipe.records(name):
            found[record.topic, record.partition].append(codec.decode(record.value)[1]["signal_id"])
    assert found == expected
