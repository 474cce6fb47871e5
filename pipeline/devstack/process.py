"""Background processes that outlive the command that started them, safe against reused process ids; free ports."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from pipeline.errors import ConfigError

PAGE = os.sysconf("SC_PAGE_SIZE")
PORTS = (20_000, 32_000)  # below those that Linux gives to outgoing connections: they are still free at a restart


def spawn(command: Sequence[str], folder: Path, log: Path) -> int:
    """Start `command` in `folder`, in a new session, with its output appended to `log`; return its process id.

    The intermediate shell ends at once, so that the process becomes a child of init and leaves no zombie here. The
    environment is minimal, because Quarkus and the JVM read settings from it (QUARKUS_*, KAFKA_*, JAVA_TOOL_OPTIONS).
    """
    script = 'log=$1; shift; "$@" >>"$log" 2>&1 </dev/null & echo $!'
    done = subprocess.run(
        ["/bin/sh", "-c", script, "sh", str(log), *command],
        cwd=folder,
        env={"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "TZ": "UTC"},
        start_new_session=True,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return int(done.stdout)


def birth(pid: int) -> str | None:
    """Return what no other process with this id has: boot id and start time. None if it ended or is a zombie."""
    if not Path("/proc/self/stat").exists():  # pragma: no cover  # macOS
        return _birth_by_ps(pid)
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    return None if fields[0] in "ZX" else f"{boot}:{fields[19]}"


def _birth_by_ps(pid: int) -> str | None:  # pragma: no cover  # macOS has no /proc
    lines = subprocess.run(
        ["ps", "-o", "state=,lstart=", "-p", str(pid)], check=False, capture_output=True, text=True
    ).stdout.split(maxsplit=1)
    return None if len(lines) < 2 or lines[0].startswith("Z") else lines[1].strip()


def rss(pid: int) -> int | None:
    """Return the resident memory in bytes, None if unknown."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except (OSError, IndexError, ValueError):
        return None


def stop(processes: Iterable[tuple[int, str]], patience: float) -> None:
    """Send SIGTERM to the processes (pid, birth), SIGKILL after `patience` seconds; never to a pid that was reused."""
    left = [entry for entry in processes if _send(*entry, signal.SIGTERM)]
    deadline = time.monotonic() + patience
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = [(pid, born) for pid, born in left if birth(pid) == born]
    left = [entry for entry in left if _send(*entry, signal.SIGKILL)]
    while any(birth(pid) == born for pid, born in left):
        time.sleep(0.02)


def _send(pid: int, born: str, number: signal.Signals) -> bool:
    if birth(pid) != born:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
    return True


def tail(log: Path, lines: int = 4) -> str:
    """Return the last lines of a log, joined to one line, without the locations of stack traces."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 16384))
            text = file.read().decode(errors="replace")
    except OSError:
        return "(no log)"
    kept = [line[:200] for line in map(str.strip, text.splitlines()) if line and not line.startswith(("at ", "... "))]
    return " | ".join(kept[-lines:]) or "(empty log)"


def is_free(port: int) -> bool:
    """Return whether a server can listen on `port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose_port(asked: int | None, taken: Collection[int], option: str) -> int:
    """Return `asked`; if it is None, a free port not in `taken`. Raises ConfigError, which names `option`."""
    if asked is not None:
        if asked in taken or not 0 < asked < 65536 or not is_free(asked):
            raise ConfigError(f"port {asked} is in use or not allowed: choose another one with {option}, or omit it")
        return asked
    for port in random.sample(range(*PORTS), 200):
        if port not in taken and is_free(port):
            return port
    raise ConfigError(f"no free port found between {PORTS[0]} and {PORTS[1]}: choose one with {option}")
