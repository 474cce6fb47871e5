"""Records a terminal session with real servers as docs/img/session.svg.

    python tools/session.py

Each command runs on a terminal of 80 columns; the picture holds what it prints, with its colours.
"""

from __future__ import annotations

import asyncio
import os
import pty
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from rich.console import Console  # noqa: E402
from rich.terminal_theme import MONOKAI  # noqa: E402
from rich.text import Text  # noqa: E402

from testkit.pipe import Pipe  # noqa: E402
from testkit.servers import servers  # noqa: E402

COLUMNS: Final = 80
OUT: Final = ROOT / "docs" / "img" / "session.svg"
COMMANDS: Final = (
    "signal create --room retro --app my-app --name Retro",
    "signal joined --room retro --session alice --caller +15551234567",
    "signal play --room retro --url https://cdn.example.com/hold.wav",
    "signal pause --room retro",
    "rooms list",
    "signal pause --room nowhere",
    "rejected list",
    "timeline retro",
)


def on_terminal(command: list[str], env: dict[str, str]) -> str:
    """Return what a command prints to a terminal."""
    master, terminal = pty.openpty()
    more = {"COLUMNS": str(COLUMNS), "LINES": "50", "TERM": "xterm-256color"}
    process = subprocess.Popen(command, stdout=terminal, stderr=terminal, stdin=terminal, env={**env, **more}, cwd=ROOT)
    os.close(terminal)
    shown = b""
    while True:
        try:
            part = os.read(master, 65_536)
        except OSError:  # the end, on Linux
            break
        if not part:
            break
        shown += part
    process.wait()
    os.close(master)
    return shown.decode().replace("\r\n", "\n").rstrip("\n")


def main() -> None:
    """Run the commands and write the picture."""
    # A width of its own, no fonts from elsewhere.
    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"), force_terminal=True)  # noqa: SIM115
    with servers() as where:
        pipe = Pipe(where)
        asyncio.run(pipe.set_up())
        env = {**pipe.env, "PIPELINE_WATCHDOG_SECONDS": "60"}
        with pipe.worker(PIPELINE_WATCHDOG_SECONDS="60"):
            for command in COMMANDS:
                console.print(Text.assemble(("$ ", "bold green"), f"conference-pipeline {command}"))
                shown = on_terminal([sys.executable, "-m", "pipeline", *shlex.split(command)], env)
                console.print(Text.from_ansi(shown), soft_wrap=False)
                console.print()
                time.sleep(1)
    picture = console.export_svg(title="conference-pipeline", theme=MONOKAI, unique_id="session")
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL) + "\n")


if __name__ == "__main__":
    main()
