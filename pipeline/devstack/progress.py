"""Progress of a download: a bar on a terminal, elsewhere a line every few seconds."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import TextIO

from pipeline.terminal import printable

LINE_EVERY = 3.0  # seconds between two lines when standard error is not a terminal


class Progress:
    """Receives the progress of `Stack.up`, from several threads. This base class ignores it."""

    def say(self, text: str) -> None:
        """Report the current step in one line."""

    def add(self, size: int) -> None:
        """Add `size` bytes to the total."""

    def advance(self, size: int) -> None:
        """Report `size` received bytes; negative when a file is downloaded again."""


class Lines(Progress):
    """Prints lines, for logs and pipes: at most one about the download in `LINE_EVERY` seconds."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._lock = stream, threading.Lock()
        self._total = self._done = 0
        self._last = 0.0

    def say(self, text: str) -> None:
        with self._lock:
            print(printable(text), file=self._stream, flush=True)

    def add(self, size: int) -> None:
        with self._lock:
            self._total += size

    def advance(self, size: int) -> None:
        with self._lock:
            self._done += size
            now = time.monotonic()
            if not size or (now - self._last < LINE_EVERY and self._done < self._total):
                return
            self._last = now
            text = f"downloaded {self._done / 1e6:.0f} of {self._total / 1e6:.0f} MB"
            print(printable(text), file=self._stream, flush=True)


class Bar(Progress):
    """Shows a rich progress bar once there is something to download."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
        from rich.progress import Progress as RichProgress

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self._bar = RichProgress(*columns, TimeRemainingColumn(), console=Console(stderr=True))
        self._task = self._bar.add_task("downloading", total=0, start=True, visible=False)
        self._total, self._lock = 0, threading.Lock()

    def say(self, text: str) -> None:
        self._bar.console.print(printable(text), markup=False, highlight=False)

    def add(self, size: int) -> None:
        with self._lock:
            self._total += size
            self._bar.update(self._task, total=self._total, visible=True)
            self._bar.start()

    def advance(self, size: int) -> None:
        self._bar.advance(self._task, size)

    def close(self) -> None:
        self._bar.stop()


@contextlib.contextmanager
def terminal_progress(stream: TextIO | None = None) -> Iterator[Progress]:
    """Yield a `Progress` for standard error (or `stream`): a bar on a terminal, lines elsewhere."""
    stream = stream or sys.stderr
    if stream is not sys.stderr or not stream.isatty():
        yield Lines(stream)
        return
    with contextlib.closing(Bar()) as bar:
        yield bar
