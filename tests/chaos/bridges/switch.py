"""A fake of FreeSWITCH in a thread of its own: files end, heartbeats come, and each command is noted with its bridge."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import threading
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from testkit.chaos.proxy import CHUNK, Link, Way, _Connection
from testkit.fake_freeswitch import FakeFreeSwitch

TICK_SECONDS: Final = 0.1
HEARTBEAT_SECONDS: Final = 1.0
LONG: Final = 600
"""Seconds of the file that plays until it is stopped."""
FILES: Final = {f"/media/{seconds}.wav": float(seconds) for seconds in (1, 2, 4, 12, LONG)}
HELD_SECONDS: Final = 12.0
QUERIES: Final = ("version", "global_getvar", "conference json_list")


class Command(NamedTuple):
    """A command that came: when (microseconds since 1970), by which wire, its text, the reply and what played then.

    `held`: it may have been on its way for long, because the wire was cut, or the bridge frozen.
    """

    time: int
    wire: int
    text: str
    reply: str
    playing: str
    held: bool

    @property
    def done(self) -> bool:
        """Whether the engine did it."""
        return self.reply.startswith("+OK")


class Wire(Link):
    """A proxy for any bytes. `ports` are those from which it has connected to the engine."""

    def __init__(self, port: int, target: int, rng: random.Random) -> None:
        super().__init__(port, target, rng)
        self.ports: set[int] = set()
        self.held_at = -HELD_SECONDS
        """When bytes, or the bridge behind it, were last held up (monotonic seconds)."""
        self.chops = False
        """Whether each chunk is forwarded in pieces."""

    @property
    def port(self) -> int:
        """The port on which it listens."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def cut(self, *ways: Way) -> None:
        """Stop forwarding in these directions; connections stay open."""
        self.held_at = float("inf")
        await super().cut(*ways)

    async def heal(self) -> None:
        """Forward everything again, including what was held back."""
        if self.held_at == float("inf"):
            self.held_at = time.monotonic()
        self.chops = False
        await super().heal()

    async def _requests(self, reader: asyncio.StreamReader, connection: _Connection) -> None:
        self.ports.add(connection.up_writer.get_extra_info("sockname")[1])
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                await self._pass("up", data, connection.up_writer)

    async def _answers(self, connection: _Connection) -> None:
        with contextlib.suppress(OSError):
            while data := await connection.up_reader.read(CHUNK):
                await self._pass("down", data, connection.writer)

    async def _pass(self, way: Way, data: bytes, writer: asyncio.StreamWriter) -> None:
        size = max(1, len(data) // 7) if self.chops else len(data)
        for begin in range(0, len(data), size):
            await super()._pass(way, data[begin : begin + size], writer)
            if self.chops:
                await asyncio.sleep(0.002)


class Switch(FakeFreeSwitch):
    """FreeSWITCH. `commands` are those that changed something."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed=seed, splits=True)
        self.files = set(FILES)
        self.commands: list[Command] = []
        self.halted = False
        self.on_command: Callable[[str], bool] | None = None
        """Called with each command before it is performed, until it returns True."""
        self.wires: tuple[Wire, ...] = ()
        self._played: dict[str, float] = {}
        self._source = 0

    def _answer(self, writer: asyncio.StreamWriter, line: str) -> None:
        self._source = writer.get_extra_info("peername")[1] if writer.get_extra_info("peername") else 0
        super()._answer(writer, line)

    def _api(self, line: str) -> str:
        if line.startswith(QUERIES) or line.endswith("play_status"):
            return super()._api(line)
        if (hook := self.on_command) is not None and hook(line):
            self.on_command = None
        now, playing = time.time_ns() // 1000, self.playing()
        reply = super()._api(line)
        number = next(number for number, wire in enumerate(self.wires) if self._source in wire.ports)
        held = time.monotonic() - self.wires[number].held_at < HELD_SECONDS
        room = line.split(" ")[1]
        self.commands.append(Command(now, number, line, reply, playing.get(room, ("", False))[0], held))
        return reply

    def send(self, event: dict[str, Any]) -> None:
        event["Event-Date-Timestamp"] = str(time.time_ns() // 1000)
        super().send(event)

    def restart(self) -> None:
        """Another process: all is gone."""
        super().restart()
        self._played.clear()

    def shut_down(self) -> None:
        """Say good-bye, then start again."""
        text = b"Content-Type: text/disconnect-notice\nContent-Length: 0\n\n"
        for writer in self._listeners:
            self._write(writer, text)
        self.restart()

    async def live(self) -> None:
        """Play the files and send heartbeats until cancelled."""
        beat = 0.0
        while True:
            await asyncio.sleep(TICK_SECONDS)
            if self.halted:
                continue
            beat += TICK_SECONDS
            if beat >= HEARTBEAT_SECONDS:
                beat = 0.0
                self.send({"Event-Name": "HEARTBEAT", "Core-UUID": self.core, "FreeSWITCH-Switchname": "fs1",
                           "Event-Sequence": str(next(self._sequence))})  # fmt: skip
            for room, conference in list(self.rooms.items()):
                if not conference.files or conference.paused:
                    continue
                played = self._played[conference.life] = self._played.get(conference.life, 0.0) + TICK_SECONDS
                if played >= FILES[conference.files[0].rpartition("}")[2]]:
                    self.finish(room)

    def finish(self, room: str) -> None:
        """Let the file that plays end."""
        self._played.pop(self.rooms[room].life, None)
        super().finish(room)

    def members(self) -> dict[tuple[str, str], bool]:
        """Return who is in which room, and whether muted."""
        return {
            (room, call): not member["speak"]
            for room, found in self.rooms.items()
            for call, member in found.members.items()
        }

    def playing(self) -> dict[str, tuple[str, bool]]:
        """Return which operation plays in which room, and whether it is paused."""
        found = {room: (re.match(r"\{operation_id=([^},]*)", one.files[0]), one.paused)
                 for room, one in self.rooms.items() if one.files}  # fmt: skip
        return {room: (match[1] if match else "", paused) for room, (match, paused) in found.items()}


class Host:
    """A switch and two wires to it, one for each of the node's bridges, in a thread."""

    def __init__(self, seed: int) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"switch {seed}", daemon=True)
        self._thread.start()
        self.switch = Switch(seed)
        self.call(self._start(seed))

    async def _start(self, seed: int) -> None:
        await self.switch.__aenter__()
        target = self.switch.address[1]
        self.wires = (Wire(0, target, random.Random(seed)), Wire(0, target, random.Random(seed + 1)))
        self.switch.wires = self.wires
        for wire in self.wires:
            await wire.start()
        self._live = asyncio.create_task(self.switch.live())

    def call(self, work: Any) -> Any:
        """Run a coroutine in the thread and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def do(self, work: Callable[[], Any]) -> Any:
        """Call a function in the thread and return its result."""

        async def called() -> Any:
            return work()

        return self.call(called())

    def stop(self) -> None:
        """End all."""
        for wire in self.wires:
            self.call(wire.stop())
        self.do(self._live.cancel)
        self.call(self.switch.__aexit__())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
