"""Read a contestant's events with read_committed and check them against the load.

Every event: the room's sequence increases by one; pause and resume alternate. Every 100th event: event_id, playback,
headers and key follow the contract, and the partition number is that of the cause. After a full run, every room must
have as many events as signals.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Final

from confluent_kafka import Consumer, KafkaError, Message

from benchmarks.peers import rooms
from benchmarks.peers.load import Load
from benchmarks.peers.workspace import Workspace

LOOK_CLOSELY: Final = 100


def messages(workspace: Workspace, topic: str = "events") -> Iterator[list[Message]]:
    """Yield all committed records of a topic up to its current end, in batches. Raises RuntimeError."""
    partitions = workspace.partitions(topic)
    consumer = Consumer(
        {
            "bootstrap.servers": workspace.servers.bootstrap,
            "group.id": "reader",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "log_level": 3,
        }
    )
    for partition in partitions:
        partition.offset = 0
    consumer.assign(partitions)
    ended: set[int] = set()
    while len(ended) < len(partitions):
        batch = consumer.consume(10_000, 0.2)
        for message in batch:
            if message.error():
                if message.error().code() != KafkaError._PARTITION_EOF:
                    raise RuntimeError(str(message.error()))
                ended.add(message.partition())
        yield [message for message in batch if not message.error()]
    consumer.close()


class Check:
    """Counts and checks the events of one run."""

    def __init__(self, workspace: Workspace, codec: rooms.Codec, began: float, ended: float) -> None:
        """Read all events; `began` and `ended` are the measured window in milliseconds of the broker's clock."""
        self.count = self.in_window = 0
        self.violations: Counter[str] = Counter()
        self._sequences: dict[str, int] = {}
        self._paused: dict[str, bool] = {}
        self._site, self._codec = workspace, codec
        for batch in messages(workspace):
            for message in batch:
                self.count += 1
                self.in_window += began < message.timestamp()[1] <= ended
                self._event(message)

    def _event(self, message: Message) -> None:
        name, event = self._codec.decode(message.value())
        meta, room_id = event["meta"], event["room_id"]
        before = self._sequences.get(room_id, 0)
        if meta["sequence"] != before + 1:
            self.violations["gap" if meta["sequence"] > before else "repeat"] += 1
        self._sequences[room_id] = max(before, meta["sequence"])
        if name == "PlayStarted":
            self._paused[room_id] = False
        elif name in ("PlayPaused", "PlayResumed"):
            if self._paused.get(room_id, False) == (name == "PlayPaused"):
                self.violations["parity"] += 1
            self._paused[room_id] = name == "PlayPaused"
        if self.count % LOOK_CLOSELY == 0:
            self._closely(message, name, event)

    def _closely(self, message: Message, name: str, event: rooms.Row) -> None:
        meta = event["meta"]
        identity = f"{event['room_id']}/{meta['sequence']}/{meta['cause']}"
        if meta["event_id"] != str(uuid.uuid5(uuid.NAMESPACE_URL, identity)):
            self.violations["event_id"] += 1
        if (meta["playback_id"] is not None, meta["ends_playback"]) != (
            name[:4] == "Play",
            name == "PlayStopped",
        ):
            self.violations["meta"] += 1
        place = dict(message.headers() or ()).get("ce_signal", b"").decode()
        expected = rooms.headers(event, f"/{self._site.prefix}".encode(), place)
        if message.headers() != expected or message.key() != event["room_id"].encode():
            self.violations["headers or key"] += 1
        if place.split("/")[1:2] != [str(message.partition())]:
            self.violations["partition"] += 1

    def complete(self, load: Load) -> None:
        """Check that every signal of the load has its event."""
        for life in load.lives:
            if (events := self._sequences.get(life.room_id, 0)) != life.count:
                self.violations["missing" if events < life.count else "too many"] += abs(life.count - events)
