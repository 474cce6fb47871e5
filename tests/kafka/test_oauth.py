"""OAUTHBEARER with a real broker, and OAuth with a real registry, that verify the tokens of an identity provider.

The broker uses Kafka's own OAuthBearerValidatorCallbackHandler with the provider's keys, checks issuer and audience,
and ends a connection whose token has expired (`connections.max.reauth.ms`), as cloud services do.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from pipeline.devstack import Stack, jvm
from pipeline.devstack.process import choose_port
from pipeline.errors import ConfigError
from pipeline.kafka import acls
from pipeline.kafka.admin import admin_client
from pipeline.kafka.oauth import oauth_tokens
from pipeline.kafka.schema_registry import Registry, RegistryDownError
from pipeline.model import signals as s
from testkit.pipe import Pipe
from testkit.servers import PREFIX, Servers
from tests.support.fronts import Front, serve
from tests.support.identity import AUDIENCE, IdentityProvider, identity_provider
from tests.support.secured import HOST, Authority, Secured, registry_process, run, settings

pytestmark = pytest.mark.broker
T = 1_795_354_386_106_600
SECRET = "hunter2/of+the client"
LIFE = 4.0
"""Seconds that a token lives in the test of its renewal."""


@dataclass
class Site:
    """The servers, and the identity provider that they trust."""

    provider: IdentityProvider
    broker: Secured
    registry: str

    def env(self, client: str, **more: str) -> dict[str, str]:
        """Return the environment of a program that logs in as this client, to both servers."""
        self.provider.clients[client] = SECRET
        login = {
            "TOKEN_URL": f"{self.provider.url}/token",
            "CLIENT_ID": client,
            "CLIENT_SECRET": SECRET,
        }
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.broker.sasl,
            "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "KAFKA_SASL_MECHANISM": "OAUTHBEARER",
            "SCHEMA_REGISTRY_URL": self.registry,
            **{f"KAFKA_OAUTH_{name}": value for name, value in login.items()},
            **{f"SCHEMA_REGISTRY_OAUTH_{name}": value for name, value in login.items()},
            **more,
        }


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("oauth")
    taken: set[int] = set()

    def port() -> int:
        taken.add(chosen := choose_port(None, taken, "tests"))
        return chosen

    sasl, http, inner = port(), port(), port()
    with contextlib.ExitStack() as closing:
        provider = closing.enter_context(identity_provider())
        stack = Stack(
            f"{PREFIX}{os.getpid()}-oauth",
            registry=False,
            extra_properties=_broker(provider.url, sasl),
            flags=(*jvm.FAST_START, f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={provider.url}/jwks"),
        )
        closing.callback(stack.down)
        closing.enter_context(registry_process(folder, _registry(provider.url), http, inner))
        plain = stack.up().bootstrap_servers
        assert plain
        url = f"http://{HOST}:{http}/apis/ccompat/v7"
        _wait(url)
        authority = Authority(folder, "unused")
        yield Site(provider, Secured(plain, f"{HOST}:{sasl}", "", url, authority), url)


def _broker(provider: str, sasl: int) -> dict[str, str]:
    outer = f"PLAINTEXT://{HOST}:{{client}},SASL_PLAINTEXT://{HOST}:{sasl}"
    security = "org.apache.kafka.common.security.oauthbearer"
    oauth = "listener.name.sasl_plaintext.oauthbearer"
    return {
        "listeners": f"{outer},CONTROLLER://{HOST}:{{controller}}",
        "advertised.listeners": outer,
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        "sasl.enabled.mechanisms": "OAUTHBEARER",
        f"{oauth}.sasl.server.callback.handler.class": f"{security}.OAuthBearerValidatorCallbackHandler",
        f"{oauth}.sasl.jaas.config": f"{security}.OAuthBearerLoginModule required;",
        f"{oauth}.sasl.oauthbearer.jwks.endpoint.url": f"{provider}/jwks",
        f"{oauth}.sasl.oauthbearer.expected.audience": AUDIENCE,
        f"{oauth}.sasl.oauthbearer.expected.issuer": provider,
        f"{oauth}.connections.max.reauth.ms": "3600000",
        "group.min.session.timeout.ms": "1000",
        "connection.failed.authentication.delay.ms": "0",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }


def _registry(provider: str) -> dict[str, str]:
    return {
        "quarkus.oidc.tenant-enabled": "true",
        "quarkus.oidc.auth-server-url": provider,
        "quarkus.oidc.discovery-enabled": "false",
        "quarkus.oidc.jwks-path": "/jwks",
        "quarkus.oidc.client-id": AUDIENCE,
        "quarkus.oidc.token.issuer": provider,
        "quarkus.oidc.token.audience": AUDIENCE,
        "quarkus.http.auth.permission.all.paths": "/*",
        "quarkus.http.auth.permission.all.policy": "authenticated",
    }


def _wait(url: str) -> None:
    """Wait until the registry answers, with the error that it requires a token."""
    limit = time.monotonic() + 240
    while True:
        try:
            urllib.request.urlopen(f"{url}/subjects", timeout=2)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 401:
                return
        except OSError:
            assert time.monotonic() < limit, "the registry does not start"
            time.sleep(0.1)


def pipe_of(site: Site) -> Pipe:
    """Return new topics; the tests use Kafka as super user, the registry by token."""
    made = Pipe(Servers(site.broker.plain, site.registry, "oauth"))
    login = {key: value for key, value in site.env("tests").items() if key.startswith("SCHEMA_REGISTRY_OAUTH")}
    own = {"bootstrap_servers": made.settings.bootstrap_servers, "registry_url": made.settings.registry_url}
    found = settings(made, login | {"KAFKA_BOOTSTRAP_SERVERS": own["bootstrap_servers"]})
    made.settings = found.model_copy(update={"security_protocol": "PLAINTEXT"})
    made.env["PIPELINE_SESSION_TIMEOUT_SECONDS"] = "2"
    return made


async def test_every_role_works_by_token(site: Site) -> None:
    """Producers, consumers, admin clients and Faust, against a broker that also checks permissions of the subject."""
    pipe = pipe_of(site)
    found = pipe.settings
    for name in (acls.setup, acls.worker, acls.producer, acls.consumer):
        site.broker.allow(f"{name.__name__}-by-token", name(found))
    as_ = {name: pipe.env | site.env(f"{name}-by-token") for name in ("setup", "worker", "producer", "consumer")}
    code, _, err = await run("setup", env=as_["setup"])
    assert code == 0, err
    with pipe.worker(**site.env("worker-by-token")) as worker:
        line = b'{"type":"conference.create","signal_id":"c","room_id":"room","occurred_at":"2026-11-30T10:00:00Z","app_id":"a","name":"n"}\n'
        code, out, err = await run("send", "--avro", "-", env=as_["producer"], stdin=line)
        assert code == 0, (out, err)
        code, out, err = await run("events", "--from-beginning", "--max", "1", "--timeout", "20", env=as_["consumer"])
        assert code == 0, err
        assert json.loads(out)["room_id"] == "room"
        assert worker.stop() == 0
    assert "hunter2" not in "".join(worker.lines)
    assert not any(token[:30] in line for token in site.provider.issued for line in worker.lines)


async def test_a_worker_goes_on_when_its_tokens_expire(site: Site) -> None:
    """The broker ends each connection after the life of its token; nothing is lost or published twice."""
    pipe = pipe_of(site)
    await pipe.set_up()
    site.broker.allow("short-lived", acls.worker(pipe.settings))
    site.provider.life = LIFE
    try:
        env = site.env("short-lived")
        before = len(site.provider.issued)
        with pipe.worker(**env) as worker:
            began, sent = time.monotonic(), 0
            while time.monotonic() - began < 4 * LIFE:
                await pipe.send(s.ConferenceCreate("c", f"room-{sent}", T, "app", "name"))
                sent += 1
                await asyncio.sleep(0.1)
            events = await pipe.until_events(sent)
            assert worker.stop() == 0
    finally:
        site.provider.life = 300.0
    assert sorted(event["room_id"] for event in events) == sorted(f"room-{number}" for number in range(sent))
    # 80 % of a life are 3.2 s of some 17 s; two loops of the worker, and its registry, and the registry of the tests.
    assert 5 <= len(site.provider.issued) - before <= 24, "it is renewed, and shared by the clients"


REJECTIONS = {
    "secret": "gives client 'rejected' no token (401, invalid_client",
    "audience": 'the broker does not accept the token ({"status":"invalid_token"}): check the token\'s issuer, audience',
    "issuer": "the broker does not accept the token",
    "expired": "the broker does not accept the token",
    "key": "the broker does not accept the token",
}


@pytest.mark.parametrize("case", REJECTIONS)
async def test_a_rejected_login_ends_with_2_and_its_cause(site: Site, case: str) -> None:
    pipe = pipe_of(site)
    env = pipe.env | site.env("rejected")
    oauth_tokens.cache_clear()
    provider = site.provider
    own = provider.key
    try:
        if case == "secret":
            env["KAFKA_OAUTH_CLIENT_SECRET"] = "hunter2-wrong"
        elif case == "key":
            provider.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        else:
            claim = {"audience": {"aud": "other"}, "issuer": {"iss": "http://other"}, "expired": {"exp": 1}}[case]
            provider.claims = claim
        found = settings(pipe, env)
        with pytest.raises(ConfigError) as caught:
            async with admin_client(found):
                pass
        code, _, err = await run("worker", env=env)
        logged = json.loads(err.splitlines()[-1])["msg"]
    finally:
        provider.claims, provider.key = {}, own
        oauth_tokens.cache_clear()
    for text in (str(caught.value), logged):
        assert REJECTIONS[case] in text
        assert "hunter2" not in text
    assert code == 2


async def test_a_worker_waits_for_the_token_endpoint(site: Site) -> None:
    pipe = pipe_of(site)
    await pipe.set_up()
    site.broker.allow("patient", acls.worker(pipe.settings))
    env = site.env("patient")
    site.provider.failing = (503, b"<html>")
    try:
        with pipe.worker(ready=False, **env) as worker:
            line = await asyncio.to_thread(worker.until_log, "waiting for Kafka")
            assert f"the token endpoint {site.provider.url}/token failed with status 503" in line["error"]
            site.provider.failing = None
            await asyncio.to_thread(worker.until_ready)
            assert worker.stop() == 0
    finally:
        site.provider.failing = None


async def test_a_missing_permission_names_the_client(site: Site) -> None:
    pipe = pipe_of(site)
    await pipe.set_up()
    code, _, err = await run("worker", env=pipe.env | site.env("nobody"))
    assert code == 2
    assert "not authorised: user 'nobody' lacks" in err


async def test_the_registry_rejects_a_wrong_token(site: Site) -> None:
    pipe = pipe_of(site)
    site.provider.claims = {"aud": "other"}
    oauth_tokens.cache_clear()
    try:
        async with Registry(pipe.settings) as registry:
            with pytest.raises(ConfigError, match=r"rejected the login \(401\): check SCHEMA_REGISTRY_OAUTH_CLIENT_ID"):
                await registry.ping()
    finally:
        site.provider.claims = {}
        oauth_tokens.cache_clear()


# --- a registry that requires a client certificate ---------------------------------------------------------------


async def test_registry_by_client_certificate(servers: Servers, tmp_path: Path) -> None:
    """A TLS front that requires a certificate, as a gateway does, before the real registry."""
    ours, theirs = Authority(tmp_path, "ours"), Authority(tmp_path, "theirs")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=theirs.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(*ours.sign("front")[:2])
    certificate, key, _ = theirs.sign("worker", password="of-the-key")
    pipe = Pipe(servers)
    with serve(Front(servers.registry_url), context) as url:
        login = {
            "SCHEMA_REGISTRY_URL": url,
            "SCHEMA_REGISTRY_SSL_CA": ours.ca,
            "SCHEMA_REGISTRY_SSL_CERT": certificate,
            "SCHEMA_REGISTRY_SSL_KEY": key,
            "SCHEMA_REGISTRY_SSL_KEY_PASSWORD": "of-the-key",
        }
        async with Registry(settings(pipe, login)) as registry:
            assert await registry.register(f"{pipe.prefix}.x", "conference.PlayPaused") is True
        without = {name: value for name, value in login.items() if "_CERT" not in name and "_KEY" not in name}
        async with Registry(settings(pipe, without)) as registry:
            with pytest.raises(RegistryDownError, match="requires a client certificate, set SCHEMA_REGISTRY_SSL_CERT"):
                await registry.ping()
