"""Java command lines that start fast: the serial collector, only the first compiler, and class archives.

A class archive (JEP 310, 350) maps loaded classes into memory instead of parsing 10,000 of them: Kafka answers after
1 s instead of 3 s, the registry after 2.5 s instead of 4.5 s. The runtime from pip lacks the base archive, so the
first `up` makes it (1 s). Each server writes its own archive when it first ends, and `down` moves it to the cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.devstack.cache import cache_dir, java, locked, make_dir

FAST_START = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
UNUSED_DAYS = 30  # archives (50-80 MB each) not used for this long are deleted


def base_archive() -> Path | None:
    """Return the archive of Java's own classes, made if missing; None if this Java can't make one."""
    image = java().parent.parent / "lib" / "modules"
    path = _archive("java", [image])
    with locked(path.parent / "java.lock"):
        if not path.exists():
            _prune(path.parent)
            scratch = path.with_suffix(".partial")
            scratch.unlink(missing_ok=True)
            command = [str(java()), "-Xshare:dump", "-XX:+UseSerialGC", f"-XX:SharedArchiveFile={scratch}"]
            if subprocess.run(command, check=False, capture_output=True).returncode != 0:
                return None
            os.replace(scratch, path)
    return path


def server_archive(kind: str, jars: Sequence[Path]) -> Path:
    """Return the path of a server's archive, which may not exist yet.

    The JVM rejects an archive made with other jars or another Java, so their paths, times and sizes are in its name.
    """
    return _archive(kind, [java().parent.parent / "lib" / "modules", *jars])


@dataclass(frozen=True)
class Jvm:
    """How to run a server: its class archive (used if it exists), heap in MiB, more JVM flags."""

    archive: Path
    heap_mb: int
    flags: Sequence[str]


def options(machine: Jvm, folder: Path) -> list[str]:
    """Return the command line up to the server's options. Without an archive, the JVM writes one (see `keep`)."""
    archive, fresh = machine.archive, folder / "classes.jsa"
    common = [
        f"-Xmx{machine.heap_mb}m",
        *machine.flags,
        "-XX:+ExitOnOutOfMemoryError",
        "-XX:-UsePerfData",  # else it leaves files in the system's temporary folder
        f"-XX:ErrorFile={folder}/hs_err.log",
        f"-Djava.io.tmpdir={make_dir(folder / 'tmp')}",
        f"-Duser.home={folder}",
        "-Djava.awt.headless=true",
        "-Xlog:disable",
        "-Xlog:all=error:stderr",  # without warnings about classes that can't be archived
    ]
    if archive.exists():
        with contextlib.suppress(OSError):
            os.utime(archive)  # mark it as used, see _prune
        return [str(java()), f"-XX:SharedArchiveFile={archive}", *common]
    base = base_archive()
    if base is None:
        return [str(java()), *common]
    return [str(java()), f"-XX:SharedArchiveFile={base}", f"-XX:ArchiveClassesAtExit={fresh}", *common]


def keep(folder: Path, archive: str) -> None:
    """Move the archive that a server wrote when it ended into the cache, if there is one."""
    fresh = folder / "classes.jsa"
    with contextlib.suppress(OSError):
        if fresh.stat().st_size:
            os.replace(fresh, archive)


def _archive(kind: str, made_of: Sequence[Path]) -> Path:
    stats = [(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in made_of]
    key = hashlib.sha256(repr(stats).encode()).hexdigest()[:12]
    return make_dir(cache_dir() / "classes") / f"{kind}-{key}.jsa"


def _prune(folder: Path) -> None:
    for archive in folder.glob("*.jsa"):
        if archive.stat().st_mtime < time.time() - UNUSED_DAYS * 86400:
            archive.unlink(missing_ok=True)
