"""The records that units write for a history of signals, with the independent model beside them. No broker."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from aiokafka.structs import TopicPartition

from pipeline.core.merge import Input, Record
from pipeline.core.partition import Partition
from pipeline.core.watchdog import Rules
from pipeline.model.codec import decode_json
from pipeline.model.wire import SCHEMAS
from pipeline.view.tables.outcomes_table import OutcomesTable, Place
from pipeline.view.tables.rooms_table import RoomsTable
from pipeline.worker.output_encoder import OutputEncoder
from pipeline.worker.unit import Unit
from testkit.model import Model, Outcome, rfc3339
from tests.kafka.test_record_batch import read

IDS = {record: number for number, record in enumerate(SCHEMAS, 1)}
OUTPUTS = ("events", "signals.rejected", "signals.noops", "signals.dead")
TOPICS = {"api": "conference.api.signals", "media": "conference.media.signals"}


class UnitLog:
    """One partition: its rooms as a worker has them, the model's, and the log of each output topic.

    `expected` maps the place of each signal to the model's outcomes.
    """

    def __init__(self, start: int) -> None:
        self.partition, self.model = Partition(Rules()), Model()
        self.at = self.now = start
        self.offsets = {"api": 0, "media": 0}
        self.logs: dict[str, list[Record]] = defaultdict(list)
        self.expected: dict[Place, list[Outcome]] = {}
        self.unit = self._unit()

    @staticmethod
    def _unit() -> Unit:
        return Unit(OutputEncoder("conference", IDS), "owner")

    def feed(self, signal: dict[str, Any], step: int) -> Place:
        """Decide a signal `step` microseconds after the one before it; return its place."""
        self.at += step
        self.now = max(self.now, self.at)
        signal = {**signal, "occurred_at": rfc3339(self.at)}
        self.model.due(self.now)
        for timeout in self.partition.due(self.now):
            self.unit.expired(0, timeout.room_id, self.partition.expire(timeout))
        value = json.dumps(signal).encode()
        decoded = decode_json(value)
        source = Input(TOPICS[decoded.TOPIC], 0, 0)
        record = Record(self.now, self.offsets[decoded.TOPIC], decoded.room_id.encode(), value, b"")
        place = Place(source.topic, 0, record.offset)
        self.offsets[decoded.TOPIC] += 1
        self.expected[place] = self.model.signal(signal, self.now)
        before, gone = self.partition.rooms.get(decoded.room_id), self.partition.gone.get(decoded.room_id)
        self.unit.decided(source, record, decoded, before, gone, self.partition.apply(decoded, self.now))
        return place

    def commit(self) -> dict[str, list[Record]]:
        """Write the unit to the logs; return its records by topic."""
        inputs = tuple(Input(TOPICS[kind], 0, self.offsets[kind]) for kind in ("api", "media"))
        written = self.unit.records({0: inputs})  # type: ignore[dict-item]
        self.unit = self._unit()
        found: dict[str, list[Record]] = {}
        for name in ("rooms", *OUTPUTS):
            log = self.logs[name]
            batches = written.get(TopicPartition(f"conference.{name}", 0), [])
            found[name] = [
                Record(self.now, len(log) + n, one.key, one.value, tuple(one.headers))
                for n, one in enumerate(read(batches))
            ]
            log += found[name]
        return found


def learnt(table: Any, records: list[Record]) -> None:
    """Teach a table the schemas of these records."""
    names = {number: record for record, number in IDS.items()}
    for schema_id in table.decoders.unknown(record.value for record in records):
        table.decoders.learn(schema_id, SCHEMAS[names[schema_id]])


def put_rows(table: RoomsTable, records: list[Record]) -> None:
    learnt(table, records)
    table.apply(0, records)


def put_outcomes(table: OutcomesTable, records: dict[str, list[Record]], now: float = 0.0) -> set[Place]:
    """Apply the records of the output topics; return the places whose outcome is complete."""
    found = set()
    for name in OUTPUTS:
        letter = name == "signals.dead"
        if not letter:
            learnt(table, records[name])
        for record in records[name]:
            place = table.apply(f"conference.{name}", 0, record, now, letter=letter)
            if place is not None:
                found.add(place)
    return found
