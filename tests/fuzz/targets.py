"""What is fuzzed. A target reads bytes as the package does and says in a word what became of them.

`read` is what is measured. It may raise SignalError (a dead letter, a line that is skipped) and nothing else.
`check` is what must hold of a value that was read: it comes back when it is written and read again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipeline.engines.freeswitch.adapter import MAX_MEMBERS, Adapter, read_event
from pipeline.errors import SignalError
from pipeline.model.codec import decode_json, decode_line, event_json, signal_json
from pipeline.model.decoders import Decoders, SignalDecoder, UnknownSchemaError
from pipeline.model.events import EVENTS
from pipeline.model.wire import DECODERS, ENCODERS, SCHEMAS
from tests.fuzz import seeds

UNKNOWN = "unknown schema id"
_LABELS = [
    (label, re.compile(pattern))
    for label, pattern in {
        "not UTF-8": "UTF-8|can't decode byte|surrogate",
        "no JSON": "no JSON|JSON object|Expected object",
        "too deep": "nested too deeply",
        "too long": "more than 1048576",
        "too many": r"array of length|\d items|at most 2048 values|length <= 2048|length <= 255|characters",
        "cut": "end of the data|bytes are left|expected \\d+ bytes|too few",
        "more behind it": "more bytes",
        "a field is missing": "missing",
        "no time": "RFC 3339|a time in|no time|microseconds since",
        "no schema of ours": "of this topic|no schema|no Avro schema|can't be read|writer's schema defines",
        "no wire format": "magic byte|is empty|is null|is blank",
        "another kind of value": "[Ee]xpected|got |found",
    }.items()
]


@dataclass(frozen=True)
class Target:
    """A reader of bytes from outside."""

    name: str
    seeds: list[bytes]
    read: Callable[[bytes], Any]
    check: Callable[[Any], None]
    text: bool = False
    """Whether the seeds are JSON, so that structure can be mutated, too."""
    most: float = 0.010
    """Seconds of CPU that an input may take."""


def label(error: SignalError) -> str:
    """The kind of a dead letter."""
    text = str(error)
    assert len(text) < 400, text
    assert text.isprintable(), ascii(text)
    return next((name for name, pattern in _LABELS if pattern.search(text)), "else")


def comes_back(signal: Any) -> None:
    """A signal written and read again, in both forms, is the same."""
    if signal is None:
        return
    assert decode_json(signal_json(signal)) == signal
    assert DECODERS[signal.RECORD](ENCODERS[type(signal)](signal, b""), 0) == signal


def _by_id(reader: Decoders, schemas: list[str]) -> Callable[[bytes], Any]:
    """Read by the schema whose place in the list, from 1, is the id."""
    for number, schema in enumerate(schemas, 1):
        reader.learn(number, schema)

    def read(value: bytes) -> Any:
        try:
            return reader.decode(value)
        except UnknownSchemaError as error:
            raise SignalError(f"no schema with id {error.schema_id}") from None

    return read


class Engine:
    """An adapter and its state, as `import freeswitch` runs it."""

    def __init__(self) -> None:
        self.adapter = Adapter([("/var/lib/media", "https://cdn.example.com/audio"), ("/", "file:///")])

    def read(self, line: bytes) -> Any:
        return self.adapter.signal(read_event(line))

    def check(self, signal: Any) -> None:
        assert len(self.adapter._room_of) <= MAX_MEMBERS
        comes_back(signal)


def _event(read: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def show(value: bytes) -> Any:
        event = read(value)
        event_json(event)
        return event

    return show


def _writes_again(value: Any) -> None:
    assert DECODERS[value.RECORD](ENCODERS[type(value)](value, b""), 0) == value


_BODY = seeds.wire(["conference.signal.MemberLeft"])[0]


def _schema(text: bytes) -> Any:
    """A writer's schema that a registry gave, and a value said to be written with it."""
    return _by_id(SignalDecoder(), [text.decode("utf-8", "replace")])(_BODY)


def targets() -> list[Target]:
    """All of them, with fresh state."""
    signals, events, rows = seeds.SIGNAL_RECORDS, seeds.EVENT_RECORDS, list(seeds.ROWS)
    lines, engine = seeds.json_lines(), Engine()
    ours = _by_id(SignalDecoder(), [SCHEMAS[record] for record in signals])
    theirs = [json.dumps(seeds.foreign_schema(record, n)) for n, record in enumerate(signals)]
    spaced = [b" \t" + line + b"\r\n" for line in lines]
    newer = [json.dumps(seeds.foreign_schema(record, n)) for n, record in enumerate(events)]
    texts = [SCHEMAS[record].encode() for record in signals] + [schema.encode() for schema in theirs]
    return [
        Target("signal, JSON", lines, ours, comes_back, text=True),
        Target("signal, Avro", seeds.wire(signals), ours, comes_back),
        Target("signal, another's Avro", seeds.foreign(signals), _by_id(SignalDecoder(), theirs), comes_back),
        Target("signal, line of a file", spaced, decode_line, comes_back, text=True),
        Target("engine event", seeds.engine_lines(), engine.read, engine.check, text=True),
        Target(
            "event",
            seeds.wire(events),
            _event(_by_id(Decoders(EVENTS), [SCHEMAS[r] for r in events])),
            _writes_again,
        ),
        Target(
            "event, another's", seeds.foreign(events), _event(_by_id(Decoders(EVENTS), newer)), _writes_again
        ),
        Target(
            "table row",
            seeds.wire(rows),
            _by_id(Decoders(seeds.ROWS.values()), [SCHEMAS[r] for r in rows]),
            _writes_again,
        ),
        Target("writer's schema", texts, _schema, comes_back, text=True, most=0.5),  # learnt once
    ]
