"""Compares the engine with the rooms view, and makes them agree: the engine's state wins."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from aiokafka.errors import KafkaError

from pipeline import topics
from pipeline.engines.api_log import ApiLog
from pipeline.engines.counts import BridgeMetrics
from pipeline.engines.engine import Engine, EngineAwayError
from pipeline.engines.performer import Performer
from pipeline.engines.rules.audit import (
    LOOK_SECONDS,
    TWO_ROOMS,
    Difference,
    ViewRoom,
    both,
    differences,
    orphan,
    repair,
)
from pipeline.engines.rules.commands import CAPABILITIES, Command
from pipeline.engines.rules.ids import Node, bounded_id
from pipeline.engines.rules.snapshot import EngineMember, Snapshot
from pipeline.engines.signal_queue import SignalQueue
from pipeline.model.records import Room
from pipeline.model.signals import MemberLeft, Micros, PlayProgress
from pipeline.settings import Settings
from pipeline.view import Place, RoomsView, StaleViewError

AUDIT_SECONDS: Final = 60.0
"""Seconds between two audits, and between two reports that an engine is away."""
PROGRESS_SECONDS: Final = 3.0
POLL_SECONDS: Final = 0.2
CAUGHT_UP_SECONDS: Final = 120.0
"""Seconds after which an audit that waits for the view is given up."""
OF_PLAYBACK: Final = ("play_failed", "stop")


class _Look(NamedTuple):
    snapshot: Snapshot
    found: dict[Difference, EngineMember | None]
    mark: int
    began: float


class Auditor:
    """Audits at the start, on `doubt`, and every AUDIT_SECONDS; reports progress, and an engine that stays away."""

    def __init__(
        self,
        settings: Settings,
        node: Node,
        engine: Engine,
        queue: SignalQueue,
        view: RoomsView,
        api: ApiLog,
        performer: Performer,
        metrics: BridgeMetrics,
        notice: Callable[[str], object],
        away_seconds: float = 30.0,
    ) -> None:
        self._media = topics.MEDIA.full_name(settings.topic_prefix)
        self._node, self._engine, self._queue, self._view, self._api = node, engine, queue, view, api
        self._performer, self._metrics, self._notice = performer, metrics, notice
        self._away_seconds = away_seconds
        self._doubt = asyncio.Event()
        self._doubt.set()
        self._two: set[str] = set()
        """The room_ids that are known to have two engine rooms."""

    def doubt(self) -> None:
        """Audit soon."""
        self._doubt.set()

    async def run(self) -> None:
        """Audit until cancelled."""
        while True:
            try:
                async with asyncio.timeout(AUDIT_SECONDS):
                    await self._doubt.wait()
            except TimeoutError:
                pass
            self._doubt.clear()
            try:
                async with asyncio.timeout(CAUGHT_UP_SECONDS):
                    await self.audit()
            except (EngineAwayError, StaleViewError, KafkaError, TimeoutError) as error:
                self._metrics.failed_audits.inc()
                self._notice(f"no audit: {error or 'the view does not catch up'}")
                await asyncio.sleep(LOOK_SECONDS)
                if self._engine.away_since is None:
                    self._doubt.set()

    async def audit(self) -> None:
        """Look twice, and repair what both looks show."""
        first = await self._look()
        second = first
        if first.found:
            await asyncio.sleep(LOOK_SECONDS)
            second = await self._look()
        found = both(first.found, second.found)
        self._warn({one.room_id for one in found if one.kind == TWO_ROOMS}, second.snapshot)
        for one in found:
            self._metrics.mismatches.labels(one.kind).inc()
            if one.kind == TWO_ROOMS:
                continue
            subject = "" if one.kind in OF_PLAYBACK else one.subject
            if self._queue.touched(one.room_id, subject, first.mark):
                continue
            if self._performer.touched(one.room_id, first.began):
                continue
            await self._repair(one, second)
        self._metrics.audits.inc()

    def _warn(self, two: set[str], snapshot: Snapshot) -> None:
        """Log which rooms have two engine rooms since this audit."""
        for room_id in sorted(two - self._two):
            full, short = snapshot.rooms[room_id].names
            self._notice(
                f"warning: the engine rooms {full} and {short} are one room, {room_id}, but their members do not hear"
                f" each other: use the name {full} in the dialplan, or in the clients"
            )
        self._two = two

    async def _repair(self, one: Difference, look: _Look) -> None:
        made = repair(one, look.found[one], look.snapshot)
        if isinstance(made, Command):
            if CAPABILITIES[type(made)] not in self._engine.capabilities:
                return
            await self._performer.do(made)
        else:
            self._queue.put([made], force=True)
        self._metrics.repairs.labels(one.kind).inc()
        self._notice(f"audit: {one.kind} {one.room_id} {one.subject}")

    async def _look(self) -> _Look:
        mark, began = self._queue.mark, time.monotonic()
        await self._queue.flushed()
        snapshot = await self._engine.snapshot()
        await self._caught_up()
        view = {room.room_id: ViewRoom(room, self._view.members(room.room_id)) for room in self._rooms()}
        found = differences(snapshot, view, needs_rooms=self._engine.needs_rooms)
        return _Look(snapshot, found, mark, began)

    def _rooms(self) -> list[Room]:
        return list(self._view.rooms(node=self._node.name))

    async def _caught_up(self) -> None:
        """Wait until the view shows all API signals, and all that the bridge has written."""
        places = [Place(self._media, number, offset) for number, offset in self._queue.offsets.items()]
        await asyncio.gather(self._api.seen_by(self._view), *map(self._view.caught_up, places))

    # --- an engine that stays away, files that play ----------------------------------------------------------

    async def watch(self) -> None:
        """Let everyone leave while the engine stays away, until cancelled."""
        reported, was_away = 0.0, True
        while True:
            await asyncio.sleep(POLL_SECONDS)
            since, now = self._engine.away_since, time.monotonic()
            if since is None and was_away:
                self._metrics.connections.inc()
            was_away = since is not None
            if since is None or now - since < self._away_seconds or now - reported < AUDIT_SECONDS:
                continue
            try:
                async with asyncio.timeout(CAUGHT_UP_SECONDS):
                    await self._orphan_all()
            except (StaleViewError, KafkaError, TimeoutError) as error:
                self._notice(f"the engine is away, but the view does not answer: {error}")
            else:
                reported = now

    async def _orphan_all(self) -> None:
        await self._queue.flushed()
        await self._caught_up()
        if self._engine.away_since is None:
            return
        at = time.time_ns() // 1000
        self._queue.put(orphans(self._view, self._node, at), force=True)

    async def progress(self) -> None:
        """Report every PROGRESS_SECONDS which playbacks the engine plays, until cancelled."""
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            try:
                rooms = self._view.rooms(node=self._node.name, live=True)
                known = {room.room_id: room.operation_id for room in rooms if room.playback_status == "playing"}
                playing = await self._engine.playing(known) if known else set()
            except (EngineAwayError, StaleViewError):
                continue
            at = time.time_ns() // 1000
            for room_id in playing:
                operation_id = known[room_id]
                signal_id = bounded_id(f"progress/{operation_id}/{at}")
                self._queue.put([PlayProgress(signal_id, room_id, Micros(at), operation_id)])


def orphans(view: RoomsView, node: Node, at: int) -> list[MemberLeft]:
    """Return a `member.left` for everyone in the rooms of a node."""
    return [
        orphan(bounded_id(f"away/{at}/{room_id}/{member.session_uuid}"), room_id, at, member.session_uuid)
        for room_id in view.room_ids(node=node.name)
        for member in view.members(room_id)
    ]
