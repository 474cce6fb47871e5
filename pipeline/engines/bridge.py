"""One bridge: an engine's events become signals, and what was decided is performed (docs/howto/write-a-bridge.md)."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, Self

from pipeline.engines.api_log import ApiLog
from pipeline.engines.auditor import Auditor
from pipeline.engines.claim_holder import ClaimHolder
from pipeline.engines.counts import BridgeMetrics
from pipeline.engines.decisions import Decisions
from pipeline.engines.engine import Engine, Playback
from pipeline.engines.performer import Performer
from pipeline.engines.rules.ended import Ended
from pipeline.engines.rules.ids import Node
from pipeline.engines.signal_queue import SignalQueue
from pipeline.errors import FencedError
from pipeline.kafka import acls
from pipeline.kafka.authorization import require_topics
from pipeline.model.records import Engine as EngineRecord
from pipeline.model.signals import MediaSignal
from pipeline.settings import Settings
from pipeline.view import RoomsView

CLOSE_SECONDS: Final = 5.0
"""Seconds to send the rest at the end."""


class Bridge:
    """A bridge of one node. An asynchronous context manager; entering connects to Kafka, `run` does the work.

    Args:
        notice: receives lines of text for a log.
        away_seconds: seconds without the engine after which everyone in its rooms leaves.

    Entering raises ConfigError, KafkaError, RegistryDownError.
    """

    def __init__(
        self,
        settings: Settings,
        node: Node,
        engine: Engine,
        notice: Callable[[str], object] = lambda _: None,
        *,
        away_seconds: float = 30.0,
    ) -> None:
        self._settings, self._node, self._engine, self._notice = settings, node, engine, notice
        self._away_seconds = away_seconds
        self.metrics = BridgeMetrics()
        self._ended = Ended()
        self.queue = SignalQueue(settings, self._ended, notice)
        self._view = RoomsView(settings, notice)
        self._since = time.time_ns() // 1000
        self._claim = ClaimHolder(settings, node.name, self._record, notice)
        self._open = contextlib.AsyncExitStack()

    def _record(self) -> EngineRecord:
        rooms = 0 if self._view.stale else self._view.nodes.get(self._node.name, 0)
        capabilities = tuple(sorted(self._engine.capabilities))
        return EngineRecord(
            kind=self._engine.kind,
            version=self._engine.version,
            capabilities=capabilities,
            rooms=rooms,
            epoch=-1,
            since=self._since,
        )

    async def __aenter__(self) -> Self:
        group = f"{self._settings.topic_prefix}-bridge-{self._node.name}"
        await require_topics(self._settings, [one for one in acls.bridge(self._settings, group) if one.kind == "topic"])
        async with contextlib.AsyncExitStack() as opened:
            enter = opened.enter_async_context
            await enter(self._view)
            await self._view.loaded()
            await enter(self._claim)
            count = self._view.partitions
            self._api = ApiLog(self._settings, count, self._notice)
            self._decisions = Decisions(self._settings, self._node, count, self._api, self._notice)
            await enter(self._api.log)
            await enter(self._decisions.log)
            await self._api.begin()
            await self._decisions.begin()
            self._performer = Performer(
                self._engine, self.queue, self._decisions, self._claim, self._view, self._api, self._ended,
                self.metrics, self._notice,
            )  # fmt: skip
            self._auditor = Auditor(
                self._settings, self._node, self._engine, self.queue, self._view, self._api, self._performer,
                self.metrics, self._notice, self._away_seconds,
            )  # fmt: skip
            self._open = opened.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. Raises FencedError when another bridge takes the node, ConfigError, KafkaError."""
        await self._claim.take()
        jobs = (
            self.queue.run(), self._claim.run(), self._api.log.run(), self._decisions.log.run(), self._engine.run(self),
            self._decisions.run(self._performer.perform), self._auditor.run(), self._auditor.watch(),
            self._auditor.progress(),
        )  # fmt: skip
        tasks = [asyncio.create_task(job) for job in jobs]
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    _raise_first(task)
            await self._end(tasks)
        finally:
            stopping.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, stopping, return_exceptions=True)

    async def _end(self, tasks: list[asyncio.Task[Any]]) -> None:
        for task in tasks[4:]:  # no more events, no more commands
            task.cancel()
        await asyncio.gather(*tasks[4:], return_exceptions=True)
        await self.queue.close(CLOSE_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._claim.release()

    # --- what the engine reports -------------------------------------------------------------------------------

    def put(self, signals: Iterable[MediaSignal]) -> bool:
        """Take the signals of the engine's events."""
        listed = list(signals)
        if not self.queue.put(listed):
            self.metrics.queue_full.inc()
            return False
        for one in listed:
            self.metrics.signals.labels(one.TYPE).inc()
        return True

    async def room(self) -> None:
        """Wait until the queue is half empty."""
        await self.queue.room()

    def doubt(self, why: str) -> None:
        """Audit soon."""
        if why:
            self._notice(f"audit: {why}")
        self.metrics.doubts.inc()
        self._auditor.doubt()

    def playback(self, room_id: str) -> Playback | None:
        """Return the live playback of a room by the rooms view."""
        room = None if self._view.stale else self._view.room(room_id)
        if room is None or room.playback_status == "stopped":
            return None
        return Playback(room.operation_id, room.urls, room.files_finished)

    # --- probes ------------------------------------------------------------------------------------------------

    def stalled(self) -> float:
        """Return the seconds without progress: none is known but that of the event loop, which answers."""
        return 0.0

    def not_ready(self) -> str | None:
        """Return why the bridge does not work now; None if it does."""
        if not self._claim.claim.may_command(time.monotonic()):
            return "the claim of the node is not held"
        if self._engine.away_since is not None:
            return "the engine can't be reached"
        return self._engine.no_events or self._view.why_stale or None

    def refresh(self) -> None:
        """Set the gauges to their current values."""
        now, away = time.monotonic(), self._engine.away_since
        self.metrics.waiting.set(self.queue.waiting)
        self.metrics.waiting_signals.set(self.queue.count)
        self.metrics.lost_nodes.set(self._claim.lost_nodes())
        self.metrics.silent.set(now - self.queue.last_put)
        self.metrics.away.set(0 if away is None else now - away)


def _raise_first(task: asyncio.Task[Any]) -> None:
    """Raise the error of a task; of a group, the FencedError if there is one, else the first."""
    error: BaseException | None = task.exception()
    while isinstance(error, BaseExceptionGroup):
        fenced = error.subgroup(FencedError)
        error = (fenced or error).exceptions[0]
    if error is not None:
        raise error
