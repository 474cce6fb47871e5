"""Record batches that break one rule or several, at every level, with a checksum that is right.

A batch is damaged in its header, in a record's fields, in the bytes of its records before they are compressed, in the
compressed bytes, or in the frames of its codec; or it unpacks to very much. What a broker or the parser accepted is
damaged further.
"""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

import cramjam
import google_crc32c

from testkit.raw_batches import CODECS, SNAPPY_MAGIC, Record, batch, compress, gzip, snappy, varint
from tests.fuzz.mutate import NUMBERS, Mutator

MIB: Final = 1 << 20
MOST_STORED: Final = 1_000_000
"""Maximum bytes of a batch: a little less than a topic's default `max.message.bytes`."""
KEPT: Final = 256
KEPT_SIZE: Final = 1 << 14
HEADER: Final = 61
BASE: Final = 1000
BOMB_ONE_IN: Final = 300
FIELDS: Final = {"attributes": "h", "last_offset_delta": "i", "base_timestamp": "q", "max_timestamp": "q",
                 "producer_id": "q", "producer_epoch": "h", "base_sequence": "i", "count": "i"}  # fmt: skip
"""The fields behind the checksum, in their order, with their formats."""
ODD: Final = [sign * n + d for n in (*NUMBERS, 2**15, 2**31, 2**63) for sign in (1, -1) for d in (0, -1)]
TIMES: Final = [0, -1, -2, 1_795_354_386_106, 4_102_444_800_000, 2**62, -(2**62), 2**63 - 1, -(2**63)]
NAMES: Final = [b"", b"traceparent", b"tracestate", b"ce_signal", b"\xff\xfe", b"__connect.errors.topic", b"x" * 300]
SIZES: Final = [MIB - 1, MIB, MIB + 1, 8 * MIB, 63 * MIB, 64 * MIB - 1000, 64 * MIB, 64 * MIB + 1, 65 * MIB, 256 * MIB]
COUNTS: Final = [4096, 65_535, 65_536, 65_537, 200_000]


class BatchMutator:
    """Generates batches from (key, value) pairs of valid signals; the same random seed gives the same batches."""

    def __init__(self, signals: Sequence[tuple[bytes, bytes]], random: Random, bombs: int = BOMB_ONE_IN) -> None:
        """One batch in `bombs` unpacks to megabytes."""
        self._signals, self._random, self._bombs = signals, random, bombs
        self._pool: list[bytes] = []
        self._bytes = Mutator([value for _, value in signals], random, text=False)
        self.kind = ""
        """How the last batch was damaged."""
        self._kinds: list[Callable[[], bytes]] = [
            self.whole, self.header, self.header, self.record, self.record, self.records, self.records,
            self.compressed, self.frames, self.mismatch, self.kept, self.kept, self.kept, self.many,
        ]  # fmt: skip

    def mutant(self) -> bytes:
        """Return the next batch."""
        random = self._random
        make = self.bomb if random.random() * self._bombs < 1 else random.choice(self._kinds)
        self.kind = make.__name__
        made = make()
        return made if len(made) <= MOST_STORED else self.whole()

    def keep(self, data: bytes) -> None:
        """Damage this accepted batch further, sometimes, until others replace it."""
        if len(data) > KEPT_SIZE or self._random.random() > 0.1:
            return
        if len(self._pool) < KEPT:
            self._pool.append(data)
        else:
            self._pool[int(self._random.random() * KEPT)] = data

    # --- parts ------------------------------------------------------------------------------------------------

    def _codec(self) -> str:
        return self._random.choice(tuple(CODECS))

    def _odd(self, form: str) -> int:
        """Return a number that fits the format: a limit, or near one, or any."""
        bits = 8 * struct.calcsize(form)
        number = self._random.choice(ODD) if self._random.random() < 0.8 else self._random.getrandbits(bits)
        return (number + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1)

    def _record(self, **changes: Any) -> Record:
        """Return a signal with headers and delta of any kind."""
        random = self._random
        key, value = random.choice(self._signals)
        fields: dict[str, Any] = {"key": key, "value": value}
        if random.random() < 0.3:
            names = random.choices(NAMES, k=random.randrange(4))
            fields["headers"] = [(n, random.choice((None, b"", b"\xff", random.randbytes(9)))) for n in names]
        if random.random() < 0.2:
            fields["attributes"] = random.getrandbits(8)
        if random.random() < 0.2:
            fields["timestamp_delta"] = random.choice(TIMES)
        return Record(**{**fields, **changes})

    def _some(self) -> list[Record | bytes]:
        return [self._record() for _ in range(1 + int(self._random.random() ** 3 * 20))]

    def _joined(self, records: Sequence[Record | bytes]) -> bytes:
        return b"".join(r if isinstance(r, bytes) else r.encode(place) for place, r in enumerate(records))

    # --- kinds ------------------------------------------------------------------------------------------------

    def whole(self) -> bytes:
        """Return a batch that breaks no rule of the format."""
        return _batch(self._some(), codec=self._codec(), base_timestamp=self._random.choice(TIMES[:5]))

    def header(self) -> bytes:
        """Change one or two fields of the header; keep the codec that the attributes name, sometimes."""
        random, records, codec = self._random, self._some(), self._codec()
        changes: dict[str, int] = {}
        for name in random.sample(list(FIELDS), random.choice((1, 1, 2))):
            changes[name] = self._odd(FIELDS[name])
        near = random.choice((-1, 1, 2))
        if "count" in changes and random.getrandbits(1):
            changes["count"] = len(records) + near
        if "last_offset_delta" in changes and random.getrandbits(1):
            changes["last_offset_delta"] = len(records) - 1 + near
        if "attributes" in changes and random.random() < 0.7:
            changes["attributes"] = CODECS[codec] | 1 << random.randrange(3, 15)
        if random.random() < 0.05:
            more = {"base_offset": "q", "leader_epoch": "i", "length": "i", "magic": "b"}
            name = random.choice(list(more))
            changes[name] = self._odd(more[name])
        return _batch(records, codec=codec, **changes)

    def record(self) -> bytes:
        """Change one field of one record."""
        random, records = self._random, self._some()
        place = random.randrange(len(records))
        near = random.choice((-2, -1, 1, 2, 1000))
        match random.randrange(8):
            case 0:
                changed = self._record(offset_delta=place + near)
            case 1:
                changed = self._record(offset_delta=self._odd("i"))
            case 2:
                plain = self._record()
                changed = self._record(length=len(plain.encode(place)) + near)
            case 3:
                changed = self._record(length=self._odd("i"))
            case 4:
                changed = self._record(header_count=self._odd("i"))
            case 5:
                changed = self._record(headers=[(None, b"x")])
            case 6:
                changed = self._record(timestamp_delta=self._odd("q"))
            case _:
                changed = self._record(**{random.choice(("key", "value")): random.choice((None, b"", b"\0" * 70_000))})
        records[place] = changed
        return _batch(records, codec=self._codec())

    def records(self) -> bytes:
        """Change the bytes of the records, then compress them."""
        records, codec = self._some(), self._codec()
        data = bytearray(self._joined(records))
        self._bytes.change(data)
        return _batch(records, codec=codec, payload=compress(codec, bytes(data)))

    def compressed(self) -> bytes:
        """Change the compressed bytes."""
        records, codec = self._some(), self._random.choice(("gzip", "snappy", "lz4", "zstd"))
        data = bytearray(compress(codec, self._joined(records)))
        self._bytes.change(data)
        return _batch(records, codec=codec, payload=bytes(data))

    def frames(self) -> bytes:
        """Compress in ways that the format of the codec allows, or just not."""
        records = self._some()
        codec, payload = self._random.choice(FRAMES)(self._joined(records), self._random)
        return _batch(records, codec=codec, payload=payload)

    def mismatch(self) -> bytes:
        """Compress with another codec than the header names, or twice."""
        records, first, second = self._some(), self._codec(), self._codec()
        payload = compress(first, self._joined(records))
        if self._random.getrandbits(1):
            payload = compress(second, payload)
        return _batch(records, codec=second, payload=payload, attributes=self._random.randrange(8))

    def kept(self) -> bytes:
        """Damage a batch that was accepted: in one field of its header, or in its other bytes."""
        random = self._random
        data = bytearray(random.choice(self._pool) if self._pool else self.whole())
        if random.random() < 0.4:
            name = random.choice(list(FIELDS))
            at = 21 + struct.calcsize(">" + "".join(list(FIELDS.values())[: list(FIELDS).index(name)]))
            struct.pack_into(">" + FIELDS[name], data, at, self._odd(FIELDS[name]))
        else:
            tail = data[HEADER:]
            codec = next((name for name, bits in CODECS.items() if bits == data[22] & 7), "")
            inner = unpacked(codec, bytes(tail)) if random.getrandbits(1) else None
            if inner is not None:
                tail = bytearray(inner)
            self._bytes.change(tail)
            data[HEADER:] = compress(codec, bytes(tail)) if inner is not None else tail
        return sealed(bytes(data))

    def many(self) -> bytes:
        """Write many records, or many headers, of a few bytes."""
        random, count = self._random, 1 + int(self._random.random() ** 6 * 3000)
        if random.getrandbits(1):
            records: list[Record | bytes] = [Record(headers=[(b"", None)] * count, key=b"k", value=b"{}")]
        else:
            record = random.choice((Record(), Record(b"k", b"{"), Record(b"", b"")))
            records = [record.encode(place) for place in range(count)]
        return _batch(records, codec=self._codec())

    def bomb(self) -> bytes:
        """Return a small batch that unpacks to very much."""
        random = self._random
        if random.random() < 0.3:
            return many_records(random.choice(COUNTS), random.choice(("gzip", "snappy", "lz4", "zstd")))
        return bomb(random.choice(SIZES), random.choice(("gzip", "snappy", "lz4", "zstd", "zstd of runs")))


def _batch(records: Sequence[Record | bytes], **fields: Any) -> bytes:
    """Return a batch whose latest time is that of its records, as far as it fits into 64 bits."""
    latest = max((r.timestamp_delta for r in records if isinstance(r, Record)), default=0)
    fields.setdefault("max_timestamp", max(-(2**63), min(fields.get("base_timestamp", 0) + latest, 2**63 - 1)))
    return batch(records, **fields)


def sealed(data: bytes) -> bytes:
    """Return the batch with the length and the checksum that its bytes need."""
    base_offset, _, leader_epoch, magic, _ = struct.unpack_from(">qiibI", data)
    body = data[21:]
    return struct.pack(">qiibI", base_offset, 9 + len(body), leader_epoch, magic, google_crc32c.value(body)) + body


def as_stored(data: bytes) -> bytes:
    """Return the batch as a broker stores it at offset BASE: length and checksum fit."""
    padded = data.ljust(HEADER, b"\0")
    return sealed(struct.pack(">q", BASE) + padded[8:16] + b"\2" + padded[17:])


def unpacked(codec: str, data: bytes) -> bytes | None:
    """Return the records of an accepted batch; None if they are broken or many."""
    try:
        match codec:
            case "none":
                return data
            case "gzip":
                return zlib.decompressobj(31).decompress(data, MIB)
            case "lz4":
                return bytes(cramjam.lz4.decompress(data))[:MIB]
            case _:
                return None
    except Exception:
        return None


@functools.lru_cache(16)
def many_records(count: int, codec: str) -> bytes:
    """Return a batch of this many empty records."""
    return batch([Record().encode(place) for place in range(count)], codec=codec)


@functools.lru_cache(64)
def bomb(size: int, codec: str) -> bytes:
    """Return a batch with one record that unpacks to about `size` bytes of zeros."""
    head = b"\0\0\0" + varint(1) + b"k" + varint(size - 30)
    head, tail = varint(len(head) + size - 30 + 1) + head, b"\0"
    if codec == "zstd of runs":
        return batch([b""], codec="zstd", payload=zstd_of_runs(head, size - 30, tail))
    if codec == "gzip":
        return batch([b""], codec="gzip", payload=_gzip_of_zeros(head, size - 30, tail))
    size = min(size, 64 * MIB + 1) if codec == "zstd" else min(size, 16 * MIB)  # the others compress less
    head = b"\0\0\0" + varint(1) + b"k" + varint(size - 30)
    data = varint(len(head) + size - 30 + 1) + head + bytes(size - 30) + tail
    return batch([b""], codec=codec, payload=compress(codec, data))


def zstd_of_runs(head: bytes, zeros: int, tail: bytes) -> bytes:
    """Return a zstd frame of a raw block, runs of zeros (4 bytes for 128 KiB), and a raw block (RFC 8878)."""

    def block(kind: int, size: int, data: bytes, last: int = 0) -> bytes:
        return (size << 3 | kind << 1 | last).to_bytes(3, "little") + data

    whole, rest = divmod(zeros, 128 << 10)
    runs = block(1, 128 << 10, b"\0") * whole + (block(1, rest, b"\0") if rest else b"")
    return b"\x28\xb5\x2f\xfd\0\x50" + block(0, len(head), head) + runs + block(0, len(tail), tail, 1)


def _gzip_of_zeros(head: bytes, zeros: int, tail: bytes) -> bytes:
    done = zlib.compressobj(9, wbits=31)
    parts = [done.compress(head)]
    piece = bytes(MIB)
    while zeros > 0:
        parts.append(done.compress(piece[:zeros]))
        zeros -= MIB
    return b"".join([*parts, done.compress(tail), done.flush()])


# --- frames of the codecs -----------------------------------------------------------------------------------------

_Frames = tuple[str, bytes]


def _gzip_frames(data: bytes, random: Random) -> _Frames:
    """Two members, bytes behind the end, optional header fields, a wrong checksum, no compression."""
    cut = random.randrange(len(data) + 1)
    match random.randrange(6):
        case 0:
            return "gzip", gzip(data[:cut]) + gzip(data[cut:])
        case 1:
            return "gzip", gzip(data) + random.randbytes(random.randrange(1, 20))
        case 2:
            flags = random.getrandbits(8)
            return "gzip", b"\x1f\x8b\x08" + bytes([flags]) + gzip(data)[4:]
        case 3:
            return "gzip", gzip(data)[:-8] + random.randbytes(8)
        case 4:
            return "gzip", zlib.compress(data)
        case _:
            return "gzip", gzip(data, level=0)


def _snappy_frames(data: bytes, random: Random) -> _Frames:
    """Odd versions and chunk sizes, no frame at all, chunks whose lengths lie."""
    number = random.choice((0, 1, 2, -1, 255, 2**31 - 1, -(2**31)))
    match random.randrange(5):
        case 0:
            return "snappy", snappy(data, version=number)
        case 1:
            return "snappy", snappy(data, compatible=number)
        case 2:
            return "snappy", snappy(data, chunk=random.choice((1, 7, 100_000)))
        case 3:
            return "snappy", bytes(cramjam.snappy.compress_raw(data))
        case _:
            raw = bytes(cramjam.snappy.compress_raw(data))
            size = random.choice((0, len(raw) - 1, len(raw) + 1, 2**31 - 1, 2**32 - 1)) & 0xFFFFFFFF
            claimed = random.choice((raw, varint(2**30) + raw))  # snappy's own length, too
            return "snappy", SNAPPY_MAGIC + struct.pack(">iiI", 1, 1, size) + claimed


def _lz4_frames(data: bytes, random: Random) -> _Frames:
    """Two frames, every flag, other block sizes, no end mark."""
    frame = bytearray(compress("lz4", data))
    cut = random.randrange(len(data) + 1)
    match random.randrange(6):
        case 0:
            return "lz4", compress("lz4", data[:cut]) + compress("lz4", data[cut:])
        case 1:
            frame[4] = random.getrandbits(8)
        case 2:
            frame[5] = random.getrandbits(8)
        case 3:
            del frame[-4:]
        case 4:
            frame[:4] = random.choice((b"\x02\x21\x4c\x18", b"\x50\x2a\x4d\x18", b"\0\0\0\0"))  # legacy, skippable
        case _:
            at = 7 if len(frame) > 11 else 0
            frame[at : at + 4] = random.getrandbits(32).to_bytes(4, "little")
    return "lz4", bytes(frame)


def _zstd_frames(data: bytes, random: Random) -> _Frames:
    """Two frames, skippable frames, sizes and windows that lie, a dictionary, runs."""
    frame = bytearray(compress("zstd", data))
    cut = random.randrange(len(data) + 1)
    skipped = b"\x50\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"abc"
    match random.randrange(7):
        case 0:
            return "zstd", compress("zstd", data[:cut]) + compress("zstd", data[cut:])
        case 1:
            return "zstd", skipped * random.choice((1, 2, 1000)) + bytes(frame)
        case 2:
            return "zstd", bytes(frame) + skipped
        case 3:
            frame[4] = random.getrandbits(8)
        case 4:
            frame[5] = random.getrandbits(8)
        case 5:
            return "zstd", zstd_of_runs(data[:1000], random.choice((0, 1, 5, 200_000)), data[1000:][:1000])
        case _:
            del frame[random.randrange(len(frame)) :]
    return "zstd", bytes(frame)


FRAMES: Final = (_gzip_frames, _snappy_frames, _lz4_frames, _zstd_frames)
