"""Contestant: a hand-written loop with confluent-kafka and fastavro, one transaction per batch of up to 40,000 records.

    python -m benchmarks.peers.handwritten     (topics and ids come from the environment, see `contestants.py`)

It consumes a batch, applies it to dicts, produces events and changed rows (each once, with its last value) to the
partition number of their input, sends the offsets with the group's metadata, and commits. On assignment, a partition's
rows are read from the changelog topic. Unlike the pipeline, it processes the two topics in the order of arrival: there
is no merge by time and no barrier. Any error ends it; it recovers by a restart.
"""

from __future__ import annotations

import json
import os
import signal
import uuid
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

from benchmarks.peers.rooms import Codec, Row, headers, member_key, room_key, step

BATCH: Final = 40_000  # the maximum of a unit in the pipeline


class Table:
    """Rooms and members of one partition."""

    def __init__(self) -> None:
        self.rooms: dict[str, Row] = {}
        self.members: dict[str, dict[str, Row]] = {}

    def restore(self, key: list[str], row: Row | None) -> None:
        """Apply one record of the changelog."""
        if key[0] == "room":
            self.rooms.pop(key[1], None)
            if row is not None:
                self.rooms[key[1]] = row
        else:
            members = self.members.setdefault(key[1], {})
            members.pop(key[2], None)
            if row is not None:
                members[key[2]] = row


class Loop:
    """The worker."""

    def __init__(self, servers: str, prefix: str, group: str, codec: Codec) -> None:
        self._codec, self._servers = codec, servers
        self._source = f"/{prefix}".encode()
        self._topics = [f"{prefix}.api.signals", f"{prefix}.media.signals"]
        self._events, self._rooms = f"{prefix}.events", f"{prefix}.rooms"
        self._tables: dict[int, Table] = {}
        self._consumer = Consumer(
            {
                "bootstrap.servers": servers,
                "group.id": group,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "partition.assignment.strategy": "range",  # co-partitioned
            }
        )
        self._producer = Producer(
            {
                "bootstrap.servers": servers,
                "transactional.id": f"{group}-{uuid.uuid4()}",
                "linger.ms": 5,  # a commit flushes immediately
                "queue.buffering.max.messages": 1_000_000,
            }
        )
        self._ending = False

    def stop(self) -> None:
        """End `run` after the current batch."""
        self._ending = True

    def run(self) -> None:
        """Process signals until `stop`."""
        self._producer.init_transactions(30)
        self._consumer.subscribe(self._topics, on_assign=self._assigned, on_revoke=self._revoked)
        while not self._ending:
            batch = self._consumer.consume(1, 0.5)
            if batch:
                self._transaction(batch + self._consumer.consume(BATCH - 1, 0))
        self._consumer.close()

    def _transaction(self, batch: list[Message]) -> None:
        producer = self._producer
        producer.begin_transaction()
        rooms: set[tuple[int, str]] = set()
        members: set[tuple[int, str, str]] = set()
        offsets: dict[tuple[str, int], int] = {}
        for message in batch:
            if message.error():
                raise KafkaException(message.error())
            topic, partition, offset = message.topic(), message.partition(), message.offset()
            offsets[topic, partition] = offset + 1
            self._apply(
                message.value(),
                message.timestamp()[1] * 1000,
                partition,
                f"{topic}/{partition}/{offset}",
                rooms,
                members,
            )
        for partition, room_id in rooms:
            row = self._codec.encode("conference.Room", self._tables[partition].rooms[room_id])
            producer.produce(self._rooms, row, room_key(room_id), partition)
        for partition, room_id, session in members:
            member = self._tables[partition].members[room_id].get(session)
            value = self._codec.encode("conference.Member", member) if member else None
            producer.produce(self._rooms, value, member_key(room_id, session), partition)
        producer.send_offsets_to_transaction(
            [TopicPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()],
            self._consumer.consumer_group_metadata(),
        )
        producer.commit_transaction()

    def _apply(
        self,
        value: bytes,
        now: int,
        partition: int,
        place: str,
        rooms: set[tuple[int, str]],
        members: set[tuple[int, str, str]],
    ) -> None:
        kind, signal = self._codec.decode(value)
        table, room_id, session = self._tables[partition], signal["room_id"], signal.get("session_uuid")
        before = table.members.setdefault(room_id, {}).get(session) if session else None
        room, member, event = step(self._codec.names, table.rooms.get(room_id), before, kind, signal, now)
        table.rooms[room_id] = room
        rooms.add((partition, room_id))
        if session and member is not before:
            members.add((partition, room_id, session))
            if member is None:
                del table.members[room_id][session]
            else:
                table.members[room_id][session] = member
        if event is not None:
            self._producer.produce(
                self._events,
                self._codec.event(event),
                room_id.encode(),
                partition,
                headers=headers(event[1], self._source, place),
            )

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for number in {each.partition for each in partitions} - self._tables.keys():
            self._tables[number] = self._restored(number)
        consumer.assign(partitions)

    def _revoked(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        for each in partitions:
            self._tables.pop(each.partition, None)

    def _restored(self, number: int) -> Table:
        table = Table()
        settings: dict[str, Any] = {"bootstrap.servers": self._servers, "group.id": "none"}
        settings |= {"isolation.level": "read_committed", "enable.partition.eof": True}
        consumer = Consumer({**settings, "enable.auto.commit": False})
        consumer.assign([TopicPartition(self._rooms, number, 0)])
        while not (message := consumer.poll(10)).error():  # the end of the partition
            value = message.value()
            key = json.loads(message.key())
            table.restore(key, self._codec.decode(value)[1] if value else None)
        consumer.close()
        return table


def main() -> None:
    env = os.environ
    codec = Codec(json.loads(env["PEER_SCHEMA_IDS"]))
    loop = Loop(env["KAFKA_BOOTSTRAP_SERVERS"], env["PEER_PREFIX"], env["PEER_GROUP"], codec)

    signal.signal(signal.SIGTERM, lambda *_: loop.stop())
    loop.run()


if __name__ == "__main__":
    main()
