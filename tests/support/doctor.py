"""Run `doctor` as a process."""

from __future__ import annotations

import asyncio
import json

from pipeline.admin.doctor import Line
from testkit import fork_server
from testkit.pipe import Pipe

ORDER = [
    "broker",
    "registry",
    "topics",
    "schemas",
    "permissions",
    "group",
    "lag",
    "transactions",
    "letters",
    "engines",
    "clock",
]


async def run(pipe: Pipe, *options: str, **env: str) -> tuple[int, str]:
    """Run the command; return exit code and output. Standard error must be empty."""
    done = await asyncio.to_thread(fork_server.run, "doctor", *options, env={**pipe.env, **env})
    assert done.stderr == b""
    return done.returncode, done.stdout.decode()


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
