"""Settings: checks and their errors, client arguments, TLS contexts, redaction.

tests/data/client.*.pem: a self-signed certificate and its key, used only here; the key's password is PASSWORD.
"""

from __future__ import annotations

import json
import os
import ssl
from base64 import b64encode
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from pipeline.errors import ConfigError
from pipeline.settings import Settings, load

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
            "KAFKA_SECURITY_PROTOCOL=SASL_SSL needs KAFKA_SASL_USERNAME",
        ),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_USERNAME": "u"},
            "KAFKA_SECURITY_PROTOCOL=SASL_SSL needs KAFKA_SASL_PASSWORD",
        ),
        (
            {"KAFKA_BOOTSTRAP_SERVERS": "u:hunter2@a:1"},
            "KAFKA_BOOTSTRAP_SERVERS: must not contain a user or password",
        ),
        (
            {"SCHEMA_REGISTRY_URL": "https://u:hunter2@r", "SCHEMA_REGISTRY_USERNAME": "u"},
            "SCHEMA_REGISTRY_URL contains a user, and SCHEMA_REGISTRY_USERNAME or SCHEMA_REGISTRY_BEARER_TOKEN is set",
        ),
        (
            {"SCHEMA_REGISTRY_URL": "https://u:hunter2@r", "SCHEMA_REGISTRY_BEARER_TOKEN": "hunter2"},
            "SCHEMA_REGISTRY_URL contains a user",
        ),
        ({"KAFKA_SSL_CERT": "c.pem"}, "KAFKA_SSL_CERT and KAFKA_SSL_KEY: set both or neither"),
        ({"KAFKA_SSL_KEY": "k.pem"}, "KAFKA_SSL_CERT and KAFKA_SSL_KEY: set both or neither"),
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

    def load_cert_chain(context: ssl.SSLContext, *args: Any) -> None:
        real(context, *args)
        shown.append(args)

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
    "files",
    [
        {"ssl_ca": "no-such.pem"},
        {"ssl_ca": __file__},
        {"ssl_cert": CERT, "ssl_key": "no-such.pem"},
        {"ssl_cert": CERT, "ssl_key": KEY, "ssl_key_password": "another"},
    ],
)
def test_unloadable_tls_files_raise_config_error(files: dict[str, str]) -> None:
    found = load(security_protocol="SSL", **files)
    with pytest.raises(ConfigError, match=r"^KAFKA_SSL_CA, _CERT or _KEY can't be loaded: \S"):
        found.kafka()


def test_registry_tls_uses_its_own_authority() -> None:
    assert load().registry_ssl() is True
    context = load(registry_ca=CERT).registry_ssl()
    assert isinstance(context, ssl.SSLContext)
    assert [one["subject"] for one in context.get_ca_certs()] == [SUBJECT]
    assert context.check_hostname is True
    for wrong in ("no-such.pem", __file__):
        with pytest.raises(ConfigError, match=r"^SCHEMA_REGISTRY_SSL_CA can't be loaded: \S"):
            load(registry_ca=wrong).registry_ssl()


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
    names = ("sasl_password", "ssl_key_password", "registry_password", "registry_token")
    found = load(registry_username="user", **dict.fromkeys(names, word))
    quoted = quote(word, safe="")
    basic = b64encode(f"user:{word}".encode()).decode()
    spellings = [word, repr(word), repr(word.encode()), json.dumps(word), quoted, f"Basic {basic}"]
    for text in spellings:
        redacted = found.redacted(f"{text} occurs twice: {text}.")
        assert redacted.count("***") == 2, text
        assert "wo" not in redacted
    assert "***" not in load(sasl_password="abc").redacted("abc"), "too short to redact"
    in_url = load(registry_url=f"https://user:{quoted}@host")
    assert [in_url.redacted(text).count("***") for text in (word, quoted, basic)] == [1, 1, 1]
    assert all(word not in repr(one) and quoted not in repr(one) for one in (found, in_url))
