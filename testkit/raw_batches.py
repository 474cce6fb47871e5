"""Record batches (Kafka's message format 2, KIP-98) of any bytes, and a producer that sends them as they are.

No code of the pipeline and no Kafka client builds the bytes, so that a batch may break every rule. The broker checks
some of them: `RawProducer.send` returns its answer for each batch.

    good = batch([Record(b"room", b"{}", headers=[(b"\\xff", None)])], codec="zstd")
    gaps = batch([Record(value=b"a"), Record(value=b"b", offset_delta=40)], last_offset_delta=40, count=2)
    with RawProducer("127.0.0.1:9092") as producer:
        answer = producer.send("t.api.signals", 3, good)
        answer.error, answer.base_offset, answer.append_time_ms, answer.message
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import cramjam
import google_crc32c
from confluent_kafka.admin import AdminClient

LOG_APPEND_TIME: Final = 0x08
TRANSACTIONAL: Final = 0x10
CONTROL: Final = 0x20
"""Bits of a batch's attributes; the lowest three are the codec."""
CODECS: Final = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
CORRUPT_MESSAGE, INVALID_TIMESTAMP, INVALID_RECORD = 2, 32, 87
NO_ANSWER: Final = -2
"""`Answer.error` when the connection broke: the batch may be stored."""
_LEADER_NOT_AVAILABLE: Final = 5
_NO_LEADER: Final = {3, _LEADER_NOT_AVAILABLE, 6}
"""Errors after which another leader is asked: nothing was stored."""
_PRODUCE, _VERSION = 0, 8  # version 8 is the last without tagged fields, and the first with messages (KIP-467)
_IN_FLIGHT: Final = 64
_ATTEMPTS: Final = 5
Address = tuple[str, int]
_TIMEOUT_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Record:
    """One record. None takes the right value: `offset_delta` is its place in the batch, `length` is its length."""

    key: bytes | None = None
    value: bytes | None = None
    headers: Sequence[tuple[bytes | None, bytes | None]] = ()
    attributes: int = 0
    timestamp_delta: int = 0
    offset_delta: int | None = None
    length: int | None = None
    header_count: int | None = None

    def encode(self, place: int) -> bytes:
        """Return the record's bytes as number `place` of a batch."""
        offset_delta = place if self.offset_delta is None else self.offset_delta
        count = len(self.headers) if self.header_count is None else self.header_count
        headers = b"".join(_sized(key) + _sized(value) for key, value in self.headers)
        front = bytes([self.attributes & 0xFF]) + varint(self.timestamp_delta) + varint(offset_delta)
        body = front + _sized(self.key) + _sized(self.value) + varint(count) + headers
        return varint(len(body) if self.length is None else self.length) + body


def varint(number: int) -> bytes:
    """Encode a signed number (zigzag, seven bits per byte), of any size."""
    number = number << 1 if number >= 0 else (-number << 1) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def _sized(part: bytes | None) -> bytes:
    return varint(-1) if part is None else varint(len(part)) + part


def batch(
    records: Sequence[Record | bytes],
    *,
    codec: str = "none",
    payload: bytes | None = None,
    base_offset: int = 0,
    length: int | None = None,
    leader_epoch: int = -1,
    magic: int = 2,
    crc: int | None = None,
    attributes: int | None = None,
    last_offset_delta: int | None = None,
    base_timestamp: int = 0,
    max_timestamp: int | None = None,
    producer_id: int = -1,
    producer_epoch: int = -1,
    base_sequence: int = -1,
    count: int | None = None,
) -> bytes:
    """Return a batch. None takes the value that fits the records.

    Args:
        records: records, or bytes that are written in the place of one.
        codec: compresses the records and sets the lowest bits of the attributes.
        payload: the bytes after the header, instead of the (compressed) records.
        attributes: all 16 bits of the batch's attributes, in place of the codec's.
        base_timestamp: milliseconds; the broker writes `max_timestamp` where the topic is LogAppendTime.
    """
    if payload is None:
        joined = b"".join(r if isinstance(r, bytes) else r.encode(place) for place, r in enumerate(records))
        payload = compress(codec, joined)
    last = len(records) - 1 if last_offset_delta is None else last_offset_delta
    times = [r.timestamp_delta for r in records if isinstance(r, Record)]
    latest = base_timestamp + max(times, default=0) if max_timestamp is None else max_timestamp
    checked = _packed(
        "HIQQQHII",
        CODECS[codec] if attributes is None else attributes,
        last,
        base_timestamp,
        latest,
        producer_id,
        producer_epoch,
        base_sequence,
        len(records) if count is None else count,
    )
    checked += payload
    checksum = google_crc32c.value(checked) if crc is None else crc
    size = 9 + len(checked) if length is None else length  # leader epoch, magic and checksum take 9 bytes
    return _packed("QIIBI", base_offset, size, leader_epoch, magic, checksum) + checked


def _packed(form: str, *numbers: int) -> bytes:
    """Pack unsigned numbers of these widths; others lose their upper bits."""
    widths = [8 * struct.calcsize(f">{letter}") for letter in form]
    return struct.pack(f">{form}", *(n & (1 << width) - 1 for n, width in zip(numbers, widths, strict=True)))


def compress(codec: str, data: bytes) -> bytes:
    """Compress as Kafka's Java client does."""
    return _COMPRESS[codec](data)


def gzip(data: bytes, level: int = 6) -> bytes:
    """Return one gzip member."""
    done = zlib.compressobj(level, wbits=31)
    return done.compress(data) + done.flush()


SNAPPY_MAGIC: Final = b"\x82SNAPPY\0"


def snappy(data: bytes, *, version: int = 1, compatible: int = 1, chunk: int = 32 << 10) -> bytes:
    """Return a snappy stream in xerial's frames, which snappy-java and so Kafka writes."""
    parts = [SNAPPY_MAGIC, struct.pack(">ii", version, compatible)]
    for begin in range(0, len(data), chunk):
        packed = bytes(cramjam.snappy.compress_raw(data[begin : begin + chunk]))
        parts += [len(packed).to_bytes(4), packed]
    return b"".join(parts)


def lz4(data: bytes) -> bytes:
    """Return an LZ4 frame with independent blocks; Kafka refuses linked ones."""
    frame = cramjam.lz4.Compressor(level=6, content_checksum=True, block_linked=False)
    frame.compress(data)
    return bytes(frame.finish())


_COMPRESS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "none": bytes,
    "gzip": gzip,
    "snappy": snappy,
    "lz4": lz4,
    "zstd": lambda data: bytes(cramjam.zstd.compress(data)),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """The broker's answer to one batch. `base_offset` and `append_time_ms` are -1 unless it was stored."""

    error: int
    """Kafka's error code: 0 if the batch was stored; NO_ANSWER if that is unknown."""
    base_offset: int = -1
    append_time_ms: int = -1
    message: str = ""

    @property
    def stored(self) -> bool:
        """Whether the batch is in the log for certain."""
        return self.error == 0


class Leaders:
    """Connections to the leaders of partitions, without TLS. For one thread."""

    def __init__(self, servers: str) -> None:
        self._admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
        self._known: dict[tuple[str, int], Address] = {}
        self._sockets: dict[Address, socket.socket] = {}
        self._number = 0

    def of(self, topic: str, partition: int) -> Address | None:
        """Return the leader's address, None if there is none. Raises KafkaException if no broker answers."""
        if (topic, partition) not in self._known:
            found = self._admin.list_topics(topic, timeout=_TIMEOUT_SECONDS)
            for number, one in found.topics[topic].partitions.items():
                if one.leader in found.brokers:
                    broker = found.brokers[one.leader]
                    self._known[topic, number] = broker.host, broker.port
        return self._known.get((topic, partition))

    def forget(self, topic: str, partition: int) -> None:
        """Ask for the leader again at the next use."""
        self._known.pop((topic, partition), None)

    def ask(self, leader: Address, api_key: int, version: int, bodies: Sequence[bytes]) -> Iterator[Fields]:
        """Send all requests, then yield the responses. Raises OSError if the connection breaks."""
        stream = self._connect(leader)
        first, self._number = self._number, (self._number + len(bodies)) & 0x3FFFFFFF
        try:
            for place, body in enumerate(bodies):
                head = struct.pack(">hhi", api_key, version, first + place) + text("raw-batches")
                stream.sendall(struct.pack(">i", len(head) + len(body)) + head + body)
            for place in range(len(bodies)):
                (size,) = struct.unpack(">i", _exactly(stream, 4))
                response = Fields(_exactly(stream, size))
                (correlation,) = response.take("i")
                if correlation != first + place:
                    raise OSError(f"response {correlation} to request {first + place}")
                yield response
        except OSError:
            self._drop(leader)
            raise

    def close(self) -> None:
        """Close the connections."""
        for leader in list(self._sockets):
            self._drop(leader)

    def _connect(self, leader: Address) -> socket.socket:
        if leader not in self._sockets:
            try:
                stream = socket.create_connection(leader, timeout=_TIMEOUT_SECONDS)
            except OSError:
                self._drop(leader)
                raise
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets[leader] = stream
        return self._sockets[leader]

    def _drop(self, leader: Address) -> None:
        if (stream := self._sockets.pop(leader, None)) is not None:
            with contextlib.suppress(OSError):
                stream.close()
        self._known = {place: at for place, at in self._known.items() if at != leader}


class RawProducer:
    """Sends batches to the leaders of their partitions, over connections without TLS. For one thread."""

    def __init__(self, servers: str) -> None:
        self._leaders = Leaders(servers)

    def __enter__(self) -> RawProducer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._leaders.close()

    def send(self, topic: str, partition: int, data: bytes) -> Answer:
        """Send one batch and return the broker's answer."""
        return self.send_all([(topic, partition, data)])[0]

    def send_all(self, batches: Sequence[tuple[str, int, bytes]]) -> list[Answer]:
        """Send (topic, partition, batch), each in a request of its own, and return the answers in the same order.

        Batches of one partition are stored in their order, unless its leader changes. Raises KafkaException if the
        cluster does not answer.
        """
        answers: list[Answer] = [Answer(NO_ANSWER)] * len(batches)
        waiting = list(range(len(batches)))
        for attempt in range(_ATTEMPTS):
            for begin in range(0, len(waiting), _IN_FLIGHT):
                self._exchange(waiting[begin : begin + _IN_FLIGHT], batches, answers)
            waiting = [number for number in waiting if answers[number].error in _NO_LEADER]
            if not waiting:
                break
            time.sleep(0.2 * (attempt + 1))
            for number in waiting:
                self._leaders.forget(*batches[number][:2])
        return answers

    def _exchange(
        self, numbers: Sequence[int], batches: Sequence[tuple[str, int, bytes]], answers: list[Answer]
    ) -> None:
        """Write the requests of these batches to their leaders, then read all responses."""
        by_leader: dict[Address, list[int]] = {}
        for number in numbers:
            leader = self._leaders.of(*batches[number][:2])
            if leader is None:
                answers[number] = Answer(_LEADER_NOT_AVAILABLE)
            else:
                by_leader.setdefault(leader, []).append(number)
        for leader, own in by_leader.items():
            unanswered = list(own)
            try:
                bodies = [_produce(*batches[number]) for number in own]
                for number, response in zip(own, self._leaders.ask(leader, _PRODUCE, _VERSION, bodies), strict=True):
                    answers[number] = _answer(response)
                    unanswered.remove(number)
            except OSError as error:
                for number in unanswered:
                    answers[number] = Answer(NO_ANSWER, message=f"{type(error).__name__}: {error}")


def _produce(topic: str, partition: int, data: bytes) -> bytes:
    """Return the body of a Produce request of one batch, with acks=all and without a transactional id."""
    front = struct.pack(">hhii", -1, -1, _TIMEOUT_SECONDS * 1000, 1) + text(topic)
    return front + struct.pack(">iii", 1, partition, len(data)) + data


def text(value: str) -> bytes:
    """Encode a string of the protocol."""
    return struct.pack(">h", len(value.encode())) + value.encode()


def _answer(read: Fields) -> Answer:
    """Decode a Produce response with one partition."""
    read.take("i")  # one topic
    read.text()
    read.take("i")  # one partition
    _, error, base_offset, append_time, _ = read.take("ihqqq")
    messages = []
    for _ in range(max(0, read.take("i")[0])):
        (place,) = read.take("i")
        messages.append(f"record {place}: {read.text()}")
    whole = read.text()
    return Answer(error, base_offset, append_time, "; ".join([*([whole] if whole else []), *messages]))


class Fields:
    """Reads a response from front to back."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, form: str) -> tuple[Any, ...]:
        """Return the next numbers, by the letters of `struct`."""
        found = struct.unpack_from(f">{form}", self._data, self._at)
        self._at += struct.calcsize(f">{form}")
        return found

    def data(self, size: int) -> bytes:
        """Return the next bytes."""
        self._at += size
        return self._data[self._at - size : self._at]

    def text(self) -> str:
        """Return the next string, "" for null."""
        return self.data(max(0, self.take("h")[0])).decode()


def _exactly(stream: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = stream.recv(size - len(parts))
        if not part:
            raise ConnectionError("the broker closed the connection")
        parts += part
    return bytes(parts)
