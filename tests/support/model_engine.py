"""An engine in memory that obeys: rooms, members and one file per room. It reports like a real one, and may be away."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Collection

from pipeline.engines.engine import EngineAwayError, Sink
from pipeline.engines.rules.commands import (
    CAPABILITIES,
    Command,
    Destroy,
    Join,
    Leave,
    Mute,
    Play,
    Refused,
    Stop,
)
from pipeline.engines.rules.snapshot import EngineMember, EngineRoom, Snapshot
from pipeline.model import signals as s


class ModelEngine:
    """The engine of a node. `done` lists the commands in order; `refuse` names commands that it refuses."""

    kind = "model"
    needs_rooms = False
    version = "1"

    def __init__(self) -> None:
        self.capabilities = frozenset(CAPABILITIES.values())
        self.away_since: float | None = None
        self.no_events = ""
        self.rooms: dict[str, dict[str, EngineMember]] = {}
        self.plays: dict[str, str] = {}
        self.done: list[Command] = []
        self.refuse: dict[type[Command], Refused] = {}
        self.silent = False
        """Whether what happens is not reported."""
        self._numbers = itertools.count(1)
        self._sink: Sink | None = None

    async def run(self, sink: Sink) -> None:
        self._sink = sink
        sink.doubt("connected")
        await asyncio.Event().wait()

    def go_away(self) -> None:
        self.away_since = time.monotonic()

    async def snapshot(self) -> Snapshot:
        self._here()
        rooms = {
            room_id: EngineRoom(dict(members), room_id in self.plays, self.plays.get(room_id))
            for room_id, members in self.rooms.items()
        }
        return Snapshot(time.time_ns() // 1000, "model", rooms)

    def _here(self) -> None:
        if self.away_since is not None:
            raise EngineAwayError("the engine is away")

    async def playing(self, room_ids: Collection[str]) -> set[str]:
        self._here()
        return {room_id for room_id in room_ids if room_id in self.plays}

    async def knows(self, play: Play) -> bool:
        self._here()
        return self.plays.get(play.room_id) == play.operation_id

    async def perform(self, command: Command) -> Refused | None:
        self._here()
        if (refused := self.refuse.get(type(command))) is not None:
            return refused
        self.done.append(command)
        match command:
            case Play():
                self.plays[command.room_id] = command.operation_id
            case Stop():
                if (operation_id := self.plays.pop(command.room_id, None)) is not None:
                    self._report(s.PlayFinished, command.room_id, url="http://a/b", operation_id=operation_id)
            case Join():
                self.join(command.room_id, command.session_uuid)
            case Leave():
                self.leave(command.room_id, command.session_uuid)
            case Mute():
                member = self.rooms[command.room_id][command.session_uuid]
                self.rooms[command.room_id][command.session_uuid] = EngineMember(member.caller_id, command.on)
            case Destroy():
                for session in list(self.rooms.get(command.room_id, ())):
                    self.leave(command.room_id, session)
                self.rooms.pop(command.room_id, None)
        return None

    def join(self, room_id: str, session: str) -> None:
        self.rooms.setdefault(room_id, {})[session] = EngineMember("+15550100")
        self._report(s.MemberJoined, room_id, session, "+15550100")

    def leave(self, room_id: str, session: str) -> None:
        del self.rooms[room_id][session]
        self._report(s.MemberLeft, room_id, session)

    def finish(self, room_id: str) -> None:
        operation_id = self.plays.pop(room_id)
        self._report(s.PlayFinished, room_id, url="http://a/b", operation_id=operation_id)

    def _report(self, kind: type, room_id: str, *values: object, **more: object) -> None:
        if self._sink is not None and not self.silent:
            at = s.Micros(time.time_ns() // 1000)
            assert self._sink.put([kind(f"model/{next(self._numbers)}", room_id, at, *values, **more)])
