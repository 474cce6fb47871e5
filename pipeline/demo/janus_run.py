"""The demo with a real Janus: a room, a member by plain RTP, and a file that the member hears.

chime.opus has four notes in 3 s, made for this demo with opusenc.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import tempfile
import time
from importlib.resources import files
from pathlib import Path
from typing import Final

import typer

from pipeline.demo.arrivals import LATE_SECONDS, Arrivals
from pipeline.demo.command_process import CommandProcess, DemoError, running
from pipeline.demo.janus_process import JanusProcess, Secrets, free_port
from pipeline.demo.rtp_member import Ear, RtpMember
from pipeline.demo.screen import Screen
from pipeline.engines.engine import EngineAwayError
from pipeline.engines.janus.api import JanusApi
from pipeline.kafka.event_reader import EventReader
from pipeline.kafka.signal_producer import SignalProducer
from pipeline.model.codec import signal_json
from pipeline.model.signals import AnySignal, ConferenceCreate, ConferenceDestroy, ConferencePlay, Micros
from pipeline.settings import Settings

NODE: Final = "demo"
FILE: Final = "chime.opus"
CDN: Final = "https://cdn.example.com/"
MEMBER: Final = "alice"
CALLER: Final = "+15551234567"
POLL_SECONDS: Final = 0.1


def room_of(settings: Settings) -> str:
    """Return the id of the demo's room."""
    return f"{NODE}-room-{settings.topic_prefix}"


def run(settings: Settings, screen: Screen, closing: contextlib.ExitStack) -> None:
    """Start Janus, its bridge and a worker, play the scene and check its events; `closing` stops the processes.

    Raises DemoError, KafkaError, ConfigError.
    """
    began = time.monotonic()
    folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="conference-demo-")))
    (folder / FILE).write_bytes(files("pipeline.demo").joinpath(FILE).read_bytes())
    screen.progress("starting Janus, a worker and the bridge between Janus and Kafka")
    keys = Secrets(*(secrets.token_hex(16) for _ in Secrets._fields))
    janus = closing.enter_context(JanusProcess(folder / "janus", keys, free_port()))
    worker = closing.enter_context(running(settings, "the worker", "worker", PIPELINE_WATCHDOG_MODE="progress"))
    bridge = closing.enter_context(_bridge(settings, janus, folder))
    closing.callback(screen.progress, "stopping the bridge, the worker and Janus")
    scene = Scene(settings, screen, janus, worker, bridge)
    try:
        asyncio.run(scene.play())
    except EngineAwayError as error:
        raise DemoError(f"{error}\n{janus.log_tail()}") from None
    if not screen.as_json:
        typer.echo(
            f"\n{len(scene.arrivals.seen)} events of a real room in Janus, in {time.monotonic() - began:.0f} s. "
            f"{MEMBER} heard {scene.heard:.1f} s of sound."
        )


def _bridge(settings: Settings, janus: JanusProcess, folder: Path) -> contextlib.AbstractContextManager[CommandProcess]:
    command = (
        "engine", "janus", "--node", NODE, "--url", janus.url, "--events-listen", f"ws://127.0.0.1:{janus.events_port}",
        "--media-map", f"{CDN}={folder}/", "--plain-rtp",
    )  # fmt: skip
    keys = janus.secrets
    return running(
        settings, "the bridge", *command,
        ENGINE_PASSWORD=keys.admin_key, ENGINE_API_SECRET=keys.api_secret, ENGINE_EVENTS_TOKEN=keys.token,
    )  # fmt: skip


class Scene:
    """What happens in the room. `heard` is the seconds of sound that the member received."""

    def __init__(
        self, settings: Settings, screen: Screen, janus: JanusProcess, worker: CommandProcess, bridge: CommandProcess
    ) -> None:
        self._settings, self._screen, self._janus = settings, screen, janus
        self._worker, self._bridge = worker, bridge
        self.arrivals = Arrivals(screen, [bridge, worker, janus])
        self._room = room_of(settings)
        self._signals = 0
        self.heard = 0.0

    async def play(self) -> None:
        """Wait until all is ready, play the scene, and show the events."""
        await self._worker.ready()
        self._screen.progress("waiting for the bridge, which waits 6 s for others of its node")
        await self._bridge.ready()
        async with (
            EventReader(self._settings, self._screen.progress) as reader,
            SignalProducer(self._settings, keep_order=False, linger_ms=0) as producer,
            JanusApi(self._janus.url, self._janus.secrets.api_secret) as api,
            Ear() as ear,
            self.arrivals.listening(reader),
        ):
            await self._play(producer, api, ear)
            await self.arrivals.settle()
        if len(self.arrivals.seen) != 6:
            raise DemoError(f"{len(self.arrivals.seen)} events instead of 6\n{self._bridge.log_tail()}")

    async def _play(self, producer: SignalProducer, api: JanusApi, ear: Ear) -> None:
        self._screen.comment("POST /conferences: the bridge makes the room in Janus")
        await self._send(producer, ConferenceCreate(*self._head(), "demo", "Standup"))
        await self._expect("conference.created")
        await self._until_exists(api, exists=True)
        self._screen.comment(f"{MEMBER} joins the room in Janus by plain RTP")
        url, secret = self._janus.url, self._janus.secrets.api_secret
        async with RtpMember(url, secret, self._room, MEMBER, CALLER, ear=ear) as member:
            await self._expect("conference.member.joined")
            self._screen.comment(f"POST play: {FILE}; Janus plays it to the room")
            await self._send(producer, ConferencePlay(*self._head(), (f"{CDN}{FILE}",), "chime"))
            await self._expect("conference.play.started")
            await self._expect("conference.play.finished")
            self.heard = ear.seconds
            self._screen.comment(f"{MEMBER} heard {ear.seconds:.1f} s of sound in {ear.packets} RTP packets")
            if not self.heard:
                raise DemoError(f"{MEMBER} heard nothing\n{self._janus.log_tail()}")
            self._screen.comment(f"{MEMBER} leaves the room in Janus")
            await member.request("leave")
            await self._expect("conference.member.left")
        self._screen.comment("DELETE /conferences: the bridge deletes the room in Janus")
        await self._send(producer, ConferenceDestroy(*self._head()))
        await self._expect("conference.destroyed")
        await self._until_exists(api, exists=False)

    def _head(self) -> tuple[str, str, Micros]:
        """Return signal_id, room_id and time of the next signal."""
        self._signals += 1
        return f"demo-{self._signals}", self._room, Micros(time.time_ns() // 1000)

    async def _send(self, producer: SignalProducer, signal: AnySignal) -> None:
        await (await producer.send(signal, signal_json(signal)))

    async def _expect(self, name: str) -> None:
        await self.arrivals.show(1)
        found = self.arrivals.seen[-1].EVENT
        if found != name:
            raise DemoError(f"{found} instead of {name}\n{self._bridge.log_tail()}\n{self._janus.log_tail()}")

    async def _until_exists(self, api: JanusApi, *, exists: bool) -> None:
        """Wait until Janus has the room, or has it no more. Raises DemoError."""
        limit = time.monotonic() + LATE_SECONDS
        while (await api.audiobridge("exists", room=self._room)).data.get("exists") is not exists:
            if time.monotonic() > limit:
                what = "made" if exists else "deleted"
                raise DemoError(
                    f"the room was not {what} in Janus within {LATE_SECONDS:g} s\n{self._bridge.log_tail()}"
                )
            await asyncio.sleep(POLL_SECONDS)
