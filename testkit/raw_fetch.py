"""Reads the batches of a topic as they are stored, and their records by the rules of contract §4.

A client reads only what it can parse: it skips, refuses or repeats a broken batch. Here each batch is either read
whole or broken, and header keys are bytes. No code of the pipeline and no Kafka client parses the bytes.
"""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import cramjam
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from testkit.raw_batches import CODECS, CONTROL, LOG_APPEND_TIME, SNAPPY_MAGIC, TRANSACTIONAL, Leaders, text

MOST_BYTES: Final = 64 << 20
MOST_RECORDS: Final = 1 << 16
HEADER: Final = 61
"""Bytes of a batch before its records."""
_FETCH, _VERSION = 1, 11  # the last version without tagged fields
_FETCH_BYTES: Final = 8 << 20
_NOT_LEADER: Final = {3, 5, 6, 9, 74, 75, 76}
_PATIENCE_SECONDS: Final = 60.0


class BrokenBatchError(Exception):
    """The batch can't be read whole; the text has the reason."""


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """One record. `time_ms` is the batch's append time, or None if the batch is not LogAppendTime."""

    offset: int
    time_ms: int | None
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[bytes, bytes | None], ...]

    def header(self, name: bytes) -> bytes | None:
        """Return the last header of this name."""
        return next((value for key, value in reversed(self.headers) if key == name), None)


@dataclass(frozen=True, slots=True)
class StoredBatch:
    """A batch as stored: `raw` begins with its base offset."""

    raw: bytes

    @property
    def first(self) -> int:
        """Its first offset."""
        return int.from_bytes(self.raw[:8])

    @property
    def last(self) -> int:
        """Its last offset."""
        return self.first + int.from_bytes(self.raw[23:27], signed=True)

    @property
    def attributes(self) -> int:
        """Its attributes: codec, timestamp type, transactional, control."""
        return int.from_bytes(self.raw[21:23])

    @property
    def producer_id(self) -> int:
        """The producer of a transactional batch."""
        return int.from_bytes(self.raw[43:51], signed=True)

    @property
    def time_ms(self) -> int | None:
        """Its append time in milliseconds; None if it is not LogAppendTime."""
        return int.from_bytes(self.raw[35:43]) if self.attributes & LOG_APPEND_TIME else None

    def records(self) -> list[StoredRecord]:
        """Return all records. Raises BrokenBatchError if it can't be read whole."""
        data = unpack(self.attributes & 7, self.raw[HEADER:])
        if len(data) > MOST_BYTES:
            raise BrokenBatchError(f"it unpacks to {len(data)} bytes")
        (count,) = struct.unpack_from(">i", self.raw, 57)
        if not 0 <= count <= MOST_RECORDS:
            raise BrokenBatchError(f"it has {count} records")
        if count != self.last - self.first + 1:
            raise BrokenBatchError(f"it has {count} records for the offsets {self.first} to {self.last}")
        found, at = [], 0
        for number in range(count):
            delta, record, at = _record(data, at, self.time_ms, self.first + number)
            if delta != number:
                raise BrokenBatchError(f"record {number} has the offset delta {delta}")
            found.append(record)
        if at != len(data):
            raise BrokenBatchError(f"{len(data) - at} bytes after the last record")
        return found


def _record(data: bytes, at: int, time_ms: int | None, offset: int) -> tuple[int, StoredRecord, int]:
    size, at = _varint(data, at)
    end = at + size
    if size < 0 or end > len(data):
        raise BrokenBatchError(f"a record of {size} bytes, {len(data) - at} are left")
    at += 1  # attributes, reserved
    _, at = _varint(data, at)
    delta, at = _varint(data, at)
    key, at = _sized(data, at, end)
    value, at = _sized(data, at, end)
    count, at = _varint(data, at)
    if not 0 <= count <= end - at:
        raise BrokenBatchError(f"{count} headers in {end - at} bytes")
    headers = []
    for _ in range(count):
        name, at = _sized(data, at, end)
        if name is None:
            raise BrokenBatchError("a header key is null")
        content, at = _sized(data, at, end)
        headers.append((name, content))
    if at != end:
        raise BrokenBatchError(f"a record ends {end - at} bytes before its length")
    return delta, StoredRecord(offset, time_ms, key, value, tuple(headers)), at


def _sized(data: bytes, at: int, end: int) -> tuple[bytes | None, int]:
    size, at = _varint(data, at)
    if size == -1:
        return None, at
    if size < 0 or at + size > end:
        raise BrokenBatchError(f"a field of {size} bytes, {end - at} are left")
    return data[at : at + size], at + size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise BrokenBatchError("a number does not end")
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), at


def unpack(codec: int, data: bytes) -> bytes:
    """Decompress the records of a batch. Raises BrokenBatchError."""
    names = {number: name for name, number in CODECS.items()}
    try:
        match names.get(codec):
            case "none":
                return data
            case "gzip":
                return _gzip(data)
            case "snappy":
                return _snappy(data)
            case "lz4":
                return bytes(cramjam.lz4.decompress(data))
            case "zstd":
                return bytes(cramjam.zstd.decompress(data))
            case _:
                raise BrokenBatchError(f"codec {codec}")
    except (cramjam.DecompressionError, zlib.error, struct.error, OSError, EOFError) as error:
        raise BrokenBatchError(f"{type(error).__name__}: {error}") from None


def _gzip(data: bytes) -> bytes:
    parts = []
    while data:
        member = zlib.decompressobj(wbits=31)
        parts.append(member.decompress(data, MOST_BYTES + 1))
        if not member.eof and len(parts[-1]) <= MOST_BYTES:
            raise BrokenBatchError("a gzip member does not end")
        data = member.unused_data
    return b"".join(parts)


def _snappy(data: bytes) -> bytes:
    if not data.startswith(SNAPPY_MAGIC):
        return bytes(cramjam.snappy.decompress_raw(data))  # one block, as librdkafka writes it
    version, compatible = struct.unpack_from(">ii", data, 8)
    if (version, compatible) != (1, 1):
        raise BrokenBatchError(f"snappy version {version}, compatible {compatible}")
    parts, at = [], 16
    while at < len(data):
        (size,) = struct.unpack_from(">i", data, at)
        if size < 0 or at + 4 + size > len(data):
            raise BrokenBatchError(f"a snappy block of {size} bytes, {len(data) - at - 4} are left")
        parts.append(bytes(cramjam.snappy.decompress_raw(data[at + 4 : at + 4 + size])))
        at += 4 + size
    return b"".join(parts)


def _admin_client(servers: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": servers, "log_level": 0})


class RawReader:
    """Fetches stored batches. For one thread."""

    def __init__(self, servers: str) -> None:
        self._servers = servers
        self._leaders = Leaders(servers)
        self._admin = _admin_client(servers)

    def close(self) -> None:
        """Close the connections."""
        self._leaders.close()

    def _begin(self, topic: str, partition: int, limit: float) -> int:
        """Return the first offset of a log. A client that keeps an old leader epoch is refused: ask with a new one."""
        place = TopicPartition(topic, partition)
        while True:
            found = self._admin.list_offsets({place: OffsetSpec.earliest()}, request_timeout=10)
            try:
                return int(found[place].result().offset)
            except KafkaException:
                if time.monotonic() > limit:
                    raise
                time.sleep(0.5)
                self._admin = _admin_client(self._servers)

    def batches(self, topic: str, partition: int) -> list[StoredBatch]:
        """Return the batches from the log's begin to its last stable offset, without control and aborted ones.

        Raises TimeoutError if no leader answers for a minute.
        """
        limit = time.monotonic() + _PATIENCE_SECONDS
        offset = self._begin(topic, partition, limit)
        seen: list[StoredBatch] = []
        aborted: dict[tuple[int, int], None] = {}
        while True:
            page = self._page(topic, partition, offset)
            if page is None:
                if time.monotonic() > limit:
                    raise TimeoutError(f"{topic}/{partition}: no answer to a fetch from offset {offset} for 60 s")
                self._leaders.forget(topic, partition)
                time.sleep(0.2)
                continue
            end, transactions, batches = page
            aborted |= dict.fromkeys(transactions)
            new = [one for one in batches if offset <= one.last and one.first < end]
            seen += new
            if new:
                offset, limit = new[-1].last + 1, time.monotonic() + _PATIENCE_SECONDS
            if offset >= end:
                return _committed(seen, sorted(aborted, key=lambda one: one[1]))
            if not new:  # the rest was deleted, or is not visible yet
                time.sleep(0.02)
                if time.monotonic() > limit:
                    raise TimeoutError(f"{topic}/{partition}: no batch at offset {offset}, the end is {end}")

    def _page(
        self, topic: str, partition: int, offset: int
    ) -> tuple[int, list[tuple[int, int]], list[StoredBatch]] | None:
        """Return the last stable offset, aborted transactions and batches; None if another leader must be asked."""
        leader = self._leaders.of(topic, partition)
        if leader is None:
            return None
        body = struct.pack(">iiiibii", -1, 100, 1, 64 << 20, 1, 0, -1) + struct.pack(">i", 1) + text(topic)
        body += struct.pack(">iiiqqi", 1, partition, -1, offset, -1, _FETCH_BYTES) + struct.pack(">i", 0) + text("")
        try:
            (read,) = self._leaders.ask(leader, _FETCH, _VERSION, [body])
        except OSError:
            return None
        read.take("ihii")  # throttle time, error, session, one topic
        read.text()
        _, _, error, _, end, _, count = read.take("iihqqqi")
        if error in _NOT_LEADER:
            return None
        if error:
            raise OSError(f"{topic}/{partition}: fetch from offset {offset}: error {error}")
        transactions: list[Any] = [read.take("qq") for _ in range(max(0, count))]
        _, size = read.take("ii")
        return end, transactions, list(_split(read.data(max(0, size))))


def _split(data: bytes) -> Iterator[StoredBatch]:
    """Split the bytes of a response; the last batch may be incomplete."""
    at = 0
    while len(data) - at >= HEADER:
        size = 12 + int.from_bytes(data[at + 8 : at + 12])
        if len(data) - at < size:
            return
        yield StoredBatch(data[at : at + size])
        at += size


def _committed(batches: list[StoredBatch], aborted: list[tuple[int, int]]) -> list[StoredBatch]:
    """Leave out control batches and those of aborted transactions, given as (producer, first offset)."""
    waiting, open_ = list(aborted), set[int]()
    found = []
    for batch in batches:
        while waiting and waiting[0][1] <= batch.last:
            open_.add(waiting.pop(0)[0])
        if batch.attributes & CONTROL:
            open_.discard(batch.producer_id)
        elif not (batch.attributes & TRANSACTIONAL and batch.producer_id in open_):
            found.append(batch)
    return found
