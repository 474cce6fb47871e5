"""Resolves Kafka and the registry and writes `pipeline/devstack/parts.txt`: .venv/bin/python scripts/pin_parts.py"""

from __future__ import annotations

import hashlib
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jgo.maven import Artifact, MavenContext, PythonResolver

BROKER = ("org.apache.kafka:kafka_2.13:4.3.1", "org.slf4j:slf4j-simple:1.7.36")
REGISTRY = ("io.apicurio", "apicurio-registry-app", "3.3.2", "all", "tar.gz")
LIST = Path(__file__).parent.parent / "pipeline" / "devstack" / "parts.txt"
HEAD = """\
# The files of `up`: sha256, size in bytes, Maven coordinate. Kafka with its run-time dependencies, then the registry.
# Pinned: no version is resolved at run time. Written by scripts/pin_parts.py.
"""


def line(artifact: Artifact) -> str:
    """Download a file and return its line."""
    data = Path(artifact.resolve()).read_bytes()
    names = (artifact.groupId, artifact.artifactId, artifact.version, artifact.classifier, artifact.packaging)
    return f"{hashlib.sha256(data).hexdigest()} {len(data)} {':'.join(name for name in names if name)}\n"


def main() -> None:
    """Write the list."""
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(6) as pool:
        context = MavenContext(resolver=PythonResolver(), repo_cache=Path(scratch), local_repos=[])
        asked, needed = context.resolver.resolve([context.create_dependency(text) for text in BROKER])
        jars = list(pool.map(line, [dependency.artifact for dependency in asked + needed]))
        group, name, version, classifier, packaging = REGISTRY
        component = context.project(group, name).at_version(version)
        registry = line(component.artifact(classifier=classifier, packaging=packaging))
    LIST.write_text(HEAD + "".join(sorted(jars, key=lambda text: text.split()[2])) + registry)


if __name__ == "__main__":
    main()
