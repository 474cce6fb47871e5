"""All settings, in one class. Their only source is the environment (contract §7).

`KAFKA_*` and `SCHEMA_REGISTRY_*` configure the connections, `PIPELINE_*` the pipeline. The documentation's table of
settings is generated from the docstrings of the fields.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import ssl
from base64 import b64encode
from collections.abc import Iterable
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import quote, quote_plus, unquote, urlsplit

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipeline.core.watchdog import SECOND, Rules
from pipeline.environment import loaded, variables
from pipeline.errors import ConfigError
from pipeline.settings_rules import contradictions, misspelt


def _env(name: str, default: Any, **more: Any) -> Any:
    return Field(default, validation_alias=AliasChoices(name), **more)


class OAuthClient(NamedTuple):
    """How to get tokens by client credentials. `prefix` is that of the variables; `ca` the path of a PEM file."""

    prefix: str
    token_url: str
    client_id: str
    client_secret: str
    scope: str
    audience: str
    ca: str

    def __repr__(self) -> str:
        return f"OAuthClient({self.prefix})"

    def ssl_context(self) -> ssl.SSLContext | bool:
        """Return the TLS context for the endpoint; True means aiohttp's default. Raises ConfigError."""
        return _context(f"{self.prefix}_SSL", self.ca) if self.ca else True

    def redacted(self, text: str) -> str:
        """Return `text` without the client's secret."""
        pair = b64encode(f"{quote_plus(self.client_id)}:{quote_plus(self.client_secret)}".encode()).decode()
        for spelling in (pair, self.client_secret, quote_plus(self.client_secret)):
            text = text.replace(spelling, "***") if len(spelling) >= 4 else text
        return text


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
    """Prefix of the names of the topics, before the first dot."""
    group_id: str = _env("PIPELINE_GROUP_ID", "conference-pipeline", min_length=1)
    """Consumer group of the workers."""
    partitions: int = _env("PIPELINE_PARTITIONS", 12, ge=1, le=10_000)
    """Number of partitions of each topic but `engines`, which has one. It can't be changed once the topics exist."""
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
    """Transactional id of the worker's producer; two running workers must not share one. Begin it with the group id and
    a hyphen: by that, a worker knows whose open transaction it may end. Default: the group id and a random part."""
    session_timeout: Annotated[float, Field(ge=1, le=300)] = _env("PIPELINE_SESSION_TIMEOUT_SECONDS", 6.0)
    """Seconds without a heartbeat after which Kafka assigns a worker's partitions to the others."""
    commit_interval_ms: int = _env("PIPELINE_COMMIT_INTERVAL_MS", 0, ge=0, le=250)
    """Least milliseconds from the beginning of one transaction to that of the next. 0: as soon as possible. More costs
    less processor time at ordinary load, and events and timeouts come up to so much later."""
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
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "AWS_MSK_IAM"] = _env(
        "KAFKA_SASL_MECHANISM", "PLAIN"
    )
    """SASL mechanism of a `SASL_` protocol. `AWS_MSK_IAM` needs the extra `msk`."""
    sasl_username: str = _env("KAFKA_SASL_USERNAME", "")
    """User name for `PLAIN` and `SCRAM`."""
    sasl_password: SecretStr = _env("KAFKA_SASL_PASSWORD", SecretStr(""))
    """Password for `PLAIN` and `SCRAM`."""
    oauth_token_url: str = _env("KAFKA_OAUTH_TOKEN_URL", "")
    """Token endpoint for `OAUTHBEARER`, by client credentials."""
    oauth_client_id: str = _env("KAFKA_OAUTH_CLIENT_ID", "")
    """Client id for `OAUTHBEARER`."""
    oauth_client_secret: SecretStr = _env("KAFKA_OAUTH_CLIENT_SECRET", SecretStr(""))
    """Client secret for `OAUTHBEARER`."""
    oauth_scope: str = _env("KAFKA_OAUTH_SCOPE", "")
    """Scope of the token, if the endpoint requires one."""
    oauth_audience: str = _env("KAFKA_OAUTH_AUDIENCE", "")
    """Audience of the token, if the endpoint requires one."""
    oauth_extensions: str = _env(
        "KAFKA_OAUTH_EXTENSIONS", "", pattern=r"^([A-Za-z]+=[ -+\--~]+(,[A-Za-z]+=[ -+\--~]+)*)?$"
    )
    """SASL extensions that the brokers require, as `key=value,key=value` (Confluent Cloud: `logicalCluster`)."""
    oauth_ca: str = _env("KAFKA_OAUTH_SSL_CA", "")
    """PEM file of the certificate authorities of the token endpoint. Default: the system's."""
    aws_region: str = _env("KAFKA_AWS_REGION", "")
    """AWS region of the brokers, for `AWS_MSK_IAM`."""
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
    registry_cert: str = _env("SCHEMA_REGISTRY_SSL_CERT", "")
    """PEM file of the client certificate for the registry."""
    registry_key: str = _env("SCHEMA_REGISTRY_SSL_KEY", "")
    """PEM file of that certificate's key."""
    registry_key_password: SecretStr = _env("SCHEMA_REGISTRY_SSL_KEY_PASSWORD", SecretStr(""))
    """Password of the file in `SCHEMA_REGISTRY_SSL_KEY`."""
    registry_oauth_token_url: str = _env("SCHEMA_REGISTRY_OAUTH_TOKEN_URL", "")
    """Token endpoint for the registry's tokens, by client credentials."""
    registry_oauth_client_id: str = _env("SCHEMA_REGISTRY_OAUTH_CLIENT_ID", "")
    """Client id at that endpoint."""
    registry_oauth_client_secret: SecretStr = _env("SCHEMA_REGISTRY_OAUTH_CLIENT_SECRET", SecretStr(""))
    """Client secret at that endpoint."""
    registry_oauth_scope: str = _env("SCHEMA_REGISTRY_OAUTH_SCOPE", "")
    """Scope of the token, if the endpoint requires one."""
    registry_oauth_audience: str = _env("SCHEMA_REGISTRY_OAUTH_AUDIENCE", "")
    """Audience of the token, if the endpoint requires one."""
    registry_oauth_ca: str = _env("SCHEMA_REGISTRY_OAUTH_SSL_CA", "")
    """PEM file of the certificate authorities of that endpoint. Default: the system's."""

    @field_validator("registry_url", "oauth_token_url", "registry_oauth_token_url")
    @classmethod
    def _is_url(cls, url: str) -> str:
        """Check a URL. No error shows it: what is wrong may be a secret."""
        if not url:
            return url
        try:
            rest = re.sub(r"(?<=://).*@", "", url)
            parts = urlsplit(rest)
            is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_url = False
        if not is_url or not re.fullmatch(r"[!-~]+", rest):
            raise ValueError("expected a URL that begins with http:// or https:// and a host")
        if "?" in rest or "#" in rest:
            raise ValueError("must have no query and no fragment; a login has settings of its own")
        return url

    @field_validator("registry_token")
    @classmethod
    def _is_token(cls, token: SecretStr) -> SecretStr:
        text = token.get_secret_value().strip()  # a file that was read into a variable ends with a line break
        if not re.fullmatch(r"[!-~]*", text):
            raise ValueError("must be printable ASCII without spaces")
        return SecretStr(text)

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if "@" in self.bootstrap_servers:
            remedy = "set KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"
            raise ValueError(f"KAFKA_BOOTSTRAP_SERVERS: must not contain a user or password: {remedy}")
        servers = [self._without_scheme(entry.strip()) for entry in self.bootstrap_servers.split(",") if entry.strip()]
        if "://" in self.bootstrap_servers:
            self.__dict__["bootstrap_servers"] = ",".join(servers)  # the model is frozen for everybody else
        for url in ("oauth_token_url", "registry_oauth_token_url"):
            if "@" in getattr(self, url):
                raise ValueError(f"{VARIABLES[url]}: must not contain a user or password: set the client id and secret")
        wrong = sorted(contradictions(self, VARIABLES, self._changed()))
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    def _changed(self) -> list[str]:
        """Return the fields that have not their default value."""
        changed = [name for name, field in type(self).model_fields.items() if getattr(self, name) != field.default]
        return [*changed, "registry_basic_in_url"] if "@" in self.registry_url else changed

    def _without_scheme(self, server: str) -> str:
        """Return `host:port` of a bootstrap server, also of one in the form of a listener, `SASL_SSL://host:port`."""
        scheme, _, address = server.rpartition("://")
        if scheme and scheme.upper() not in ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"):
            raise ValueError(f"KAFKA_BOOTSTRAP_SERVERS: expected host:port,host:port, got {server!r}")
        if scheme and scheme.upper() != self.security_protocol:
            raise ValueError(
                f"KAFKA_BOOTSTRAP_SERVERS has {scheme}://, but KAFKA_SECURITY_PROTOCOL is {self.security_protocol}: "
                "set both to what the brokers require"
            )
        if not re.fullmatch(r"[^\s/]+:\d{1,5}", address):
            raise ValueError(f"KAFKA_BOOTSTRAP_SERVERS: expected host:port,host:port, got {server!r}")
        return address

    @property
    def registry_scheme(self) -> str:
        """The scheme of the registry's URL."""
        return self.registry_url.partition("://")[0]

    @property
    def oauth_scheme(self) -> str:
        """The scheme of the brokers' token endpoint."""
        return self.oauth_token_url.partition("://")[0]

    @property
    def registry_oauth_scheme(self) -> str:
        """The scheme of the registry's token endpoint."""
        return self.registry_oauth_token_url.partition("://")[0]

    @property
    def registry_basic(self) -> tuple[str, str]:
        """User and password for the registry, from the URL or their own settings."""
        login = re.search(r"://(.*)@", self.registry_url)
        if not login:
            return self.registry_username, self.registry_password.get_secret_value()
        user, _, password = login[1].partition(":")
        return unquote(user), unquote(password)

    @property
    def registry_login_names(self) -> str:
        """The settings with which this process logs in to the registry, for errors."""
        if self.registry_oauth_token_url:
            return "SCHEMA_REGISTRY_OAUTH_CLIENT_ID, _SCOPE and _AUDIENCE, and what the registry expects of a token"
        if self.registry_token.get_secret_value():
            return "SCHEMA_REGISTRY_BEARER_TOKEN"
        if self.registry_cert:
            return "SCHEMA_REGISTRY_SSL_CERT, SCHEMA_REGISTRY_USERNAME and SCHEMA_REGISTRY_PASSWORD"
        return "SCHEMA_REGISTRY_USERNAME and SCHEMA_REGISTRY_PASSWORD, or SCHEMA_REGISTRY_BEARER_TOKEN"

    @property
    def kafka_user(self) -> str:
        """The name with which this process logs in to the brokers, "" if only they know it."""
        return self.sasl_username or self.oauth_client_id

    @property
    def oauth_extension_map(self) -> dict[str, str]:
        """The SASL extensions by name."""
        return dict(pair.split("=", 1) for pair in self.oauth_extensions.split(",") if pair)

    @cached_property
    def rules(self) -> Rules:
        """The watchdog settings in the form that the core uses."""
        return Rules(round(self.watchdog_seconds * SECOND), self.watchdog_mode == "progress")

    @cached_property
    def worker_id(self) -> str:
        """The transactional id of this process."""
        return self.transactional_id or f"{self.group_id}-{secrets.token_hex(6)}"

    def is_worker_id(self, transactional_id: str) -> bool:
        """Return whether this transactional id is one of a worker of this group: it begins with the group id.

        An id in PIPELINE_TRANSACTIONAL_ID that does not is known only from the position records.
        """
        return transactional_id.startswith(f"{self.group_id}-")

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
        """Return the keyword arguments that all aiokafka clients share. Raises ConfigError.

        Without the tokens of a login by token: use `pipeline.kafka.oauth.client_options`.
        """
        return {
            "bootstrap_servers": self.bootstrap_servers,
            "security_protocol": self.security_protocol,
            "sasl_mechanism": "OAUTHBEARER" if self.aws_region else self.sasl_mechanism,
            "sasl_plain_username": self.sasl_username or None,
            "sasl_plain_password": self.sasl_password.get_secret_value() or None,
            "ssl_context": self.ssl_context(),
        }

    def ssl_context(self) -> ssl.SSLContext | None:
        """Return the TLS context for the brokers, None without TLS. Raises ConfigError when a file can't be loaded."""
        if self.security_protocol not in ("SSL", "SASL_SSL"):
            return None
        password = self.ssl_key_password.get_secret_value()
        context = _context("KAFKA_SSL", self.ssl_ca, self.ssl_cert, self.ssl_key, password)
        context.check_hostname = self.ssl_verify_hostname
        return context

    def registry_ssl(self) -> ssl.SSLContext | bool:
        """Return the TLS context for the registry; True means aiohttp's default. Raises ConfigError."""
        if not (self.registry_ca or self.registry_cert):
            return True
        password = self.registry_key_password.get_secret_value()
        return _context("SCHEMA_REGISTRY_SSL", self.registry_ca, self.registry_cert, self.registry_key, password)

    def kafka_oauth(self) -> OAuthClient | None:
        """Return how to get the brokers' tokens, None when they require none."""
        return self._client("KAFKA_OAUTH", "oauth")

    def registry_oauth(self) -> OAuthClient | None:
        """Return how to get the registry's tokens, None when it requires none."""
        return self._client("SCHEMA_REGISTRY_OAUTH", "registry_oauth")

    def _client(self, prefix: str, field: str) -> OAuthClient | None:
        names = ("token_url", "client_id", "client_secret", "scope", "audience", "ca")
        values = [getattr(self, f"{field}_{name}") for name in names]
        texts = [value.get_secret_value() if isinstance(value, SecretStr) else value for value in values]
        return OAuthClient(prefix, *texts) if texts[0] else None


VARIABLES: dict[str, str] = variables(Settings)
"""The environment variable of each field."""


def _context(prefix: str, ca: str, cert: str = "", key: str = "", password: str = "") -> ssl.SSLContext:
    """Return a TLS context for a server. Raises ConfigError with the variable whose file can't be loaded."""
    loading = f"{prefix}_CA={ca}"
    try:
        context = ssl.create_default_context(cafile=ca or None)
        loading = f"{prefix}_CERT={cert} or {prefix}_KEY={key}"
        if cert:
            # A callback, because without a password OpenSSL would ask for one on the terminal.
            context.load_cert_chain(cert, key, lambda: password)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{loading} can't be loaded: {error}") from None
    return context


def load(**overrides: Any) -> Settings:
    """Return the settings of the environment. Raises ConfigError; its one line names each invalid variable."""
    return loaded(Settings, overrides)


def warnings(environ: Iterable[str] = os.environ, known: Iterable[str] = ()) -> list[str]:
    """Return a line for each variable that has no effect and resembles a setting, or another `known` variable."""
    found = misspelt(environ, {*VARIABLES.values(), *known})
    return [f"{name} is no setting and has no effect: did you mean {meant}?" for name, meant in found]
