"""The registry's client against a real registry, and against servers that misbehave."""

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
    """Settings with a prefix that no other test has."""
    return load(registry_url=servers.registry_url, topic_prefix=f"t{secrets.token_hex(5)}")


@pytest.fixture
async def registry(mine: Settings) -> AsyncIterator[Registry]:
    async with Registry(mine) as opened:
        yield opened


async def raw(settings: Settings, method: str, path: str, body: Any = None) -> Any:
    """The registry's answer, around our client."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, settings.registry_url + path, json=body) as answer,
    ):
        return await answer.json(content_type=None)


def canonical(text: str) -> str:
    """Registries may leave out what is said twice, such as an inherited namespace."""
    return str(fastavro.schema.to_parsing_canonical_form(json.loads(text)))


@pytest.mark.broker
async def test_registering_twice_is_registering_once(registry: Registry, mine: Settings) -> None:
    subject = f"{mine.topic_prefix}.events-{RECORD}"
    before = await raw(mine, "GET", "/config")
    assert await registry.register(subject, RECORD) is True
    assert await registry.register(subject, RECORD) is False
    assert await raw(mine, "GET", f"/subjects/{subject}/versions") == [1]
    assert await raw(mine, "GET", f"/config/{subject}") == {"compatibilityLevel": COMPATIBILITY}
    assert await raw(mine, "GET", "/config") == before, "the global level is not ours to set"


@pytest.mark.broker
async def test_a_level_that_somebody_changed_is_put_right(registry: Registry, mine: Settings) -> None:
    subject = f"{mine.topic_prefix}.events-{RECORD}"
    await registry.register(subject, RECORD)
    await raw(mine, "PUT", f"/config/{subject}", {"compatibility": "NONE"})
    assert await registry.register(subject, RECORD) is False
    assert await raw(mine, "GET", f"/config/{subject}") == {"compatibilityLevel": COMPATIBILITY}


@pytest.mark.broker
async def test_a_schema_comes_back_by_its_id(registry: Registry, mine: Settings) -> None:
    subject = f"{mine.topic_prefix}.events-{RECORD}"
    await registry.register(subject, RECORD)
    found = await raw(mine, "GET", f"/subjects/{subject}/versions/latest")
    text = await registry.schema(found["id"])
    assert text is not None
    assert canonical(text) == canonical(SCHEMAS[RECORD])


@pytest.mark.broker
@pytest.mark.parametrize("schema_id", [0, 2**31 - 1, 2**31, 2**32 - 1])
async def test_an_id_that_nobody_has(registry: Registry, schema_id: int) -> None:
    assert await registry.schema(schema_id) is None


@pytest.mark.broker
async def test_a_schema_that_is_not_avro_is_none(registry: Registry, mine: Settings) -> None:
    subject = f"{mine.topic_prefix}.other-value"
    schema = '{"$schema":"http://json-schema.org/draft-07/schema#","type":"object"}'
    made = await raw(mine, "POST", f"/subjects/{subject}/versions", {"schemaType": "JSON", "schema": schema})
    assert await registry.schema(made["id"]) is None


@pytest.mark.broker
async def test_the_ids_of_all_our_schemas(registry: Registry, mine: Settings) -> None:
    with pytest.raises(ConfigError, match=r"subject .* is ours .* run `conference-pipeline setup`"):
        await registry.schema_ids(mine.topic_prefix)
    subjects = {s: r for topic in TOPICS for s, r in topic.subjects(mine.topic_prefix).items()}
    for subject, record in subjects.items():
        await registry.register(subject, record)
    ids = await registry.schema_ids(mine.topic_prefix)
    assert set(ids) == set(subjects.values())
    assert len(set(ids.values())) == len(ids) == len(SIGNALS) + len(EVENTS) + 4


@pytest.mark.broker
async def test_an_older_version_is_kept_to(registry: Registry, mine: Settings) -> None:
    """A newer program registered a version after ours: our id is still that of our text."""
    subject = f"{mine.topic_prefix}.events-{RECORD}"
    await registry.register(subject, RECORD)
    newer = json.loads(SCHEMAS[RECORD])
    newer["fields"].append({"name": "more", "type": "string", "default": ""})
    made = await raw(mine, "POST", f"/subjects/{subject}/versions", {"schema": json.dumps(newer)})
    assert "id" in made, made
    assert await registry.register(subject, RECORD) is False
    assert await raw(mine, "GET", f"/subjects/{subject}/versions") == [1, 2]


@pytest.mark.broker
async def test_a_subject_with_an_incompatible_version_is_refused(registry: Registry, mine: Settings) -> None:
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


# --- servers that misbehave: a real registry can't be made to -----------------------------------------------------

MISBEHAVIOUR: dict[str, tuple[Answer, type[PipelineError], str]] = {
    "down": ((503, b"<html>bad gateway</html>"), RegistryDownError, "503"),
    "broken": ((500, b'{"error_code":50001,"message":"store"}'), RegistryDownError, "500"),
    "busy": ((429, b""), RegistryDownError, "429"),
    "too slow for its proxy": ((408, b""), RegistryDownError, "408"),
    "who are you": ((401, b'{"error_code":401}'), ConfigError, "SCHEMA_REGISTRY_USERNAME"),
    "not you": ((403, b""), ConfigError, "SCHEMA_REGISTRY_USERNAME"),
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
async def test_a_server_that_misbehaves_is_told_in_one_line(name: str) -> None:
    answer, kind, told = MISBEHAVIOUR[name]
    with serve(lambda _: answer) as url:
        async with Registry(load(registry_url=url)) as registry:
            with pytest.raises(kind) as caught:
                await registry.schema(7)
    text = str(caught.value)
    assert told in text
    assert url in text or "refused to show" in text
    assert "\n" not in text


async def test_a_registry_that_wants_the_subject_before_its_level_gets_it_first() -> None:
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
    ("level", "version", "told"),
    [
        ((422, b'{"error_code":42203,"message":"bad level"}'), (200, b'{"id":7}'), "won't set FULL_TRANSITIVE for s: bad level"),
        ((200, b"{}"), (422, b'{"error_code":42201}'), "the registry refused s: 42201"),
        ((200, b"{}"), (422, b'["a list"]'), "the registry refused s: ['a list']"),
    ],
)  # fmt: skip
async def test_a_registry_that_refuses_is_told_with_its_reason(
    level: Answer, version: Answer, told: str
) -> None:
    def answer(asked: Asked) -> Answer:
        if asked.method == "PUT":
            return level
        return version if asked.path.endswith("/versions") else (404, ANSWER)

    with serve(answer) as url:
        async with Registry(load(registry_url=url)) as registry:
            with pytest.raises(ConfigError) as caught:
                await registry.register("s", RECORD)
    assert told in str(caught.value)


async def test_an_unknown_id_is_no_error() -> None:
    with serve(lambda _: (404, ANSWER)) as url:
        async with Registry(load(registry_url=url)) as registry:
            assert await registry.schema(7) is None


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://nobody.invalid:8081/x"])
async def test_nobody_there_is_down(url: str) -> None:
    async with Registry(load(registry_url=url)) as registry:
        with pytest.raises(RegistryDownError, match="SCHEMA_REGISTRY_URL"):
            await registry.ping()


@pytest.mark.parametrize("url", ["localhost:8081", "registry", "ftp://registry/", "http://", "http://a:x"])
async def test_what_is_no_url_will_never_be_up(url: str) -> None:
    async with Registry(load(registry_url=url)) as registry:
        with pytest.raises(ConfigError, match="SCHEMA_REGISTRY_URL") as caught:
            await registry.ping()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "header"),
    [
        ({}, None),
        ({"registry_username": "u", "registry_password": "p"}, "Basic dTpw"),
        ({"registry_token": "secret"}, "Bearer secret"),
        ({"registry_token": "secret", "registry_username": "u"}, "Bearer secret"),
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


async def test_the_answer_of_a_proxy_does_not_show_the_password() -> None:
    with serve(lambda _: (503, b"")) as url:
        secret = url.replace("http://", "http://user:hunter2@")
        async with Registry(load(registry_url=secret)) as registry:
            with pytest.raises(RegistryDownError) as caught:
                await registry.ping()
    assert "hunter2" not in str(caught.value)
