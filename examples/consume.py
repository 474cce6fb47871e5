"""A consumer of conference events: prints each event and checks that none is missing.

    eval "$(conference-pipeline up)"          # or export the two variables yourself
    python examples/consume.py --max 10

It needs `pip install 'confluent-kafka[avro,schemaregistry]'`, but not the pipeline's package. (1) to (5) mark the
rules that every consumer has to follow. At the end it prints who is in which room.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

KNOWN = {
    "conference.created",
    "conference.destroyed",
    "conference.member.joined",
    "conference.member.left",
    "conference.member.muted",
    "conference.member.unmuted",
    "conference.play.started",
    "conference.play.paused",
    "conference.play.resumed",
    "conference.play.stopped",
    "conference.play.volume_changed",
    "conference.play.finished",
    "conference.play.failed",
}
"""(3) Ignore names that you don't know, before you decode the value: new events may be added."""


class Rooms:
    """The last sequence of each room, and its members.

    (1) Within one life of a room the sequence has no gaps and no repeats.

    In memory, as here, it detects gaps. (2) After a crash, events whose offset was not committed arrive again. Store
    the sequence in the database transaction of your own write, so that they have no second effect.
    """

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, str]] = {}
        self.members: dict[str, set[str]] = {}
        self.gaps = 0

    def forget(self, *_: object) -> None:
        """Forget all rooms after a rebalance: another consumer may have handled their events in between."""
        self._seen.clear()
        self.members.clear()

    def new(self, event: dict[str, Any]) -> bool:
        """Return whether the event was not seen before. Print a message if events are missing before it."""
        room, sequence, event_id = event["room_id"], event["meta"]["sequence"], event["meta"]["event_id"]
        last, first_id = self._seen.get(room, (0, ""))
        if sequence == 1 and event_id != first_id:  # a life of the room begins
            first_id = event_id
            self.members[room] = set()
        elif sequence <= last:
            return False
        elif last and sequence > last + 1:
            print(f"room {room}: {last} is followed by {sequence}", file=sys.stderr)
            self.gaps += 1
        self._seen[room] = sequence, first_id
        return True

    def apply(self, name: str, event: dict[str, Any]) -> None:
        """Keep the table of who is in which room."""
        members = self.members.setdefault(event["room_id"], set())
        if name == "conference.member.joined":
            members.add(event["session_uuid"])
        elif name == "conference.member.left":
            members.discard(event["session_uuid"])


def handle(name: str, event: dict[str, Any]) -> None:
    """Do the work of your service. `occurred_at` is a datetime in UTC."""
    fields = {key: value for key, value in event.items() if key not in ("event", "room_id", "meta")}
    meta = event["meta"]
    guess = " (inferred)" if meta["synthetic"] else ""
    moment = meta["occurred_at"].isoformat(timespec="microseconds")
    print(f"{event['room_id']} #{meta['sequence']} {name} {moment}{guess} {fields}", flush=True)


def consume(topic: str, group: str, most: int | None) -> int:
    """Consume `most` new events (None: until Ctrl-C) and return the number of gaps."""
    rooms = Rooms()
    decode = AvroDeserializer(SchemaRegistryClient({"url": os.environ["SCHEMA_REGISTRY_URL"]}))
    context = SerializationContext(topic, MessageField.VALUE)
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ["KAFKA_BOOTSTRAP_SERVERS"],
            "group.id": group,
            "isolation.level": "read_committed",  # (4) otherwise aborted events arrive, too
            "auto.offset.reset": "earliest",
            "enable.auto.offset.store": False,  # (5) store an offset after handling its event
        }
    )
    consumer.subscribe([topic], on_assign=rooms.forget)
    seen = 0
    try:
        while most is None or seen < most:
            message: Message | None = consumer.poll(1.0)
            if message is None:
                continue
            if message.error():
                raise KafkaException(message.error())
            name = dict(message.headers())["ce_type"].decode()
            event = decode(message.value(), context) if name in KNOWN else None
            if event is None:
                print(f"ignored {name}", flush=True)
            elif rooms.new(event):
                handle(name, event)
                rooms.apply(name, event)
                seen += 1
            consumer.store_offsets(message)
    except KeyboardInterrupt:
        pass
    finally:
        consumer.close()  # commits the stored offsets
    for room, members in rooms.members.items():
        if members:
            print(f"in {room}: {', '.join(sorted(members))}")
    return rooms.gaps


def main() -> int:
    """Run the command. Return 0, 1 after a gap, or 2 when a setting is missing or Kafka can't be used."""
    parser = argparse.ArgumentParser(description="Print conference events and check that none is missing.")
    parser.add_argument("--max", type=int, metavar="N", help="end after N events")
    parser.add_argument("--group", default="example-consumer", help="consumer group (default: %(default)s)")
    options = parser.parse_args()
    missing = [name for name in ("KAFKA_BOOTSTRAP_SERVERS", "SCHEMA_REGISTRY_URL") if not os.environ.get(name)]
    if missing:
        parser.error(f'{" and ".join(missing)} not set: run eval "$(conference-pipeline up)", or name your own')
    topic = f"{os.environ.get('PIPELINE_TOPIC_PREFIX') or 'conference'}.events"
    try:
        return 1 if consume(topic, options.group, options.max) else 0
    except KafkaException as error:
        print(f"error: {topic}: {error.args[0].str()}: check KAFKA_BOOTSTRAP_SERVERS", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
