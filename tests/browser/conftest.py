"""A browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest


@pytest.fixture
async def browser() -> AsyncIterator[Any]:
    """Chromium without a window."""
    try:
        from playwright.async_api import async_playwright
    except ModuleNotFoundError:
        pytest.fail("playwright is missing: run these tests with `make test-browser`", pytrace=False)
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if path is None:
        pytest.fail("chromium is missing: apt install chromium", pytrace=False)
    async with async_playwright() as driver:
        made = await driver.chromium.launch(executable_path=path)
        yield made
        await made.close()
