"""A load of raw record batches: all codecs, any headers and attributes, dead letters of every kind, broken batches.

Its rooms are its own, so that their signals stay in the order of their lives. Broken batches hold signals that would
show, were they applied. The broker's answer decides what is in the log; the checker reads it (testkit/raw_fetch.py).
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from aiokafka.partitioner import murmur2
from confluent_kafka import KafkaException

from testkit.chaos.load import POISON, SLOW_ACK_US, Rooms, Signal
from testkit.chaos.logs import API, MEDIA, POISON_HEADER, topic_of
from testkit.raw_batches import CODECS, NO_ANSWER, RawProducer, Record, batch, compress, gzip, snappy

HEADER_KEYS: Final = (b"\xff\xfe", b"", b"ce_signal", b"content-type", b"last-offset", b"traceparent", b"x" * 3000)
HEADER_VALUES: Final = (None, b"", b"\x00\xff", b"00-zz", b"v" * 2000)
RESERVED: Final = (0, 0, 0, 0x40, 0xFF80)
"""Bits of a batch's attributes that Kafka does not define, or that clients do not set (delete horizon)."""
YEAR_2100_MS: Final = 4_102_444_800_000
MANY: Final = 65_537
Place = tuple[str, int]


class RawLoad(threading.Thread):
    """Writes raw batches at a fixed rate until `finish`."""

    def __init__(
        self,
        servers: str,
        topic: Callable[[str], str],
        partitions: int,
        seed: int,
        encode: Callable[[Signal], bytes],
        *,
        rate: float = 20.0,
        rooms: int = 20,
        poison: float = 0.03,
        broken: float = 0.03,
    ) -> None:
        """Create the load; `start()` begins to write.

        Args:
            topic: full name of a topic.
            encode: encoder of every second signal; the others are JSON.
            rate: batches per second.
            poison: share of batches of one record that is not a signal.
            broken: share of batches that can't be read whole.
        """
        super().__init__(name="raw-load", daemon=True)
        self._rng = random.Random(seed)
        self._topic, self._partitions, self._encode, self._rate = topic, partitions, encode, rate
        self._poison, self._broken = poison, broken
        self._rooms = Rooms("raw", self._rng, rooms)
        self._heads: dict[int, Signal] = {}
        self._producer = RawProducer(servers)
        self._ending = threading.Event()
        self.late: dict[tuple[str, int, int], int] = {}
        """As `Load.late`."""
        self.answers: Counter[int] = Counter()
        """The broker's answers: 0, its error codes, NO_ANSWER."""

    def run(self) -> None:
        began, made = time.monotonic(), 0
        while not self._ending.wait(0.01):
            due = int((time.monotonic() - began) * self._rate) - made
            if due > 2 * self._rate:  # the broker was down: do not send the missed batches at once
                began, made, due = time.monotonic(), 0, 1
            for _ in range(due):
                self.one()
                made += 1
        self._seal()
        self._producer.close()

    def _seal(self) -> None:
        """End half of the topic-partitions with a broken batch: their last position must be behind all of it."""
        for number in range(self._partitions):
            for name in (API, MEDIA):
                if self._rng.random() < 0.5:
                    record = Record(b"raw-1", b"{}")
                    self._send((self._topic(name), number), batch([record, _moved(record, 40)]), 2)

    def finish(self) -> None:
        """Stop and wait for the thread."""
        self._ending.set()
        if self.ident is not None:
            self.join()

    def one(self) -> None:
        """Write the next batch."""
        dice = self._rng.random()
        if dice < self._broken:
            self.write_broken()
        elif dice < self._broken + self._poison:
            self.write_poison()
        else:
            self._signals()

    def _signals(self) -> None:
        """Write some signals of one room to one topic."""
        rng = self._rng
        place = rng.randrange(len(self._rooms))
        chosen: list[Signal] = []
        for _ in range(rng.randint(1, 6)):
            signal = self._heads.pop(place, None) or self._rooms.next(place)
            if signal is None:
                break
            if chosen and (topic_of(signal), signal["room_id"]) != (topic_of(chosen[0]), chosen[0]["room_id"]):
                self._heads[place] = signal
                break
            chosen.append(signal)
        if chosen:
            records = [self._record(signal) for signal in chosen]
            room_id = chosen[0]["room_id"]
            self._send((self._topic(topic_of(chosen[0])), self.partition(room_id)), self._batch(records), len(records))

    def partition(self, room_id: str) -> int:
        """Return the room's partition by the Java client's default partitioner."""
        return _hash(room_id) % self._partitions

    def _value(self, signal: Signal) -> bytes:
        return self._encode(signal) if self._rng.random() < 0.5 else json.dumps(signal).encode()

    def _record(self, signal: Signal, *more: tuple[bytes, bytes | None]) -> Record:
        rng = self._rng
        headers = [(rng.choice(HEADER_KEYS), rng.choice(HEADER_VALUES)) for _ in range(rng.choice((0, 0, 1, 3)))]
        attributes, delta = rng.choice((0, 0x80, 0xFF)), rng.choice((0, 5, -(10**12), 10**15))
        return Record(signal["room_id"].encode(), self._value(signal), [*headers, *more], attributes, delta)

    def _batch(self, records: list[Record], **more: Any) -> bytes:
        rng = self._rng
        codec = rng.choice(list(CODECS))
        base = rng.choice((0, -1, time.time_ns() // 10**6, YEAR_2100_MS))
        return batch(records, codec=codec, attributes=CODECS[codec] | rng.choice(RESERVED), base_timestamp=base, **more)

    def write_poison(self) -> None:
        """Write a record that is not a signal, in any codec."""
        rng = self._rng
        number = rng.randrange(self._partitions)
        name, key = rng.choice((API, MEDIA)), rng.choice((None, b"", b"raw-1", b"\xff"))
        mark = (POISON_HEADER, b"1")
        destroy = self._value(self._destroy(number))
        what = rng.randrange(7)
        record = Record(key, rng.choice((*POISON, None)), [mark])
        if what == 0:  # another key than the room_id
            key = rng.choice((None, b"", b"elsewhere", b"\xff"))
            record = Record(key, destroy, [(b"\xff", b"\xfe"), mark, (b"ce_signal", None)])
        elif what == 1:  # a type on the other topic
            name, record = MEDIA, self._record(self._destroy(number), mark)
        elif what == 2:  # a value, a key, headers of more than 1 MiB
            record = Record(key, b'{"x":"' + b"y" * (3 << 20) + b'"}', [mark])
        elif what == 3:
            record = Record(b"k" * (2 << 20), destroy, [mark])
        elif what == 4:
            record = Record(key, b"{", [(b"\xff" * 1000, b"h" * (1 << 20)), mark])
        elif what == 5:  # a room on another partition than that of its key
            name, room_id = API, self._room_of(number + 1)
            create = {
                **self._destroy(number),
                "type": "conference.create",
                "room_id": room_id,
                "app_id": "a",
                "name": "",
            }
            record = self._record(create, mark)
        codec = rng.choice(("gzip", "snappy", "lz4", "zstd"))
        self._send((self._topic(name), number), batch([record], codec=codec), 1)

    def _room_of(self, number: int) -> str:
        """Return the room_id of no room of the load, on a partition."""
        while True:
            room_id = f"no-room-{self._rng.getrandbits(40):x}"
            if self.partition(room_id) == number % self._partitions:
                return room_id

    def _destroy(self, number: int) -> Signal:
        """Return the destroy of a room on the partition, to be put where it must have no effect."""
        names = (f"{prefix}-{n}" for prefix in ("raw", "room") for n in self._rng.sample(range(1, 40), 39))
        room_id = next((name for name in names if self.partition(name) == number), self._room_of(number))
        ids = {"type": "conference.destroy", "signal_id": f"{self._rng.getrandbits(60):x}", "room_id": room_id}
        return {**ids, "occurred_at": "2026-11-22T00:00:00Z"}

    def write_broken(self) -> None:
        """Write a batch that can't be read whole, or that the broker refuses."""
        rng = self._rng
        number = rng.randrange(self._partitions)
        one, two = (self._record(self._destroy(number)) for _ in range(2))
        plain = b"".join(record.encode(place) for place, record in enumerate((one, two)))
        kinds: list[Callable[[], bytes]] = [
            lambda: batch([one, _moved(two, 40)]),
            lambda: batch([_moved(one, 1), _moved(two, 0)]),
            lambda: batch([one, _moved(two, 1_000_000)]),
            lambda: batch([one, _moved(two, 0)]),
            lambda: batch([one, two], attributes=2, payload=snappy(plain, version=rng.choice((0, 2, -1)))),
            lambda: batch([Record(one.key, b"v" * 100, length=50), two], codec="gzip"),
            lambda: batch([one, two], count=3, last_offset_delta=2, codec=rng.choice(list(CODECS))),
            lambda: batch([one, two], attributes=1, payload=gzip(plain)[: -rng.randint(1, 20)]),
            lambda: batch([one, two], attributes=rng.randint(1, 4), payload=rng.randbytes(100)),
            lambda: batch([one, two], crc=rng.getrandbits(32)),
            lambda: batch([one, two], attributes=8),
        ]
        if rng.random() < 0.1:
            kinds = [
                lambda: batch([one, two], attributes=4, payload=_bomb()),
                lambda: batch([], attributes=4, payload=_many(), count=MANY, last_offset_delta=MANY - 1),
            ]
        self._send((self._topic(rng.choice((API, MEDIA))), number), rng.choice(kinds)(), 2)

    def _send(self, place: Place, data: bytes, records: int) -> None:
        try:
            answer = self._producer.send(*place, data)
        except KafkaException:
            self.answers[NO_ANSWER] += 1
            return
        self.answers[answer.error] += 1
        now = time.time_ns() // 1000
        if answer.stored and now - answer.append_time_ms * 1000 > SLOW_ACK_US:
            for offset in range(answer.base_offset, answer.base_offset + records):
                self.late[*place, offset] = now


def _moved(record: Record, delta: int) -> Record:
    return Record(record.key, record.value, record.headers, offset_delta=delta)


@cache
def _hash(room_id: str) -> int:
    return int(murmur2(room_id.encode()) & 0x7FFFFFFF)


@cache
def _bomb() -> bytes:
    """Return a few KiB of zstd that hold a small record and one of 64 MiB."""
    return compress("zstd", Record(b"raw-1", b"{}").encode(0) + Record(b"raw-1", bytes(64 << 20)).encode(1))


@cache
def _many() -> bytes:
    """Return the records of a batch with more than it may have, as zstd."""
    return compress("zstd", b"".join(Record(b"raw-1").encode(number) for number in range(MANY)))
