"""The raw load stores what it means to store: signals in all codecs, dead letters, broken batches."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from pipeline.kafka.schema_registry import Registry
from testkit import raw_batches
from testkit.chaos.encode import encoder
from testkit.chaos.load import RoomLife, Rooms
from testkit.chaos.logs import API, MEDIA, POISON_HEADER, Reader
from testkit.chaos.raw_load import RawLoad
from testkit.pipe import Pipe
from testkit.raw_batches import CORRUPT_MESSAGE, INVALID_RECORD, INVALID_TIMESTAMP, Record
from testkit.raw_fetch import BrokenBatchError, RawReader, StoredBatch, StoredRecord


@pytest.mark.broker
async def test_all_kinds_of_batches_are_stored(pipe: Pipe) -> None:
    servers = pipe.servers
    async with Registry(pipe.settings) as registry:
        encode = encoder(await registry.schema_ids(pipe.prefix))
    load = RawLoad(servers.bootstrap_servers, pipe.topic, 4, 7, encode, rooms=5, poison=0.15, broken=0.3)
    for _ in range(400):
        load.one()
    assert load.answers.keys() >= {0, CORRUPT_MESSAGE, INVALID_RECORD, INVALID_TIMESTAMP, -1}
    raw = RawReader(servers.bootstrap_servers)
    codecs: Counter[int] = Counter()
    broken: set[str] = set()
    records: list[StoredRecord] = []
    for topic in (API, MEDIA):
        for number in range(4):
            for batch in raw.batches(pipe.topic(topic), number):
                try:
                    records += batch.records()
                    codecs[batch.attributes & 7] += 1
                except BrokenBatchError as error:
                    broken.add(str(error).split(" ", 1)[0] if "record" not in str(error) else str(error))
    raw.close()
    assert min(codecs[number] for number in range(5)) > 10
    assert any(POISON_HEADER in dict(one.headers) for one in records)
    assert any(b"\xff\xfe" in dict(one.headers) for one in records)
    assert len(broken) >= 5, broken
    reader = Reader(servers.bootstrap_servers, servers.registry_url, pipe.topic, "none")
    logs = [reader.read(number) for number in range(4)]
    signals = [one for log in logs for found in log.signals.values() for one in found]
    assert sum(one.last is not None for one in signals) > 50
    assert sum(one.value is None and one.last is None for one in signals) > 50
    for one in signals:
        if one.value is not None:
            assert load.partition(one.value["room_id"]) == one.at[1]
            assert one.key == one.value["room_id"].encode()


def life(seed: int, **given: Any) -> list[dict[str, Any]]:
    one = RoomLife("r", random.Random(seed), 40, **given)
    return list(iter(one.next, None))


def test_lives_have_what_version_2_is_about() -> None:
    seen: Counter[str] = Counter()
    for seed in range(40):
        signals = life(seed)
        ids = Counter(one["signal_id"] for one in signals if one["type"].startswith("conference."))
        seen["repeated"] += sum(count - 1 for count in ids.values())
        ends = [place for place, one in enumerate(signals) if one["type"] == "conference.destroy"]
        if ends:
            seen["echoes"] += sum(not one["type"].startswith("conference.") for one in signals[ends[0] :])
        for before, play, late in zip(signals, signals[1:], signals[2:], strict=False):
            kinds = (before["type"], play["type"], late["type"])
            if kinds == ("conference.stop", "conference.play", "play.finished") and late["url"] in play["urls"]:
                seen["restart"] += 1
        old = life(seed, earlier=[{"signal_id": "old", "type": "conference.create"}])
        seen["of an earlier life"] += sum(one["signal_id"] == "old" for one in old)
    assert min(seen[name] for name in ("repeated", "echoes", "restart", "of an earlier life")) > 3, seen


def test_rooms_live_again_at_once_and_later() -> None:
    rooms = Rooms("x", random.Random(3), 5)
    order: list[str] = []
    for _ in range(5000):
        signal = rooms.next()
        if signal is not None and signal["type"] == "conference.create":
            order.append(signal["room_id"])
    distances = [
        later - earlier
        for earlier, name in enumerate(order)
        for later in [n for n in range(earlier + 1, len(order)) if order[n] == name][:1]
    ]
    assert min(distances) < 5
    assert max(distances) > 20


@pytest.mark.parametrize(("topic", "is_signal"), [("x.api.signals", True), ("x.media.signals", False)])
def test_the_checker_expects_a_type_on_its_topic(topic: str, is_signal: bool) -> None:
    """Brokers repair some broken batches, and those hold API signals for either topic."""
    destroy = b'{"type": "conference.destroy", "signal_id": "s", "room_id": "r", "occurred_at": "2026-11-22T00:00:00Z"}'
    reader = Reader("127.0.0.1:1", "http://127.0.0.1:1", str, "none")
    [signal] = reader._signals(topic, 0, [StoredBatch(raw_batches.batch([Record(b"r", destroy)]))])
    assert (signal.value is not None) is is_signal
