"""The settings of the gateway. Their only source is the environment: `GATEWAY_*`."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable
from functools import cached_property
from typing import Any, Final

from pydantic import AliasChoices, Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipeline.environment import loaded, variables
from pipeline.errors import ConfigError
from pipeline.settings import warnings

NODE: Final = r"[A-Za-z0-9]{1,32}"
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _env(name: str, default: Any, **more: Any) -> Any:
    return Field(default, validation_alias=AliasChoices(name), **more)


class GatewaySettings(BaseSettings):
    """The settings of one gateway. Use `load_gateway`, which raises ConfigError when one is invalid."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", case_sensitive=True, env_ignore_empty=True, populate_by_name=True
    )

    host: str = _env("GATEWAY_HTTP_HOST", "0.0.0.0")
    """Address that the API listens on."""
    port: int = _env("GATEWAY_HTTP_PORT", 8000, ge=0, le=65_535)
    """Port of the API. 0: a free port, which the gateway logs."""
    apps_file: str = _env("GATEWAY_APPS_FILE", "")
    """TOML file with the apps and the SHA-256 of their keys. Required. It is read again when it changes."""
    nodes: str = _env("GATEWAY_NODES", "", pattern=rf"^({NODE}(,{NODE})*)?$")
    """Media nodes for new rooms while no bridge announces one, as `NODE,NODE`. Default: `local`."""
    trusted_proxies: str = _env("GATEWAY_TRUSTED_PROXIES", "")
    """Networks of proxies whose `X-Forwarded-For` names the client, as `10.0.0.0/8,192.0.2.7`."""
    session_check_url: str = _env("GATEWAY_SESSION_CHECK_URL", "", pattern=r"^(https?://\S+)?$")
    """URL that is asked whether a session belongs to an app: `GET URL?app_id=…&session_uuid=…`. 2xx: yes; 403, 404: no.
    Without it, only the rooms that the session is in are checked."""
    wait_seconds: float = _env("GATEWAY_WAIT_SECONDS", 2.0, ge=0, le=10)
    """Seconds that a request waits for its outcome without `Prefer: wait`."""
    app_rate: float = _env("GATEWAY_APP_REQUESTS_PER_SECOND", 500.0, gt=0)
    """Requests per second of an app; the apps file may set another number for one."""
    anonymous_rate: float = _env("GATEWAY_ANONYMOUS_REQUESTS_PER_SECOND", 10.0, gt=0)
    """Requests per second of an address without a valid key."""
    play_cooldown: float = _env("GATEWAY_PLAY_COOLDOWN_SECONDS", 2.0, ge=0)
    """Seconds between two plays in a room."""
    control_cooldown: float = _env("GATEWAY_CONTROL_COOLDOWN_SECONDS", 0.2, ge=0)
    """Seconds between two pauses, stops or volumes of a room."""
    session_cooldown: float = _env("GATEWAY_SESSION_COOLDOWN_SECONDS", 2.0, ge=0)
    """Seconds between two joins or leaves, and between two mutes or unmutes, of a session."""
    max_body: int = _env("GATEWAY_MAX_BODY_BYTES", 65_536, ge=1024, le=1 << 20)
    """Bytes of a request's body."""
    max_connections: int = _env("GATEWAY_MAX_CONNECTIONS", 4096, ge=1)
    """Connections and requests open at a time; more are answered with 503."""
    max_pending: int = _env("GATEWAY_MAX_PENDING", 10_000, ge=1)
    """Requests whose outcome is not known yet; more are answered with 503."""
    max_streams: int = _env("GATEWAY_MAX_STREAMS", 4000, ge=0)
    """Event streams open at a time; more are answered with 503."""
    app_streams: int = _env("GATEWAY_APP_STREAMS", 1000, ge=0)
    """Event streams of an app; more are answered with 429."""
    replay_readers: int = _env("GATEWAY_REPLAY_READERS", 4, ge=1)
    """Event streams that read older events from Kafka at a time; more are answered with 503."""

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, text: str) -> str:
        for one in filter(None, map(str.strip, text.split(","))):
            ipaddress.ip_network(one, strict=False)
        return text

    @cached_property
    def proxies(self) -> tuple[Network, ...]:
        """The networks of the trusted proxies."""
        texts = filter(None, map(str.strip, self.trusted_proxies.split(",")))
        return tuple(ipaddress.ip_network(one, strict=False) for one in texts)

    @cached_property
    def node_names(self) -> tuple[str, ...]:
        """The nodes for new rooms."""
        return tuple(dict.fromkeys(self.nodes.split(","))) if self.nodes else ("local",)


VARIABLES: Final[dict[str, str]] = variables(GatewaySettings)
"""The environment variable of each field."""


def load_gateway(**overrides: Any) -> GatewaySettings:
    """Return the settings of the environment. Raises ConfigError; its one line names each invalid variable."""
    found = loaded(GatewaySettings, overrides)
    if not found.apps_file:
        raise ConfigError("GATEWAY_APPS_FILE is not set: make a key with `conference-pipeline gateway key APP`")
    return found


def warnings_gateway(environ: Iterable[str] = os.environ) -> list[str]:
    """Return a line for each GATEWAY_ variable that has no effect and resembles a setting."""
    return warnings([name for name in environ if name.upper().startswith("GATEWAY_")], VARIABLES.values())
