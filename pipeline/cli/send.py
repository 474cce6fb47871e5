"""`send`: publish signals from JSON lines."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.progress import Show, progress
from pipeline.cli.shared import kafka_errors, server_settings
from pipeline.errors import ConfigError, SignalError
from pipeline.lines import CHUNK, CutLine, Lines
from pipeline.terminal import show, warn

if TYPE_CHECKING:
    from pipeline.model.signals import AnySignal
    from pipeline.settings import Settings

Due = Callable[["AnySignal", int], float]
"""(signal, number of signals before it) → seconds after the start at which it is due."""

File = Annotated[str, typer.Argument(metavar="FILE", help="Signals, one JSON object per line; - is standard input.")]
Avro = Annotated[
    bool, typer.Option("--avro", metavar="", help="Send Avro in the registry's wire format instead of the JSON text.")
]
Strict = Annotated[bool, typer.Option("--strict", metavar="", help="Stop at the first line that is not a signal.")]
Rate = Annotated[float | None, typer.Option(metavar="N", min=0.001, help="Send at most N signals per second.")]
Pace = Annotated[bool, typer.Option("--keep-pace", metavar="", help="Keep the time between the signals' occurred_at.")]
Speed = Annotated[float, typer.Option(metavar="X", min=0.001, help="With --keep-pace: X times as fast.")]
Bulk = Annotated[
    bool,
    typer.Option(
        "--bulk",
        metavar="",
        help="Don't keep the order between a room's API and media signals; several times as fast, for load tests.",
    ),
]
Json = Annotated[bool, typer.Option("--json", metavar="", help="Print the summary as one JSON object.")]


def send(
    file: File,
    avro: Avro = False,
    strict: Strict = False,
    rate: Rate = None,
    keep_pace: Pace = False,
    speed: Speed = 1.0,
    bulk: Bulk = False,
    as_json: Json = False,
) -> None:
    """Publish signals, one JSON object per line, to their topics.

    A room's signals are appended in the order of the lines, across both
    topics. A line that is not a signal is reported on standard error and
    skipped.

    Exit codes: 0 all sent, 1 a line was skipped or Kafka refused a signal,
    2 Kafka or the registry failed, 130 Ctrl-C.

    [dim]$ conference-pipeline send signals.jsonl
    $ conference-pipeline send signals.jsonl --keep-pace --speed 2
    $ conference-pipeline import freeswitch events.jsonl |
        conference-pipeline send --avro -[/dim]
    """
    if rate is not None and keep_pace:
        raise typer.BadParameter("--rate and --keep-pace exclude each other")
    due = at_pace(speed) if keep_pace else at_rate(rate or math.inf)
    settings = server_settings()
    with contextlib.ExitStack() as files:
        handle, size = open_input(file, files)
        job = SendJob(settings, strict=strict, avro=avro, bulk=bulk, due=due)
        try:
            with kafka_errors(settings), progress("sending", size if sys.stderr.isatty() else None) as show:
                asyncio.run(job.run(handle, show))
        except BaseException:  # Ctrl-C, or the connection was lost
            if job.sent:
                _report(job, as_json)
            raise
    _report(job, as_json)
    if job.skipped or job.refused:
        raise typer.Exit(1)


class SendJob:
    """One run of `send`.

    `sent` counts by topic the signals that the broker acknowledged, `refused` those that failed, `skipped` the lines
    that are not signals.
    """

    def __init__(self, settings: Settings, *, strict: bool, avro: bool, bulk: bool, due: Due) -> None:
        self.sent: Counter[str] = Counter()
        self.skipped = self.refused = 0
        self._settings, self._strict, self._avro, self._bulk, self._due = settings, strict, avro, bulk, due

    async def run(self, handle: int, show: Show) -> None:
        """Send every line of the file handle; call `show` for each. Raises ConfigError, KafkaError."""
        from pipeline.kafka.signal_producer import SignalProducer
        from pipeline.model.codec import decode_line

        async with SignalProducer(self._settings, avro=self._avro, keep_order=not self._bulk) as producer:
            number, start = 0, time.monotonic()
            async for line in read_lines(handle):
                number += 1
                try:
                    signal = decode_line(line)
                except SignalError as error:
                    self.skipped += 1
                    text = line.error if isinstance(line, CutLine) else str(error)
                    warn(f"line {number}: {text}; not sent")
                    if self._strict:
                        break
                    continue
                wait = start + self._due(signal, number - 1 - self.skipped) - time.monotonic()
                if wait > 0.001:
                    await producer.flush()
                    await asyncio.sleep(wait)
                future = await producer.send(signal, line)
                future.add_done_callback(partial(self._count, signal.TOPIC, number))
                show(len(line) + 1, self.summary())
        await asyncio.sleep(0)  # run the callbacks of the last acknowledgements

    def _count(self, topic: str, number: int, done: asyncio.Future[Any]) -> None:
        """Count the outcome of the signal on line `number`."""
        if done.cancelled():
            return
        error = done.exception()
        if error is None:
            self.sent[topic] += 1
            return
        self.refused += 1
        warn(f"line {number}: Kafka refused it: {str(error) or type(error).__name__}")

    def summary(self) -> str:
        """Return one line of counts."""
        refused = f", refused {self.refused}" if self.refused else ""
        topics = f"api {self.sent['api']}, media {self.sent['media']}"
        return f"sent {self.sent.total()} ({topics}), skipped {self.skipped}{refused}"


def _report(job: SendJob, as_json: bool) -> None:
    if not as_json:
        warn(job.summary())
        return
    counts = {"sent": job.sent.total(), "api": job.sent["api"], "media": job.sent["media"]}
    show(json.dumps({**counts, "skipped": job.skipped, "refused": job.refused}))


def at_rate(rate: float) -> Due:
    """Return the due times for `rate` signals per second; math.inf: each is due at the start."""
    return lambda signal, before: before / rate


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
    """Open a file, or standard input for `-`; return its handle, closed by `files`, and size. Raises ConfigError."""
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
    lines = Lines()
    while chunk := await read_chunk(handle):
        for line in lines.push(chunk):
            yield line
    for line in lines.end():
        yield line


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
            warn(f"error: reading: {error.strerror}")
            chunk = b""
        with contextlib.suppress(RuntimeError):  # the loop is closed after an interruption
            loop.call_soon_threadsafe(deliver, chunk)

    threading.Thread(target=read, daemon=True).start()
    return await arrived
