"""Raw batches: what aiokafka's reader makes of them, what a broker answers, and what it stores."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
from aiokafka.record.memory_records import MemoryRecords
from confluent_kafka.admin import AdminClient, NewTopic

from testkit.raw_batches import (
    CODECS,
    CORRUPT_MESSAGE,
    INVALID_RECORD,
    INVALID_TIMESTAMP,
    LOG_APPEND_TIME,
    NO_ANSWER,
    RawProducer,
    Record,
    batch,
    gzip,
    snappy,
)
from testkit.raw_fetch import BrokenBatchError, RawReader, StoredBatch
from testkit.servers import Servers

UNKNOWN = -1
"""UNKNOWN_SERVER_ERROR: the broker's answer to what its own parser does not expect."""
TWO = (Record(b"key", b"value", [(b"\xff", None), (b"a", b"b")]), Record(None, None, timestamp_delta=5))
BYTES = b"".join(record.encode(number) for number, record in enumerate(TWO))
A, B = Record(value=b"a"), Record(value=b"b")


@pytest.mark.parametrize("codec", CODECS)
def test_batch_is_what_a_client_reads(codec: str) -> None:
    records = [Record(b"key", b"value", [(b"a", b"b"), (b"c", None)]), Record(None, None, timestamp_delta=5)]
    whole = batch(records, codec=codec, base_timestamp=7, base_offset=100)
    read = MemoryRecords(whole).next_batch()
    assert read.validate_crc()
    assert [(r.key, r.value, list(r.headers), r.offset, r.timestamp) for r in read] == [
        (b"key", b"value", [("a", b"b"), ("c", None)], 100, 7),
        (None, None, [], 101, 12),
    ]


GOOD = {
    **{codec: batch(TWO, codec=codec) for codec in CODECS},
    "two members of gzip": batch(TWO, attributes=1, payload=gzip(BYTES[:7]) + gzip(BYTES[7:])),
    "attributes of a record": batch([Record(b"k", b"v", attributes=0xFF)]),
    "reserved attributes": batch(TWO, attributes=0xFF80),
    "delete horizon": batch(TWO, attributes=0x40),
    "times": batch([Record(b"k", b"v", timestamp_delta=1 << 62)], base_timestamp=-(1 << 62)),
    "65,536 records": batch([Record()] * 65_536, codec="zstd"),
}
BROKEN = {
    "offsets 0, 40": batch([A, Record(value=b"b", offset_delta=40)]),
    "offsets 1, 0": batch([Record(value=b"a", offset_delta=1), Record(value=b"b", offset_delta=0)]),
    "offsets 0, 1000000": batch([A, Record(value=b"b", offset_delta=1_000_000)]),
    "offsets 0, 0": batch([A, Record(value=b"b", offset_delta=0)]),
    "offsets -1, 1": batch([Record(value=b"a", offset_delta=-1), B]),
    "a record beyond its length": batch([Record(b"k", b"v" * 10, length=8)], codec="gzip"),
    "a version of snappy": batch(TWO, attributes=2, payload=snappy(BYTES, version=77)),
    "a bomb": batch([Record(b"k", bytes(64 << 20))], codec="zstd"),
    "65,537 records": batch([Record()] * 65_537, codec="zstd"),
}
REFUSED = {
    "a wrong count": (batch(TWO, count=3), INVALID_RECORD),
    "a wrong count and last offset": (batch(TWO, count=3, last_offset_delta=2), INVALID_RECORD),
    "a gap at the end": (batch([A, Record(value=b"b", offset_delta=40)], last_offset_delta=40), INVALID_RECORD),
    "no header key": (batch([Record(b"k", b"v", [(None, b"x")])]), INVALID_RECORD),
    "too few headers": (batch([Record(b"k", b"v", header_count=1)]), INVALID_RECORD),
    "too long a record": (batch([Record(b"k", b"v", length=50)]), INVALID_RECORD),
    "two batches": (batch(TWO) * 2, INVALID_RECORD),
    "a base offset": (batch(TWO, base_offset=99), INVALID_RECORD),
    "control": (batch(TWO, attributes=0x20), INVALID_RECORD),
    "LogAppendTime": (batch(TWO, attributes=LOG_APPEND_TIME), INVALID_TIMESTAMP),
    "the checksum": (batch(TWO, crc=1), CORRUPT_MESSAGE),
    "the magic byte": (batch(TWO, magic=9), CORRUPT_MESSAGE),
    "too short a batch": (batch(TWO, length=50), CORRUPT_MESSAGE),
    "half a gzip": (batch(TWO, attributes=1, payload=gzip(BYTES)[:-8]), UNKNOWN),
}


@pytest.mark.parametrize("name", [*GOOD, *BROKEN])
def test_batch_is_read_whole_or_broken(name: str) -> None:
    one = StoredBatch((GOOD | BROKEN)[name])
    if name in BROKEN:
        with pytest.raises(BrokenBatchError):
            one.records()
    else:
        assert [record.offset for record in one.records()] == list(range(one.last + 1))


@pytest.fixture
def topic(servers: Servers) -> Iterator[str]:
    name = f"raw-{secrets.token_hex(5)}"
    admin = AdminClient({"bootstrap.servers": servers.bootstrap_servers})
    topic = NewTopic(name, 2, config={"message.timestamp.type": "LogAppendTime"})
    admin.create_topics([topic])[name].result()
    reader = RawReader(servers.bootstrap_servers)
    for partition in range(2):  # without a leader yet, the first of several batches would be sent again, after others
        assert reader.batches(name, partition) == []
    reader.close()
    yield name
    admin.delete_topics([name])[name].result()


@pytest.mark.broker
def test_broker_stores_or_refuses(servers: Servers, topic: str) -> None:
    with RawProducer(servers.bootstrap_servers) as producer:
        answers = producer.send_all([(topic, 1, data) for data in (GOOD | BROKEN).values()])
        refused = producer.send_all([(topic, 1, data) for data, _ in REFUSED.values()])
        assert dict(zip(REFUSED, [one.error for one in refused], strict=True)) == {
            name: error for name, (_, error) in REFUSED.items()
        }
        assert not any(one.stored for one in refused)
        assert "record 0" in refused[list(REFUSED).index("LogAppendTime")].message
    reader = RawReader(servers.bootstrap_servers)
    found = reader.batches(topic, 1)
    reader.close()
    assert [(one.base_offset, one.append_time_ms) for one in answers] == [(one.first, one.time_ms) for one in found]
    for name, stored in zip([*GOOD, *BROKEN], found, strict=True):
        assert stored.raw[61:] == (GOOD | BROKEN)[name][61:]
        if name in GOOD:
            stored.records()
        else:
            with pytest.raises(BrokenBatchError):
                stored.records()
    whole = found[0].records()
    assert [(r.key, r.value, r.headers) for r in whole] == [(r.key, r.value, tuple(r.headers)) for r in TWO]


@pytest.mark.broker
def test_unknown_outcome_of_a_broken_connection(servers: Servers, topic: str) -> None:
    with RawProducer(servers.bootstrap_servers) as producer:
        assert producer.send(topic, 0, batch(TWO)).stored
        for one in producer._leaders._sockets.values():
            one.shutdown(2)
        assert producer.send(topic, 0, batch(TWO)).error == NO_ANSWER
        assert producer.send(topic, 0, batch(TWO)).stored
