"""A real Janus with an AudioBridge, for tests and demonstrations: Debian's packages `janus` and `opus-tools`.

with RealJanus(folder, events_port) as janus:     # writes its configuration, starts it, waits until it answers
    janus.url, janus.media("two.opus", seconds=2.0), janus.kill(), janus.start(), janus.stop()
    async with Member(janus, "n1-room-1", "alice", "+15550100101") as alice: ...
"""

from __future__ import annotations

import math
import shutil
import struct
import subprocess
import wave
from pathlib import Path
from typing import Any, Final, Self

from pipeline.demo.janus_process import JanusProcess, Secrets
from pipeline.demo.rtp_member import RtpMember
from pipeline.errors import ConfigError

ADMIN_KEY: Final = "test-admin-key"
API_SECRET: Final = "test-api-secret"
TOKEN: Final = "test-events-token"
RATE: Final = 16_000


class RealJanus(JanusProcess):
    """A Janus process that also makes Opus files; `path` is that of the event handler's backend.

    Entering raises ConfigError, DemoError.
    """

    def __init__(self, folder: Path, events_port: int, *, path: str = TOKEN, **options: Any) -> None:
        super().__init__(folder, Secrets(ADMIN_KEY, API_SECRET, path), events_port, **options)

    def __enter__(self) -> Self:
        if shutil.which("opusenc") is None:
            raise ConfigError("opusenc is missing: on Debian, apt-get install opus-tools")
        return super().__enter__()

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def media_folder(self) -> Path:
        """The folder of the files."""
        (folder := self.folder / "media").mkdir(exist_ok=True)
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


class Member(RtpMember):
    """Someone who takes part by plain RTP and hears nothing; see RtpMember."""

    def __init__(self, janus: RealJanus, room: str, member: str, display: str = "", *, muted: bool = False) -> None:
        super().__init__(janus.url, API_SECRET, room, member, display, muted=muted)
