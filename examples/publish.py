"""A producer of signals: creates a room and pauses its playback, which does not exist yet.

    python examples/publish.py ROOM

It needs `pip install 'confluent-kafka[avro,schemaregistry]'`, but not the pipeline's package.
"""

from __future__ import annotations

import os
import sys
import uuid
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import KafkaException, Message, Producer
from confluent_kafka.schema_registry import SchemaRegistryClient, topic_record_subject_name_strategy
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext


def publish(topic: str, room: str) -> None:
    """Send a create and a pause, and print where they are."""
    registry = SchemaRegistryClient({"url": os.environ["SCHEMA_REGISTRY_URL"]})
    producer = Producer(
        {
            "bootstrap.servers": os.environ["KAFKA_BOOTSTRAP_SERVERS"],
            "partitioner": "murmur2_random",  # (1) not librdkafka's default: other partitions are dead letters
            "enable.idempotence": True,
        }
    )
    common = {"room_id": room, "occurred_at": datetime.now(UTC)}  # a datetime becomes microseconds
    signals: dict[str, dict[str, Any]] = {
        "ConferenceCreate": {**common, "signal_id": str(uuid.uuid4()), "app_id": "my-app", "name": "From Python"},
        "ConferencePause": {**common, "signal_id": str(uuid.uuid4()), "operation_id": str(uuid.uuid4())},
    }
    for name, signal in signals.items():

        def told(error: Any, message: Message, name: str = name) -> None:
            if error:
                raise KafkaException(error)
            print(name, message.partition(), message.offset(), flush=True)

        schema = registry.get_latest_version(f"{topic}-conference.signal.{name}").schema.schema_str
        encode = AvroSerializer(
            registry,
            schema,
            conf={
                "auto.register.schemas": False,  # (2) the schemas are the pipeline's
                "subject.name.strategy": topic_record_subject_name_strategy,  # (3) not the default
            },
        )
        value = encode(signal, SerializationContext(topic, MessageField.VALUE))
        producer.produce(topic, value, room.encode(), on_delivery=told)  # (4) the key is the room_id
        producer.flush()


if __name__ == "__main__":
    publish(f"{os.environ.get('PIPELINE_TOPIC_PREFIX') or 'conference'}.api.signals", sys.argv[1])
