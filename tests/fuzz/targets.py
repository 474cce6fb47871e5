"""The fuzzed parsers. A target parses bytes as the package does.

`read` is measured; it may raise only SignalError (a dead letter, a skipped line). `check` asserts what must hold for
the parsed value: encoded and parsed again, it is the same.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

from pipeline.core.merge import CutRecord, PackedError, Record
from pipeline.engines.freeswitch.adapter import Adapter, EventReader, read_event
from pipeline.engines.freeswitch.adapter.rooms import MAX_MEMBERS
from pipeline.engines.janus.adapter import MAX_MEMBERS as MAX_JANUS_MEMBERS
from pipeline.engines.janus.adapter import Adapter as JanusAdapter
from pipeline.engines.janus.adapter import read_events
from pipeline.engines.rules.ids import Node
from pipeline.errors import SignalError
from pipeline.kafka.stored_batch import StoredBatch, head_of
from pipeline.model.codec import decode_json, decode_line, event_json, signal_json
from pipeline.model.decoders import Decoders, SignalDecoder, UnknownSchemaError
from pipeline.model.events import EVENTS
from pipeline.model.wire import DECODERS, ENCODERS, SCHEMAS
from testkit.raw_fetch import BrokenBatchError
from testkit.raw_fetch import StoredBatch as Independent
from tests.fuzz import batches, mutate, seeds
from tests.fuzz.mutate import Mutator

UNKNOWN = "unknown schema id"
_LABELS = [
    (label, re.compile(pattern))
    for label, pattern in {
        "batch: unpacks to too much": "the batch of .* unpack to more than",
        "batch: broken compression": "the batch of .*(data are broken|compression type)",
        "batch: offsets": "the batch of .* has offset",
        "batch: number of records": "the batch of .*(it declares|records, more than)",
        "batch: broken records": "the batch of ",
        "not UTF-8": "UTF-8|can't decode byte|surrogate",
        "not JSON": "no JSON|JSON object|Expected object",
        "too deep": "nested too deeply",
        "too long": "more than 1048576",
        "too many": r"array of length|\d items|at most 2048 values|length <= 2048|length <= 255|characters",
        "truncated": "end of the data|bytes are left|expected \\d+ bytes|too few",
        "trailing bytes": "more bytes",
        "a field is missing": "missing",
        "not a time": "RFC 3339|a time in|no time|microseconds since",
        "unknown schema": "of this topic|no schema|no Avro schema|can't be read|writer's schema defines",
        "not in the wire format": "magic byte|is empty|is null|is blank",
        "another kind of value": "[Ee]xpected|got |found",
    }.items()
]


@dataclass(frozen=True)
class Target:
    """A parser of external bytes."""

    name: str
    seeds: list[bytes]
    read: Callable[[bytes], Any]
    check: Callable[[Any], None]
    text: bool = False
    """Whether the seeds are JSON, whose structure is mutated as well."""
    cpu_limit: float = 0.010
    """CPU seconds that an input may take."""
    most_memory: float = 50.0
    """MiB by which the memory peak may exceed the start of the run."""
    refused: Callable[[bytes, SignalError], None] = lambda value, error: None
    """Asserts what must hold of an input that gave no value."""
    changes: Callable[[Random], Any] | None = None
    """Makes the mutator; None: mutations of the seeds."""

    def mutator(self, random: Random) -> Any:
        """Return a Mutator, or one with the same methods."""
        return Mutator(self.seeds, random, self.text) if self.changes is None else self.changes(random)


def label(error: SignalError) -> str:
    """Return the kind of a dead letter."""
    text = str(error)
    assert len(text) < 400, text
    assert text.isprintable(), ascii(text)
    return next((name for name, pattern in _LABELS if pattern.search(text)), "else")


def round_trips(signal: Any) -> None:
    """Assert that a signal survives a round trip in JSON and in Avro."""
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
    """A FreeSWITCH adapter with its state, as `import freeswitch` runs it."""

    def __init__(self) -> None:
        self.adapter = Adapter([("/var/lib/media", "https://cdn.example.com/audio"), ("/", "file:///")])

    def read(self, line: bytes) -> Any:
        return self.adapter.feed(read_event(line)).signals

    def read_text(self, text: bytes) -> Any:
        """Read text in any form; return the signals, and the errors."""
        reader = EventReader()
        found = [event for _, event in [*reader.push(text), *reader.end()]]
        errors = [str(one) for one in found if isinstance(one, SignalError)]
        assert all(len(text) < 400 and text.isprintable() for text in errors)
        signals = []
        for event in found:
            if not isinstance(event, SignalError):
                with contextlib.suppress(SignalError):
                    signals += self.adapter.feed(event).signals
        return signals

    def check(self, signals: Any) -> None:
        assert len(self.adapter._rooms._members) <= MAX_MEMBERS
        for signal in signals:
            round_trips(signal)


class JanusEngine:
    """The adapter of Janus with its state, as a bridge runs it."""

    def __init__(self) -> None:
        self.adapter = JanusAdapter(Node("acW68"))

    def read(self, text: bytes) -> Any:
        found = list(read_events(text))
        for one in found:
            if isinstance(one, SignalError):
                raise one
        return [
            signal for one in found if not isinstance(one, SignalError) for signal in self.adapter.apply(one).signals
        ]

    def check(self, signals: Any) -> None:
        assert self.adapter._members <= MAX_JANUS_MEMBERS
        for signal in signals:
            round_trips(signal)


def _event(read: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def show(value: bytes) -> Any:
        event = read(value)
        event_json(event)
        return event

    return show


def _row_round_trips(value: Any) -> None:
    assert DECODERS[value.RECORD](ENCODERS[type(value)](value, b""), 0) == value


_BODY = seeds.wire(["conference.signal.MemberLeft"])[0]


def _schema(text: bytes) -> Any:
    """Parse a writer's schema from a registry, and a value with it."""
    return _by_id(SignalDecoder(), [text.decode("utf-8", "replace")])(_BODY)


def _batch(value: bytes) -> tuple[bytes, list[Record]]:
    """Read a batch as a worker does, unpacking it in the background where it asks for that."""
    data = batches.as_stored(value)
    head = head_of(data)
    assert head is not None
    one, found = StoredBatch(head, data, head.base, strict=True), list[Record]()
    while one.count:
        try:
            found += one.read(7)
        except PackedError:
            one.unpack()
    if isinstance(found[0], CutRecord) and found[0].is_batch:
        raise SignalError(found[0].fault)
    return data, found


def _agrees(read: tuple[bytes, list[Record]]) -> None:
    """Assert that an independent reader finds the same records."""
    data, found = read
    own = [(r.offset, r.key, r.value) for r in found if not isinstance(r, CutRecord)]
    others = [(r.offset, r.key, r.value) for r in Independent(data).records() if len(r.value or b"") <= mutate.MIB]
    assert own == others


def _agrees_on_fault(value: bytes, fault: SignalError) -> None:
    """Assert that an independent reader finds the batch broken, too."""
    try:
        Independent(batches.as_stored(value)).records()
    except BrokenBatchError:
        return
    raise AssertionError(f"an independent reader can read it, but: {fault}")


def _batch_target() -> Target:
    signals = [(decode_line(line).room_id.encode(), line) for line in seeds.json_lines()]
    changes = partial(batches.BatchMutator, signals)
    valid = [changes(Random(number)).whole() for number in range(20)]
    return Target(
        "record batch", valid, _batch, _agrees, refused=_agrees_on_fault, changes=changes,
        cpu_limit=1.0, most_memory=256.0,  # one may unpack to 64 MiB
    )  # fmt: skip


def targets() -> list[Target]:
    """Return all targets, with fresh state."""
    signals, events, rows = seeds.SIGNAL_RECORDS, seeds.EVENT_RECORDS, list(seeds.ROWS)
    lines, engine, janus = seeds.json_lines(), Engine(), JanusEngine()
    current = _by_id(SignalDecoder(), [SCHEMAS[record] for record in signals])
    theirs = [json.dumps(seeds.foreign_schema(record, n)) for n, record in enumerate(signals)]
    spaced = [b" \t" + line + b"\r\n" for line in lines]
    newer = [json.dumps(seeds.foreign_schema(record, n)) for n, record in enumerate(events)]
    texts = [SCHEMAS[record].encode() for record in signals] + [schema.encode() for schema in theirs]
    return [
        Target("signal, JSON", lines, current, round_trips, text=True),
        Target("signal, Avro", seeds.wire(signals), current, round_trips),
        Target("signal, foreign Avro", seeds.foreign(signals), _by_id(SignalDecoder(), theirs), round_trips),
        Target("signal, line of a file", spaced, decode_line, round_trips, text=True),
        Target("engine event", seeds.engine_lines(), engine.read, engine.check, text=True, cpu_limit=0.05),  # of 1 MiB
        Target("Janus events", seeds.janus_texts(), janus.read, janus.check, text=True, cpu_limit=0.05),
        Target(
            "engine events, any form",
            seeds.engine_texts(),
            engine.read_text,
            engine.check,
            cpu_limit=1.0,  # its brackets and strings are searched
        ),
        Target(
            "event",
            seeds.wire(events),
            _event(_by_id(Decoders(EVENTS), [SCHEMAS[r] for r in events])),
            _row_round_trips,
        ),
        Target(
            "event, foreign schema",
            seeds.foreign(events),
            _event(_by_id(Decoders(EVENTS), newer)),
            _row_round_trips,
        ),
        Target(
            "table row",
            seeds.wire(rows),
            _by_id(Decoders(seeds.ROWS.values()), [SCHEMAS[r] for r in rows]),
            _row_round_trips,
        ),
        Target("writer's schema", texts, _schema, round_trips, text=True, cpu_limit=0.5),  # parsed once per schema
        _batch_target(),
    ]
