"""The input of `send`: lines of a file or of a live standard input, and the time at which each is due."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Final

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from pipeline.model.signals import AnySignal

CHUNK: Final = 1 << 18
"""Bytes of one read."""

Due = Callable[["AnySignal", int], float]
"""(signal, number of signals before it) → seconds after the start at which it is due."""


def at_once(signal: AnySignal, before: int) -> float:
    """Return 0: every signal is due at the start."""
    return 0.0


def at_rate(rate: float) -> Due:
    """Return the due times for `rate` signals per second."""

    def due(signal: AnySignal, before: int) -> float:
        return before / rate

    return due


def at_pace(speed: float) -> Due:
    """Return the due times that keep the distances between the signals' `occurred_at`, divided by `speed`."""
    first: int | None = None

    def due(signal: AnySignal, before: int) -> float:
        nonlocal first
        if first is None:
            first = signal.occurred_at
        return (signal.occurred_at - first) / 1e6 / speed

    return due


def open_input(path: str, files: contextlib.ExitStack) -> tuple[int, int]:
    """Open a file, or standard input for `-`; return its handle and its size in bytes, 0 when unknown.

    `files` closes the handle. Raises ConfigError.
    """
    try:
        if path == "-":
            handle = sys.stdin.fileno()
        else:
            handle = os.open(path, os.O_RDONLY)
            files.callback(os.close, handle)
            if os.path.isdir(path):
                raise ConfigError(f"{path}: it is a directory")
        return handle, os.fstat(handle).st_size
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None


async def read_lines(handle: int) -> AsyncIterator[bytes]:
    """Yield the lines of a file handle without their LF, each as soon as it is complete."""
    rest = b""
    while chunk := await read_chunk(handle):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line
    if rest:
        yield rest


async def read_chunk(handle: int) -> bytes:
    """Return the next bytes; empty at the end or, with a message on standard error, when reading fails.

    It reads in a daemon thread, so that Ctrl-C can end the program while standard input stays open.
    """
    loop = asyncio.get_running_loop()
    arrived: asyncio.Future[bytes] = loop.create_future()

    def deliver(chunk: bytes) -> None:
        if not arrived.done():
            arrived.set_result(chunk)

    def read() -> None:
        try:
            chunk = os.read(handle, CHUNK)
        except OSError as error:
            print(f"error: reading: {error.strerror}", file=sys.stderr)
            chunk = b""
        with contextlib.suppress(RuntimeError):  # the loop is closed after an interruption
            loop.call_soon_threadsafe(deliver, chunk)

    threading.Thread(target=read, daemon=True).start()
    return await arrived
