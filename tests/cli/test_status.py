"""`status` on real servers: workers, lag, rooms, letters."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from pipeline.model import signals as s
from testkit.fork_server import run
from testkit.pipe import PARTITIONS, Pipe

pytestmark = pytest.mark.broker


def status(pipe: Pipe, *options: str) -> tuple[int, Any]:
    done = run("status", "--json", *options, env=pipe.env)
    assert done.stderr == b"", done.stderr
    return done.returncode, json.loads(done.stdout)


async def test_status_shows_workers_lag_rooms_and_letters(pipe: Pipe) -> None:
    number = pipe.partition("room")
    await pipe.send(s.ConferenceCreate("c", "room", 1, "app", "n"), s.ConferencePause("p", "room", 2, "o"))
    async with AIOKafkaProducer(**pipe.settings.kafka(), acks="all") as producer:
        await producer.send_and_wait(pipe.topic("api.signals"), b"{", b"room")
    code, found = status(pipe)
    assert (code, found["workers"], found["rooms"], found["dead"]) == (3, [], 0, 0)
    lag = {one["partition"]: one["lag_signals"] for one in found["partitions"]}
    assert lag == {n: 3 if n == number else 0 for n in range(PARTITIONS)}
    assert found["partitions"][number]["lag_seconds"] > 0
    assert found["signals_per_second"] > 0
    with pipe.worker():
        await pipe.until_events(1)
        while len(await pipe.records("signals.dead")) < 1:
            pass
        code, found = status(pipe)
        assert (code, found["rooms"], found["dead"], found["rejected"]) == (0, 1, 1, 1)
        assert [one["partitions"] for one in found["workers"]] == [PARTITIONS]
        assert [one["lag_signals"] for one in found["partitions"]] == [0] * PARTITIONS
        text = run("status", "--quick", env=pipe.env).stdout.decode()
    assert "lag       0 signals, the oldest 0.0 s\n" in text
    assert "in 24 h   1 dead letters, 1 rejected signals\n" in text
    assert "rooms" not in text
