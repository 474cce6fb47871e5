"""A Janus with an AudioBridge and one event handler, run as a child process with a configuration of its own."""

from __future__ import annotations

import contextlib
import glob
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Final, Literal, NamedTuple, Self

from pipeline.demo.command_process import STOP_SECONDS, DemoError
from pipeline.errors import ConfigError

START_SECONDS: Final = 30.0
LOG_BYTES: Final = 3000
LIBRARIES: Final = "/usr/lib/*/janus"
HANDLERS: Final = {"ws": "wsevh", "http": "sampleevh"}


class Secrets(NamedTuple):
    """The admin_key of the AudioBridge, the api_secret of Janus, and the path of the event handler's backend."""

    admin_key: str
    api_secret: str
    token: str


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class JanusProcess:
    """A Janus on 127.0.0.1 with its configuration and log in `folder`. A context manager; entering starts it.

    Args:
        events_port: where its event handler connects to; nothing needs to listen there yet.
        handler: its event handler, ws or http.
        handler_options: more lines for the general section of the event handler's configuration.
        options: more lines for the general section of janus.jcfg.

    Entering raises ConfigError if Janus is not installed, DemoError if it does not start.
    """

    def __init__(
        self,
        folder: Path,
        secrets: Secrets,
        events_port: int,
        *,
        handler: Literal["ws", "http"] = "ws",
        handler_options: str = "",
        options: str = "",
    ) -> None:
        self.folder, self.secrets, self.events_port = folder, secrets, events_port
        self._handler, self._handler_options, self._options = handler, handler_options, options
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"ws://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._configure(installed(self._handler))
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _configure(self, libraries: list[Path]) -> None:
        configuration = self.folder / "config"
        configuration.mkdir(parents=True)
        for part in ("plugins", "transports", "events", "loggers"):
            (self.folder / part).mkdir()
        for library in libraries:
            (self.folder / library.parent.name / library.name).symlink_to(library)
        for name, text in self._texts(configuration).items():
            path = configuration / f"{name}.jcfg"
            path.touch(mode=0o600)
            path.write_text(text)

    def _texts(self, configuration: Path) -> dict[str, str]:
        """Return the files of the configuration by name."""
        folders = "\n".join(
            f'    {part}_folder = "{self.folder / part}"' for part in ("plugins", "transports", "events", "loggers")
        )
        backend = f"{self._handler}://127.0.0.1:{self.events_port}/{self.secrets.token}"
        return {
            "janus": f"""general: {{
{folders}
    configs_folder = "{configuration}"
    api_secret = "{self.secrets.api_secret}"
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
    admin_key = "{self.secrets.admin_key}"
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
            f"janus.eventhandler.{HANDLERS[self._handler]}": f"""general: {{
    enabled = true
    events = "plugins,core"
    grouping = true
    json = "compact"
    backend = "{backend}"
    {self._handler_options}
}}
""",
        }

    def start(self) -> None:
        """Start the process, and wait until it listens. Ctrl-C at the terminal does not reach it."""
        configuration = self.folder / "config"
        with (self.folder / "janus.log").open("ab") as output:
            self._process = subprocess.Popen(
                ["janus", "-F", str(configuration), "-C", str(configuration / "janus.jcfg")],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        limit = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1):
                return
            self.check()
            if time.monotonic() > limit:
                raise DemoError(f"Janus does not listen after {START_SECONDS:g} s\n{self.log_tail()}")
            time.sleep(0.02)

    def check(self) -> None:
        """Raise DemoError if the process has ended."""
        if self._process is not None and self._process.poll() is not None:
            raise DemoError(f"Janus ended with exit code {self._process.returncode}\n{self.log_tail()}")

    def log_tail(self) -> str:
        """Return the end of the log, under a heading."""
        text = (self.folder / "janus.log").read_text(errors="replace")
        return f"end of Janus' log:\n{text[-LOG_BYTES:]}"

    def kill(self) -> None:
        """End the process with SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_SECONDS)
            self._process = None

    def stop(self) -> None:
        """End the process with SIGTERM, after `STOP_SECONDS` with SIGKILL."""
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
            self.kill()

    @property
    def pid(self) -> int:
        """The id of the process."""
        assert self._process is not None
        return self._process.pid


def installed(handler: Literal["ws", "http"] = "ws") -> list[Path]:
    """Return Janus' libraries that the process needs. Raises ConfigError if one of them, or Janus, is missing."""
    missing = [] if shutil.which("janus") else ["program janus"]
    found: list[Path] = []
    for name in (
        "plugins/libjanus_audiobridge.so",
        "transports/libjanus_websockets.so",
        f"events/libjanus_{HANDLERS[handler]}.so",
    ):
        paths = sorted(glob.glob(f"{LIBRARIES}/{name}"))
        found += map(Path, paths[:1])
        missing += [] if paths else [f"{LIBRARIES}/{name}"]
    if missing:
        raise ConfigError(f"Janus is not installed (no {', no '.join(missing)}): on Debian, apt-get install janus")
    return found
