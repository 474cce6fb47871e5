"""The broker and the registry of a command: those in the environment, else those of the local stack."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.devstack.stack import Stack
from pipeline.errors import ConfigError

BROKER, REGISTRY = "KAFKA_BOOTSTRAP_SERVERS", "SCHEMA_REGISTRY_URL"


@dataclass(frozen=True)
class Urls:
    """The values for KAFKA_BOOTSTRAP_SERVERS and SCHEMA_REGISTRY_URL."""

    bootstrap_servers: str
    schema_registry_url: str


def resolve(name: str = "default", *, home: Path | None = None, environ: Mapping[str, str] | None = None) -> Urls:
    """Return each URL from the environment, else from the running local stack `name`.

    Raises ConfigError, which names the remedy, when one is missing or the stack has a process that died.
    """
    environ = os.environ if environ is None else environ
    broker, registry = environ.get(BROKER, "").strip(), environ.get(REGISTRY, "").strip()
    if not broker or not registry:
        status = Stack(name, home=home).status()
        broker = broker or status.bootstrap_servers or ""
        registry = registry or status.schema_registry_url or ""
        missing = [variable for variable, value in ((BROKER, broker), (REGISTRY, registry)) if not value]
        if missing or status.state == "died":
            why = "has a process that died" if status.state == "died" else "does not run"
            variables = " and ".join(missing or [BROKER, REGISTRY])
            raise ConfigError(f"local stack {name!r} {why}: run `conference-pipeline up` or set {variables}")
    return Urls(broker, registry)
