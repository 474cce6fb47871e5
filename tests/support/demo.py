"""The demo as a process, with a cache folder of its own, by which its child processes are known."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pipeline.devstack.cache import cache_dir
from testkit.pipe import Pipe

DEMO = [sys.executable, "-m", "pipeline", "demo"]


def own_cache(tmp_path: Path) -> dict[str, str]:
    """Return an environment without servers and stacks, with the shared downloads and class archives."""
    shared, own = cache_dir(), tmp_path / "cache"
    own.mkdir(mode=0o700)
    for name in ("downloads", "classes"):
        (shared / name).mkdir(parents=True, exist_ok=True)
        (own / name).symlink_to(shared / name)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("KAFKA_", "SCHEMA_REGISTRY_", "PIPELINE_"))}
    return {**kept, "CONFERENCE_PIPELINE_CACHE": str(own)}


def named(pipe: Pipe) -> dict[str, str]:
    return {name: value for name, value in pipe.env.items() if not name.startswith("PIPELINE_")}


def children(cache: str) -> list[str]:
    """Return the command lines of all processes that use a cache folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes()
            environ = (process / "environ").read_bytes()
        except OSError:
            continue
        if cache.encode() in line or f"CONFERENCE_PIPELINE_CACHE={cache}".encode() in environ:
            found.append(line.replace(b"\0", b" ").decode())
    return found


def nothing_left(env: dict[str, str]) -> None:
    cache = env["CONFERENCE_PIPELINE_CACHE"]
    assert children(cache) == []
    assert list(Path(cache, "stacks").glob("*")) == []
