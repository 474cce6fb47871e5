"""The registry client with a real registry, and with servers that misbehave."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import fastavro
import pytest

from pipeline.errors import ConfigError, PipelineError
from pipeline.kafka.schema_registry import COMPATIBILITY, Registry, RegistryDownError
from pipeline.model.events import EVENTS
from pipeline.model.schema_resolution import OtherFormat
from pipeline.model.signals import SIGNALS
from pipeline.model.wire import SCHEMAS
from pipeline.settings import Settings, load
from pipeline.topics import TOPICS
from testkit.servers import Servers
from tests.support.fronts import Answer, Asked, serve

RECORD = "conference.PlayPaused"
ANSWER = b'{"error_code":40403,"message":"Schema not found"}'


@pytest.fixture
def mine(servers: Servers) -> Settings:
    """Settings with a unique prefix."""
    return load(registry_url=servers.registry_url, topic_prefix=f"t{secrets.token_hex(5)}")


@pytest.fixture
async def registry(mine: Settings) -> AsyncIterator[Registry]:
    async with Registry(mine) as opened:
        yield opened


async def raw(settings: Settings, method: str, path: str, body: Any = None) -> Any:
    """Send a request without the client under test; return the answer."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, settings.registry_url + path, json=body) as answer,
    ):
        return await answer.json(content_type=None)


def canonical(text: str) -> str:
    """Return the canonical form: registries may omit redundant parts, such as an inherited namespace."""
    return str(fastavro.schema.to_parsing_canonical_form(json.loads(text)))


@pytest.mark.broker
async def test_second_registration_changes_nothing(registry: Registry, mine: Settings) -> None:
    subject = f"{mine.topic_prefix}.events-{RECORD}"
    before = await raw(mine, "GET", "/config")
    assert await registry.register(subject, RECORD) is True
    assert await registry.register(subject, RECORD) is False
    assert await raw(mine, "GET", f"/subjects/{subject}/versions") == [1]
    assert await raw(mine, "GET", f"/config/{subject}") == {"compatibilityLevel": COMPATIBILITY}
    assert await raw(mine, "GET", "/config") == before, "the global level is unchanged"


@pytest.mark.broker
async def test_changed_compatibility_level_is_restored(registry: Registry, mine: Settings) -> None:
    subject = f"{mine.topic_prefix}.events-{RECORD}"
    await registry.register(subject, RECORD)
    await raw(mine, "PUT", f"/config/{subject}", {"compatibility": "NONE"})
    assert await registry.register(subject, RECORD) is False
    assert await raw(mine, "GET", f"/config/{subject}") == {"compatibilityLevel": COMPATIBILITY}


@pytest.mark.broker
async def test_schema_is_returned_by_id(registry: Registry, mine: Settings) -> None:
    subject = f"{mine.topic_prefix}.events-{RECORD}"
    await registry.register(subject, RECORD)
    found = await raw(mine, "GET", f"/subjects/{subject}/versions/latest")
    text = await registry.schema(found["id"])
    assert text is not None
    assert canonical(text) == canonical(SCHEMAS[RECORD])


@pytest.mark.broker
@pytest.mark.parametrize("schema_id", [0, 2**31 - 1, 2**31, 2**32 - 1])
async def test_unknown_id_returns_none(registry: Registry, schema_id: int) -> None:
    assert await registry.schema(schema_id) is None


@pytest.mark.broker
async def test_a_schema_of_another_format_is_named(registry: Registry, mine: Settings) -> None:
    subject = f"{mine.topic_prefix}.other-value"
    schema = '{"$schema":"http://json-schema.org/draft-07/schema#","type":"object"}'
    made = await raw(mine, "POST", f"/subjects/{subject}/versions", {"schemaType": "JSON", "schema": schema})
    found = await registry.schema(made["id"])
    assert isinstance(found, OtherFormat)
    assert found == "JSON"


@pytest.mark.broker
async def test_schema_ids_needs_all_schemas_registered(registry: Registry, mine: Settings) -> None:
    with pytest.raises(
        ConfigError,
        match=r"no version of subject .* with this program's schema .* run `conference-pipeline setup`",
    ):
        await registry.schema_ids(mine.topic_prefix)
    subjects = {s: r for topic in TOPICS for s, r in topic.subjects(mine.topic_prefix).items()}
    for subject, record in subjects.items():
        await registry.register(subject, record)
    ids = await registry.schema_ids(mine.topic_prefix)
    assert set(ids) == set(subjects.values())
    assert len(set(ids.values())) == len(ids) == len(SIGNALS) + len(EVENTS) + 6


@pytest.mark.broker
async def test_newer_registered_version_is_kept(registry: Registry, mine: Settings) -> None:
    """As after a newer program has registered its schema."""
    subject = f"{mine.topic_prefix}.events-{RECORD}"
    await registry.register(subject, RECORD)
    newer = json.loads(SCHEMAS[RECORD])
    newer["fields"].append({"name": "more", "type": "string", "default": ""})
    made = await raw(mine, "POST", f"/subjects/{subject}/versions", {"schema": json.dumps(newer)})
    assert "id" in made, made
    assert await registry.register(subject, RECORD) is False
    assert await raw(mine, "GET", f"/subjects/{subject}/versions") == [1, 2]


@pytest.mark.broker
async def test_incompatible_version_raises(registry: Registry, mine: Settings) -> None:
    subject = f"{mine.topic_prefix}.events-{RECORD}"
    theirs = {
        "type": "record",
        "name": "PlayPaused",
        "namespace": "conference",
        "fields": [{"name": "x", "type": "int"}],
    }
    await raw(mine, "POST", f"/subjects/{subject}/versions", {"schema": json.dumps(theirs)})
    with pytest.raises(ConfigError) as caught:
        await registry.register(subject, RECORD)
    text = str(caught.value)
    assert subject in text
    assert "PIPELINE_TOPIC_PREFIX" in text
    assert "\n" not in text
    assert await raw(mine, "GET", f"/subjects/{subject}/versions") == [1]


# --- servers that misbehave ----------------------------------------------------------------------------------------

MISBEHAVIOUR: dict[str, tuple[Answer, type[PipelineError], str]] = {
    "down": ((503, b"<html>bad gateway</html>"), RegistryDownError, "503"),
    "broken": ((500, b'{"error_code":50001,"message":"store"}'), RegistryDownError, "500"),
    "busy": ((429, b""), RegistryDownError, "429"),
    "too slow for its proxy": ((408, b""), RegistryDownError, "408"),
    "wrong login": ((401, b'{"error_code":401}'), ConfigError, "SCHEMA_REGISTRY_USERNAME"),
    "no permission": ((403, b""), ConfigError, "SCHEMA_REGISTRY_USERNAME"),
    "a web page": ((200, b"<html>hello</html>"), ConfigError, "SCHEMA_REGISTRY_URL must name"),
    "an empty page": ((200, b""), ConfigError, "SCHEMA_REGISTRY_URL must name"),
    "no such page": ((404, b"<html>not found</html>"), ConfigError, "SCHEMA_REGISTRY_URL must name"),
    "no such page, as JSON": ((404, b'{"detail":"not found"}'), ConfigError, "SCHEMA_REGISTRY_URL must name"),
    "a number": ((404, b"404"), ConfigError, "SCHEMA_REGISTRY_URL must name"),
    "another JSON": ((200, b"[]"), ConfigError, "SCHEMA_REGISTRY_URL must name"),
    "a schema without its text": ((200, b'{"id":7}'), ConfigError, "SCHEMA_REGISTRY_URL must name"),
    "a strange request": ((400, b'{"error_code":400,"message":"what?"}'), ConfigError, "what?"),
}


@pytest.mark.parametrize("name", MISBEHAVIOUR)
async def test_misbehaving_server_raises_an_error_of_one_line(name: str) -> None:
    answer, kind, expected = MISBEHAVIOUR[name]
    with serve(lambda _: answer) as url:
        async with Registry(load(registry_url=url)) as registry:
            with pytest.raises(kind) as caught:
                await registry.schema(7)
    text = str(caught.value)
    assert expected in text
    assert url in text
    assert "\n" not in text


async def test_subject_is_registered_first_when_the_registry_requires_it() -> None:
    done: list[str] = []

    def answer(asked: Asked) -> Answer:
        if asked.method == "GET" or asked.path == "/subjects/s":
            return 404, ANSWER
        if asked.method == "PUT" and "POST /subjects/s/versions" not in done:
            return 404, ANSWER
        done.append(f"{asked.method} {asked.path}")
        return 200, b'{"id":7}'

    with serve(answer) as url:
        async with Registry(load(registry_url=url)) as registry:
            assert await registry.register("s", RECORD) is True
    assert done[:2] == ["POST /subjects/s/versions", "PUT /config/s"]


@pytest.mark.parametrize(
    ("level", "version", "expected"),
    [
        ((422, b'{"error_code":42203,"message":"bad level"}'), (200, b'{"id":7}'), "did not set compatibility level FULL_TRANSITIVE on subject s: bad level"),
        ((200, b"{}"), (422, b'{"error_code":42201}'), "rejected the schema of subject s: 42201"),
    ],
)  # fmt: skip
async def test_rejection_is_reported_with_its_reason(level: Answer, version: Answer, expected: str) -> None:
    def answer(asked: Asked) -> Answer:
        if asked.method == "PUT":
            return level
        return version if asked.path.endswith("/versions") else (404, ANSWER)

    with serve(answer) as url:
        async with Registry(load(registry_url=url)) as registry:
            with pytest.raises(ConfigError) as caught:
                await registry.register("s", RECORD)
    assert expected in str(caught.value)
    assert url in str(caught.value)


async def test_unknown_id_is_not_an_error() -> None:
    with serve(lambda _: (404, ANSWER)) as url:
        async with Registry(load(registry_url=url)) as registry:
            assert await registry.schema(7) is None


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://nobody.invalid:8081/x"])
async def test_unreachable_registry_is_down(url: str) -> None:
    async with Registry(load(registry_url=url)) as registry:
        with pytest.raises(RegistryDownError, match="SCHEMA_REGISTRY_URL"):
            await registry.ping()


@pytest.mark.parametrize(
    ("options", "header"),
    [
        ({}, None),
        ({"registry_username": "u", "registry_password": "p"}, "Basic dTpw"),
        ({"registry_username": "a:é", "registry_password": "ÿ€"}, "Basic YTrDqTrDv+KCrA=="),
        ({"registry_token": "secret"}, "Bearer secret"),
    ],
)
async def test_credentials_are_sent(options: dict[str, str], header: str | None) -> None:
    asked: list[Asked] = []

    def answer(request: Asked) -> Answer:
        asked.append(request)
        return 200, b"[]"

    with serve(answer) as url:
        async with Registry(load(registry_url=f"{url}/base/", **options)) as registry:
            await registry.ping()
    assert [request.path for request in asked] == ["/base/subjects"]
    assert asked[0].headers.get("authorization") == header


async def test_error_does_not_contain_the_password() -> None:
    with serve(lambda _: (503, b"")) as url:
        secret = url.replace("http://", "http://user:hunter2@")
        async with Registry(load(registry_url=secret)) as registry:
            with pytest.raises(RegistryDownError) as caught:
                await registry.ping()
    assert "hunter2" not in str(caught.value)
