"""The state of the pipeline, read for all viewers together, and only while there are some."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from aiokafka import errors as Errors

from pipeline.admin.doctor.context import NotCheckedError
from pipeline.admin.status import Flow, read_flow
from pipeline.errors import PipelineError
from pipeline.settings import Settings

EVERY_SECONDS: Final = 3.0
OLD_SECONDS: Final = 15.0
"""Age after which what was read is shown as old."""
READ_SECONDS: Final = 20.0
"""Longest time for one reading."""


class FlowReader:
    """Reads the flow of the pipeline again and again. `changed` is called after each reading."""

    def __init__(self, settings: Settings, changed: Callable[[], object]) -> None:
        self._settings, self._changed = settings, changed
        self._viewers = 0
        self._wanted = asyncio.Event()
        self._read = asyncio.Event()
        self.flow: Flow | None = None
        self.read_at = 0.0
        """When it was read, in seconds since 1970; 0 before the first time."""
        self.failure = ""

    def acquire(self) -> None:
        """Read for one viewer more."""
        self._viewers += 1
        self._wanted.set()

    def release(self) -> None:
        """Note that a viewer has gone."""
        self._viewers -= 1
        if not self._viewers:
            self._wanted.clear()

    async def first(self, seconds: float) -> None:
        """Wait up to so many seconds for a reading that is not old."""
        if time.time() - self.read_at > OLD_SECONDS:
            self._read.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._read.wait()
            except TimeoutError:
                return

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            await self._wanted.wait()
            try:
                async with asyncio.timeout(READ_SECONDS):
                    self.flow = await read_flow(self._settings)
                self.read_at, self.failure = time.time(), ""
            except (PipelineError, NotCheckedError, Errors.KafkaError, OSError, TimeoutError) as error:
                self.failure = str(error) or f"Kafka has not answered for {READ_SECONDS:g} s"
            self._read.set()
            self._changed()
            await asyncio.sleep(EVERY_SECONDS)
