"""A real Janus with an AudioBridge, for tests and demonstrations: Debian's packages `janus` and `opus-tools`.

with RealJanus(folder, events_port) as janus:     # writes its configuration, starts it, waits until it answers
    janus.url, janus.media("two.opus", seconds=2.0), janus.kill(), janus.start(), janus.stop()
    async with Member(janus, "n1-room-1", "alice", "+15550100101") as alice: ...
"""

from __future__ import annotations

import contextlib
import glob
import math
import shutil
import socket
import struct
import subprocess
import time
import wave
from pathlib import Path
from typing import Final, Self

from pipeline.engines.janus.api import JanusApi, Reply

ADMIN_KEY: Final = "test-admin-key"
API_SECRET: Final = "test-api-secret"
TOKEN: Final = "test-events-token"
START_SECONDS: Final = 30.0
RATE: Final = 16_000
PACKAGES: Final = "Debian's packages `janus` and `opus-tools` are needed: apt-get install janus opus-tools"
PARTS: Final = {
    "plugins": "libjanus_audiobridge.so",
    "transports": "libjanus_websockets.so",
    "events": "libjanus_wsevh.so",
    "loggers": "",
}


class NoJanusError(RuntimeError):
    """Janus or opusenc is not installed, or Janus did not start. The text says how to change that."""


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class RealJanus:
    """A Janus process with its configuration in `folder`. Raises NoJanusError.

    Args:
        events_port: where its event handler connects to; nothing needs to listen there yet.
        options: lines for the general section of janus.jcfg.
    """

    def __init__(self, folder: Path, events_port: int, options: str = "") -> None:
        self._folder, self._options = folder, options
        self.events_port = events_port
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"ws://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        libraries = sorted(glob.glob("/usr/lib/*/janus/plugins/libjanus_audiobridge.so"))
        if shutil.which("janus") is None or shutil.which("opusenc") is None or not libraries:
            raise NoJanusError(PACKAGES)
        self._configure(Path(libraries[0]).parents[1])
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _configure(self, installed: Path) -> None:
        configuration = self._folder / "config"
        configuration.mkdir(parents=True)
        for part, library in PARTS.items():
            (self._folder / part).mkdir()
            if library:
                (self._folder / part / library).symlink_to(installed / part / library)
        folders = "\n".join(f'    {part}_folder = "{self._folder / part}"' for part in PARTS)
        texts = {
            "janus": f"""general: {{
{folders}
    configs_folder = "{configuration}"
    api_secret = "{API_SECRET}"
    server_name = "n1"
    debug_level = 4
    debug_colors = false
    {self._options}
}}
media: {{ rtp_port_range = "20000-40000" }}
nat: {{ nice_debug = false }}
events: {{ broadcast = true }}
""",
            "janus.plugin.audiobridge": f"""general: {{
    admin_key = "{ADMIN_KEY}"
    string_ids = true
    local_ip = "127.0.0.1"
}}
""",
            "janus.transport.websockets": f"""general: {{
    ws = true
    ws_port = {self._port}
    ws_ip = "127.0.0.1"
}}
admin: {{ admin_ws = false }}
""",
            "janus.eventhandler.wsevh": f"""general: {{
    enabled = true
    events = "plugins,core"
    grouping = true
    json = "compact"
    backend = "ws://127.0.0.1:{self.events_port}/{TOKEN}"
}}
""",
        }
        for name, text in texts.items():
            (configuration / f"{name}.jcfg").write_text(text)

    def start(self) -> None:
        """Start the process, and wait until it listens."""
        log = self._folder / "janus.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                ["janus", "-F", str(self._folder / "config"), "-C", str(self._folder / "config" / "janus.jcfg")],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        limit = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1):
                return
            if self._process.poll() is not None or time.monotonic() > limit:
                raise NoJanusError(f"Janus did not start:\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.02)

    def kill(self) -> None:
        """End the process with SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def stop(self) -> None:
        """End the process with SIGTERM."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
            self._process = None

    @property
    def pid(self) -> int:
        """The id of the process."""
        assert self._process is not None
        return self._process.pid

    @property
    def media_folder(self) -> Path:
        """The folder of the files."""
        (folder := self._folder / "media").mkdir(exist_ok=True)
        return folder

    def media(self, name: str, seconds: float) -> Path:
        """Make an Opus file with a tone."""
        path = self.media_folder / name
        sound = path.with_suffix(".wav")
        with wave.open(str(sound), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            tone = (int(6000 * math.sin(2 * math.pi * 440 * n / RATE)) for n in range(int(seconds * RATE)))
            file.writeframes(b"".join(struct.pack("<h", one) for one in tone))
        subprocess.run(["opusenc", "--quiet", str(sound), str(path)], check=True)
        sound.unlink()
        return path


class Member:
    """Someone who takes part by plain RTP. An asynchronous context manager; entering joins, leaving ends the session.

    Args:
        member: the id in the AudioBridge, without the node.
        display: the name to show, which becomes the caller_id.
    """

    def __init__(self, janus: RealJanus, room: str, member: str, display: str = "", *, muted: bool = False) -> None:
        self._room, self.id, self._display, self._muted = room, member, display, muted
        self._api = JanusApi(janus.url, API_SECRET)
        self._open = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as opened:
            await opened.enter_async_context(self._api)
            await self.join(self._room)
            self._open = opened.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def join(self, room: str) -> Reply:
        """Join a room. The audio goes to a port where nobody listens."""
        return await self.request(
            "join", room=room, id=self.id, display=self._display, muted=self._muted,
            rtp={"ip": "127.0.0.1", "port": 9, "payload_type": 100},
        )  # fmt: skip

    async def request(self, request: str, **fields: object) -> Reply:
        """Send a request of the member's own session, such as `leave` or `configure`."""
        reply = await self._api.audiobridge(request, **fields)
        assert not reply.code, reply
        return reply

    async def keep_alive(self) -> None:
        """Keep the session, until cancelled."""
        await self._api.keep_alive()
