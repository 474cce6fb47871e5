"""Tokens: from a token endpoint on a real socket, their renewal, and every answer that is none."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from pipeline.errors import ConfigError, PipelineError
from pipeline.kafka import oauth
from pipeline.kafka.oauth import (
    Token,
    TokenRejectedError,
    TokenSource,
    TokenUnavailableError,
    client_options,
    oauth_tokens,
    request_token,
)
from pipeline.kafka.schema_registry import Registry, RegistryDownError
from pipeline.settings import OAuthClient, load
from tests.support.fronts import Answer, Asked, serve
from tests.support.hostile_http import HostileServer, hostile, response
from tests.support.identity import IdentityProvider, identity_provider
from tests.support.secured import Authority

SECRET = "hunter2/of+the client~é"


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    with identity_provider() as found:
        found.clients["worker"] = SECRET
        yield found


def client(url: str, secret: str = SECRET, **options: str) -> OAuthClient:
    fields = {"scope": "", "audience": "", "ca": "", **options}
    return OAuthClient("KAFKA_OAUTH", f"{url}/token", "worker", secret, **fields)


async def test_a_token_is_requested_with_scope_and_audience(provider: IdentityProvider) -> None:
    token = await request_token(client(provider.url, scope="a b", audience="kafka"))
    assert token == Token(provider.issued[0], 300)
    assert provider.asked == [{"grant_type": ["client_credentials"], "scope": ["a b"], "audience": ["kafka"]}]
    await request_token(client(provider.url))
    assert provider.asked[1] == {"grant_type": ["client_credentials"]}


async def test_a_wrong_secret_names_the_settings(provider: IdentityProvider) -> None:
    with pytest.raises(TokenRejectedError) as caught:
        await request_token(client(provider.url, "hunter2-wrong"))
    text = caught.value.args[0]
    assert "gives client 'worker' no token (401, invalid_client unknown client or wrong secret)" in text
    assert "check KAFKA_OAUTH_CLIENT_ID, KAFKA_OAUTH_CLIENT_SECRET and KAFKA_OAUTH_SCOPE" in text
    assert "hunter2" not in text


async def test_tls_of_the_endpoint_is_verified(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.sign("idp")[:2])
    with identity_provider(context) as provider:
        provider.clients["worker"] = SECRET
        assert (await request_token(client(provider.url, ca=authority.ca))).text
        with pytest.raises(TokenRejectedError, match=r"can't be verified .*: check KAFKA_OAUTH_SSL_CA"):
            await request_token(client(provider.url))
        with pytest.raises(TokenRejectedError, match=r"KAFKA_OAUTH_SSL_CA=no-such.pem can't be loaded"):
            await request_token(client(provider.url, ca="no-such.pem"))


ODD: dict[str, tuple[bytes, type[Exception]]] = {
    "down": (response(503, b""), TokenUnavailableError),
    "busy": (response(429, b"", "Retry-After: 5"), TokenUnavailableError),
    "broken": (response(500, b'{"error":"server_error"}'), TokenUnavailableError),
    "nothing": (b"", TokenUnavailableError),
    "half": (response(200, b'{"access_token":"x"}')[:-3], TokenUnavailableError),
    "page": (response(200, b"<html>sign in</html>"), TokenRejectedError),
    "not found": (response(404, b"<html>"), TokenRejectedError),
    "redirect": (response(302, b"", "Location: https://x:hunter2@thief/?hunter2"), TokenRejectedError),
    "no token": (response(200, b'{"token":"hunter2"}'), TokenRejectedError),
    "number": (response(200, b'{"access_token":7}'), TokenRejectedError),
    "line break": (response(200, b'{"access_token":"hunter2\\nX: y"}'), TokenRejectedError),
    "control character": (response(200, b'{"access_token":"hunter2\\u0001auth=x"}'), TokenRejectedError),
    "empty": (response(200, b'{"access_token":""}'), TokenRejectedError),
    "no life": (response(200, b'{"access_token":"hunter2","expires_in":0}'), TokenRejectedError),
    "refused": (response(400, b'{"error":"invalid_scope","error_description":"\\u001b[2J hunter2/of+the client~\xc3\xa9"}'), TokenRejectedError),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
async def test_every_other_answer_is_an_error_of_one_line(name: str) -> None:
    raw, kind = ODD[name]
    with hostile(lambda _: [raw]) as server:
        with pytest.raises(kind) as caught:
            await request_token(client(server.url))
        assert len(server.heads) == 1
    text = caught.value.args[0]
    assert "KAFKA_OAUTH_" in text or "look at its log" in text
    assert text.isprintable()
    assert "hunter2" not in text


@pytest.fixture(scope="module")
def server() -> Iterator[HostileServer]:
    with hostile(lambda _: []) as opened:
        yield opened


@hypothesis(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(100, 599),
    st.binary(max_size=100)
    | st.dictionaries(
        st.sampled_from(["access_token", "expires_in", "error", "error_description"]),
        st.none() | st.integers() | st.floats() | st.text(max_size=30) | st.just(SECRET) | st.lists(st.none()),
    ).map(lambda value: json.dumps(value).encode()),
)
def test_any_answer_gives_a_token_or_one_line(server: HostileServer, status: int, body: bytes) -> None:
    raw = response(status, body)
    server.script = lambda _: [raw]
    try:
        token = asyncio.run(request_token(client(server.url)))
    except (TokenRejectedError, TokenUnavailableError) as error:
        text = error.args[0]
        assert text.isprintable()
        assert SECRET not in text
    else:
        assert token.text.isascii()
        assert token.text.isprintable()
        assert token.seconds > 0


# --- renewal -----------------------------------------------------------------------------------------------------


class Clock:
    """A clock for `oauth.time`, and a source of numbered tokens of 100 seconds."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.fetched = 0
        self.error: Exception | None = None

    def monotonic(self) -> float:
        return self.now

    async def fetch(self) -> Token:
        if self.error:
            raise self.error
        self.fetched += 1
        return Token(f"token-{self.fetched}", 100)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(oauth, "time", found)
    return found


async def test_a_token_is_replaced_before_it_expires(clock: Clock) -> None:
    source = TokenSource(clock.fetch)
    seen = []
    for clock.now in (1000, 1079.9, 1080.1, 1159, 1161):
        seen.append(await source.get())
    assert seen == ["token-1", "token-1", "token-2", "token-2", "token-3"]


async def test_the_old_token_serves_while_the_endpoint_is_down(clock: Clock) -> None:
    source = TokenSource(clock.fetch)
    assert await source.get() == "token-1"
    clock.error = TokenUnavailableError("down")
    for clock.now in (1085, 1086, 1099):
        assert await source.get() == "token-1"
    clock.now = 1100
    with pytest.raises(TokenUnavailableError):
        await source.get()
    clock.error = None
    assert await source.get() == "token-2"
    source.forget("token-1")
    assert await source.get() == "token-2", "another was rejected"
    source.forget("token-2")
    assert await source.get() == "token-3"


async def test_requests_at_the_same_time_share_a_token(provider: IdentityProvider) -> None:
    """A worker looks 36 schemas up at once."""
    tokens = oauth_tokens(client(provider.url, scope="at once"))
    seen = await asyncio.gather(*(tokens.get() for _ in range(36)))
    assert set(seen) == set(provider.issued)
    assert len(provider.issued) == 1


async def test_clients_in_several_loops_share_a_token(provider: IdentityProvider) -> None:
    """As the worker's clients on the main loop and Faust's consumer in its thread."""
    tokens = oauth_tokens(client(provider.url, scope="shared"))
    seen = [await tokens.get()]
    thread = threading.Thread(target=lambda: seen.append(asyncio.run(tokens.get())))
    thread.start()
    thread.join()
    assert seen == provider.issued * 2
    assert oauth_tokens(client(provider.url, scope="shared")) is tokens


# --- the registry ------------------------------------------------------------------------------------------------


def registry_settings(provider: IdentityProvider, url: str) -> Any:
    return load(
        registry_url=url,
        registry_oauth_token_url=f"{provider.url}/token",
        registry_oauth_client_id="worker",
        registry_oauth_client_secret=SECRET,
    )


async def test_a_revoked_token_is_replaced_once(provider: IdentityProvider) -> None:
    revoked: set[str] = set()

    def answer(asked: Asked) -> Answer:
        token = asked.headers["authorization"].removeprefix("Bearer ")
        return (401, b'{"error_code":401}') if token in revoked else (200, b"[]")

    with serve(answer) as url:
        async with Registry(registry_settings(provider, url)) as registry:
            await registry.ping()
            await registry.ping()
            assert len(provider.issued) == 1
            revoked.update(provider.issued)
            await registry.ping()
            assert len(provider.issued) == 2
            provider.claims["jti"] = "always the same"
            revoked.update([*provider.issued, provider.sign("worker")])
            with pytest.raises(ConfigError, match=r"rejected the login .*SCHEMA_REGISTRY_OAUTH_CLIENT_ID"):
                await registry.ping()


@pytest.mark.parametrize(
    ("failing", "kind"),
    [
        ((503, b""), RegistryDownError),
        ((401, b'{"error":"invalid_client"}'), ConfigError),
        ((404, b""), ConfigError),
    ],
)
async def test_no_token_for_the_registry(
    provider: IdentityProvider, failing: Answer, kind: type[PipelineError]
) -> None:
    provider.failing = failing
    with hostile(lambda _: []) as server:
        async with Registry(registry_settings(provider, server.url)) as registry:
            with pytest.raises(kind, match=r"no login to the registry at .*: the token endpoint") as caught:
                await registry.ping()
            assert type(caught.value) is kind
        assert server.heads == []


async def test_an_error_of_the_registry_does_not_show_the_token(provider: IdentityProvider) -> None:
    with serve(lambda asked: (503, asked.headers["authorization"].encode())) as url:
        async with Registry(registry_settings(provider, url)) as registry:
            with pytest.raises(RegistryDownError) as caught:
                await registry.ping()
    assert provider.issued[0][:20] not in str(caught.value)


# --- AWS ---------------------------------------------------------------------------------------------------------

MSK = {
    "bootstrap_servers": "b:9098",
    "security_protocol": "SASL_SSL",
    "sasl_mechanism": "AWS_MSK_IAM",
    "aws_region": "eu-west-1",
}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    oauth.msk_tokens.cache_clear()
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    return monkeypatch


async def test_the_signer_gives_a_token_for_the_region(aws: pytest.MonkeyPatch) -> None:
    import urllib.parse
    from base64 import urlsafe_b64decode

    aws.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    aws.setenv("AWS_SECRET_ACCESS_KEY", "hunter2-of-aws")
    options = client_options(load(**MSK))
    assert options["sasl_mechanism"] == "OAUTHBEARER"
    token = await options["sasl_oauth_token_provider"].token()
    assert token == await options["sasl_oauth_token_provider"].token(), "it is kept"
    assert options["sasl_oauth_token_provider"].extensions() == {}
    url = urllib.parse.urlsplit(urlsafe_b64decode(token + "=="))
    query = urllib.parse.parse_qs(url.query.decode())
    assert url.hostname == b"kafka.eu-west-1.amazonaws.com"
    assert query["Action"] == ["kafka-cluster:Connect"]
    assert query["X-Amz-Credential"][0].startswith("AKIDEXAMPLE/")
    assert query["X-Amz-Credential"][0].endswith("/eu-west-1/kafka-cluster/aws4_request")
    assert "hunter2" not in token


async def test_missing_aws_credentials_are_named(aws: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        aws.delenv(name, raising=False)
    with pytest.raises(TokenUnavailableError) as caught:
        await client_options(load(**MSK))["sasl_oauth_token_provider"].token()
    assert "no AWS credentials to sign with (" in caught.value.args[0]
    assert "KAFKA_AWS_REGION" in caught.value.args[0]


def test_a_missing_signer_is_named(aws: pytest.MonkeyPatch) -> None:
    import sys

    aws.setitem(sys.modules, "aws_msk_iam_sasl_signer", None)  # as if it was not installed
    with pytest.raises(ConfigError, match=r"is not installed: run `pip install 'conference-pipeline\[msk\]'`"):
        client_options(load(**MSK))
