"""What a bridge needs of an engine, and what an engine's connection needs of the bridge."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple, Protocol

from pipeline.engines.rules.commands import Command, Play, Refused
from pipeline.engines.rules.snapshot import Snapshot
from pipeline.errors import PipelineError
from pipeline.model.signals import MediaSignal


class EngineAwayError(PipelineError):
    """The engine can't be reached, or did not answer in time. The text says why."""


class Playback(NamedTuple):
    """A live playback: its files, and how many of them have finished."""

    operation_id: str
    urls: tuple[str, ...]
    finished: int = 0


class Sink(Protocol):
    """Receives what an engine's connection learns."""

    def put(self, signals: Iterable[MediaSignal]) -> bool:
        """Take signals, those of one room in their order. False: the queue is full. Then disconnect, call `room`, and
        connect again; none of these signals was taken."""

    async def room(self) -> None:
        """Wait until the queue is half empty."""

    def doubt(self, why: str) -> None:
        """Ask for an audit: the engine was restarted, the connection is new, a count differs. "" is not logged."""

    def playback(self, room_id: str) -> Playback | None:
        """Return the live playback of a room by the rooms view; None if there is none, or if the view is stale."""


class Engine(Protocol):
    """An engine's connection. Methods raise EngineAwayError while the engine can't be reached.

    kind          the engine's name, such as freeswitch
    capabilities  what it can do (rules.commands.CAPABILITIES)
    needs_rooms   whether a room must be made before anyone can enter
    """

    kind: str
    capabilities: frozenset[str]
    needs_rooms: bool

    @property
    def version(self) -> str:
        """The engine's version; "" while it is unknown."""

    @property
    def away_since(self) -> float | None:
        """Since when the engine can't be reached (monotonic seconds); None while it can."""

    @property
    def no_events(self) -> str:
        """Why the events of an engine that can be reached do not arrive; "" while they do."""

    async def run(self, sink: Sink) -> None:
        """Connect, report, and connect again, until cancelled. Call `sink.doubt` after each connection."""

    async def snapshot(self) -> Snapshot:
        """Return the rooms of the node as they are now."""

    async def playing(self, room_ids: Collection[str]) -> set[str]:
        """Return those of the rooms in which a file plays or is held paused."""

    async def knows(self, play: Play) -> bool:
        """Return whether the engine proves that it plays this."""

    async def perform(self, command: Command) -> Refused | None:
        """Perform a command, and wait for the reply."""
