"""The registry's client against servers that lie, stall and send too much: each answer gives a value or one line."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from pipeline.errors import ConfigError, DeniedError, PipelineError
from pipeline.kafka import http_client
from pipeline.kafka.http_client import Response, shorten
from pipeline.kafka.schema_registry import Registry, RegistryDownError
from pipeline.settings import load
from tests.support.hostile_http import HostileServer, hostile, response

RECORD = "conference.PlayPaused"
SCHEMA = response(200, b'{"schema":"\\"string\\""}')
NOT_FOUND = response(404, b'{"error_code":40403,"message":"Schema not found"}')
LOGIN = {"registry_username": "user", "registry_password": "hunter2-of-user"}
CALLS: dict[str, Callable[[Registry], Awaitable[object]]] = {
    "ping": lambda registry: registry.ping(),
    "schema": lambda registry: registry.schema(7),
    "schema_ids": lambda registry: registry.schema_ids("t"),
    "register": lambda registry: registry.register("t", RECORD),
    "subject_status": lambda registry: registry.subject_status("t", RECORD),
    "delete": lambda registry: registry.delete("t"),
}


async def ask(url: str, call: str = "schema", *, answered: bool = False, **options: Any) -> Any:
    async with Registry(load(registry_url=url, **(options or LOGIN))) as registry:
        registry._answered = answered
        return await CALLS[call](registry)


async def error(url: str, call: str = "schema", **options: Any) -> PipelineError:
    with pytest.raises(PipelineError) as caught:
        await ask(url, call, **options)
    text = str(caught.value)
    assert text.isprintable(), text
    assert "hunter2" not in text
    return caught.value


# --- redirects ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("call", CALLS)
async def test_a_redirect_is_never_followed(status: int, call: str) -> None:
    """Neither to another origin nor to this one: no second request is sent, and so no login."""
    with hostile(lambda _: [SCHEMA]) as thief, hostile(lambda _: [moved]) as server:
        moved = response(status, b"", f"Location: {thief.url.replace('//', '//x:hunter2@')}/login?to=hunter2#x")
        found = await error(server.url, call)
        assert type(found) is ConfigError
        assert f"status {status} and a redirect to {thief.url}/login" in str(found)
        assert "SCHEMA_REGISTRY_URL must name the registry itself" in str(found)
        assert thief.heads == []


@pytest.mark.parametrize("target", ["/elsewhere", "https://127.0.0.1:{port}/", "//127.0.0.1/", "", "http://[", "\x01"])
async def test_redirects_to_odd_targets_are_shown(target: str) -> None:
    def script(_: bytes) -> list[bytes]:
        port = server.url.rpartition(":")[2]
        return [response(302, b"", f"Location: {target.format(port=port)}")]

    with hostile(script) as server:
        await error(server.url)
        assert len(server.heads) == 1


async def test_a_redirect_after_good_answers_is_an_outage() -> None:
    with hostile(lambda _: [response(302, b"", "Location: /login")]) as server:
        found = await error(server.url, answered=True)
        assert isinstance(found, RegistryDownError)
        assert "which is not the registry that answered before" in str(found)


# --- what is not the registry ------------------------------------------------------------------------------------

PAGES = {
    "HTML 404 of a proxy": response(404, b"<html>no such page</html>", "Content-Type: text/html"),
    "HTML 200 of a proxy": response(200, b"<html>sign in</html>", "Content-Type: text/html"),
    "HTML 403 of a firewall": response(403, b"<html>blocked</html>", "Content-Type: text/html"),
    "HTML 401 of a gateway": response(401, b" <!doctype html>"),
    "JSON 404 of a gateway": response(404, b'{"error_code":404,"message":"no route"}'),
    "JSON 404 of another": response(404, b'{"detail":"not found"}'),
    "empty 404": response(404, b""),
    "no content": response(204, b""),
    "teapot": response(418, b""),
    "compressed": response(200, b"\x1f\x8b", "Content-Encoding: gzip"),
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "half a body": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
    "endless header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("page", PAGES)
async def test_a_healthy_worker_waits_when_something_else_answers(page: str) -> None:
    """After the registry has answered once, such an answer is an outage; it is never "no such schema"."""
    with hostile(lambda _: [PAGES[page]]) as server:
        assert isinstance(await error(server.url, answered=True), RegistryDownError)
        first = await error(server.url)
        assert type(first) in {ConfigError, RegistryDownError}


@pytest.mark.parametrize("code", [40401, 40402, 40403, 40499])
async def test_only_the_registrys_own_code_means_no_such_schema(code: int) -> None:
    with hostile(lambda _: [response(404, json.dumps({"error_code": code}).encode())]) as server:
        assert await ask(server.url) is None


@pytest.mark.parametrize("status", [401, 403])
async def test_a_login_that_the_registry_rejects_is_named(status: int) -> None:
    with hostile(lambda _: [response(status, b'{"error_code":40101}')]) as server:
        found = await error(server.url, answered=True)
        assert type(found) is (ConfigError if status == 401 else DeniedError)
        assert "SCHEMA_REGISTRY_USERNAME" in str(found)


@pytest.mark.parametrize(
    ("call", "body"),
    [
        ("schema_ids", b'{"id":"abc"}'),
        ("schema_ids", b'{"id":-1}'),
        ("schema_ids", b'{"id":4294967296}'),
        ("schema_ids", b'{"id":1e400}'),
        ("schema_ids", b'{"id":true}'),
        ("schema_ids", b'{"id":null}'),
        ("schema_ids", b"[7]"),
        ("schema", b'{"schema":7}'),
        ("schema", b'{"schema":null}'),
        ("schema", b'{"schema":"\\"string\\"","schemaType":7}'),
        ("ping", b'{"a":1}'),
        ("ping", b"[1]"),
        ("ping", b"[" * 100_000),
        ("ping", b'["\xff"]'),
        ("ping", b"\xef\xbb\xbf[]x"),
        ("subject_status", b'{"compatibilityLevel":[]}'),
        ("register", b"null"),
    ],
)
async def test_a_body_of_another_type_names_url_finding_and_remedy(call: str, body: bytes) -> None:
    with hostile(lambda _: [response(200, body)]) as server:
        found = await error(server.url, call)
    assert type(found) is ConfigError
    assert server.url in str(found)
    assert "answered with status 200 and a body '" in str(found)
    assert "SCHEMA_REGISTRY_URL must name" in str(found)
    assert len(str(found)) < 600


# --- size and time -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", [b"", b"Content-Length: 3221225472\r\n", b"Transfer-Encoding: chunked\r\n"])
@pytest.mark.parametrize("status", [200, 404, 500])
async def test_a_body_without_end_is_not_read(head: bytes, status: int) -> None:
    piece = b"1" * (1 << 16)
    piece = b"10000\r\n%b\r\n" % piece if b"chunked" in head else piece

    def script(_: bytes) -> Iterator[bytes]:
        yield b"HTTP/1.1 %d x\r\n%b\r\n" % (status, head)
        yield from itertools.repeat(piece, 3 << 14)  # 3 GiB

    with hostile(script) as server:
        tracemalloc.start()
        found = await error(server.url)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert "longer than 16 MiB" in str(found)
        assert isinstance(found, RegistryDownError)
        assert server.sent < 64 << 20
        assert peak < 64 << 20


async def drip(server_says: bytes, monkeypatch: pytest.MonkeyPatch) -> PipelineError:
    monkeypatch.setattr(http_client, "EXCHANGE_SECONDS", 0.5)

    def script(_: bytes) -> Iterator[bytes]:
        for byte in server_says:
            time.sleep(0.05)
            yield bytes([byte])

    with hostile(script) as server:
        began = time.monotonic()
        found = await error(server.url)
        assert time.monotonic() - began < 5
    return found


@pytest.mark.parametrize("slow", [SCHEMA, SCHEMA[:-1] + b" " * 1000 + b"}", b""])
async def test_a_slow_answer_is_given_up(slow: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    found = await drip(slow or b"H" * 1000, monkeypatch)
    assert isinstance(found, RegistryDownError)
    assert "no complete answer within" in str(found) or "no answer from the registry" in str(found)


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_delays_the_next_request(status: int) -> None:
    answers = iter([response(status, b"", "Retry-After: 1"), SCHEMA])
    with hostile(lambda _: [next(answers)]) as server:
        async with Registry(load(registry_url=server.url)) as registry:
            began = time.monotonic()
            with pytest.raises(RegistryDownError, match=str(status)):
                await registry.schema(7)
            assert time.monotonic() - began < 0.9
            assert await registry.schema(7) == '"string"'
            assert time.monotonic() - began >= 0.95


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", 0), ("7", 7), ("0.5", 0.5), ("-1", 0), ("1e9", 60), ("inf", 60), ("nan", 0), ("soon", 0), ("9" * 5000, 60),
        (formatdate(1030, usegmt=True), 30), (formatdate(1e9, usegmt=True), 60), (formatdate(1, usegmt=True), 0),
        ("Thu, 99 Jan 1970 00:00:00 GMT", 0),
    ],
)  # fmt: skip
def test_retry_after_is_bounded(header: str, seconds: float) -> None:
    assert http_client._wait(header, formatdate(1000, usegmt=True)) == seconds


# --- everything else ---------------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(["id", "schema", "schemaType", "error_code", "message", "compatibilityLevel", "is_compatible"])
BODIES = (
    st.binary(max_size=200)
    | VALUES.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(FIELDS, VALUES, max_size=4).map(lambda value: json.dumps(value).encode())
    | st.just(b'{"message":"hunter2-of-user \\u001b[2J \\n","error_code":40403}')
    | st.just(b"Authorization: Basic dXNlcjpodW50ZXIyLW9mLXVzZXI=")
)
HEADERS = st.lists(
    st.sampled_from(["Content-Type", "Location", "Retry-After", "Date", "Content-Encoding", "Set-Cookie", "WWW-Authenticate"])
    .flatmap(lambda name: st.text(st.characters(codec="latin-1"), max_size=30).map(lambda text: f"{name}: {text}")),
    max_size=3,
)  # fmt: skip
STATUSES = st.sampled_from([200, 200, 200, 404, 404, 401, 403, 409, 422, 302, 429, 503]) | st.integers(100, 999)


@pytest.fixture(scope="module")
def server() -> Iterator[HostileServer]:
    with hostile(lambda _: []) as opened:
        yield opened


@hypothesis(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(call=st.sampled_from(sorted(CALLS)), status=STATUSES, body=BODIES, headers=HEADERS, answered=st.booleans())
@example(call="schema", status=101, body=b"", headers=["Connection: upgrade"], answered=True)
def test_any_response_gives_a_value_or_one_line(
    server: HostileServer, call: str, status: int, body: bytes, headers: list[str], answered: bool
) -> None:
    raw = response(status, body, *[header for header in headers if "Retry-After" not in header])
    server.script = lambda _: [raw]
    check(server, call, answered)


@hypothesis(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(call=st.sampled_from(sorted(CALLS)), raw=st.binary(max_size=300) | st.binary(max_size=60).map(SCHEMA.__add__))
def test_any_bytes_give_a_value_or_one_line(server: HostileServer, call: str, raw: bytes) -> None:
    server.script = lambda _: [raw]
    check(server, call, True)


def check(server: HostileServer, call: str, answered: bool) -> None:
    try:
        asyncio.run(asyncio.wait_for(ask(server.url, call, answered=answered), 10))
    except PipelineError as found:
        text = str(found)
        assert text.isprintable(), text
        assert "hunter2" not in text
        assert "dXNlcjpodW50ZXIyLW9mLXVzZXI" not in text
        assert server.url in text or text.startswith("subject ")
        assert len(text) < 1000


@given(st.binary(max_size=400), st.text(max_size=70))
def test_foreign_text_is_shown_in_one_printable_line(body: bytes, kind: str) -> None:
    assert Response(200, body, shorten(kind)).shown(str).isprintable()
