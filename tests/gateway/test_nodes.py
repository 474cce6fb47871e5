"""Where new rooms go, and what engines can't do, with announcements on a real topic of engines."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pipeline.engines.claim_holder import ClaimHolder
from pipeline.engines.rules.commands import CAPABILITIES, Command
from pipeline.gateway.nodes import CAPABILITIES as NEEDED
from pipeline.model.records import Engine
from pipeline.model.signals import SIGNALS
from testkit.pipe import Pipe, WorkerProcess
from tests.support.gateway import NO_COOLDOWNS, PATIENT, ROOMS, Client, apps_file

ALL = frozenset(CAPABILITIES.values())
URLS = ["https://cdn.example.com/a.wav"]


def test_every_api_signal_needs_a_capability_of_the_commands() -> None:
    assert NEEDED.keys() == {signal.TYPE for signal in SIGNALS if signal.TOPIC == "api"}
    assert set(NEEDED.values()) == ALL
    named: dict[type[Command], str] = CAPABILITIES
    assert all(NEEDED[f"conference.{kind.__name__.lower()}"] == one for kind, one in named.items()
               if kind.__name__ != "Resume")  # fmt: skip


@asynccontextmanager
async def announced(pipe: Pipe, node: str, capabilities: Iterable[str] = ALL) -> AsyncIterator[ClaimHolder]:
    """Write the record of a bridge, and its tombstone at the end."""
    record = Engine("model", "1", tuple(capabilities), 0, -1, time.time_ns() // 1000)
    async with ClaimHolder(pipe.settings, node, lambda: record, lambda _: None) as claim:
        await claim.take()
        yield claim
        await claim.retire()


async def until(gateway: WorkerProcess, nodes: int) -> None:
    limit = time.monotonic() + 30
    while gateway.metric("gateway_nodes") != nodes:
        assert time.monotonic() < limit


@pytest.mark.broker
async def test_rooms_go_to_announced_nodes_and_unable_ones_refuse(pipe: Pipe, tmp_path: Path) -> None:
    own = {**NO_COOLDOWNS, "GATEWAY_NODES": "n9"}
    with pipe.worker(**PATIENT), pipe.gateway(apps_file(tmp_path), **own) as gateway:
        async with Client(gateway.api) as client:
            assert (await client.create("before")).startswith("n9-room-")
            async with announced(pipe, "n1", ALL - {"pause", "join", "create"}), announced(pipe, "n2"):
                await until(gateway, 2)
                made = [await client.call("POST", ROOMS, {"name": f"r{n}"}, idempotency_key=f"k{n}") for n in range(12)]
                rooms = {one.body["room_id"] for one in made if one.status == 201}
                refused = [one for one in made if one.status != 201]
                assert {room.partition("-")[0] for room in rooms} == {"n2"}
                assert {(one.status, one.error) for one in refused} == {(501, "engine_cannot")}
                assert refused[0].body["detail"]["node"] == "n1"
            await until(gateway, 0)
            assert (await client.create("between")).startswith("n9-room-")
            async with announced(pipe, "n9", ALL - {"pause", "join"}):
                await until(gateway, 1)
                path = f"{ROOMS}/{await client.create('after')}"
                assert (await client.call("POST", f"{path}/play", {"urls": URLS})).status == 200
                written = len(await pipe.records("api.signals"))
                for kind, body in ((f"{path}/pause", None), (_session("join"), {"room_id": path[len(ROOMS) + 1 :]})):
                    answer = await client.call("POST", kind, body)
                    assert (answer.status, answer.error) == (501, "engine_cannot")
                assert len(await pipe.records("api.signals")) == written
                assert (await client.call("POST", f"{ROOMS}/n9-room-x/pause")).status == 404  # not there comes first
            await until(gateway, 0)
            assert (await client.call("POST", f"{path}/pause")).status == 200  # nobody announces it: it can do all


def _session(command: str) -> str:
    return f"/api/v1/sessions/s/commands/conference/{command}"


@pytest.mark.broker
async def test_a_starting_gateway_knows_old_announcements_are_old(pipe: Pipe, tmp_path: Path) -> None:
    record = Engine("model", "1", tuple(ALL), 0, -1, 0)
    async with ClaimHolder(pipe.settings, "n1", lambda: record, lambda _: None) as claim:
        await claim.take()
    with pipe.worker(**PATIENT), pipe.gateway(apps_file(tmp_path), **NO_COOLDOWNS) as gateway:
        assert (gateway.metric("gateway_nodes"), gateway.metric("gateway_lost_nodes")) == (1, 0)
        async with Client(gateway.api) as client:
            assert (await client.create()).startswith("n1-room-")
