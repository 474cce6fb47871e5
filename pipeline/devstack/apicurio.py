"""The schema registry, Apicurio 3.3: its command line, and whether it answers the Confluent API (/apis/ccompat/v7)."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

from pipeline.devstack import jvm
from pipeline.devstack.cache import make_dir

HOST = "127.0.0.1"


def url(port: int) -> str:
    """Return the value for SCHEMA_REGISTRY_URL."""
    return f"http://{HOST}:{port}/apis/ccompat/v7"


def command(folder: Path, app: Path, machine: jvm.Jvm, ports: tuple[int, int]) -> list[str]:
    """Return the command line; `ports` are those of the API and of the management interface.

    The database is a file, so that schema ids survive a restart. WRITE_DELAY=0 writes it at each commit: by default
    H2 waits up to 0.5 s, and a registry killed meanwhile loses a schema and assigns its id again.
    """
    settings = {
        "quarkus.http.host": HOST,
        "quarkus.http.port": ports[0],
        "quarkus.management.host": HOST,  # default 0.0.0.0:9000; it can't be disabled at run time
        "quarkus.management.port": ports[1],
        "quarkus.log.level": "WARN",
        "quarkus.banner.enabled": "false",
        "quarkus.http.access-log.enabled": "false",
        "apicurio.rest.artifact.deletion.enabled": "true",
        "apicurio.ccompat.max-subjects": 1_000_000,  # of one list of subjects; 1,000 by default
        "apicurio.datasource.url": f"jdbc:h2:file:{make_dir(folder / 'data')}/registry;WRITE_DELAY=0",
        "apicurio.datasource.jdbc.initial-size": 1,
        "apicurio.datasource.jdbc.min-size": 1,
        "apicurio.datasource.jdbc.max-size": 8,
        "java.util.logging.manager": "org.jboss.logmanager.LogManager",
    }
    return [*jvm.options(machine, folder), *(f"-D{key}={value}" for key, value in settings.items()), "-jar", str(app)]


def answers(port: int, timeout: float = 2.0) -> bool:
    """Return whether the registry serves the API."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through HTTP_PROXY
    try:
        with opener.open(f"{url(port)}/config", timeout=timeout) as answer:
            return "compatibilityLevel" in json.load(answer)
    except (OSError, ValueError):
        return False
