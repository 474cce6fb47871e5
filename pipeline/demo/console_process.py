"""The demo's console, run as a child process."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from urllib.parse import quote

from pipeline.demo.command_process import DemoError, start_command, stop_command
from pipeline.settings import Settings


@contextlib.contextmanager
def running_console(settings: Settings, room_id: str) -> Iterator[str]:
    """Start a console on a free port of this machine, and stop it at the end. Yield the address of the room.

    Raises DemoError with its last message if it does not start.
    """
    process = start_command(settings, ["console"], CONSOLE_HTTP_PORT="0")
    try:
        assert process.stderr is not None
        last = ""
        for line in process.stderr:
            last = line.strip()
            if line.startswith("{") and (url := json.loads(line).get("url")):
                threading.Thread(target=process.stderr.read, daemon=True).start()  # else it waits when the pipe is full
                yield f"{url}room?id={quote(room_id, safe='')}"
                return
        raise DemoError(f"the console has not started: {last}")
    finally:
        stop_command(process)
