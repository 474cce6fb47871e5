"""Background processes that outlive the command that started them; safe against reused process ids."""

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
    """Send SIGTERM to the processes (pid, birth), and SIGKILL to those that still run after `patience` seconds.

    A pid with another birth belongs to a different process now and gets no signal.
    """
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
