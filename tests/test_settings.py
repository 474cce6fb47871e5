"""Settings: what goes together, what is named when it is wrong, and the TLS contexts.

tests/data/client.*.pem: a self-signed certificate and its key, used nowhere else; the key's password is PASSWORD.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ConfigError
from pipeline.settings import Settings, load

DATA = Path(__file__).parent / "data"
CERT, KEY = str(DATA / "client.cert.pem"), str(DATA / "client.key.pem")
PASSWORD = "of-the-tests"
SUBJECT = ((("commonName", "client of the tests"),),)


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of ours in the environment."""
    for name in [name for name in os.environ if name.startswith(("KAFKA_", "SCHEMA_REGISTRY_", "PIPELINE_"))]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("env", "told"),
    [
        (
            {"KAFKA_BOOTSTRAP_SERVERS": "a:1,b"},
            "KAFKA_BOOTSTRAP_SERVERS: expected host:port,host:port, got 'b'",
        ),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"},
            "KAFKA_SECURITY_PROTOCOL=SASL_SSL needs KAFKA_SASL_USERNAME",
        ),
        ({"KAFKA_SSL_CERT": "c.pem"}, "KAFKA_SSL_CERT and KAFKA_SSL_KEY go together"),
        ({"KAFKA_SSL_KEY": "k.pem"}, "KAFKA_SSL_CERT and KAFKA_SSL_KEY go together"),
        ({"PIPELINE_PARTITIONS": "0", "PIPELINE_TOPIC_PREFIX": "a.b"}, "PIPELINE_TOPIC_PREFIX: "),
        ({"PIPELINE_PARTITIONS": "0", "PIPELINE_TOPIC_PREFIX": "a.b"}, "; PIPELINE_PARTITIONS: "),
    ],
)
def test_what_is_wrong_is_named_in_one_line(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], told: str
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        load()
    text = str(caught.value)
    assert text.startswith("wrong settings: ")
    assert told in text
    assert "\n" not in text


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_PARTITIONS", "")
    assert load() == Settings()
    assert load().partitions == 12


def test_what_the_kafka_clients_get(monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_tls_trusts_the_given_authority_and_shows_our_certificate(
    verify: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    assert context.verify_mode == ssl.CERT_REQUIRED, "without the name, the authority still counts"
    assert context.check_hostname is verify


def test_tls_without_files_trusts_what_the_system_does() -> None:
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
def test_tls_files_that_can_not_be_loaded_are_named(files: dict[str, str]) -> None:
    found = load(security_protocol="SSL", **files)
    with pytest.raises(ConfigError, match=r"^KAFKA_SSL_CA, _CERT or _KEY can't be loaded: \S"):
        found.kafka()


def test_tls_of_the_registry() -> None:
    assert load().registry_ssl() is True
    context = load(registry_ca=CERT).registry_ssl()
    assert isinstance(context, ssl.SSLContext)
    assert [one["subject"] for one in context.get_ca_certs()] == [SUBJECT]
    assert context.check_hostname is True
    for wrong in ("no-such.pem", __file__):
        with pytest.raises(ConfigError, match=r"^SCHEMA_REGISTRY_SSL_CA can't be loaded: \S"):
            load(registry_ca=wrong).registry_ssl()


def test_a_worker_has_an_id_of_its_own_unless_it_was_given_one() -> None:
    first, second = load(group_id="g"), load(group_id="g")
    named = first.worker_id
    assert first.worker_id == named, "it stays the same"
    assert second.worker_id != named
    assert first.worker_id.startswith("g-")
    assert load(transactional_id="mine").worker_id == "mine"


def test_the_registry_is_shown_without_its_password() -> None:
    assert load(registry_url="https://u:secret@host:81/x/").registry_shown == "https://host:81/x"
