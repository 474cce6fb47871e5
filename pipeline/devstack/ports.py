"""Free TCP ports on 127.0.0.1."""

from __future__ import annotations

import random
import socket
from collections.abc import Collection

from pipeline.errors import ConfigError

RANGE = (20_000, 32_000)
"""Below the ports that Linux gives to outgoing connections, so that they are still free at a restart."""


def free(port: int) -> bool:
    """Return whether a server can listen on `port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose(asked: int | None, taken: Collection[int], option: str) -> int:
    """Return `asked`; if it is None, a free port not in `taken`. Raises ConfigError, which names `option`."""
    if asked is not None:
        if asked in taken or not 0 < asked < 65536 or not free(asked):
            raise ConfigError(f"port {asked} is in use or not allowed: choose another one with {option}, or omit it")
        return asked
    for port in random.sample(range(*RANGE), 200):
        if port not in taken and free(port):
            return port
    raise ConfigError(f"no free port found between {RANGE[0]} and {RANGE[1]}: choose one with {option}")
