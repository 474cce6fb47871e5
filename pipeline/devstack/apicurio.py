"""The schema registry (Apicurio 3.3 with the Confluent API at /apis/ccompat/v7): command line, and does it answer."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

from pipeline.devstack import jvm
from pipeline.devstack.cache import make_dir

HOST = "127.0.0.1"


def url(port: int) -> str:
    """What SCHEMA_REGISTRY_URL is to hold."""
    return f"http://{HOST}:{port}/apis/ccompat/v7"


def command(folder: Path, app: Path, machine: jvm.Jvm, ports: tuple[int, int]) -> list[str]:
    """The command line; `ports` are the API's and the management interface's.

    The database is a file, so schema ids outlive a restart, and is written at each commit: H2 else waits up to half
    a second, and a registry killed meanwhile forgets a schema and gives its id to the next one.
    """
    settings = {
        "quarkus.http.host": HOST,
        "quarkus.http.port": ports[0],
        "quarkus.management.host": HOST,  # else 0.0.0.0:9000, and it can't be turned off at run time
        "quarkus.management.port": ports[1],
        "quarkus.log.level": "WARN",
        "quarkus.banner.enabled": "false",
        "quarkus.http.access-log.enabled": "false",
        "apicurio.rest.artifact.deletion.enabled": "true",
        "apicurio.datasource.url": f"jdbc:h2:file:{make_dir(folder / 'data')}/registry;WRITE_DELAY=0",
        "apicurio.datasource.jdbc.initial-size": 1,
        "apicurio.datasource.jdbc.min-size": 1,
        "apicurio.datasource.jdbc.max-size": 8,
        "java.util.logging.manager": "org.jboss.logmanager.LogManager",
    }
    return [
        *jvm.options(machine, folder),
        *(f"-D{key}={value}" for key, value in settings.items()),
        "-jar",
        str(app),
    ]


def answers(port: int, timeout: float = 2.0) -> bool:
    """Whether the registry serves the API that is used here."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through HTTP_PROXY
    try:
        with opener.open(f"{url(port)}/config", timeout=timeout) as answer:
            return "compatibilityLevel" in json.load(answer)
    except (OSError, ValueError):
        return False
