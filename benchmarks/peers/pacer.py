"""What sends signals at an even pace: its requests are encoded before the clock starts.

One request every `linger_ms` has the batches of all partitions, as those of the Java client have; idempotent, acks=all,
five in flight. librdkafka sends a request for each partition (its issue 1700), up to 4,800 a second with 24 of them. At
66,000 to 71,000 signals a second 0.22 to 0.26 of two cores were idle with it, 0.41 to 0.43 without: the rest was
missing to whoever was measured.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import groupby, islice
from multiprocessing.connection import Connection
from typing import Any, Final, NamedTuple

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import for_code
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from benchmarks.peers.load import Load, flush, producer, room_partition, send
from benchmarks.peers.rooms import Codec
from pipeline.gc_pause import gc_paused

IN_FLIGHT: Final = 5
TIMEOUT_MS: Final = 30_000
Signal = tuple[str, bytes, bytes]
"""Topic, key, value."""


class Due(NamedTuple):
    """A request, and when it is sent, in seconds from the beginning."""

    at: float
    request: ProduceRequest


class Id(NamedTuple):
    """Of an idempotent producer (KIP-98)."""

    number: int
    epoch: int


def plan(signals: Iterable[Signal], rate: float, linger_ms: int, partitions: int, who: Id) -> list[Due]:
    """The requests for signals that come evenly, `rate` a second: those of each `linger_ms` are sent at its end."""
    sequences: Counter[tuple[str, int]] = Counter()
    ticks = groupby(enumerate(signals), lambda one: int(one[0] * 1000 / rate / linger_ms))
    return [
        Due((tick + 1) * linger_ms / 1000, _request((one for _, one in group), partitions, who, sequences))
        for tick, group in ticks
    ]


def _request(
    signals: Iterable[Signal], partitions: int, who: Id, sequences: Counter[tuple[str, int]]
) -> ProduceRequest:
    found: dict[tuple[str, int], list[tuple[bytes, bytes]]] = defaultdict(list)
    for topic, key, value in signals:
        found[topic, room_partition(key, partitions)].append((key, value))
    topics: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
    for place, records in found.items():
        topics[place[0]].append((place[1], _batch(records, who, sequences[place])))
        sequences[place] += len(records)
    return ProduceRequest(None, -1, TIMEOUT_MS, list(topics.items()))


def _batch(records: list[tuple[bytes, bytes]], who: Id, sequence: int) -> bytes:
    batch = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=0,
        producer_id=who.number,
        producer_epoch=who.epoch,
        base_sequence=sequence,
        batch_size=1 << 30,
    )
    for offset, (key, value) in enumerate(records):
        batch.append(offset, None, key, value, [])
    return bytes(batch.build())


class Sender:
    """A connection to the only broker."""

    def __init__(self, servers: str) -> None:
        self._client = AIOKafkaClient(bootstrap_servers=servers)
        self._node = -1

    async def open(self) -> Id:
        """Connect. Raises KafkaError."""
        await self._client.bootstrap()
        [broker] = self._client.cluster.brokers()
        self._node = broker.nodeId
        while True:
            answer = await self._client.send(self._node, InitProducerIdRequest(None, TIMEOUT_MS))
            if answer.error_code == 0:
                return Id(answer.producer_id, answer.producer_epoch)
            error = for_code(answer.error_code)
            if not error.retriable:
                raise error
            await asyncio.sleep(0.1)

    async def run(self, planned: list[Due]) -> float:
        """Send each when it is due, and as soon as it can be after that; the seconds it took until all were
        acknowledged. Raises KafkaError."""
        began, flying = time.monotonic(), set[asyncio.Task[None]]()
        with gc_paused():  # see `latency`
            for due in planned:
                await asyncio.sleep(began + due.at - time.monotonic())
                while len(flying) >= IN_FLIGHT:
                    done, flying = await asyncio.wait(flying, return_when=asyncio.FIRST_COMPLETED)
                    for each in done:
                        each.result()
                flying.add(asyncio.create_task(self._send(due.request)))
            await asyncio.gather(*flying)
        return time.monotonic() - began

    async def _send(self, request: ProduceRequest) -> None:
        answer: Any = await self._client.send(self._node, request)
        for _, partitions in answer.topics:
            for _, code, *_ in partitions:
                if code:
                    raise for_code(code)

    async def close(self) -> None:
        """Disconnect."""
        await self._client.close()


class Todo(NamedTuple):
    """What a process that runs `pace` is told."""

    servers: str
    prefix: str
    ids: dict[str, int]
    rooms: int
    partitions: int
    rate: float
    signals: int
    linger_ms: int


def pace(pipe: Connection, todo: Todo) -> None:
    """The process: the creates of all rooms; then, when told to, the signals. It answers with the time it took; when it
    fails, who waits for the answer gets EOFError."""
    with pipe:
        asyncio.run(_pace(pipe, todo))


async def _pace(pipe: Connection, todo: Todo) -> None:
    load, out = iter(Load(Codec(todo.ids), todo.prefix, todo.rooms)), producer(todo.servers, todo.linger_ms)
    for record in islice(load, todo.rooms):
        send(out, record)
    flush(out)
    sender = Sender(todo.servers)
    try:
        who = await sender.open()
        planned = plan(islice(load, todo.signals), todo.rate, todo.linger_ms, todo.partitions, who)
        pipe.send("ready")
        pipe.recv()
        pipe.send(await sender.run(planned))
    finally:
        await sender.close()
