"""The load: rooms in which every signal causes exactly one event in any order of the two topics.

A room starts with its create. Then each nine signals are six of the API (play, volume, pause, pause, volume, stop) and
three of the engine, by which one member joins or leaves. So two thirds are in one topic and one third in the other, and
no signal depends on one of the other topic.
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
    """Generates the signals of one room."""

    __slots__ = ("_id", "count", "room_id", "session")

    def __init__(self, number: int, rng: random.Random) -> None:
        self.room_id = f"acW68-room-{number:06d}"
        self._id = str(uuid.UUID(int=rng.getrandbits(128), version=4))[:-8]
        self.count = 0
        """Signals so far."""
        self.session = ""

    def next(self) -> tuple[str, Signal]:
        """Return the next signal: its record name without the namespace, and its fields."""
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
    """Records for the input topics; the first ones are the creates of all rooms."""

    lives: list[Life]

    def __iter__(self) -> Iterator[tuple[str, bytes, bytes]]:
        """Yield (topic, key, value)."""


class Load:
    """Encoded signals of `rooms` rooms, in a random order from the seed."""

    def __init__(self, codec: Codec, prefix: str, rooms: int, seed: int = 1) -> None:
        self._rng = random.Random(seed)
        self._codec, self._prefix = codec, prefix
        self.lives = [Life(number, self._rng) for number in range(rooms)]

    def __iter__(self) -> Iterator[tuple[str, bytes, bytes]]:
        """Yield (topic, key, value): the creates of all rooms, then signals of random rooms without end."""
        for life in self.lives:
            yield self._record(life)
        while True:
            yield self._record(self.lives[self._rng.randrange(len(self.lives))])

    def _record(self, life: Life) -> tuple[str, bytes, bytes]:
        kind, signal = life.next()
        topic = f"{self._prefix}.{'media' if kind.startswith('Member') else 'api'}.signals"
        return topic, life.room_id.encode(), self._codec.encode(f"conference.signal.{kind}", signal)


def room_partition(key: bytes, partitions: int) -> int:
    """Return the partition of a room's key (contract §2)."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


def producer(servers: str, linger_ms: int) -> Producer:
    """Return a producer with the contract's partitioner."""
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
    """Produce a record; wait while the producer's queue is full."""
    topic, key, value = record
    while True:
        try:
            out.produce(topic, value, key)
            return
        except BufferError:
            out.poll(0.05)


def fill(servers: str, load: Filling, signals: int, say: Callable[[str], None]) -> None:
    """Write signals as fast as possible, the creates first.

    A room whose members have left before its create would be forgotten (contract §5) and restart its sequence.
    """
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
    """Wait until all records are acknowledged."""
    left = out.flush(300)
    assert left == 0, f"{left} signals were not delivered"
