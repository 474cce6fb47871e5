"""Background processes that outlive the command that started them, told apart from recycled process ids."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")


def spawn(command: Sequence[str], folder: Path, log: Path) -> int:
    """Starts `command` in `folder`, detached in a session of its own, output appended to `log`; returns its id.

    The shell in between ends at once, so the process belongs to init and leaves no zombie with us. The
    environment is bare: Quarkus and the JVM would read settings out of it (QUARKUS_*, KAFKA_*, JAVA_TOOL_OPTIONS).
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
    """What tells this process from any later one with the same id; None when it does not run (or is a zombie)."""
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
    """Resident memory in bytes, None when unknown."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except (OSError, IndexError, ValueError):
        return None


def stop(processes: Iterable[tuple[int, str]], patience: float) -> None:
    """SIGTERM to all of (pid, birth), then SIGKILL to what still runs after `patience` seconds. Ids whose birth
    differs now belong to somebody else and are left alone."""
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
    """The last lines of a log, joined to one; those of stack traces that only say where are left out."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 16384))
            text = file.read().decode(errors="replace")
    except OSError:
        return "(no log)"
    kept = [
        line[:200]
        for line in map(str.strip, text.splitlines())
        if line and not line.startswith(("at ", "... "))
    ]
    return " | ".join(kept[-lines:]) or "(empty log)"
