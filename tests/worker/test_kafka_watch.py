"""A worker whose only broker ends because its disk is full, and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka import errors as Errors

from pipeline.devstack import Stack
from pipeline.errors import ConfigError
from pipeline.model import signals as s
from testkit.pipe import Pipe, WorkerProcess
from testkit.servers import PREFIX, Servers
from tests.support.eager import eager_worker
from tests.support.topics import T, until_log, volumes

pytestmark = pytest.mark.broker
CREATE = s.ConferenceCreate("c", "room", T, "app", "name")
LOST = "Kafka does not answer: the worker waits"


@pytest.fixture
def broker(servers: Servers, tmp_path: Path) -> Iterator[Pipe]:
    """A pipe on a broker of its own."""
    stack = Stack(f"{PREFIX}{os.getpid()}-full", home=tmp_path, heap_mb=256, registry=False)
    try:
        bootstrap = stack.up().bootstrap_servers
        assert bootstrap
        yield Pipe(Servers(bootstrap, servers.registry_url, "", stack))
    finally:
        stack.down()


async def until(good: Callable[[], Any], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(good):
            await asyncio.sleep(0.1)


async def fill_disk(pipe: Pipe) -> None:
    """Let the broker's next writes fail, and write until it is gone: a broker ends that can write to no directory."""
    stack = pipe.servers.stack
    assert stack
    [process] = stack.status().processes
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    refused = 0
    async with asyncio.timeout(60), AIOKafkaProducer(**pipe.settings.kafka(), request_timeout_ms=2000) as producer:
        while refused < 3:
            try:
                await producer.send_and_wait(pipe.topic("api.signals"), b"x" * 5000, b"room")
            except Errors.KafkaError:
                await asyncio.sleep(0.2)
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", process.port)
                writer.close()
            except ConnectionRefusedError:
                refused += 1
    with contextlib.suppress(ConfigError):  # it has ended
        stack.kill(process.name)  # its end may hang


def silent(worker: WorkerProcess) -> float:
    return worker.metric("pipeline_kafka_silent_seconds")


@pytest.mark.timeout(180)
async def test_a_lost_broker_is_reported_until_it_is_back(broker: Pipe) -> None:
    stack = broker.servers.stack
    assert stack
    await broker.set_up()
    with eager_worker(broker) as worker:
        await broker.send(CREATE)
        await broker.until_events(1)
        assert silent(worker) < 2
        await fill_disk(broker)
        await until(lambda: worker.get("/readyz")[0] == 503)
        assert "Kafka has not answered for" in worker.get("/readyz")[1]
        assert silent(worker) > 4
        await until(lambda: len([line for line in worker.log if line["msg"] == LOST]) >= 2)
        line = await until_log(worker, LOST)
        assert "refused" in line["error"]
        assert line["level"] == "warning"
        await asyncio.to_thread(stack.up)
        await until_log(worker, "Kafka answers again")
        await broker.send(*volumes(0, 2))
        async with asyncio.timeout(60):
            while len(await broker.events()) < 3 and worker.returncode is None:
                await asyncio.sleep(0.2)
    # The group may have continued without the worker: then it ends, as when it was frozen, and its successor goes on.
    if worker.returncode == 3:
        with eager_worker(broker) as worker:
            await broker.until_events(3)
    assert len(await broker.events()) == 3
