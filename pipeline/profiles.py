"""Profiles: named environments in a TOML file. A profile, or the options in front of a command, become the variables
that `pipeline.settings` reads, so that there is one place of settings.

    [staging]
    KAFKA_BOOTSTRAP_SERVERS = "kafka.staging:9092"
    SCHEMA_REGISTRY_URL = "https://registry.staging"
    KAFKA_SASL_PASSWORD = "${STAGING_PASSWORD}"
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path
from typing import Any, Final

from pipeline.errors import ConfigError
from pipeline.model.likely_cause import nearest

FILE: Final = "CONFERENCE_PIPELINE_PROFILES"
"""The variable with the path of the file."""
BROKERS, REGISTRY, PREFIX = "KAFKA_BOOTSTRAP_SERVERS", "SCHEMA_REGISTRY_URL", "PIPELINE_TOPIC_PREFIX"
_SERVERS: Final = ("KAFKA_", "SCHEMA_REGISTRY_")
"""What the names of variables begin with that belong to servers."""
_OF_ENVIRONMENT: Final = (PREFIX, "PIPELINE_GROUP_ID")
_REFERENCE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def profiles_file(environ: Mapping[str, str]) -> Path:
    """Return the path of the file: `~/.config/conference-pipeline/profiles.toml` unless the environment names one."""
    if named := environ.get(FILE, "").strip():
        return Path(named)
    config = environ.get("XDG_CONFIG_HOME", "").strip()
    folder = Path(config) if config else Path(environ.get("HOME", "~")).expanduser() / ".config"
    return folder / "conference-pipeline" / "profiles.toml"


def profile_names(environ: Mapping[str, str]) -> list[str]:
    """Return the names of the profiles. Raises ConfigError."""
    return sorted(_read(profiles_file(environ)))


def use_profile(name: str, environ: MutableMapping[str, str], known: Iterable[str]) -> None:
    """Put the variables of a profile into `environ`. `known` are the variables of the settings.

    Variables that belong to other servers are removed: two environments never mix. Raises ConfigError.
    """
    names = tuple(known)
    file = profiles_file(environ)
    profiles = _read(file)
    if name not in profiles:
        known_ones = ", ".join(sorted(profiles)) or "none"
        raise ConfigError(f"profile {name!r} is not in {file}: known profiles: {known_ones}")
    values = {key: _value(f"{file}: [{name}] {key}", value, environ) for key, value in profiles[name].items()}
    for key in values:
        if key not in names:
            meant = nearest(key, names)
            hint = f"did you mean {meant}?" if meant else "expected variables of docs/reference/configuration.md"
            raise ConfigError(f"{file}: [{name}] {key} is no setting: {hint}")
    for key in names:
        if key.startswith(_SERVERS) or key in _OF_ENVIRONMENT:
            environ.pop(key, None)
    environ.update(values)


def use_options(
    environ: MutableMapping[str, str], *, brokers: str | None, registry: str | None, prefix: str | None
) -> None:
    """Put the options in front of a command into `environ`. Raises ConfigError for one server without the other."""
    if (brokers is None) != (registry is None):
        has, lacks = ("--brokers", "--registry") if registry is None else ("--registry", "--brokers")
        raise ConfigError(f"{has} without {lacks} would mix two environments: give both")
    given = {BROKERS: brokers, REGISTRY: registry, PREFIX: prefix}
    environ.update({key: value for key, value in given.items() if value is not None})


def _read(file: Path) -> dict[str, dict[str, Any]]:
    import tomllib

    try:
        profiles = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"--profile: there is no file {file}: write one, or name it in {FILE}") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{file}: can't be read: {reason}") from None
    for name, table in profiles.items():
        if not isinstance(table, dict):
            raise ConfigError(f"{file}: {name} is no profile: expected tables such as [staging]")
    return profiles


def _value(where: str, value: object, environ: Mapping[str, str]) -> str:
    """Return a value as text, with `${NAME}` replaced by a variable of the environment. Raises ConfigError."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if not isinstance(value, str):
        raise ConfigError(f"{where}: expected a string, a number or a boolean")

    def replace(found: re.Match[str]) -> str:
        if found[1] not in environ:
            raise ConfigError(f"{where}: the variable {found[1]} is not set")
        return environ[found[1]]

    return _REFERENCE.sub(replace, value)
