"""A worker without Faust and the network: the engine on rooms in memory, transactions that only build the batches."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

from aiokafka.structs import TopicPartition

from pipeline.core.merge import Input, Merge, Record
from pipeline.core.partition import Partition
from pipeline.core.watchdog import Rules
from pipeline.metrics import Metrics
from pipeline.model import framing
from pipeline.model.codec import signal_json
from pipeline.model.decoders import SignalDecoder
from pipeline.model.signals import (
    AnySignal,
    ConferencePause,
    ConferencePlay,
    ConferenceVolume,
    MemberJoined,
    MemberLeft,
    MemberMuted,
    MemberUnmuted,
    PlayFinished,
)
from pipeline.model.wire import ENCODERS, SCHEMAS
from pipeline.settings import load
from pipeline.worker.broker_clock import BrokerClock
from pipeline.worker.engine import Engine
from pipeline.worker.output_encoder import OutputEncoder
from pipeline.worker.task import PartitionTask
from pipeline.worker.transactions import SealedUnit
from testkit.rows import member, partition_of, recents, room

IDS: Final = {name: number for number, name in enumerate(sorted(SCHEMAS), 1)}
NOW: Final = 1_790_000_000_000_000
URL: Final = "https://cdn.example.com/audio/announcement.wav"


class BatchBuilder:
    """Stands in for Transactions: builds the bytes of each batch, and sends nothing."""

    def __init__(self) -> None:
        self.clock = BrokerClock()
        self.renewed = 0
        self.bytes = self.units = 0

    async def begin(self, partitions: Iterable[TopicPartition]) -> None:
        """Begin at once."""

    async def commit(self, unit: SealedUnit) -> None:
        """Build the batches."""
        self.units += 1
        for batches in unit.outputs.values():
            for batch in batches:
                self.bytes += len(bytes(batch.build()))


class _Learner:
    """Stands in for Learner: all schemas are known."""

    def tick(self) -> None:
        """Do nothing."""


class Core:
    """One engine with `partitions` tasks and `rooms` rooms of `members` members each."""

    def __init__(
        self, rooms: int, members: int = 3, partitions: int = 1, transactions: Any = None, **settings: Any
    ) -> None:
        """`transactions` stands in for Transactions; None: a BatchBuilder."""
        self.settings = load(
            bootstrap_servers="localhost:9092", registry_url="http://localhost", partitions=partitions, **settings
        )
        prefix = self.settings.topic_prefix
        self.signals = SignalDecoder()
        for name, number in IDS.items():
            if name.startswith("conference.signal."):
                self.signals.learn(number, SCHEMAS[name])
        self.builder = BatchBuilder()
        learner: Any = _Learner()
        given: Any = self.builder if transactions is None else transactions
        encoder = OutputEncoder(prefix, IDS)
        self.engine = Engine(self.settings, encoder, self.signals, learner, given, Metrics())
        self.tasks = {
            number: PartitionTask(
                number,
                Partition(Rules()),
                Merge(Input(f"{prefix}.api.signals", number, 0), Input(f"{prefix}.media.signals", number, 0)),
                "",
            )
            for number in range(partitions)
        }
        self.engine.tasks.update(self.tasks)
        self.engine.intake.open(1)
        self._fill(rooms, members)

    def _fill(self, rooms: int, members: int) -> None:
        where = partition_of(len(self.tasks))
        self.where: list[int] = []
        remembered = recents(64)
        for n in range(rooms):
            made = room(n, remembered[n % 64])
            self.where.append(where(n))
            partition = self.tasks[self.where[-1]].partition
            partition.restore_room(made.room_id, made)
            for m in range(members):
                one = member(made.room_id, n * members + m)
                partition.restore_member(made.room_id, one.session_uuid, one)
        for task in self.tasks.values():
            task.partition.restored()

    def run(self, records: Sequence[tuple[int, str, Record]], per_unit: int) -> float:
        """CPU microseconds per signal; units of at most `per_unit` signals."""
        return asyncio.run(self._run(records, per_unit))

    async def _run(self, records: Sequence[tuple[int, str, Record]], per_unit: int) -> float:
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)  # as a worker does
        spent = 0.0
        for begin in range(0, len(records), per_unit):
            for number, topic, record in records[begin : begin + per_unit]:
                source: Input = getattr(self.tasks[number].merge, topic)
                source.fetched((record,), record.offset + 1, record.offset + 1)
            for task in self.tasks.values():
                for source in task.merge.inputs:
                    source.end = source.position
            began = time.process_time()
            while True:
                while self.engine._decide():
                    pass
                if not self.engine._unit:
                    break
                await self.engine._flush()
                if (failed := self.engine._writing) is not None:
                    failed.result()
            spent += time.process_time() - began
        gc.unfreeze()
        return spent / len(records) * 1e6


def stream(core: Core, count: int, rooms: int, members: int, *, bad: float = 0.0, seed: int = 1) -> Any:
    """`count` records of signals of the rooms' mix, (partition, topic, record); a share `bad` is no signal."""
    chance = random.Random(seed)
    made, offsets = [], dict[tuple[int, str], int]()
    for n in range(count):
        number = chance.randrange(rooms)
        signal = _signal(chance, number, members, n)
        value = signal_json(signal)[:-1]
        if chance.random() < 0.5:
            value = ENCODERS[type(signal)](signal, framing.head(IDS[signal.RECORD]))
        if chance.random() < bad:
            value = chance.choice(_BAD)
        place = (core.where[number], signal.TOPIC)
        offset = offsets[place] = offsets.get(place, -1) + 1
        made.append((*place, Record(NOW + n, offset, signal.room_id.encode(), value, b"")))
    return made


_BAD: Final = (
    b"",
    b"{",
    b"not a signal",
    b"\0\x7f\xff",
    b'{"type":"conference.nonsense"}',
    b"\xff\xfe" * 100,
)


def _signal(chance: random.Random, number: int, members: int, n: int) -> AnySignal:
    """Half of the signals are of members: they mute, come, go; half of playbacks."""
    room_id, signal_id = room(number).room_id, f"f47ac10b-58cc-4372-a567-{n:012}"
    session = member(room_id, number * members + chance.randrange(members)).session_uuid
    dice = chance.randrange(12)
    match dice:
        case 0 | 1:
            return MemberMuted(signal_id, room_id, NOW, session)
        case 2 | 3:
            return MemberUnmuted(signal_id, room_id, NOW, session)
        case 4:
            return MemberJoined(signal_id, room_id, NOW, f"new-{n}", "+15551234567")
        case 5:
            return MemberLeft(signal_id, room_id, NOW, f"new-{n}", "hangup")
        case 6 | 7:
            return ConferencePlay(signal_id, room_id, NOW, (URL,), f"operation-{n}")
        case 8:
            return PlayFinished(signal_id, room_id, NOW, URL)
        case 9 | 10:
            return ConferencePause(signal_id, room_id, NOW, f"operation-{n}")
        case _:
            return ConferenceVolume(signal_id, room_id, NOW, chance.randint(-50, 7), f"operation-{n}")
