"""What a gateway refuses before it looks at rooms, over real connections."""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import pytest
from openapi_spec_validator import validate

from pipeline.gateway.api import Api
from pipeline.gateway.app import make_app
from pipeline.gateway.apps import Apps
from pipeline.gateway.guard import Guard
from pipeline.gateway.metrics import GatewayMetrics
from pipeline.gateway.process import api_server
from pipeline.gateway.settings import load_gateway
from tests.support.gateway import ROOMS, Client, apps_file

NO_PARTS = cast(Any, [None] * 5)


@asynccontextmanager
async def serving(folder: Path, **own: Any) -> AsyncIterator[str]:
    """Serve the endpoints without rooms: a request that gets as far as them is answered with 500."""
    path = str(apps_file(folder))
    settings = load_gateway(apps_file=path, host="127.0.0.1", port=0, **own)
    app = make_app(Api(*NO_PARTS))
    async with api_server(Guard(app, Apps(path), settings, GatewayMetrics()), settings) as server:
        yield f"http://127.0.0.1:{server.port}"


async def test_the_document_is_valid_and_has_every_error(tmp_path: Path) -> None:
    async with serving(tmp_path) as url, Client(url) as client:
        document = (await client.call("GET", "/openapi.json")).body
    validate(document)
    assert document["openapi"].startswith("3.1")
    for methods in document["paths"].values():
        for one in methods.values():
            assert {"400", "401", "429", "503"} <= one["responses"].keys()
            assert one["description"]


async def test_requests_without_a_valid_key_are_refused_and_limited(tmp_path: Path) -> None:
    async with serving(tmp_path, anonymous_rate=5) as url:
        async with Client(url, key="wrong") as client:
            answers = [await client.call("GET", ROOMS) for _ in range(30)]
        statuses = [answer.status for answer in answers]
        assert statuses[:5] == [401] * 5
        assert set(statuses) <= {401, 429}
        assert 429 in statuses
        assert all("Retry-After" in answer.headers for answer in answers if answer.status == 429)
        async with Client(url) as client:
            assert (await client.call("GET", "/api/v1/nothing")).error == "not_found"


@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [
        (b"{}", "application/json", 400),
        (b"", "application/json", 400),
        (b"[" * 60_000, "application/json", 400),
        (b'{"name": "' + b"9" * 65 + b'"}', "application/json", 400),
        (b'{"name": "a\\u0000b"}', "application/json", 400),
        (b'{"name": "\\ud800"}', "application/json", 400),
        (b'{"name": 1}', "application/json", 400),
        (b'{"name": "n", "more": 1}', "application/json", 400),
        (b'{"name": "n", "command_uid": "a b"}', "application/json", 400),
        (b'{"name": ' + b"9" * 60_000 + b"}", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b'{"name": "n"}', "text/plain", 415),
        (b"x" * 65_537, "application/json", 413),
    ],
)
async def test_bad_bodies_are_refused(tmp_path: Path, data: bytes, kind: str, status: int) -> None:
    async with serving(tmp_path) as url, Client(url) as client:
        answer = await client.call("POST", ROOMS, data=data, content_type=kind)
        assert (answer.status, answer.body["success"]) == (status, False), answer


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "limit=1e2", f"after={'x' * 256}"])
async def test_nonsense_in_limit_and_after_is_refused(tmp_path: Path, query: str) -> None:
    async with serving(tmp_path) as url, Client(url) as client:
        assert (await client.call("GET", f"{ROOMS}?{query}")).status == 400


async def test_bad_headers_and_methods_are_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as url, Client(url) as client:
        assert (await client.call("PUT", ROOMS, {"name": "n"})).error == "method_not_allowed"
        assert (await client.call("GET", "/api/v1/events?type=x")).status == 400


async def raw(url: str, data: bytes) -> bytes:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    await writer.drain()
    try:
        return await asyncio.wait_for(reader.read(1 << 16), 60)
    finally:
        writer.close()


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: +5\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"X: " + b"y" * 100_000 + b"\r\n",
        b"".join(b"H%d: v\r\n" % n for n in range(5000)),
    ],
)
async def test_ambiguous_lengths_and_header_floods_are_refused(tmp_path: Path, head: bytes) -> None:
    async with serving(tmp_path) as url:
        answer = await raw(url, b"POST /api/v1/conferences HTTP/1.1\r\nHost: x\r\n" + head + b"\r\nabcde")
        assert answer.startswith(b"HTTP/1.1 400"), answer


async def test_the_page_of_the_docs_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    async with serving(tmp_path) as url, Client(url) as client, client.session.get(f"{url}/docs") as answer:
        text, policy = await answer.text(), answer.headers["Content-Security-Policy"]
    assert (answer.status, answer.content_type) == (200, "text/html")
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert not re.search(r"<script|<link|https?://(?!cdn\.example\.com/audio)|\bon\w+=|style=", text)
    assert (
        f"sha256-{b64encode(sha256(text.split('<style>')[1].split('</style>')[0].encode()).digest()).decode()}"
        in policy
    )
    for path in ("GET /api/v1/events", "POST /api/v1/conferences/{room_id}/play"):
        assert f"<code>{path}</code>" in text


async def test_open_paths_are_limited_too(tmp_path: Path) -> None:
    async with serving(tmp_path, anonymous_rate=0.001) as url, Client(url) as client:
        statuses = [(await client.call("GET", "/openapi.json")).status for _ in range(2)]
    assert statuses == [200, 429]
