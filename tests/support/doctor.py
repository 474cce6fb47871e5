"""Run `doctor` as a process."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

from pipeline.admin.doctor import Line
from testkit.pipe import ROOT, Pipe

ORDER = ["broker", "registry", "topics", "schemas", "permissions", "group", "lag", "transactions", "clock"]


async def run(pipe: Pipe, *options: str, **env: str) -> tuple[int, str]:
    """Run the command; return exit code and output. Standard error must be empty."""
    command = [sys.executable, "-m", "pipeline", "doctor", *options]
    done = await asyncio.to_thread(
        subprocess.run,
        command,
        cwd=ROOT,
        env={**pipe.env, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


async def examined(pipe: Pipe, **env: str) -> dict[str, list[Line]]:
    """Run `--json`; return its lines by check. The exit code must agree with them."""
    code, out = await run(pipe, "--json", **env)
    lines = [Line(**json.loads(line)) for line in out.splitlines()]
    assert code == int(any(line.state == "wrong" for line in lines)), out
    found: dict[str, list[Line]] = {}
    for line in lines:
        found.setdefault(line.check, []).append(line)
    assert list(found) == ORDER, "each check is reported, in a fixed order"
    return found
