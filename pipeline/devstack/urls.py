"""Which broker and registry a command talks to: the environment's, else those of the local stack."""

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
    """The two addresses, in the form of the two environment variables."""

    bootstrap_servers: str
    schema_registry_url: str


def resolve(
    name: str = "default", *, home: Path | None = None, environ: Mapping[str, str] | None = None
) -> Urls:
    """What the environment names, else what the running local stack `name` has (each of the two on its own).

    Raises:
        ConfigError: neither; the text names the remedy.
    """
    environ = os.environ if environ is None else environ
    broker, registry = environ.get(BROKER, "").strip(), environ.get(REGISTRY, "").strip()
    if not broker or not registry:
        status = Stack(name, home=home).status()
        broker = broker or status.bootstrap_servers or ""
        registry = registry or status.schema_registry_url or ""
        missing = [what for what, value in ((BROKER, broker), (REGISTRY, registry)) if not value]
        if missing or status.state == "died":
            why = "has a process that died" if status.state == "died" else "does not run"
            variables = " and ".join(missing or [BROKER, REGISTRY])
            raise ConfigError(f"local stack {name!r} {why}: run `conference-pipeline up` or set {variables}")
    return Urls(broker, registry)
