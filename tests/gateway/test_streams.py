"""Event streams over a real broker, worker and gateways."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest

from testkit.pipe import Pipe
from tests.support.gateway import NO_COOLDOWNS, PATIENT, ROOMS, Client, apps_file

pytestmark = pytest.mark.broker
URLS = ["https://cdn.example.com/a.wav"]


class Sent(NamedTuple):
    """One block of a stream: the id, the type of the event ("" for a comment), and the event's sequence."""

    id: str
    type: str
    sequence: int


async def stream(client: Client, query: str = "", last: str = "") -> AsyncIterator[Sent]:
    headers = {**client.own, **({"Last-Event-ID": last} if last else {})}
    async with client.session.get(f"{client.url}/api/v1/events{query}", headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        block: dict[str, str] = {}
        async for line in answer.content:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name:
                block[name] = value
            elif block:
                data = json.loads(block.get("data", "{}"))
                kind = block.get("event", "").removeprefix("conference.")
                yield Sent(block.get("id", ""), kind, data.get("meta", {}).get("sequence", 0))
                block = {}


async def read(client: Client, count: int, query: str = "", last: str = "") -> list[Sent]:
    """Read this many events; comments are left out, but for the last id."""
    found: list[Sent] = []
    async with asyncio.timeout(60):
        async for one in stream(client, query, last):
            found += [one] if one.type else []
            if len(found) == count:
                return found
    raise AssertionError(found)


async def test_streams_resume_without_gap_or_repeat_on_any_gateway(pipe: Pipe, tmp_path: Path) -> None:
    apps = apps_file(tmp_path)
    with pipe.worker(**PATIENT), pipe.gateway(apps, **NO_COOLDOWNS) as one:
        async with Client(one.api) as client, Client(one.api, "b") as other:
            begun = [item async for item in first_blocks(client, 1)]
            start = begun[0].id
            foreign = asyncio.create_task(read(other, 1))
            path = f"{ROOMS}/{await client.create()}"
            await client.call("POST", f"{path}/play", {"urls": URLS})
            for _ in range(6):
                assert (await client.call("POST", f"{path}/pause")).status == 200
            seen = await read(client, 4, last=start)
            assert [item.sequence for item in seen] == [1, 2, 3, 4]
            rest = await read(client, 4, last=seen[-1].id)
            assert [item.sequence for item in rest] == [5, 6, 7, 8]
            paused = await read(client, 2, "?type=conference.play.paused", start)
            assert [item.sequence for item in paused] == [3, 5]
            more = await read(client, 1, "?type=conference.play.paused", paused[-1].id)
            assert [item.sequence for item in more] == [7]
            await other.create()
            assert [item.type for item in await foreign] == ["created"]  # none of the first app's
            bad = await client.call("GET", "/api/v1/events", last_event_id="nonsense")
            assert (bad.status, bad.error) == (400, "invalid_request")
        with pipe.gateway(apps) as two:  # its ring is empty: it reads the topic
            async with Client(two.api) as client:
                assert [item.sequence for item in await read(client, 8, last=start)] == list(range(1, 9))
                assert [item.sequence for item in await read(client, 2, last=rest[1].id)] == [7, 8]
                kind = "?type=conference.play.paused"
                assert [item.sequence for item in await read(client, 3, kind, start)] == [3, 5, 7]
                assert [item.sequence for item in await read(client, 1, kind, paused[-1].id)] == [7]
                here = f"?room_id={path.rpartition('/')[2]}"
                assert [item.sequence for item in await read(client, 8, here, start)] == list(range(1, 9))


async def first_blocks(client: Client, count: int) -> AsyncIterator[Sent]:
    async for one in stream(client):
        yield one
        count -= 1
        if not count:
            return
