"""Receives what an engine's connection learns."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from pipeline.engines.engine import Playback
from pipeline.model.signals import MediaSignal


class ListSink:
    """Keeps what an engine reports; `full` refuses it."""

    def __init__(self) -> None:
        self.signals: list[MediaSignal] = []
        self.doubts: list[str] = []
        self.full = False
        self.live: dict[str, Playback] = {}

    def put(self, signals: Iterable[MediaSignal]) -> bool:
        if not self.full:
            self.signals.extend(signals)
        return not self.full

    async def room(self) -> None:
        while self.full:
            await asyncio.sleep(0.01)

    def playback(self, room_id: str) -> Playback | None:
        return self.live.get(room_id)

    def doubt(self, why: str) -> None:
        self.doubts.append(why)

    def said(self) -> list[tuple[str, ...]]:
        names = ("session_uuid", "reason", "operation_id", "url")
        return [(one.TYPE, *(str(v) for n in names if (v := getattr(one, n, None)))) for one in self.signals]
