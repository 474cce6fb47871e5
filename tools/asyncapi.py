"""Write docs/reference/asyncapi.yaml: the topics and their records as AsyncAPI 3.1, from avro/ and pipeline/topics.py.

python tools/asyncapi.py            write the file
python tools/asyncapi.py --check    exit with 1 if it differs
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import yaml
from schemas import Record, load

from pipeline.settings import Settings
from pipeline.topics import DEAD, MAX_OUTPUT, NOOPS, REJECTED, ROOMS, TOPICS, Topic
from pipeline.topics import EVENTS as EVENTS_TOPIC

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "docs" / "reference" / "asyncapi.yaml"
PREFIX: Final = "conference"
PARTITIONS: Final = Settings.model_fields["partitions"].default
BINDING: Final = "0.5.0"
AVRO: Final = "application/vnd.apache.avro;version=1.9.0"
TIME: Final = 1_795_354_386_106_600
EXAMPLES: Final = {
    "room_id": "acW68-room-abc123", "app_id": "my-app", "session_uuid": "acW68-alice", "caller_id": "+15551234567",
    "urls": ["https://cdn.example.com/hold.wav"], "url": "https://cdn.example.com/hold.wav", "volume": -3,
    "name": "Retro", "sequence": 1, "playback_status": "stopped", "topic": "conference.api.signals",
    "reason": "hangup", "type": "conference.pause", "event_id": "46a22bd9-9c8c-5ba9-a2d1-f4b5e3a7c2a4",
}  # fmt: skip
ATTRIBUTES: Final = {
    "ce_specversion": {"const": "1.0"},
    "ce_id": {"type": "string", "description": "meta.event_id"},
    "ce_type": {"type": "string"},
    "ce_source": {"type": "string", "description": "/ and the topic prefix"},
    "ce_subject": {"type": "string", "description": "room_id"},
    "ce_time": {"type": "string", "format": "date-time", "description": "meta.occurred_at"},
    "content-type": {"const": "application/avro"},
}
SIGNAL: Final = {
    "ce_signal": {
        "type": "string",
        "description": "topic/partition/offset of the signal that caused it; not on timeouts",
    }
}
LETTER: Final = ("topic", "partition", "offset", "exception.class.name", "exception.message")
KEYS: Final = {
    ROOMS.name: 'A compact JSON array: ["room",room_id], ["member",room_id,session_uuid], ["gone",room_id] or '
    '["position"]. Skip other kinds. A null value deletes the row. '
    "The partition is that of the room, not that of this key.",
    DEAD.name: "The key of the letter's signal, as it came; it may be missing.",
}
PURPOSE: Final = {
    "api.signals": "Requests that the REST API and session commands have accepted, in Avro or as JSON. "
    "Produce them with the murmur2 partitioner of the Java client (librdkafka: murmur2_random).",
    "media.signals": "What media engines report, in Avro or as JSON. The same partitioner.",
    EVENTS_TOPIC.name: "The events, in order per room. Read them with isolation level read_committed, dispatch on "
    "the header ce_type, and ignore types that you do not know.",
    ROOMS.name: "The rooms and members of now, compacted. Read it with isolation level read_committed.",
    REJECTED.name: "Valid signals that made no sense in the state of their room.",
    NOOPS.name: "API signals that had no effect worth an event.",
    DEAD.name: "Bytes that are no valid signal, as they came.",
}


def document() -> dict[str, Any]:
    """Return the AsyncAPI document."""
    records = {record.full: record for record in load(ROOT / "avro")}
    used = {name: _message(records[name], topic) for topic in TOPICS for name in topic.records}
    return {
        "asyncapi": "3.1.0",
        "info": {
            "title": "Conference event pipeline",
            "version": "2.0.0",
            "description": "The topics of the pipeline with the default prefix. Values are Avro in the schema "
            "registry's wire format: a zero byte, the schema id in four bytes, then the data.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/avro",
        "channels": {topic.name: _channel(topic) for topic in TOPICS},
        "operations": {_operation_name(topic): _operation(topic) for topic in TOPICS},
        "components": {"messages": {**used, "letter": _letter()}},
    }


def _messages(topic: Topic) -> list[str]:
    return list(topic.records) or ["letter"]


def _channel(topic: Topic) -> dict[str, Any]:
    config: dict[str, Any] = {"cleanup.policy": [topic.cleanup]}
    if topic.output:
        config["max.message.bytes"] = MAX_OUTPUT
    return {
        "address": topic.full_name(PREFIX),
        "description": PURPOSE[topic.name],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _messages(topic)},
        "bindings": {
            "kafka": {"partitions": PARTITIONS, "topicConfiguration": config, "bindingVersion": BINDING},
        },
    }


def _operation_name(topic: Topic) -> str:
    verb = "send" if topic.output else "receive"
    return verb + "".join(part.capitalize() for part in topic.name.split("."))


def _operation(topic: Topic) -> dict[str, Any]:
    """Return the operation of the pipeline: it receives signals and sends everything else."""
    channel = f"#/channels/{topic.name}"
    return {
        "action": "send" if topic.output else "receive",
        "channel": {"$ref": channel},
        "summary": PURPOSE[topic.name].partition(".")[0] + ".",
        "messages": [{"$ref": f"{channel}/messages/{name}"} for name in _messages(topic)],
    }


def _message(record: Record, topic: Topic) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": record.const or record.signal or record.full,
        "title": record.name,
        "summary": record.doc,
        "contentType": "application/avro",
        "payload": {"schemaFormat": AVRO, "schema": record.schema},
        "bindings": _kafka(topic),
        "examples": [{"payload": _example(record.schema)}],
    }
    headers: dict[str, Any] = {}
    if record.const:
        headers = {**ATTRIBUTES, "ce_type": {"const": record.const}, **SIGNAL}
    elif topic in (REJECTED, NOOPS):
        headers = SIGNAL
    if headers:
        made["headers"] = {
            "type": "object",
            "properties": headers,
            "required": [*(ATTRIBUTES if record.const else SIGNAL)],
        }
    return made


def _kafka(topic: Topic) -> dict[str, Any]:
    key = KEYS.get(topic.name, "The room_id.")
    return {
        "kafka": {
            "key": {"type": "string", "description": key},
            "schemaIdLocation": "payload",
            "schemaIdPayloadEncoding": "confluent",
            "schemaLookupStrategy": "TopicRecordNameStrategy",
            "bindingVersion": BINDING,
        }
    }


def _letter() -> dict[str, Any]:
    headers = {f"__connect.errors.{name}": {"type": "string"} for name in LETTER} | SIGNAL
    return {
        "name": "letter",
        "title": "Dead letter",
        "summary": "A record that is no valid signal: its value and headers as they came; headers tell why and where.",
        "contentType": "application/octet-stream",
        "headers": {"type": "object", "properties": headers},
        "payload": {"type": "string", "format": "binary"},
        "bindings": {"kafka": {"key": {"type": "string", "description": KEYS[DEAD.name]}, "bindingVersion": BINDING}},
    }


def _example(schema: dict[str, Any]) -> dict[str, Any]:
    return {field["name"]: _value(field, field["type"]) for field in schema["fields"]}


def _value(field: dict[str, Any], kind: Any) -> Any:
    if "const" in field:
        return field["const"]
    if isinstance(kind, list):
        return None
    if isinstance(kind, dict) and kind["type"] == "record":
        return _example(kind)
    if isinstance(kind, dict) and kind["type"] == "array":
        inner = kind["items"]
        return [_example(inner)] if isinstance(inner, dict) else EXAMPLES.get(field["name"], [])
    if isinstance(kind, dict):
        return TIME
    plain = {"string": field["name"], "bytes": "", "boolean": False}.get(kind, 0)
    return EXAMPLES.get(field["name"], plain)


def text() -> str:
    """Return the file's text."""
    head = "# GENERATED from avro/ and pipeline/topics.py by tools/asyncapi.py (`make docs`): do not edit.\n"
    return head + yaml.dump(document(), Dumper=_Plain, sort_keys=False, allow_unicode=True, width=118)


class _Plain(yaml.SafeDumper):
    """Writes each value in full: readers of the file should not have to follow anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def main(arguments: list[str]) -> int:
    made = text()
    current = FILE.exists() and FILE.read_text(encoding="utf-8") == made
    if arguments == ["--check"]:
        if not current:
            print("docs/reference/asyncapi.yaml: differs from the code, run `make docs`")
        return 0 if current else 1
    if arguments:
        print(__doc__, file=sys.stderr)
        return 2
    if not current:
        FILE.write_text(made, encoding="utf-8")
        print("wrote docs/reference/asyncapi.yaml")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
