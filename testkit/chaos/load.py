"""A load generator: the signals of rooms as a platform and its media engine write them, at a fixed rate, from a seed.

A room tracks what it has sent, not the outcome. The checker reads the appended records instead.
"""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

from confluent_kafka import KafkaError, Message, Producer

Signal = dict[str, Any]
REPEATABLE: Final = 20
"""API signals of a room that a late repetition is drawn from: more than the 16 that are known."""
SLOW_ACK_US: Final = 200_000
"""Microseconds from append to acknowledgement above which the signal is recorded: only such can excuse a timeout."""
POISON: Final = (
    b"",
    b"{",
    b"not a signal",
    b"\x00\x7f\xff\xff\xff\x00",
    b'{"type":"conference.nonsense","signal_id":"x","room_id":"x","occurred_at":"2026-11-22T00:00:00Z"}',
    b'{"type":"conference.pause","signal_id":"","room_id":"x","occurred_at":"2026-11-22T00:00:00Z","operation_id":"o"}',
    b"\xff\xfe" * 4000,
)


class RoomLife:
    """Generates the signals of one room from its creation to its end, and the echoes of its end."""

    def __init__(
        self, room_id: str, rng: random.Random, signals: int, hold: int = 0, earlier: Iterable[Signal] = ()
    ) -> None:
        """End after about `signals` signals.

        Args:
            hold: members that join at the beginning.
            earlier: API signals of earlier lives of the room; their producer repeats some.
        """
        self.room_id, self._rng, self._left, self._hold = room_id, rng, signals, hold
        self._members: list[str] = []
        self._live: tuple[str, list[str]] | None = None
        self._paused = False
        self.count = 0
        self._life = f"{rng.getrandbits(40):x}"
        self.requests: deque[Signal] = deque(earlier, maxlen=REPEATABLE)
        """The last API signals of the room."""
        self._steps = self._run()

    def next(self) -> Signal | None:
        """Return the next signal, None at the end."""
        return next(self._steps, None)

    def _signal(self, kind: str, **fields: Any) -> Signal:
        self.count += 1
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        ids = {"type": kind, "signal_id": f"{self._life}-{self.count}", "room_id": self.room_id}
        made = {**ids, "occurred_at": now, **fields}
        if kind.startswith("conference."):
            self.requests.append(made)
        return made

    def _run(self) -> Iterator[Signal]:
        rng = self._rng
        if self.requests and rng.random() < 0.3:
            yield {**rng.choice(self.requests)}  # a late repetition begins the life, if it is of a create
        if rng.random() < 0.2:  # a member before the room's create
            yield from self._join()
        yield self._signal("conference.create", app_id=f"app-{rng.randrange(5)}", name=f"Rööm {self.room_id}")
        for _ in range(self._hold):
            yield from self._join(ask=False)
        while self.count < self._left + self._hold:
            step = rng.choices(
                (self._join, self._leave, self._mute, self._play, self._during, self._invalid),
                (14, 8 if not self._hold else 13, 20, 12, 40, 6),
            )[0]
            for signal in step():
                yield signal
                if rng.random() < 0.02:
                    yield {**signal}  # a producer's retry
                if rng.random() < 0.01:
                    yield {**rng.choice(self.requests)}  # a late one, maybe of an earlier life
        yield from self._end()

    def _end(self) -> Iterator[Signal]:
        """Yield the end of the room and what the engine reports of it afterwards."""
        rng = self._rng
        if rng.random() < 0.1:
            for session in list(self._members):
                yield self._signal("member.left", session_uuid=session, reason="orphan")
            if rng.random() < 0.5:
                return
        destroy = self._signal("conference.destroy")
        yield destroy
        for session in self._members[:5]:
            if rng.random() < 0.7:
                yield self._signal("member.left", session_uuid=session, reason="removed")
        if self._live is not None:
            yield self._signal("play.finished", url=self._live[1][0])
        if rng.random() < 0.2:
            yield {**destroy}
        if rng.random() < 0.1:
            yield self._signal("conference.pause", operation_id="too late")
        if rng.random() < 0.1:
            yield self._signal("member.muted", session_uuid="echo")

    def _join(self, *, ask: bool = True) -> Iterator[Signal]:
        session = f"{self._life}-s{self.count}"
        if ask:
            yield self._signal("conference.join", session_uuid=session)
        muted = {"muted": True} if self._rng.random() < 0.1 else {}
        caller = f"+49{self._rng.randrange(10**9)}"
        if self._rng.random() < 0.03:
            caller = "Ää😀" * 400  # cut to 1,024 code points
        yield self._signal("member.joined", session_uuid=session, caller_id=caller, **muted)
        self._members.append(session)

    def _leave(self) -> Iterator[Signal]:
        if not self._members:
            return
        session = self._members.pop(self._rng.randrange(len(self._members)))
        if self._rng.random() < 0.5:
            yield self._signal("conference.leave", session_uuid=session)
        reason = {"reason": "hangup" if self._rng.random() < 0.9 else "ü" * 1500} if self._rng.random() < 0.3 else {}
        yield self._signal("member.left", session_uuid=session, **reason)

    def _mute(self) -> Iterator[Signal]:
        if not self._members:
            return
        session = self._rng.choice(self._members)
        kind = self._rng.choice(("conference.mute", "conference.unmute", "member.muted", "member.unmuted"))
        yield self._signal(kind, session_uuid=session)

    def _play(self, urls: list[str] | None = None) -> Iterator[Signal]:
        operation = f"{self._life}-op{self.count}"
        urls = urls or [f"https://media/{self._rng.randrange(4)}.wav" for _ in range(self._rng.randint(1, 3))]
        if self._live is None:
            self._live, self._paused = (operation, list(urls)), False
        yield self._signal("conference.play", urls=urls, operation_id=operation)

    def _during(self) -> Iterator[Signal]:
        """Yield a signal of the current playback; a tenth of the calls leave it to the watchdog."""
        if self._live is None:
            return
        operation, urls = self._live
        op = f"{self._life}-rq{self.count}"
        named: Signal = {"operation_id": operation} if self._rng.random() < 0.7 else {}
        what = self._rng.random()
        if what < 0.45:
            self._paused = not self._paused
            yield self._signal("conference.pause", operation_id=op)
        elif what < 0.55:
            yield self._signal("conference.volume", volume=self._rng.randint(-50, 7), operation_id=op)
        elif what < 0.62:
            yield self._signal("play.progress", url=urls[0], **named)
        elif what < 0.80:
            url = urls.pop(0)
            self._live = self._live if urls else None
            yield self._signal("play.finished", url=url, **named)
            if not urls and self._rng.random() < 0.1:  # a second report of one end
                yield self._signal("play.failed", urls=[url], operation_id=operation)
        elif what < 0.84:
            self._live = None
            yield self._signal("play.failed", urls=urls[:1], **named)
        elif what < 0.92:
            self._live = None
            yield self._signal("conference.stop", operation_id=op)
            yield from self._after_stop(operation, urls)
        else:
            self._live = None  # no signal ends it

    def _after_stop(self, operation: str, urls: list[str]) -> Iterator[Signal]:
        """Yield the late end of a stopped file, often after the next playback of the same file has begun."""
        rng = self._rng
        if rng.random() < 0.6:
            yield from self._play(list(urls) if rng.random() < 0.7 else None)
        named: Signal = {"operation_id": operation} if rng.random() < 0.3 else {}
        if rng.random() < 0.8:
            yield self._signal("play.finished", url=urls[0], **named)
        else:
            yield self._signal("play.failed", urls=urls[: rng.randint(0, 2)], **named)

    def _invalid(self) -> Iterator[Signal]:
        kind, fields = self._rng.choice(
            (
                ("conference.mute", {"session_uuid": "unknown"}),
                ("conference.volume", {"volume": 99, "operation_id": "loud"}),
                ("conference.stop", {"operation_id": "early"}),
                ("conference.create", {"app_id": "again", "name": ""}),
                ("member.left", {"session_uuid": "unknown"}),
                ("play.finished", {"url": "https://media/unknown.wav"}),
            )
        )
        yield self._signal(kind, **fields)


class Rooms:
    """A number of rooms that live at the same time. Some room_ids live again: right after their end, or much later."""

    def __init__(self, prefix: str, rng: random.Random, rooms: int) -> None:
        self._prefix, self._rng = prefix, rng
        self._names = 0
        self._ended: deque[RoomLife] = deque()
        self._lives = [self._new() for _ in range(rooms)]

    def __len__(self) -> int:
        return len(self._lives)

    def next(self, place: int | None = None) -> Signal | None:
        """Return the next signal of a room, by default of a random one; None at the end of its life."""
        place = self._rng.randrange(len(self._lives)) if place is None else place
        signal = self._lives[place].next()
        if signal is None:
            self._ended.append(self._lives[place])
            self._lives[place] = self._new()
        return signal

    def _new(self) -> RoomLife:
        signals = self._rng.randint(5, 60)
        if self._ended and self._rng.random() < 0.5:
            old = self._ended.pop() if self._rng.random() < 0.5 else self._ended.popleft()
            return RoomLife(old.room_id, self._rng, signals, earlier=old.requests)
        self._names += 1
        return RoomLife(f"{self._prefix}-{self._names}", self._rng, signals)


class Load(threading.Thread):
    """Writes the signals of `rooms` rooms to the two topics and, with `hot`, of one room with that many members."""

    def __init__(
        self,
        servers: str,
        topic: Callable[[str], str],
        seed: int,
        *,
        rate: float = 400.0,
        rooms: int = 300,
        hot: int = 1000,
        poison: float = 0.0,
        encode: Callable[[Signal], bytes] | None = None,
    ) -> None:
        """Create the producer; `start()` begins to write.

        Args:
            servers: bootstrap servers.
            topic: full name of a topic.
            rate: signals per second.
            poison: share of records that are not signals.
            encode: encoder of every second signal; the others are JSON.
        """
        super().__init__(name="load", daemon=True)
        self._rng = random.Random(seed)
        self._topic, self._rate, self._poison_share = topic, rate, poison
        self._encode = encode
        self.sent = self.poisoned = 0
        self.late: dict[tuple[str, int, int], int] = {}
        """(topic, partition, offset) of signals with a slow acknowledgement, to its time in microseconds."""
        self.failed = 0
        """Records whose delivery failed: they may or may not be in the log."""
        self._ending = threading.Event()
        self._rooms = Rooms("room", self._rng, rooms)
        self._hot = RoomLife("hot-room", self._rng, 10**9, hold=hot) if hot else None
        self._producer = Producer(
            {
                "bootstrap.servers": servers,
                "enable.idempotence": True,
                "linger.ms": 2,
                "partitioner": "murmur2_random",
                "delivery.timeout.ms": 300_000,
                "queue.buffering.max.messages": 1_000_000,
                "message.max.bytes": 4_000_000,
                "reconnect.backoff.max.ms": 500,
                "log_level": 0,
            }
        )

    def run(self) -> None:
        began, made = time.monotonic(), 0
        while not self._ending.is_set():
            due = int((time.monotonic() - began) * self._rate) - made
            if due > 2 * self._rate:  # the broker was down: do not send the missed signals at once
                began, made, due = time.monotonic(), 0, 1
            for _ in range(due):
                self.one()
                made += 1
            self._producer.poll(0.002)
        self._producer.flush(300)

    def finish(self) -> None:
        """Stop and wait for all acknowledgements."""
        self._ending.set()
        self.join()

    def burst(self, signals: int) -> None:
        """Write as fast as possible in the caller's thread, which must not overlap with `start()`."""
        for number in range(signals):
            self.one()
            if number % 500 == 0:
                self._producer.poll(0)
        self._producer.flush(300)

    def one(self) -> None:
        """Write the next signal of a random room."""
        if self._poison_share and self._rng.random() < self._poison_share:
            self._random_poison()
        if self._hot is not None and self._rng.random() < (0.5 if self._hot.count < 1200 else 0.1):
            signal = self._hot.next()
        else:
            signal = self._rooms.next()
        if signal is not None:
            self.write(signal)

    @contextlib.contextmanager
    def poisoning(self, share: float) -> Iterator[None]:
        """Write this share of poison during the block."""
        before, self._poison_share = self._poison_share, share
        try:
            yield
        finally:
            self._poison_share = before

    def write(self, signal: Signal) -> None:
        """Write a signal to its topic."""
        name = "api.signals" if signal["type"].startswith("conference.") else "media.signals"
        self._produce(self._topic(name), self.value(signal), signal["room_id"].encode(), [])
        self.sent += 1

    def value(self, signal: Signal) -> bytes:
        """Encode the signal as JSON or, at random, with `encode`."""
        if self._encode is not None and self._rng.random() < 0.5:
            return self._encode(signal)
        return json.dumps(signal).encode()

    def _random_poison(self) -> None:
        name = self._rng.choice(("api.signals", "media.signals"))
        key = self._rng.choice((b"room-1", b"room-2", b"elsewhere", None))
        self.write_poison(name, self._rng.choice(POISON), key)

    def write_poison(self, name: str, value: bytes, key: bytes | None) -> None:
        """Write a record that is not a signal; a header marks it for the checker."""
        self._produce(self._topic(name), value, key, [("poison", b"1")])
        self.poisoned += 1

    def _produce(self, topic: str, value: bytes, key: bytes | None, headers: list[tuple[str, bytes]]) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key, headers=headers, on_delivery=self._delivered)
                return
            except BufferError:
                self._producer.poll(0.1)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.failed += 1
            return
        now, (_, appended) = time.time_ns() // 1000, message.timestamp()
        if now - appended * 1000 > SLOW_ACK_US:
            self.late[message.topic(), message.partition(), message.offset()] = now
