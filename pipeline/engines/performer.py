"""Performs what was decided. One per bridge; each partition's decisions come one at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from aiokafka.structs import TopicPartition

from pipeline.engines.api_log import ApiLog
from pipeline.engines.claim_holder import ClaimHolder
from pipeline.engines.counts import BridgeMetrics
from pipeline.engines.decisions import Decision, Decisions
from pipeline.engines.engine import Engine, EngineAwayError
from pipeline.engines.rules.commands import CAPABILITIES, MAX_AGE, Command, Join, Play, Refused, Stop
from pipeline.engines.rules.ended import Ended
from pipeline.engines.rules.ids import bounded_id
from pipeline.engines.rules.journal import Begun, encode
from pipeline.engines.signal_queue import SignalQueue
from pipeline.model.signals import Micros, PlayFailed
from pipeline.view import RoomsView

POLL_SECONDS: Final = 0.1
"""Seconds between two looks whether the claim allows commands, or the engine is back."""
MAX_PERFORMED: Final = 100_000


class Performer:
    """Gives commands to the engine."""

    def __init__(
        self,
        engine: Engine,
        queue: SignalQueue,
        decisions: Decisions,
        claim: ClaimHolder,
        view: RoomsView,
        api: ApiLog,
        ended: Ended,
        metrics: BridgeMetrics,
        notice: Callable[[str], object],
    ) -> None:
        self._engine, self._queue, self._decisions, self._claim = engine, queue, decisions, claim
        self._view, self._api, self._ended, self._metrics, self._notice = view, api, ended, metrics, notice
        self._performed: dict[str, float] = {}

    def touched(self, room_id: str, since: float) -> bool:
        """Return whether a command of a room waits, or was performed since a time (monotonic seconds)."""
        return self._decisions.pending(room_id) or self._performed.get(room_id, -1.0) >= since

    async def perform(self, tp: TopicPartition, offset: int, decision: Decision) -> None:
        """Perform a decision; return when the engine has answered, or when it must not be performed."""
        command = decision.command
        if isinstance(command, Stop):
            self._ended.add(command.room_id, command.operation_id)
        await self._allowed()
        if CAPABILITIES[type(command)] not in self._engine.capabilities:
            self._count(command, "unable")
            if isinstance(command, Play):
                self._fail(command, decision.cause, "unable")
        elif isinstance(command, Play):
            await self._play(tp, offset, command, decision)
        elif isinstance(command, Join) and self._is_member(command):
            self._count(command, "done")
        else:
            await self.do(command)

    async def do(self, command: Command) -> None:
        """Give a command that may be repeated; wait while the engine is away."""
        while True:
            await self._allowed()
            try:
                refused = await self._engine.perform(command)
            except EngineAwayError:
                await asyncio.sleep(POLL_SECONDS)
                continue
            self._done(command, refused)
            return

    async def _allowed(self) -> None:
        while not self._claim.claim.may_command(time.monotonic()):
            await asyncio.sleep(POLL_SECONDS)

    def _is_member(self, command: Join) -> bool:
        if self._view.stale:
            return False
        return any(one.session_uuid == command.session_uuid for one in self._view.members(command.room_id))

    async def _play(self, tp: TopicPartition, offset: int, play: Play, decision: Decision) -> None:
        begun = self._decisions.begun.pop(tp, None)
        if begun is not None and begun.event_id == decision.cause:
            await self._find_again(play, decision.cause)
            return
        if not self._late(decision):
            await self._decisions.commit(tp, offset, encode(Begun(offset, decision.cause)))
            await self._allowed()  # the commit may have taken long: this process, or the broker, was stopped
        if self._late(decision):
            self._count(play, "late")
            await self._fail_if_live(play, decision.cause, "late")
            return
        try:
            refused = await self._engine.perform(play)
        except EngineAwayError as error:
            refused = Refused(str(error))
        self._done(play, refused)
        if refused is not None and not refused.reported:
            self._fail(play, decision.cause, "refused")

    def _late(self, decision: Decision) -> bool:
        return self._claim.broker_time() - decision.time > MAX_AGE or self._engine.away_since is not None

    async def _find_again(self, play: Play, cause: str) -> None:
        """A play was begun before the start: never send it twice."""
        try:
            if await self._engine.knows(play):
                self._done(play, None)
                return
        except EngineAwayError as error:
            self._notice(f"room {play.room_id}: {error}")
        self._count(play, "late")
        await self._fail_if_live(play, cause, "unproven")

    async def _fail_if_live(self, play: Play, cause: str, why: str) -> None:
        await self._api.seen_by(self._view)
        room = self._view.room(play.room_id)
        if room is not None and room.playback_status != "stopped" and room.operation_id == play.operation_id:
            self._fail(play, cause, why)

    def _fail(self, play: Play, cause: str, why: str) -> None:
        signal_id = bounded_id(f"performer/{cause}/{why}")
        at = Micros(time.time_ns() // 1000)
        self._queue.put([PlayFailed(signal_id, play.room_id, at, play.operation_id, ())], force=True)

    def _done(self, command: Command, refused: Refused | None) -> None:
        self._performed.pop(command.room_id, None)
        self._performed[command.room_id] = time.monotonic()
        if len(self._performed) > MAX_PERFORMED:
            del self._performed[next(iter(self._performed))]
        self._count(command, "done" if refused is None else "refused")
        if refused is not None:
            self._notice(
                f"room {command.room_id}: the engine refused {type(command).__name__.lower()}: {refused.reason}"
            )

    def _count(self, command: Command, result: str) -> None:
        self._metrics.commands.labels(type(command).__name__.lower(), result).inc()
