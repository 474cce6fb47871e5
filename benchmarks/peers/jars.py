"""The jars of the Kafka Streams contestant, pinned by SHA-256 like those of the local broker, and its compilation.

Eclipse's compiler is a jar that runs on the local broker's Java, so no JDK is needed. RocksDB's jar (60 MB) is omitted:
the stores are in memory and nothing loads it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Final

from jgo.maven import MavenContext, PythonResolver

from pipeline.devstack.cache import cache_dir, java, make_dir
from pipeline.devstack.fetch import MIRROR, kafka_jars
from pipeline.devstack.progress import Progress

HERE: Final = Path(__file__).parent
KAFKA: Final = (
    "kafka-clients-", "slf4j-api-", "slf4j-simple-", "jackson-core-", "jackson-databind-", "jackson-annotations-",
    "lz4-java-", "snappy-java-", "zstd-jni-",
)  # fmt: skip
"""The local broker's jars that a client needs."""


def command(classes: Path, heap: str) -> list[str]:
    """Compile the program into `classes` and return its command line. Raises OSError on a wrong checksum."""
    jars = [_jar(*line.split()) for line in (HERE / "jars.txt").read_text().splitlines() if line[0] != "#"]
    client = [jar for jar in kafka_jars(Progress(), threading.Event()) if jar.name.startswith(KAFKA)]
    [compiler] = [jar for jar in jars if jar.name.startswith("ecj-")]
    path = ":".join(str(jar) for jar in (*jars, *client) if jar is not compiler)
    sources = sorted(str(source) for source in (HERE / "streams").glob("*.java"))
    subprocess.run(
        [
            str(java()),
            "-jar",
            str(compiler),
            "--release",
            "21",
            "-nowarn",
            "-cp",
            path,
            "-d",
            str(classes),
            *sources,
        ],
        check=True,
    )
    flags = [f"-Xmx{heap}", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-XX:-UsePerfData"]
    return [str(java()), *flags, "-cp", f"{classes}:{path}", "Main"]


def _jar(sha256: str, size: str, coordinate: str) -> Path:
    """Return a jar in the cache; a download gets its final name only after its checksum was verified."""
    group, artifact, version, packaging = coordinate.split(":")
    folder = make_dir(cache_dir() / "downloads" / "peers")
    final = folder / f"{artifact}-{version}.{packaging}"
    if final.exists() and final.stat().st_size == int(size):
        return final
    mirror = os.environ.get(MIRROR, "").rstrip("/")
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder) as scratch:
        context = MavenContext(
            resolver=PythonResolver(),
            repo_cache=Path(scratch),
            local_repos=[],
            remote_repos={"mirror": mirror} if mirror else None,
        )
        found = Path(context.project(group, artifact).at_version(version).artifact(packaging=packaging).resolve())
        digest = hashlib.sha256(found.read_bytes()).hexdigest()
        if digest != sha256:
            raise OSError(f"{coordinate} has checksum {digest}, expected {sha256}")
        shutil.move(found, final)
    return final
