"""All settings, in one class. Their only source is the environment (contract §7).

`KAFKA_*` and `SCHEMA_REGISTRY_*` configure the connections, `PIPELINE_*` the pipeline. The documentation's table of
settings is generated from the docstrings of the fields.
"""

from __future__ import annotations

import json
import re
import secrets
import ssl
from base64 import b64encode
from functools import cached_property
from typing import Annotated, Any, Literal
from urllib.parse import quote, unquote

from pydantic import AliasChoices, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipeline.core.watchdog import SECOND, Rules
from pipeline.errors import ConfigError


def _env(name: str, default: Any, **more: Any) -> Any:
    return Field(default, validation_alias=AliasChoices(name), **more)


class Settings(BaseSettings):
    """The settings of one process. Use `load`, which raises ConfigError when one is invalid."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", case_sensitive=True, env_ignore_empty=True, populate_by_name=True
    )

    bootstrap_servers: str = _env("KAFKA_BOOTSTRAP_SERVERS", "")
    """Kafka brokers, as `host:port,host:port`. Default: the broker started by `up`."""
    registry_url: str = _env("SCHEMA_REGISTRY_URL", "", repr=False)  # it may contain a password
    """Base URL of the schema registry's Confluent-compatible API. Default: the registry started by `up`."""
    topic_prefix: str = _env("PIPELINE_TOPIC_PREFIX", "conference", pattern=r"^[A-Za-z0-9_-]+$", max_length=200)
    """Prefix of the names of the seven topics, before the first dot."""
    group_id: str = _env("PIPELINE_GROUP_ID", "conference-pipeline", min_length=1)
    """Consumer group of the workers."""
    partitions: int = _env("PIPELINE_PARTITIONS", 12, ge=1, le=10_000)
    """Number of partitions of each of the seven topics. It can't be changed once the topics exist."""
    replication: int = _env("PIPELINE_REPLICATION_FACTOR", -1, ge=-1)
    """Replication factor of the topics that `setup` creates. -1: 3 if there are 3 brokers, else their default."""
    watchdog_seconds: Annotated[float, Field(gt=0, le=86_400)] = _env("PIPELINE_WATCHDOG_SECONDS", 10.0)
    """Seconds after which the watchdog ends a playback that has not finished, failed or stopped."""
    watchdog_mode: Literal["dispatch", "progress"] = _env("PIPELINE_WATCHDOG_MODE", "dispatch")
    """When the watchdog's seconds start: `dispatch`, at the play request; `progress`, again at each `play.progress`
    of a playing playback."""
    http_port: int = _env("PIPELINE_HTTP_PORT", 8080, ge=0, le=65_535)
    """Port of `/livez`, `/readyz` and `/metrics`. 0: a free port, which the worker logs."""
    http_host: str = _env("PIPELINE_HTTP_HOST", "0.0.0.0")
    """Address that the HTTP server listens on."""
    transactional_id: str = _env("PIPELINE_TRANSACTIONAL_ID", "")
    """Transactional id of the worker's producer; two running workers must not share one. Default: the group id and a
    random part."""
    session_timeout: Annotated[float, Field(ge=1, le=300)] = _env("PIPELINE_SESSION_TIMEOUT_SECONDS", 6.0)
    """Seconds without a heartbeat after which Kafka assigns a worker's partitions to the others."""
    trace_context: bool = _env("PIPELINE_TRACE_CONTEXT", True)
    """Whether events get the headers `traceparent` and `tracestate` of the signal that caused them."""
    log_level: Literal["debug", "info", "warning", "error"] = _env("PIPELINE_LOG_LEVEL", "info")
    """Lowest level that is logged."""
    log_format: Literal["auto", "json", "text"] = _env("PIPELINE_LOG_FORMAT", "auto")
    """Format of the log lines. `auto`: text on a terminal, else JSON."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = _env(
        "KAFKA_SECURITY_PROTOCOL", "PLAINTEXT"
    )
    """Security protocol of the connections to the brokers."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = _env("KAFKA_SASL_MECHANISM", "PLAIN")
    """SASL mechanism; used with a `SASL_` protocol."""
    sasl_username: str = _env("KAFKA_SASL_USERNAME", "")
    """SASL user name."""
    sasl_password: SecretStr = _env("KAFKA_SASL_PASSWORD", SecretStr(""))
    """SASL password."""
    ssl_ca: str = _env("KAFKA_SSL_CA", "")
    """PEM file of the certificate authorities that sign the brokers' certificates. Default: the system's."""
    ssl_cert: str = _env("KAFKA_SSL_CERT", "")
    """PEM file of the client certificate."""
    ssl_key: str = _env("KAFKA_SSL_KEY", "")
    """PEM file of the client certificate's key."""
    ssl_key_password: SecretStr = _env("KAFKA_SSL_KEY_PASSWORD", SecretStr(""))
    """Password of the file in `KAFKA_SSL_KEY`."""
    ssl_verify_hostname: bool = _env("KAFKA_SSL_VERIFY_HOSTNAME", True)
    """Whether a broker's certificate must contain its host name."""
    registry_username: str = _env("SCHEMA_REGISTRY_USERNAME", "")
    """Registry user name (HTTP basic authentication)."""
    registry_password: SecretStr = _env("SCHEMA_REGISTRY_PASSWORD", SecretStr(""))
    """Registry password (HTTP basic authentication)."""
    registry_token: SecretStr = _env("SCHEMA_REGISTRY_BEARER_TOKEN", SecretStr(""))
    """Registry token (HTTP bearer authentication)."""
    registry_ca: str = _env("SCHEMA_REGISTRY_SSL_CA", "")
    """PEM file of the certificate authorities that sign the registry's certificate. Default: the system's."""

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if "@" in self.bootstrap_servers:
            remedy = "set KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"
            raise ValueError(f"KAFKA_BOOTSTRAP_SERVERS: must not contain a user or password: {remedy}")
        for server in filter(None, self.bootstrap_servers.split(",")):
            if not re.fullmatch(r"\S+:\d{1,5}", server.strip()):
                raise ValueError(f"KAFKA_BOOTSTRAP_SERVERS: expected host:port,host:port, got {server!r}")
        if self.security_protocol.startswith("SASL_") and not self.sasl_username:
            raise ValueError(f"KAFKA_SECURITY_PROTOCOL={self.security_protocol} needs KAFKA_SASL_USERNAME")
        if self.security_protocol.startswith("SASL_") and not self.sasl_password.get_secret_value():
            raise ValueError(f"KAFKA_SECURITY_PROTOCOL={self.security_protocol} needs KAFKA_SASL_PASSWORD")
        if "@" in self.registry_url and (self.registry_username or self.registry_token.get_secret_value()):
            raise ValueError(
                "SCHEMA_REGISTRY_URL contains a user, and SCHEMA_REGISTRY_USERNAME or SCHEMA_REGISTRY_BEARER_TOKEN "
                "is set: remove one"
            )
        if bool(self.ssl_cert) != bool(self.ssl_key):
            raise ValueError("KAFKA_SSL_CERT and KAFKA_SSL_KEY: set both or neither")
        return self

    @cached_property
    def rules(self) -> Rules:
        """The watchdog settings in the form that the core uses."""
        return Rules(round(self.watchdog_seconds * SECOND), self.watchdog_mode == "progress")

    @cached_property
    def worker_id(self) -> str:
        """The transactional id of this process."""
        return self.transactional_id or f"{self.group_id}-{secrets.token_hex(6)}"

    @cached_property
    def registry_shown(self) -> str:
        """The registry's URL without user and password, for messages."""
        return re.sub(r"(?<=//).*@", "", self.registry_url.rstrip("/"))

    @cached_property
    def secret_spellings(self) -> tuple[str, ...]:
        """Every secret in every spelling that a text may contain (quoted, encoded), the longest first."""
        user = re.search(r"//(.*)@", self.registry_url)
        login = user[1] if user else ""
        named = f"{self.registry_username}:{self.registry_password.get_secret_value()}"
        secrets_ = [field.get_secret_value() for field in dict(self).values() if isinstance(field, SecretStr)]
        secrets_ += [login, login.partition(":")[2], unquote(login.partition(":")[2])]
        secrets_ += [b64encode(pair.encode()).decode() for pair in (named, login, unquote(login)) if pair != ":"]
        spellings = (str, repr, lambda one: repr(one.encode())[1:], json.dumps, lambda one: quote(one, safe=""))
        # Shorter secrets occur in any text.
        found = {spell(one).strip("\"'") for one in secrets_ if len(one) >= 4 for spell in spellings}
        return tuple(sorted(found, key=len, reverse=True))

    def redacted(self, text: str) -> str:
        """Return `text` with every secret replaced by `***`; for texts of libraries and servers."""
        for spelling in self.secret_spellings:
            text = text.replace(spelling, "***")
        return text

    def kafka(self) -> dict[str, Any]:
        """Return the keyword arguments that all aiokafka clients share. Raises ConfigError."""
        return {
            "bootstrap_servers": self.bootstrap_servers,
            "security_protocol": self.security_protocol,
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_plain_username": self.sasl_username or None,
            "sasl_plain_password": self.sasl_password.get_secret_value() or None,
            "ssl_context": self.ssl_context(),
        }

    def ssl_context(self) -> ssl.SSLContext | None:
        """Return the TLS context for the brokers, None without TLS. Raises ConfigError when a file can't be loaded."""
        if self.security_protocol not in ("SSL", "SASL_SSL"):
            return None
        try:
            context = ssl.create_default_context(cafile=self.ssl_ca or None)
            if self.ssl_cert:
                context.load_cert_chain(self.ssl_cert, self.ssl_key, self.ssl_key_password.get_secret_value() or None)
        except OSError as error:
            raise ConfigError(f"KAFKA_SSL_CA, _CERT or _KEY can't be loaded: {error}") from None
        context.check_hostname = self.ssl_verify_hostname
        return context

    def registry_ssl(self) -> ssl.SSLContext | bool:
        """Return the TLS context for the registry; True means aiohttp's default. Raises ConfigError."""
        if not self.registry_ca:
            return True
        try:
            return ssl.create_default_context(cafile=self.registry_ca)
        except OSError as error:
            raise ConfigError(f"SCHEMA_REGISTRY_SSL_CA can't be loaded: {error}") from None


def load(**overrides: Any) -> Settings:
    """Return the settings of the environment. Raises ConfigError; its one line names each invalid variable."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        reasons = []
        for one in error.errors():
            variable, reason = ".".join(map(str, one["loc"])), one["msg"].removeprefix("Value error, ")
            reasons.append(f"{variable}: {reason}" if variable else reason)  # else the reason names its variables
        raise ConfigError("invalid settings: " + "; ".join(reasons)) from None
