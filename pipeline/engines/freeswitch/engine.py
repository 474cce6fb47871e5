"""FreeSWITCH as an engine: events by one connection, commands by another."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any, Final

import msgspec

from pipeline.engines.engine import EngineAwayError, Sink
from pipeline.engines.freeswitch import commands as texts
from pipeline.engines.freeswitch.adapter import Adapter, Output, read_event
from pipeline.engines.freeswitch.commands import MediaFiles
from pipeline.engines.freeswitch.frames import MAX_BODY, Frame
from pipeline.engines.freeswitch.socket import EventSocket
from pipeline.engines.media_files import UnfitError
from pipeline.engines.rules import commands as c
from pipeline.engines.rules.ids import Node
from pipeline.engines.rules.snapshot import EngineMember, EngineRoom, Snapshot, by_room_id
from pipeline.errors import SignalError
from pipeline.model.signals import MediaSignal

EVENTS: Final = "event json HEARTBEAT SHUTDOWN CHANNEL_HANGUP_COMPLETE CUSTOM conference::maintenance"
SILENT_SECONDS: Final = 60.0
"""Three heartbeats, whose interval is 20 s by default (`event-heartbeat-interval`)."""
ADVANCE_SECONDS: Final = 0.05
BACK_OFF: Final = (0.2, 5.0)
"""Seconds before the first and, at most, before a later try to connect."""
DOUBTS: Final = frozenset(("restart", "order", "size", "shared"))
NOT_FOUND: Final = "-ERR Conference"
BAD_FILE: Final = "-ERR (play) File:"
MAX_VOLUMES: Final = 20_000


class FreeSwitch:
    """The engine of a node; see `pipeline.engines.engine.Engine`.

    Args:
        media_map: pairs (prefix of the urls, folder).
        silent_seconds: seconds without any frame after which the connection counts as dead.

    `counts` has the events that gave no signal by kind, `bad` events that can't be read, `too_long` those that are
    longer than the limit, and `reconnects`.
    """

    kind = "freeswitch"
    capabilities = frozenset(c.CAPABILITIES.values())
    needs_rooms = False

    def __init__(
        self,
        node: Node,
        address: tuple[str, int],
        password: str,
        media_map: Sequence[tuple[str, str]] = (),
        *,
        silent_seconds: float = SILENT_SECONDS,
    ) -> None:
        self._node, self._address, self._password = node, address, password
        self._files, self._silent_seconds = MediaFiles(media_map), silent_seconds
        self._adapter = Adapter([(folder, url) for url, folder in media_map], node=node.name)
        self.counts: Counter[str] = self._adapter.counts
        self.version = ""
        self._life = "unknown"
        self._away_since: float | None = time.monotonic()
        self._commands: EventSocket | None = None
        self._volumes: dict[str, int] = {}

    @property
    def away_since(self) -> float | None:
        """Since when the engine can't be reached (monotonic seconds); None while it can."""
        return self._away_since

    @property
    def no_events(self) -> str:
        """ "" always: events come by the connection that `away_since` is about."""
        return ""

    # --- events ----------------------------------------------------------------------------------------------

    async def run(self, sink: Sink) -> None:
        """Connect, report, and connect again, until cancelled. Raises ConfigError for a wrong password."""
        wait = BACK_OFF[0]
        while True:
            began = time.monotonic()
            try:
                await self._connected(sink)
            except EngineAwayError as error:
                self._away(str(error), sink)
            await sink.room()
            wait = BACK_OFF[0] if time.monotonic() - began > BACK_OFF[1] else min(2 * wait, BACK_OFF[1])
            await asyncio.sleep(wait * random.uniform(0.5, 1.0))
            self.counts["reconnects"] += 1

    def _away(self, why: str, sink: Sink) -> None:
        if self._away_since is None:
            self._away_since = time.monotonic()
            sink.doubt(why)
        self._commands = None

    async def _connected(self, sink: Sink) -> None:
        host, port = self._address
        async with (
            EventSocket(host, port, self._password, MAX_BODY) as events,
            EventSocket(host, port, self._password) as commands,
        ):
            if not (reply := await events.request(EVENTS)).startswith("+OK"):
                raise EngineAwayError(f"FreeSWITCH refused the subscription: {reply}")
            self.version = (await commands.api(["version"]))[0].strip()[:200]
            self._life = (await commands.api(["global_getvar core_uuid"]))[0].strip()[:64] or "unknown"
            self._commands, self._away_since = commands, None
            sink.doubt("connected to FreeSWITCH")
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._advance(sink, commands))
                    group.create_task(self._read(events, sink))
            except* EngineAwayError as errors:
                raise _first(errors) from None

    async def _read(self, events: EventSocket, sink: Sink) -> None:
        while True:
            frame = await events.frame(self._silent_seconds)
            if frame.kind == "text/disconnect-notice":
                raise EngineAwayError("FreeSWITCH is shutting down")
            if frame.kind == "text/event-json":
                self._take(frame, sink)

    def _take(self, frame: Frame, sink: Sink) -> None:
        if frame.body is None:
            self.counts["too_long"] += 1
            sink.doubt("an event was too long")
            return
        try:
            output = self._adapter.feed(read_event(frame.body), _now())
        except SignalError:
            self.counts["bad"] += 1
            sink.doubt("an event can't be read")
            return
        self._put(output, sink)

    async def _advance(self, sink: Sink, commands: EventSocket) -> None:
        while True:
            await asyncio.sleep(ADVANCE_SECONDS)
            if commands.closed:  # nobody reads it between two commands
                raise EngineAwayError("FreeSWITCH: the connection for commands ended")
            if self._adapter.waits:
                self._put(self._adapter.advance(_now()), sink)

    def _put(self, output: Output, sink: Sink) -> None:
        for report in output.reports:
            if report.kind in DOUBTS:
                sink.doubt(report.text)
        own: list[MediaSignal] = [one for one in output.signals if self._node.owns(one.room_id)]
        if own and not sink.put(own):
            raise EngineAwayError("the queue to Kafka is full")

    # --- what there is ---------------------------------------------------------------------------------------

    async def _api(self, *commands: str) -> list[str]:
        if (socket := self._commands) is None:
            raise EngineAwayError("FreeSWITCH can't be reached")
        try:
            return await socket.api(commands)
        except EngineAwayError:
            self._commands = None
            raise

    async def snapshot(self) -> Snapshot:
        """Return the conferences of the node."""
        taken = time.time_ns() // 1000
        [text] = await self._api("conference json_list")
        members = {str(one.get("conference_name", "")): self._members(one) for one in _conferences(text)}
        playing = await self._playing(members)
        rooms = {name: EngineRoom(found, name in playing) for name, found in members.items()}
        return Snapshot(taken, self._life, by_room_id(self._node, rooms))

    def _members(self, conference: dict[str, Any]) -> dict[str, EngineMember]:
        found = {}
        for one in conference.get("members") or ():
            session = self._node.session_uuid(str(one.get("uuid") or ""))
            if session is not None:
                muted = (one.get("flags") or {}).get("can_speak") is False
                found[session] = EngineMember(str(one.get("caller_id_number") or ""), muted)
        return found

    async def _playing(self, names: Iterable[str]) -> set[str]:
        """Return those of the conferences in which a file plays or is held paused."""
        asked = {}
        for name in names:
            with contextlib.suppress(UnfitError):  # a command can't hold it; such a room is never played to
                asked[name] = texts.in_room(name, "play_status")
        replies = await self._api(*asked.values())
        return {name for name, reply in zip(asked, replies, strict=True) if reply.startswith("+OK")}

    async def playing(self, room_ids: Collection[str]) -> set[str]:
        """Return those of the rooms in which a file plays or is held paused."""
        found = await self._playing(room_ids)
        rest = {short: one for one in room_ids if one not in found for short in self._node.room_names(one)[1:]}
        return found | {rest[short] for short in await self._playing(rest)} if rest else found

    async def knows(self, play: c.Play) -> bool:
        """Return whether one of the files of a play is under way."""
        try:
            paths = [self._files.path(url) for url in play.urls]
            replies = await self._in_rooms(play.room_id, "play_status")
        except UnfitError:
            return False  # it was never sent
        return any(reply.startswith("+OK") and reply.split()[-1] in paths for reply in replies)

    # --- commands --------------------------------------------------------------------------------------------

    async def perform(self, command: c.Command) -> c.Refused | None:
        """Perform a command, and wait for the reply."""
        try:
            return await self._table[type(command)](self, command)
        except UnfitError as error:
            return c.Refused(str(error))

    async def _in_rooms(self, room_id: str, command: str, session: str | None = None) -> list[str]:
        """Run a command in the conferences that a room may have, by its full and its short name; return the replies."""
        names = self._node.room_names(room_id)
        return [reply.strip() for reply in await self._api(*(texts.in_room(one, command, session) for one in names))]

    async def _play(self, command: c.Play) -> c.Refused | None:
        paths = [self._files.path(url) for url in command.urls]
        name = await self._name(command.room_id)
        for path in paths:
            [reply] = await self._api(texts.play(name, command.operation_id, path, self._volumes.get(command.room_id)))
            if not reply.startswith("+OK"):
                return c.Refused(reply.strip()[:200], reported=reply.startswith(BAD_FILE))
        return None

    async def _name(self, room_id: str) -> str:
        """Return the name of a conference: the full one if it exists, else the short one if that exists."""
        replies = await self._in_rooms(room_id, "play_status")
        names = zip(self._node.room_names(room_id), replies, strict=True)
        return next((name for name, reply in names if not reply.startswith(NOT_FOUND)), room_id)

    async def _pause(self, command: c.Pause | c.Resume) -> c.Refused | None:
        wanted = "+OK Pause" if isinstance(command, c.Pause) else "+OK Resume"
        replies = []
        for name in self._node.room_names(command.room_id):
            text = texts.in_room(name, "pause_play")
            [reply] = await self._api(text)
            if reply.startswith("+OK") and reply.strip() != wanted:  # it is a toggle
                [reply] = await self._api(text)
            replies.append(reply.strip())
        return _refusal(replies, done=wanted)

    async def _stop(self, command: c.Stop) -> c.Refused | None:
        return _refusal(await self._in_rooms(command.room_id, "stop all"), NOT_FOUND)

    async def _volume(self, command: c.Volume) -> c.Refused | None:
        self._volumes.pop(command.room_id, None)
        self._volumes[command.room_id] = command.volume
        if len(self._volumes) > MAX_VOLUMES:
            del self._volumes[next(iter(self._volumes))]
        replies = await self._in_rooms(command.room_id, f"file-vol {command.volume}")
        return _refusal(replies, "-ERR File not playing", NOT_FOUND)

    def _session(self, session_uuid: str) -> str:
        if (found := self._node.engine_id(session_uuid)) is None:
            raise UnfitError(f"the session {session_uuid[:80]!a} is not one of node {self._node.name}")
        return found

    async def _mute(self, command: c.Mute) -> c.Refused | None:
        what = "mute" if command.on else "unmute"
        return _refusal(await self._in_rooms(command.room_id, what, self._session(command.session_uuid)))

    async def _join(self, command: c.Join) -> c.Refused | None:
        name = await self._name(command.room_id)
        [reply] = await self._api(texts.transfer(self._session(command.session_uuid), name))
        return None if reply.startswith("+OK") else c.Refused(reply.strip())

    async def _leave(self, command: c.Leave) -> c.Refused | None:
        return _refusal(await self._in_rooms(command.room_id, "kick", self._session(command.session_uuid)))

    async def _destroy(self, command: c.Destroy) -> c.Refused | None:
        self._volumes.pop(command.room_id, None)
        return _refusal(await self._in_rooms(command.room_id, "hup all"), NOT_FOUND)

    async def _create(self, _: c.Create) -> c.Refused | None:
        """A conference begins with its first member."""
        return None

    _table: Final[dict[type[c.Command], Callable[[Any, Any], Awaitable[c.Refused | None]]]] = {
        c.Create: _create, c.Destroy: _destroy, c.Play: _play, c.Pause: _pause, c.Resume: _pause, c.Stop: _stop,
        c.Volume: _volume, c.Mute: _mute, c.Join: _join, c.Leave: _leave,
    }  # fmt: skip


def _refusal(replies: Sequence[str], *harmless: str, done: str = "+OK") -> c.Refused | None:
    """Return the refusal of the conferences of a room; None if one of them did the command, or if it is harmless."""
    there = [one for one in replies if not one.startswith(NOT_FOUND)] or replies[:1]
    return None if any(one.startswith((done, *harmless)) for one in there) else c.Refused(there[0])


def _now() -> int:
    return time.monotonic_ns() // 1000


def _first(errors: BaseExceptionGroup[EngineAwayError]) -> BaseException:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _conferences(text: str) -> list[dict[str, Any]]:
    try:
        found = msgspec.json.decode(text.encode(), type=list[dict[str, Any]])
    except msgspec.DecodeError:
        raise EngineAwayError(f"FreeSWITCH: json_list: {text.strip()[:200]}") from None
    return found
