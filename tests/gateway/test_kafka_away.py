"""Kafka goes away before, during and after the write of a signal: a 503 wrote nothing, a 200 is no guess.

A proxy between the gateway and a broker of its own cuts the connections; the worker has another listener.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from pipeline.devstack import Stack
from testkit.chaos.proxy import PRODUCE, Link, LostRequest, Proxies, free_ports, listeners
from testkit.pipe import Pipe
from testkit.servers import PREFIX, Servers
from tests.support.gateway import NO_COOLDOWNS, PATIENT, ROOMS, Answer, Client, apps_file

pytestmark = pytest.mark.broker
URLS = ["https://cdn.example.com/a.wav"]


class Site(NamedTuple):
    """A broker, the proxies, and the link of the gateways with its address."""

    servers: Servers
    proxies: Proxies
    link: Link
    address: str


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    ports = free_ports(1, 1)
    name = f"{PREFIX}{os.getpid()}-away-{secrets.token_hex(3)}"
    stack, proxies = Stack(name, heap_mb=256, extra_properties=listeners(ports, 1)), Proxies()
    try:
        status = stack.up()
        assert status.bootstrap_servers
        assert status.schema_registry_url
        port = int(f"{ports}110")
        proxies.add(0, 1, port, port - 10, 1)
        servers = Servers(status.bootstrap_servers, status.schema_registry_url, "away", stack)
        yield Site(servers, proxies, proxies.links[0, 1], f"127.0.0.1:{port}")
    finally:
        proxies.stop()
        stack.down()


async def settled(client: Client, path: str, body: object, key: str) -> Answer:
    """Repeat a request until it is answered with its outcome."""
    limit = time.monotonic() + 90
    while True:
        answer = await client.call("POST", path, body, idempotency_key=key)
        if answer.status not in (202, 503):
            return answer
        assert time.monotonic() < limit, answer
        await asyncio.sleep(0.2)


async def test_what_is_answered_holds_while_kafka_is_cut_off(site: Site, tmp_path: Path) -> None:
    pipe = Pipe(site.servers)
    await pipe.set_up()
    link, call = site.link, site.proxies.call
    own = {**NO_COOLDOWNS, "KAFKA_BOOTSTRAP_SERVERS": site.address, "GATEWAY_WAIT_SECONDS": "1"}
    with pipe.worker(**PATIENT) as worker, pipe.gateway(apps_file(tmp_path), **own) as gateway:
        async with Client(gateway.api) as client:
            path = f"{ROOMS}/{(await settled(client, ROOMS, {'name': 'n'}, 'c')).body['room_id']}"

            # During the write: the request is held back, so nobody can know whether it will arrive.
            call(link.trip(PRODUCE))
            begun = await client.call("POST", f"{path}/play", {"urls": URLS}, idempotency_key="during")
            assert begun.status == 202
            assert link.tripped.is_set()
            # Before the write: the view is stale after 5 s, and nothing is written from then on.
            refused = await _until_503(client, f"{path}/volume", {"volume": 3})
            assert refused.headers["Retry-After"]
            assert (await client.call("GET", path)).status == 503
            assert gateway.get("/readyz")[0] == 503
            call(link.heal())
            played = await settled(client, f"{path}/play", {"urls": URLS}, "during")
            assert (played.status, played.body["event"]["event"]) == (200, "conference.play.started")

            # The outcome comes before the acknowledgement, whose connection breaks.
            lost = LostRequest(PRODUCE, "answer")
            call(link.lose(lost))
            paused = await settled(client, f"{path}/pause", None, "lost")
            call(link.release(lost))
            assert lost.delivered.is_set()
            assert (paused.status, paused.body["event"]["event"]) == (200, "conference.play.paused")

            # After the write: it is acknowledged, and its outcome does not come.
            call(link.starve())
            waiting = await client.call("POST", f"{path}/stop", idempotency_key="after")
            assert waiting.status in (202, 503)
            call(link.feed())
            stopped = await settled(client, f"{path}/stop", None, "after")
            assert (stopped.status, stopped.body["event"]["event"]) == (200, "conference.play.stopped")

            # A slow worker, which sleeps most of the time.
            for _ in range(3):
                asyncio.get_running_loop().call_later(0.1, worker.signal, signal.SIGSTOP)
                asyncio.get_running_loop().call_later(1.5, worker.signal, signal.SIGCONT)
                slow = await settled(client, f"{path}/volume", {"volume": 2}, f"slow{_}")
                assert (slow.status, slow.body["event"]["volume"]) == (200, 2)
    events = [one["event"].removeprefix("conference.") for one in await pipe.events()]
    volumes = ["play.volume_changed"] * 3
    assert events == ["created", "play.started", "play.paused", "play.stopped", *volumes]
    written = [record.value for record in await pipe.records("api.signals")]
    assert not [value for value in written if b'"volume":3' in value], "a 503 has written its signal"


async def _until_503(client: Client, path: str, body: object) -> Answer:
    """Send requests that are not written until one is answered with 503."""
    limit = time.monotonic() + 60
    while True:
        if (await client.call("GET", path.rpartition("/")[0])).status == 503:
            return await client.call("POST", path, body)
        assert time.monotonic() < limit
        await asyncio.sleep(0.2)
