"""Free TCP ports on 127.0.0.1."""

from __future__ import annotations

import random
import socket
from collections.abc import Collection

from pipeline.errors import ConfigError

RANGE = (
    20_000,
    32_000,
)  # below the ports that Linux hands to outgoing connections: a restart finds its own free


def free(port: int) -> bool:
    """Whether a server could listen on `port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose(asked: int | None, taken: Collection[int], option: str) -> int:
    """`asked` if it is free, else an arbitrary free port when none was asked for.

    Raises:
        ConfigError: the port asked for is in use; the text names `option`.
    """
    if asked is not None:
        if asked in taken or not 0 < asked < 65536 or not free(asked):
            raise ConfigError(
                f"port {asked} is in use or not allowed: name another one with {option}, or none"
            )
        return asked
    for port in random.sample(range(*RANGE), 200):
        if port not in taken and free(port):
            return port
    raise ConfigError(f"no free port found between {RANGE[0]} and {RANGE[1]}: name one with {option}")
