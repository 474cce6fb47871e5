"""Janus' AudioBridge as an engine: commands by its websocket API, events by one of its event handlers."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from pipeline.engines.engine import EngineAwayError, Sink
from pipeline.engines.janus.adapter import Adapter, JanusEvent, PlayedFile, read_events
from pipeline.engines.janus.api import JanusApi
from pipeline.engines.janus.listener import Listener, Receiver, Taken
from pipeline.engines.janus.player import Player
from pipeline.engines.janus.post_listener import PostListener
from pipeline.engines.janus.rooms import ListedRoom, Rooms
from pipeline.engines.janus.websocket_listener import WebsocketListener
from pipeline.engines.media_files import FileMap, UnfitError
from pipeline.engines.rules import commands as c
from pipeline.engines.rules.ids import Node
from pipeline.engines.rules.snapshot import EngineRoom, Snapshot, by_room_id
from pipeline.errors import SignalError

BACK_OFF: Final = (0.2, 5.0)
"""Seconds before the first and, at most, before a later try to connect."""
NO_EVENTS_SECONDS: Final = 15.0
"""Seconds between two audits while Janus' event handler is not connected; it tries again after 8 s at most."""


class Access(NamedTuple):
    """How to reach Janus.

    url         of its websocket API, ws:// or wss://
    listen      host and port for its event handler
    admin_key   of janus.plugin.audiobridge.jcfg
    api_secret  of janus.jcfg, "" for none
    token       the path of the event handler's backend, "" for none; of the HTTP handler also the password
    handler     its event handler: ws is janus.eventhandler.wsevh, http is janus.eventhandler.sampleevh
    """

    url: str
    listen: tuple[str, int]
    admin_key: str
    api_secret: str = ""
    token: str = ""
    handler: Literal["ws", "http"] = "ws"


class Janus:
    """The engine of a node; see `pipeline.engines.engine.Engine`.

    Args:
        media_map: pairs (prefix of the urls, folder).
        plain_rtp: whether members may take part by plain RTP, without WebRTC.

    `counts` has the events that gave no signal by kind, `bad` events that can't be read, `too_long` messages, and
    `reconnects`.
    """

    kind = "janus"
    capabilities = frozenset(("create", "destroy", "leave", "mute", "play", "stop"))
    needs_rooms = True

    def __init__(
        self, node: Node, access: Access, media_map: Sequence[tuple[str, str]] = (), *, plain_rtp: bool = False
    ) -> None:
        self._node, self._access = node, access
        self._rooms = Rooms(node, access.admin_key, plain_rtp=plain_rtp)
        self._player = Player(self._rooms, FileMap(media_map))
        self._adapter = Adapter(node, self._player.url)
        self.counts: Counter[str] = self._adapter.counts
        self.version = ""
        self._away_since: float | None = time.monotonic()
        self._sink: Sink | None = None
        listener: type[Listener] = WebsocketListener if access.handler == "ws" else PostListener
        self._listener = listener(
            access.listen, access.token, Receiver(self._take, self._room, self._doubt, self.counts)
        )
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def away_since(self) -> float | None:
        """Since when the engine can't be reached (monotonic seconds); None while it can."""
        return self._away_since

    @property
    def no_events(self) -> str:
        """Why Janus' events do not arrive; "" while they do."""
        if self._listener.connected:
            return ""
        scheme, (host, port) = self._listener.scheme, self._access.listen
        return f"Janus' event handler is not connected to {scheme}://{host}:{port}: check {self._listener.file}"

    # --- connections -----------------------------------------------------------------------------------------

    async def run(self, sink: Sink) -> None:
        """Connect, report, and connect again, until cancelled. Raises ConfigError."""
        self._sink = sink
        self._player.report_to(sink)
        wait = BACK_OFF[0]
        async with self._listener:
            try:
                while True:
                    began = time.monotonic()
                    try:
                        await self._connected()
                    except EngineAwayError as error:
                        self._away(str(error))
                    wait = BACK_OFF[0] if time.monotonic() - began > BACK_OFF[1] else min(2 * wait, BACK_OFF[1])
                    await asyncio.sleep(wait * random.uniform(0.5, 1.0))
                    self.counts["reconnects"] += 1
            finally:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)

    def _away(self, why: str) -> None:
        self._rooms.use(None)
        if self._away_since is None:
            self._away_since = time.monotonic()
            self._doubt(why)

    async def _connected(self) -> None:
        async with JanusApi(self._access.url, self._access.api_secret) as api:
            await self._rooms.check(api)
            self.version = f"Janus {api.version}"
            self._rooms.use(api)
            self._away_since = None
            self._doubt("connected to Janus")
            try:
                async with asyncio.TaskGroup() as group:
                    for job in (api.keep_alive(), api.closed(), self._watch_events()):
                        group.create_task(job)
            except* EngineAwayError as errors:
                raise EngineAwayError(str(errors.exceptions[0])) from None

    async def _watch_events(self) -> None:
        """Ask for audits while Janus sends no events; log the reason once."""
        logged = False
        while True:
            if self._listener.needs_probe:
                await self._rooms.cause_events()
            await asyncio.sleep(NO_EVENTS_SECONDS)
            why = self.no_events
            if why:
                self._doubt("" if logged else why)
            logged = bool(why)

    def _doubt(self, why: str) -> None:
        if self._sink is not None:
            self._sink.doubt(why)

    async def _room(self) -> None:
        if self._sink is not None:
            await self._sink.room()

    # --- events ----------------------------------------------------------------------------------------------

    def _take(self, text: bytes) -> Taken:
        """Report the events of a message."""
        taken = Taken.ALL
        try:
            for event in read_events(text):
                if isinstance(event, SignalError):
                    taken = Taken.BAD
                    self._bad(event)
                elif not self._report(event):
                    return Taken.FULL
        except SignalError as error:
            self._bad(error)
            return Taken.BAD
        return taken

    def _bad(self, error: SignalError) -> None:
        self.counts["bad"] += 1
        self._doubt(f"an event can't be read: {error}")

    def _report(self, event: JanusEvent) -> bool:
        output = self._adapter.apply(event)
        if output.restarted:
            self._player.forget()
            self._doubt("Janus was restarted")
        own = [one for one in output.signals if self._node.owns(one.room_id)]
        if output.ended is not None:
            room_id, file = output.ended
            if self._player.hides(room_id, file):
                return True
            self._go_on(room_id, file)
        return self._sink is None or not own or self._sink.put(own)

    def _go_on(self, room_id: str, file: PlayedFile) -> None:
        playlist = self._player.next(room_id, file)
        if playlist is not None:
            task = asyncio.create_task(self._player.go_on(room_id, playlist))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    # --- what there is ---------------------------------------------------------------------------------------

    async def snapshot(self) -> Snapshot:
        """Return the rooms of the node."""
        taken, life = time.time_ns() // 1000, self._rooms.session
        listed = await self._rooms.listed()
        rooms = await asyncio.gather(*map(self._look, listed))
        named = {one.name: room for one, room in zip(listed, rooms, strict=True)}
        self._adapter.keep({name: room.members for name, room in named.items()})
        found = by_room_id(self._node, named)
        plays = await asyncio.gather(*(self._player.plays(one, self._adapter.files(one)) for one in found))
        for (room_id, room), playing in zip(list(found.items()), plays, strict=True):
            found[room_id] = msgspec.structs.replace(room, plays=playing is not None, playing=playing)
        return Snapshot(taken, life, found)

    async def _look(self, room: ListedRoom) -> EngineRoom:
        return EngineRoom(await self._rooms.members(room), made=room.made)

    async def playing(self, room_ids: Collection[str]) -> set[str]:
        """Return those of the rooms in which a file plays."""
        found = await asyncio.gather(*map(self._player.plays, room_ids))
        return {room_id for room_id, plays in zip(room_ids, found, strict=True) if plays is not None}

    async def knows(self, play: c.Play) -> bool:
        """Return whether one of the files of a play is under way."""
        return await self._player.knows(play)

    # --- commands --------------------------------------------------------------------------------------------

    async def perform(self, command: c.Command) -> c.Refused | None:
        """Perform a command, and wait for the reply."""
        try:
            match command:
                case c.Create():
                    return await self._rooms.create(command.room_id)
                case c.Destroy():
                    return await self._rooms.destroy(command.room_id)
                case c.Play():
                    return await self._player.play(command)
                case c.Stop():
                    return await self._player.stop(command, self._adapter.files(command.room_id))
                case c.Mute():
                    request = "mute" if command.on else "unmute"
                    return await self._rooms.of_member(command.room_id, request, command.session_uuid)
                case c.Leave():
                    return await self._rooms.of_member(command.room_id, "kick", command.session_uuid)
        except UnfitError as error:
            return c.Refused(str(error))
        return c.Refused("Janus can't do this")
