"""A sender of signals at an even rate, with requests that are encoded before the clock starts.

It sends one request every `linger_ms` with the batches of all partitions, like the Java client; idempotent, acks=all,
five in flight. librdkafka sends one request per partition (its issue 1700), up to 4,800 a second with 24 partitions. At
66,000 to 71,000 signals a second, 0.22 to 0.26 of two cores were idle with librdkafka, 0.41 to 0.43 with this sender.
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
    """A request and its send time in seconds from the start."""

    at: float
    request: ProduceRequest


class Id(NamedTuple):
    """The producer id and epoch of an idempotent producer (KIP-98)."""

    number: int
    epoch: int


def plan(signals: Iterable[Signal], rate: float, linger_ms: int, partitions: int, who: Id) -> list[Due]:
    """Return the requests for evenly spaced signals, `rate` per second; each `linger_ms` is sent at its end."""
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
        """Connect and get a producer id. Raises KafkaError."""
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
        """Send each request when due, or as soon as possible after; return the seconds until all are acknowledged.

        Raises KafkaError.
        """
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


class PacerConfig(NamedTuple):
    """The arguments of a process that runs `pace`."""

    servers: str
    prefix: str
    ids: dict[str, int]
    rooms: int
    partitions: int
    rate: float
    signals: int
    linger_ms: int


def pace(pipe: Connection, config: PacerConfig) -> None:
    """Send the creates of all rooms, wait for a message, send the signals, and return the seconds over the pipe.

    If it fails, the other end of the pipe gets EOFError.
    """
    with pipe:
        asyncio.run(_pace(pipe, config))


async def _pace(pipe: Connection, config: PacerConfig) -> None:
    load, out = (
        iter(Load(Codec(config.ids), config.prefix, config.rooms)),
        producer(config.servers, config.linger_ms),
    )
    for record in islice(load, config.rooms):
        send(out, record)
    flush(out)
    sender = Sender(config.servers)
    try:
        who = await sender.open()
        planned = plan(islice(load, config.signals), config.rate, config.linger_ms, config.partitions, who)
        pipe.send("ready")
        pipe.recv()
        pipe.send(await sender.run(planned))
    finally:
        await sender.close()
