"""Every setting, in one class. The environment is the only source; each field is documented here and nowhere else.

`KAFKA_*` and `SCHEMA_REGISTRY_*` say where the servers are and who we are to them, `PIPELINE_*` how we work
(contract §7). The README's table is generated from this class.
"""

from __future__ import annotations

import json
import re
import secrets
import ssl
from base64 import b64encode
from functools import cached_property
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote, unquote

from pydantic import AliasChoices, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipeline.core.watchdog import SECOND, Rules
from pipeline.errors import ConfigError

SHORTEST_SECRET: Final = 4
"""Shorter ones are not blotted out of texts: nothing would be left of them."""


def _env(name: str, default: Any, text: str, **more: Any) -> Any:
    return Field(default, validation_alias=AliasChoices(name), description=text, **more)


class Settings(BaseSettings):
    """What the environment says. Raises ConfigError (by `load`) with one line per setting that is wrong."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", case_sensitive=True, env_ignore_empty=True, populate_by_name=True
    )

    bootstrap_servers: str = _env(
        "KAFKA_BOOTSTRAP_SERVERS",
        "",
        "Kafka brokers, `host:port,host:port`. Default: the broker that `up` started.",
    )
    registry_url: str = _env(
        "SCHEMA_REGISTRY_URL",
        "",
        "Base URL of the schema registry's Confluent-compatible API. Default: the registry that `up` started.",
        repr=False,  # it may carry a password
    )
    topic_prefix: str = _env(
        "PIPELINE_TOPIC_PREFIX",
        "conference",
        "What stands before the first dot of the six topics' names.",
        pattern=r"^[A-Za-z0-9_-]+$",
        max_length=200,
    )
    group_id: str = _env(
        "PIPELINE_GROUP_ID", "conference-pipeline", "Consumer group of the workers.", min_length=1
    )
    partitions: int = _env(
        "PIPELINE_PARTITIONS",
        12,
        "Partitions of each of the six topics; fixed for the life of the topics.",
        ge=1,
        le=10_000,
    )
    replication: int = _env(
        "PIPELINE_REPLICATION_FACTOR",
        -1,
        "Replication factor of topics that `setup` creates; -1: 3 where there are as many brokers, else their default.",
        ge=-1,
    )
    watchdog_seconds: Annotated[float, Field(gt=0, le=86_400)] = _env(
        "PIPELINE_WATCHDOG_SECONDS", 10.0, "Seconds a playback may go without a terminal event."
    )
    watchdog_mode: Literal["dispatch", "progress"] = _env(
        "PIPELINE_WATCHDOG_MODE",
        "dispatch",
        "`dispatch`: the seconds count from the play (the page's rule); `progress`: each `play.progress` of a "
        "playing playback starts them anew.",
    )
    http_port: int = _env(
        "PIPELINE_HTTP_PORT",
        8080,
        "Port of `/livez`, `/readyz` and `/metrics`; 0 takes a free one and logs it.",
        ge=0,
        le=65_535,
    )
    http_host: str = _env("PIPELINE_HTTP_HOST", "0.0.0.0", "Address that port is bound to.")
    transactional_id: str = _env(
        "PIPELINE_TRANSACTIONAL_ID",
        "",
        "Transactional id of the worker's producer, one per worker at a time. Default: the group id and a random part.",
    )
    session_timeout: Annotated[float, Field(ge=1, le=300)] = _env(
        "PIPELINE_SESSION_TIMEOUT_SECONDS",
        6.0,
        "Seconds without a heartbeat after which the group gives a worker's partitions away.",
    )
    trace_context: bool = _env(
        "PIPELINE_TRACE_CONTEXT",
        True,
        "Whether events carry the headers `traceparent` and `tracestate` of the signal that caused them.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = _env(
        "PIPELINE_LOG_LEVEL", "info", "Least level of the log lines."
    )
    log_format: Literal["auto", "json", "text"] = _env(
        "PIPELINE_LOG_FORMAT", "auto", "`json` or `text` log lines; `auto` is text on a terminal, else json."
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = _env(
        "KAFKA_SECURITY_PROTOCOL", "PLAINTEXT", "How to talk to the brokers."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = _env(
        "KAFKA_SASL_MECHANISM", "PLAIN", "SASL mechanism, with a SASL_ protocol."
    )
    sasl_username: str = _env("KAFKA_SASL_USERNAME", "", "SASL user.")
    sasl_password: SecretStr = _env("KAFKA_SASL_PASSWORD", SecretStr(""), "SASL password.")
    ssl_ca: str = _env("KAFKA_SSL_CA", "", "PEM file with the brokers' certificate authorities.")
    ssl_cert: str = _env("KAFKA_SSL_CERT", "", "PEM file with our client certificate.")
    ssl_key: str = _env("KAFKA_SSL_KEY", "", "PEM file with our client key.")
    ssl_key_password: SecretStr = _env("KAFKA_SSL_KEY_PASSWORD", SecretStr(""), "Password of that key.")
    ssl_verify_hostname: bool = _env(
        "KAFKA_SSL_VERIFY_HOSTNAME", True, "Whether a broker's certificate must carry its host name."
    )
    registry_username: str = _env("SCHEMA_REGISTRY_USERNAME", "", "Registry user (HTTP basic).")
    registry_password: SecretStr = _env(
        "SCHEMA_REGISTRY_PASSWORD", SecretStr(""), "Registry password (HTTP basic)."
    )
    registry_token: SecretStr = _env(
        "SCHEMA_REGISTRY_BEARER_TOKEN", SecretStr(""), "Registry token (HTTP bearer)."
    )
    registry_ca: str = _env(
        "SCHEMA_REGISTRY_SSL_CA", "", "PEM file with the registry's certificate authorities."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if "@" in self.bootstrap_servers:
            raise ValueError(
                "KAFKA_BOOTSTRAP_SERVERS: no user or password there: KAFKA_SASL_USERNAME, _PASSWORD"
            )
        for server in filter(None, self.bootstrap_servers.split(",")):
            if not re.fullmatch(r"\S+:\d{1,5}", server.strip()):
                raise ValueError(f"KAFKA_BOOTSTRAP_SERVERS: expected host:port,host:port, got {server!r}")
        if self.security_protocol.startswith("SASL_") and not self.sasl_username:
            raise ValueError(f"KAFKA_SECURITY_PROTOCOL={self.security_protocol} needs KAFKA_SASL_USERNAME")
        if self.security_protocol.startswith("SASL_") and not self.sasl_password.get_secret_value():
            raise ValueError(f"KAFKA_SECURITY_PROTOCOL={self.security_protocol} needs KAFKA_SASL_PASSWORD")
        if "@" in self.registry_url and (self.registry_username or self.registry_token.get_secret_value()):
            raise ValueError(
                "SCHEMA_REGISTRY_URL carries a user, and SCHEMA_REGISTRY_USERNAME or _BEARER_TOKEN is set: one of them"
            )
        if bool(self.ssl_cert) != bool(self.ssl_key):
            raise ValueError("KAFKA_SSL_CERT and KAFKA_SSL_KEY go together")
        return self

    @cached_property
    def rules(self) -> Rules:
        """The watchdog settings as the core takes them."""
        return Rules(round(self.watchdog_seconds * SECOND), self.watchdog_mode == "progress")

    @cached_property
    def worker_id(self) -> str:
        """The transactional id of this process."""
        return self.transactional_id or f"{self.group_id}-{secrets.token_hex(6)}"

    @cached_property
    def registry_shown(self) -> str:
        """The registry's URL without what may be a password in it."""
        return re.sub(r"(?<=//).*@", "", self.registry_url.rstrip("/"))

    @cached_property
    def secret_spellings(self) -> tuple[str, ...]:
        """Every secret in every way it may be written in a text, the longest first."""
        user = re.search(r"//(.*)@", self.registry_url)
        login = user[1] if user else ""
        named = f"{self.registry_username}:{self.registry_password.get_secret_value()}"
        secrets_ = [field.get_secret_value() for field in dict(self).values() if isinstance(field, SecretStr)]
        secrets_ += [login, login.partition(":")[2], unquote(login.partition(":")[2])]
        secrets_ += [
            b64encode(pair.encode()).decode() for pair in (named, login, unquote(login)) if pair != ":"
        ]
        ways = (str, repr, lambda one: repr(one.encode())[1:], json.dumps, lambda one: quote(one, safe=""))
        found = {way(one).strip("\"'") for one in secrets_ if len(one) >= SHORTEST_SECRET for way in ways}
        return tuple(sorted(found, key=len, reverse=True))

    def redacted(self, text: str) -> str:
        """`text` without our secrets: the last line of defence, where others' words are passed on."""
        for spelling in self.secret_spellings:
            text = text.replace(spelling, "***")
        return text

    def kafka(self) -> dict[str, Any]:
        """The keyword arguments that every aiokafka client of ours shares."""
        return {
            "bootstrap_servers": self.bootstrap_servers,
            "security_protocol": self.security_protocol,
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_plain_username": self.sasl_username or None,
            "sasl_plain_password": self.sasl_password.get_secret_value() or None,
            "ssl_context": self.ssl_context(),
        }

    def ssl_context(self) -> ssl.SSLContext | None:
        """The TLS context of the brokers, None without TLS. Raises ConfigError when a file can't be read."""
        if self.security_protocol not in ("SSL", "SASL_SSL"):
            return None
        try:
            context = ssl.create_default_context(cafile=self.ssl_ca or None)
            if self.ssl_cert:
                password = self.ssl_key_password.get_secret_value() or None
                context.load_cert_chain(self.ssl_cert, self.ssl_key, password)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"KAFKA_SSL_CA, _CERT or _KEY can't be loaded: {error}") from None
        context.check_hostname = self.ssl_verify_hostname
        return context

    def registry_ssl(self) -> ssl.SSLContext | bool:
        """The TLS context of the registry; True is aiohttp's default. Raises ConfigError."""
        if not self.registry_ca:
            return True
        try:
            return ssl.create_default_context(cafile=self.registry_ca)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"SCHEMA_REGISTRY_SSL_CA can't be loaded: {error}") from None


def load(**overrides: Any) -> Settings:
    """The settings of the environment. Raises ConfigError, one line that names each variable that is wrong."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        wrong = [
            f"{'.'.join(map(str, item['loc']))}: {item['msg']}".removeprefix(": ") for item in error.errors()
        ]
        raise ConfigError("wrong settings: " + "; ".join(wrong)) from None
