"""The demo in the console: its room's page shows what happens, while it happens."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from typing import Any

import pytest
from playwright.async_api import expect

from testkit.pipe import ROOT, Pipe

pytestmark = pytest.mark.broker


async def test_page_of_the_demo_counts_its_deadline_down(pipe: Pipe, browser: Any) -> None:
    servers = {name: pipe.env[name] for name in ("KAFKA_BOOTSTRAP_SERVERS", "SCHEMA_REGISTRY_URL")}
    demo = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pipeline", "demo", "--console", "--speed", "5", cwd=ROOT, env={**os.environ, **servers},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert demo.stderr is not None
    lines: list[str] = []
    found = None
    while found is None and (line := (await demo.stderr.readline()).decode()):
        lines.append(line)
        found = re.search(r"the room is at (\S+)", line)
    assert found is not None, lines
    page = await browser.new_page()
    await page.goto(found[1])
    left = page.locator("#playback progress")
    values = []
    while len(set(values)) < 3:
        await expect(left).to_be_visible(timeout=60_000)
        values.append(await left.evaluate("one => one.value"))
        await asyncio.sleep(0.2)
    assert min(values) < max(values) <= 10_000
    await expect(page.locator("#lines")).to_contain_text("playback_timeout", timeout=60_000)
    errors = (await demo.stderr.read()).decode()
    assert await demo.wait() == 0, errors
