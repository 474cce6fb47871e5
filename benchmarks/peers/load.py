"""The load: lives of rooms in which every signal makes exactly one event, whatever the order of the two topics.

Of nine signals of a room six are of the API (play, volume, pause, pause, volume, stop) and three of the engine, which
let one member join or leave; a room begins with its create. So two thirds are on one topic and one third on the other,
and no signal of one topic waits for one of the other.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final, Protocol

from aiokafka.partitioner import murmur2
from confluent_kafka import Producer

from benchmarks.peers.rooms import Codec

Signal = dict[str, Any]
CYCLE: Final = (
    "ConferencePlay", "member", "ConferenceVolume", "ConferencePause", "member", "ConferencePause",
    "ConferenceVolume", "member", "ConferenceStop",
)  # fmt: skip
URLS: Final = ["https://cdn.example.com/audio/hold-music.wav"]


class Life:
    """One room: what it says next."""

    __slots__ = ("_id", "count", "room_id", "session")

    def __init__(self, number: int, rng: random.Random) -> None:
        self.room_id = f"acW68-room-{number:06d}"
        self._id = str(uuid.UUID(int=rng.getrandbits(128), version=4))[:-8]
        self.count = 0
        """Signals so far."""
        self.session = ""

    def next(self) -> tuple[str, Signal]:
        """Record name without its namespace, and fields."""
        number, self.count = self.count, self.count + 1
        unique = f"{self._id}{number:08d}"
        signal: Signal = {"signal_id": unique, "room_id": self.room_id, "occurred_at": time.time_ns() // 1000}
        if number == 0:
            return "ConferenceCreate", {**signal, "app_id": "my-app", "name": "Team Standup"}
        kind = CYCLE[(number - 1) % len(CYCLE)]
        if kind != "member":
            signal["operation_id"] = f"op-{unique}"
            if kind == "ConferencePlay":
                signal["urls"] = URLS
            elif kind == "ConferenceVolume":
                signal["volume"] = number % 7
        elif self.session:
            kind, signal["session_uuid"], signal["reason"], self.session = (
                "MemberLeft",
                self.session,
                None,
                "",
            )
        else:
            kind, signal["session_uuid"], self.session = "MemberJoined", f"s-{unique}", f"s-{unique}"
            signal |= {"caller_id": "+15551234567", "muted": False}
        return kind, signal


class Filling(Protocol):
    """Records for the inputs; the first are the creates of all rooms."""

    lives: list[Life]

    def __iter__(self) -> Iterator[tuple[str, bytes, bytes]]:
        """Topic, key, value."""


class Load:
    """Signals of `rooms` rooms in an order by seed, ready for a producer."""

    def __init__(self, codec: Codec, prefix: str, rooms: int, seed: int = 1) -> None:
        self._rng = random.Random(seed)
        self._codec, self._prefix = codec, prefix
        self.lives = [Life(number, self._rng) for number in range(rooms)]

    def __iter__(self) -> Iterator[tuple[str, bytes, bytes]]:
        """Topic, key, value: first the creates of all rooms, then rooms at random."""
        for life in self.lives:
            yield self._record(life)
        while True:
            yield self._record(self.lives[self._rng.randrange(len(self.lives))])

    def _record(self, life: Life) -> tuple[str, bytes, bytes]:
        kind, signal = life.next()
        topic = f"{self._prefix}.{'media' if kind.startswith('Member') else 'api'}.signals"
        return topic, life.room_id.encode(), self._codec.encode(f"conference.signal.{kind}", signal)


def room_partition(key: bytes, partitions: int) -> int:
    """Where the contract wants the records of a room (§2)."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


def producer(servers: str, linger_ms: int) -> Producer:
    """One that puts rooms where the contract wants them."""
    return Producer(
        {
            "bootstrap.servers": servers,
            "enable.idempotence": True,
            "linger.ms": linger_ms,
            "partitioner": "murmur2_random",
            "queue.buffering.max.messages": 1_000_000,
            "log_level": 3,
        }
    )


def send(out: Producer, record: tuple[str, bytes, bytes]) -> None:
    """Hand a record to the producer, and wait while that is full."""
    topic, key, value = record
    while True:
        try:
            out.produce(topic, value, key)
            return
        except BufferError:
            out.poll(0.05)


def fill(servers: str, load: Filling, signals: int, say: Callable[[str], None]) -> None:
    """Write so many signals as fast as possible. The creates are in the log before the rest: a room that is emptied
    before its create would be forgotten (contract §5), and begin anew."""
    began, out = time.monotonic(), producer(servers, 50)
    for number, record in enumerate(islice(load, signals), 1):
        send(out, record)
        if number == len(load.lives):
            flush(out)
        elif number % 1000 == 0:
            out.poll(0)
    flush(out)
    say(f"filled {signals:,} signals in {time.monotonic() - began:.0f} s")


def flush(out: Producer) -> None:
    """Until all is acknowledged."""
    left = out.flush(300)
    assert left == 0, f"{left} signals were not delivered"
