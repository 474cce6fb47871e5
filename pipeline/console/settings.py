"""The settings of the console. Their only source is the environment: `CONSOLE_*`."""

from __future__ import annotations

import ipaddress
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from pipeline.environment import loaded, variables
from pipeline.errors import ConfigError

LEAST_TOKEN: Final = 16
"""Characters of the shortest token."""
_NAME: Final = r"[A-Za-z0-9._\[\]:-]{1,255}"


def _env(name: str, default: Any, **more: Any) -> Any:
    return Field(default, validation_alias=AliasChoices(name), **more)


class ConsoleSettings(BaseSettings):
    """The settings of one console. Use `load_console`, which raises ConfigError when one is invalid."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", case_sensitive=True, env_ignore_empty=True, populate_by_name=True
    )

    host: str = _env("CONSOLE_HTTP_HOST", "127.0.0.1")
    """Address that the console listens on. Any other than that of this machine itself needs a token."""
    port: int = _env("CONSOLE_HTTP_PORT", 8010, ge=0, le=65_535)
    """Port of the console. 0: a free port, which the console logs."""
    token: SecretStr = _env("CONSOLE_TOKEN", SecretStr(""))
    """What people enter in the login form, at least 16 characters. Without one there is no login."""
    token_file: str = _env("CONSOLE_TOKEN_FILE", "")
    """File with the token, instead of CONSOLE_TOKEN. It is read once, at start."""
    allowed_hosts: str = _env("CONSOLE_ALLOWED_HOSTS", "", pattern=rf"^({_NAME}(,{_NAME})*)?$")
    """Names under which people reach the console, as `console.example.com,10.0.0.5`; requests with another `Host` are
    refused. `localhost`, 127.0.0.1, ::1 and CONSOLE_HTTP_HOST are always allowed."""
    secure_cookie: bool = _env("CONSOLE_SECURE_COOKIE", False)
    """Send the cookie of the login only over HTTPS: set it behind a proxy that serves HTTPS."""
    session_hours: float = _env("CONSOLE_SESSION_HOURS", 12.0, gt=0, le=720)
    """Hours after which a login ends."""
    history_seconds: float = _env("CONSOLE_HISTORY_SECONDS", 3600.0, gt=0)
    """Seconds before the last event of a room from which on its timeline is read; never more than its present life."""
    max_streams: int = _env("CONSOLE_MAX_STREAMS", 200, ge=1)
    """Pages that are live at a time; more are answered with 503."""
    max_connections: int = _env("CONSOLE_MAX_CONNECTIONS", 1024, ge=1)
    """Connections and requests open at a time; more are answered with 503."""

    @cached_property
    def hosts(self) -> frozenset[str]:
        """The names that a `Host` header may have, in lower case, without a port."""
        named = (one.strip("[]").lower() for one in self.allowed_hosts.split(",") if one)
        own = () if self.host in ("0.0.0.0", "::") else (self.host.lower(),)
        return frozenset(("localhost", "127.0.0.1", "::1", *own, *named))

    @cached_property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


VARIABLES: Final[dict[str, str]] = variables(ConsoleSettings)
"""The environment variable of each field."""


def load_console(**overrides: Any) -> ConsoleSettings:
    """Return the settings of the environment. Raises ConfigError; its one line names each invalid variable."""
    found = loaded(ConsoleSettings, overrides)
    if found.token.get_secret_value() and found.token_file:
        raise ConfigError("set either CONSOLE_TOKEN or CONSOLE_TOKEN_FILE, not both")
    token = _token(found)
    if token and len(token) < LEAST_TOKEN:
        raise ConfigError(f"the token has {len(token)} characters: it needs at least {LEAST_TOKEN}")
    if not token and not found.is_local:
        raise ConfigError(
            f"CONSOLE_HTTP_HOST={found.host} can be reached by other machines: set CONSOLE_TOKEN or CONSOLE_TOKEN_FILE"
        )
    return found.model_copy(update={"token": SecretStr(token)})


def _token(found: ConsoleSettings) -> str:
    if not found.token_file:
        return found.token.get_secret_value().strip()
    try:
        text = Path(found.token_file).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"CONSOLE_TOKEN_FILE={found.token_file}: {reason}") from None
    if not text:
        raise ConfigError(f"CONSOLE_TOKEN_FILE={found.token_file}: it is empty")
    return text
