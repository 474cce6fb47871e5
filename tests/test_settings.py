"""Settings: checks and their errors, client arguments, TLS contexts, redaction.

tests/data/client.*.pem: a self-signed certificate and its key, used only here; the key's password is PASSWORD.
"""

from __future__ import annotations

import json
import os
import re
import ssl
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import SecretStr

from pipeline import profiles
from pipeline.devstack import cache, fetch
from pipeline.errors import ConfigError
from pipeline.settings import VARIABLES, Settings, load, warnings
from pipeline.settings_rules import ALIASES, EFFECTIVE, NEEDS, OTHERS

DATA = Path(__file__).parent / "data"
CERT, KEY = str(DATA / "client.cert.pem"), str(DATA / "client.key.pem")
PASSWORD = "of-the-tests"
SUBJECT = ((("commonName", "client of the tests"),),)


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the settings of the environment."""
    for name in [name for name in os.environ if name.startswith(("KAFKA_", "SCHEMA_REGISTRY_", "PIPELINE_"))]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        (
            {"KAFKA_BOOTSTRAP_SERVERS": "a:1,b"},
            "KAFKA_BOOTSTRAP_SERVERS: expected host:port,host:port, got 'b'",
        ),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"},
            "KAFKA_SECURITY_PROTOCOL=SASL_SSL with KAFKA_SASL_MECHANISM=PLAIN needs KAFKA_SASL_USERNAME",
        ),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_USERNAME": "u"},
            "KAFKA_SECURITY_PROTOCOL=SASL_SSL with KAFKA_SASL_MECHANISM=PLAIN needs KAFKA_SASL_PASSWORD",
        ),
        (
            {"KAFKA_BOOTSTRAP_SERVERS": "u:hunter2@a:1"},
            "KAFKA_BOOTSTRAP_SERVERS: must not contain a user or password",
        ),
        (
            {"SCHEMA_REGISTRY_URL": "https://u:hunter2@r", "SCHEMA_REGISTRY_USERNAME": "u"},
            "a login in SCHEMA_REGISTRY_URL and SCHEMA_REGISTRY_USERNAME exclude each other: remove one",
        ),
        (
            {"SCHEMA_REGISTRY_URL": "https://u:hunter2@r", "SCHEMA_REGISTRY_BEARER_TOKEN": "hunter2"},
            "a login in SCHEMA_REGISTRY_URL and SCHEMA_REGISTRY_BEARER_TOKEN exclude each other: remove one",
        ),
        ({"KAFKA_SSL_CERT": "c.pem"}, "KAFKA_SSL_CERT needs KAFKA_SSL_KEY: set both or neither"),
        ({"KAFKA_SSL_KEY": "k.pem"}, "KAFKA_SSL_KEY needs KAFKA_SSL_CERT: set both or neither"),
        ({"PIPELINE_PARTITIONS": "0", "PIPELINE_TOPIC_PREFIX": "a.b"}, "PIPELINE_TOPIC_PREFIX: "),
        ({"PIPELINE_PARTITIONS": "0", "PIPELINE_TOPIC_PREFIX": "a.b"}, "; PIPELINE_PARTITIONS: "),
    ],
)
def test_invalid_settings_give_a_one_line_error(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], expected: str
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        load()
    text = str(caught.value)
    assert text.startswith("invalid settings: ")
    assert expected in text
    assert "Value error" not in text
    assert "\n" not in text
    assert "hunter2" not in text


def test_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_PARTITIONS", "")
    assert load() == Settings()
    assert load().partitions == 12


def test_kafka_gives_the_client_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = load(bootstrap_servers="a:1, b:2").kafka()
    assert plain["bootstrap_servers"] == "a:1, b:2"
    assert [plain[f"sasl_plain_{name}"] for name in ("username", "password")] == [None, None]
    assert plain["ssl_context"] is None
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
    monkeypatch.setenv("KAFKA_SASL_USERNAME", "u")
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", "hunter2")
    found = load(sasl_mechanism="SCRAM-SHA-512")
    assert found.kafka() == {
        "bootstrap_servers": "",
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "u",
        "sasl_plain_password": "hunter2",
        "ssl_context": None,
    }
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize("verify", [True, False])
def test_tls_uses_the_given_authority_and_certificate(verify: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[Any, ...]] = []
    real = ssl.SSLContext.load_cert_chain

    def load_cert_chain(context: ssl.SSLContext, cert: str, key: str, password: Callable[[], str]) -> None:
        real(context, cert, key, password)
        shown.append((cert, key, password()))

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", load_cert_chain)
    context = load(
        security_protocol="SSL",
        ssl_ca=CERT,
        ssl_cert=CERT,
        ssl_key=KEY,
        ssl_key_password=PASSWORD,
        ssl_verify_hostname=verify,
    ).ssl_context()
    assert context
    assert [one["subject"] for one in context.get_ca_certs()] == [SUBJECT]
    assert shown == [(CERT, KEY, PASSWORD)]
    assert context.verify_mode == ssl.CERT_REQUIRED, "the authority is checked also without the host name"
    assert context.check_hostname is verify


def test_tls_without_files_uses_the_systems_authorities() -> None:
    context = load(security_protocol="SSL").kafka()["ssl_context"]
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname is True
    assert SUBJECT not in [one["subject"] for one in context.get_ca_certs()]


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({"ca": "no-such.pem"}, "_CA=no-such.pem"),
        ({"ca": __file__}, f"_CA={__file__}"),
        ({"cert": CERT, "key": "no-such.pem"}, "_KEY=no-such.pem"),
        ({"cert": CERT, "key": KEY, "key_password": "another"}, f"_KEY={KEY}"),
        ({"cert": CERT, "key": KEY}, f"_KEY={KEY}"),  # without a callback, OpenSSL would ask on the terminal
    ],
)
def test_unloadable_tls_files_are_named(files: dict[str, str], named: str) -> None:
    brokers = load(security_protocol="SSL", **{f"ssl_{name}": value for name, value in files.items()})
    registry = load(registry_url="https://r", **{f"registry_{name}": value for name, value in files.items()})
    calls: dict[str, Callable[[], object]] = {"KAFKA_SSL": brokers.kafka, "SCHEMA_REGISTRY_SSL": registry.registry_ssl}
    for prefix, call in calls.items():
        with pytest.raises(ConfigError, match=rf"^{prefix}.*{re.escape(named)} can't be loaded: \S"):
            call()


def test_registry_tls_uses_its_own_authority() -> None:
    assert load().registry_ssl() is True
    context = load(registry_url="https://r", registry_ca=CERT).registry_ssl()
    assert isinstance(context, ssl.SSLContext)
    assert [one["subject"] for one in context.get_ca_certs()] == [SUBJECT]
    assert context.check_hostname is True


def test_worker_id_is_random_unless_configured() -> None:
    first, second = load(group_id="g"), load(group_id="g")
    named = first.worker_id
    assert first.worker_id == named, "it stays the same"
    assert second.worker_id != named
    assert first.worker_id.startswith("g-")
    assert load(transactional_id="mine").worker_id == "mine"


@pytest.mark.parametrize("login", ["u:secret", "u:se@cret", "u:sec/ret", "u", "u:%2Fsecret"])
def test_registry_url_is_shown_without_its_login(login: str) -> None:
    found = load(registry_url=f"https://{login}@host:81/x/")
    assert found.registry_shown == "https://host:81/x"
    assert "host:81" not in repr(found)


def test_secrets_are_redacted_in_every_spelling() -> None:
    word = "pa\"ss'wo/rd\\é"
    names = [name for name, field in Settings.model_fields.items() if isinstance(field.default, SecretStr)]
    assert len(names) == 7
    # The rules allow no settings that use all of them.
    found = load().model_copy(update={"registry_username": "user", **dict.fromkeys(names, SecretStr(word))})
    quoted = quote(word, safe="")
    basic = b64encode(f"user:{word}".encode()).decode()
    spellings = [word, repr(word), repr(word.encode()), json.dumps(word), quoted, f"Basic {basic}"]
    for text in spellings:
        redacted = found.redacted(f"{text} occurs twice: {text}.")
        assert redacted.count("***") == 2, text
        assert "wo" not in redacted
    assert "***" not in load().model_copy(update={"sasl_password": SecretStr("abc")}).redacted("abc"), (
        "too short to redact"
    )
    in_url = load(registry_url=f"https://user:{quoted}@host")
    assert [in_url.redacted(text).count("***") for text in (word, quoted, basic)] == [1, 1, 1]
    assert all(word not in repr(one) and quoted not in repr(one) for one in (found, in_url))


# --- rules between settings --------------------------------------------------------------------------------------

PASSWORD_LOGIN = {"security_protocol": "SASL_SSL", "sasl_username": "u", "sasl_password": "hunter2"}
OAUTH_LOGIN = {
    "security_protocol": "SASL_SSL",
    "sasl_mechanism": "OAUTHBEARER",
    "oauth_token_url": "https://idp/token",
    "oauth_client_id": "worker",
    "oauth_client_secret": "hunter2",
}
REGISTRY_OAUTH = {
    "registry_url": "https://r",
    "registry_oauth_token_url": "https://idp/token",
    "registry_oauth_client_id": "worker",
    "registry_oauth_client_secret": "hunter2",
}
COMPLETE: list[dict[str, str]] = [
    {},
    PASSWORD_LOGIN,
    {"security_protocol": "SSL", "ssl_ca": "ca", "ssl_cert": "c", "ssl_key": "k", "ssl_key_password": "hunter2"},
    OAUTH_LOGIN | {"oauth_scope": "s", "oauth_audience": "a", "oauth_extensions": "a=1,b=2", "oauth_ca": "ca"},
    {"security_protocol": "SASL_SSL", "sasl_mechanism": "AWS_MSK_IAM", "aws_region": "eu-west-1"},
    {"registry_url": "https://r", "registry_username": "u", "registry_password": "hunter2", "registry_ca": "ca"},
    {"registry_url": "https://r", "registry_cert": "c", "registry_key": "k", "registry_key_password": "hunter2"},
    REGISTRY_OAUTH | {"registry_oauth_scope": "s", "registry_oauth_audience": "a", "registry_oauth_ca": "ca"},
    {"registry_url": "http://r", "registry_token": "hunter2"},
    {"registry_url": "https://u:hunter2@r"},
]
"""Logins that work. Together they use every setting of `EFFECTIVE` and `NEEDS`."""


def test_complete_logins_are_accepted_and_cover_the_tables() -> None:
    for login in COMPLETE:
        load(**login)
    used = {name for login in COMPLETE for name in login} | {"ssl_verify_hostname"}
    assert EFFECTIVE.keys() | NEEDS.keys() <= used


@pytest.mark.parametrize("field", EFFECTIVE)
def test_a_setting_without_effect_is_refused(field: str) -> None:
    """Alone, without what its condition requires."""
    value: Any = {"sasl_mechanism": "SCRAM-SHA-512", "ssl_verify_hostname": False, "oauth_extensions": "a=b"}.get(
        field, "https://hunter2" if field.endswith("_url") else "hunter2"
    )
    with pytest.raises(ConfigError) as caught:
        load(**{field: value})
    text = str(caught.value)
    assert f"{VARIABLES[field]} has no effect without " in text
    assert "\n" not in text
    if field not in ("sasl_mechanism", "ssl_verify_hostname"):
        assert "hunter2" not in text


@pytest.mark.parametrize("field", NEEDS)
def test_a_setting_without_the_others_that_it_needs_is_refused(field: str) -> None:
    [complete] = [login for login in COMPLETE if field in login]
    for other in NEEDS[field]:
        with pytest.raises(ConfigError, match=f"{VARIABLES[field]} needs .*{VARIABLES[other]}"):
            load(**{name: value for name, value in complete.items() if name != other})


@pytest.mark.parametrize(("login", "fields"), [(PASSWORD_LOGIN, 2), (OAUTH_LOGIN, 3)])
def test_an_incomplete_login_is_refused(login: dict[str, str], fields: int) -> None:
    needed = [name for name in login if name not in ("security_protocol", "sasl_mechanism")]
    assert len(needed) == fields
    for left_out in needed:
        with pytest.raises(ConfigError, match=f" needs {VARIABLES[left_out]}"):
            load(**{name: value for name, value in login.items() if name != left_out})


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"])
@pytest.mark.parametrize("scheme", ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "sasl_ssl"])
def test_bootstrap_servers_may_have_the_form_of_listeners(scheme: str, protocol: str) -> None:
    login = PASSWORD_LOGIN if protocol.startswith("SASL") else {}
    settings = login | {"security_protocol": protocol, "bootstrap_servers": f"{scheme}://a:1, {scheme}://[::1]:2,c:3"}
    if scheme.upper() == protocol:
        assert load(**settings).kafka()["bootstrap_servers"] == "a:1,[::1]:2,c:3"
    else:
        with pytest.raises(ConfigError, match=f"has {scheme}://, but KAFKA_SECURITY_PROTOCOL is {protocol}: set both"):
            load(**settings)


@pytest.mark.parametrize("servers", ["http://a:1", "a:1/x", "PLAINTEXT://a", "a:1 b:2", "://a:1x"])
def test_other_bootstrap_servers_are_refused(servers: str) -> None:
    with pytest.raises(ConfigError, match="KAFKA_BOOTSTRAP_SERVERS: expected host:port,host:port"):
        load(bootstrap_servers=servers)


@pytest.mark.parametrize(
    "url",
    [
        "user:hunter2@host",
        "user:hunter2@host:8081/x",
        "hunter2",
        "ftp://user:hunter2@registry/",
        "http://",
        "http://u:hunter2@",
        "http://a:hunter2",
        "http://host/?token=hunter2",
        "http://host/#hunter2",
        "http://user:hunter2@host/?token=hunter2",
        "http://host/hunter2\n",
        "http://[::1/hunter2",
    ],
)
@pytest.mark.parametrize(
    "variable", ["SCHEMA_REGISTRY_URL", "KAFKA_OAUTH_TOKEN_URL", "SCHEMA_REGISTRY_OAUTH_TOKEN_URL"]
)
def test_an_invalid_url_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch, url: str, variable: str) -> None:
    monkeypatch.setenv(variable, url)
    with pytest.raises(ConfigError) as caught:
        load()
    assert f"{variable}: " in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_token_is_stripped_and_must_fit_into_a_header() -> None:
    assert load(registry_url="http://r", registry_token="abc\n").registry_token.get_secret_value() == "abc"
    for wrong in ("a b", "a\nb", "a\x00", "é"):
        with pytest.raises(ConfigError, match="SCHEMA_REGISTRY_BEARER_TOKEN: must be printable"):
            load(registry_url="http://r", registry_token=wrong)


def test_login_in_the_url_is_decoded() -> None:
    assert load(registry_url="https://a%3Ab:c%40d@r").registry_basic == ("a:b", "c@d")
    assert load(registry_url="https://u@r").registry_basic == ("u", "")


# --- misspelt variables ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("PIPELINE_WATCHDOG_SECOND", "PIPELINE_WATCHDOG_SECONDS"),
        ("PIPELINE_PARTITONS", "PIPELINE_PARTITIONS"),
        ("KAFKA_SASL_MECHANISMS", "KAFKA_SASL_MECHANISM"),
        ("KAFKA_BOOTSTRAP_SERVER", "KAFKA_BOOTSTRAP_SERVERS"),
        ("SCHEMA_REGISTRY_URI", "SCHEMA_REGISTRY_URL"),
        ("CONFERENCE_PIPELINE_CACH", "CONFERENCE_PIPELINE_CACHE"),
        ("kafka_ssl_ca", "KAFKA_SSL_CA"),
        ("security.protocol", "KAFKA_SECURITY_PROTOCOL"),
        ("bootstrap.servers", "KAFKA_BOOTSTRAP_SERVERS"),
        ("sasl.mechanisms", "KAFKA_SASL_MECHANISM"),
        ("ssl.ca.location", "KAFKA_SSL_CA"),
        ("KAFKA_SASL_JAAS_CONFIG", "KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"),
        ("sasl.oauthbearer.token.endpoint.url", "KAFKA_OAUTH_TOKEN_URL"),
        ("schema.registry.url", "SCHEMA_REGISTRY_URL"),
    ],
)
def test_a_variable_that_resembles_a_setting_is_warned_of(name: str, meant: str) -> None:
    assert warnings({name: "hunter2"}) == [f"{name} is no setting and has no effect: did you mean {meant}?"]


def test_settings_and_foreign_variables_are_not_warned_of() -> None:
    foreign = (
        "PATH", "HOME", "SSL_CERT_FILE", "KAFKA_HOME", "KAFKA_OPTS", "KAFKA_HEAP_OPTS", "KAFKA_SERVICE_HOST", "KAFKA_PORT",
        "KAFKA_PORT_9092_TCP_ADDR", "SCHEMA_REGISTRY_PORT", "SCHEMA_REGISTRY_SERVICE_PORT", "PIPELINE_ID", "CI_PIPELINE_ID",
        "PIPELINE_NAME", "GROUP_ID", "MY_SASL_USERNAME",
    )  # fmt: skip
    assert warnings(dict.fromkeys([*foreign, *VARIABLES.values(), cache.ENV, fetch.MIRROR], "x")) == []
    assert {cache.ENV, fetch.MIRROR, profiles.FILE} == set(OTHERS)
    assert set(re.findall("[A-Z_]{4,}", " ".join(ALIASES.values()))) <= set(VARIABLES.values())
