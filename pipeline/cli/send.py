"""`send`: signals from JSON lines to the right topics."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from pipeline.cli.servers import kafka_errors, settings
from pipeline.errors import ConfigError, SignalError

if TYPE_CHECKING:
    from pipeline.kafka.acls import Acl
    from pipeline.model.signals import AnySignal
    from pipeline.settings import Settings

CHUNK: Final = 1 << 18
PRODUCER: Final[dict[str, Any]] = {
    "acks": "all",
    "enable_idempotence": True,
    "linger_ms": 5,
    "max_batch_size": 1 << 18,
    "max_request_size": 4 << 20,  # a signal of 1 MiB is fine (contract §4); the topic's own limit decides
}
"""How signals are produced. The client's default partitioner is the Java client's, murmur2 (contract §2)."""
PROGRESS_AFTER: Final = 1.0  # seconds
NEXT_MILLISECOND: Final = 0.002
"""Seconds after an acknowledgement when the broker's next append time is surely a later one: it counts milliseconds."""
MANY_ROOMS: Final = 10_000


File = Annotated[
    str, typer.Argument(metavar="FILE", help="Signals, one JSON object a line; - is standard input.")
]
Avro = Annotated[
    bool, typer.Option("--avro", help="Send Avro in the registry's wire format, not the JSON as it is.")
]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first line that is no signal.")]
Rate = Annotated[float | None, typer.Option(metavar="N", min=0.001, help="At most N signals per second.")]
Pace = Annotated[bool, typer.Option("--keep-pace", help="Keep the distances in time that occurred_at has.")]
Speed = Annotated[float, typer.Option(metavar="X", min=0.001, help="With --keep-pace: X times as fast.")]
Bulk = Annotated[
    bool,
    typer.Option(
        "--bulk",
        help="Don't keep the order between a room's API and media signals: several times as fast, for load.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")]


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
    """Publish signals, one JSON object a line, to the topics that their types belong to.

    A room's signals are appended in the order of the lines, also those on the two topics, which the workers merge by
    the time of their append. A line that is no signal is named on standard error and skipped.

    Exit codes: 0 all sent, 1 a line was skipped or refused, 2 Kafka or the registry can't be used, 130 after Ctrl-C.

    [dim]$ conference-pipeline send signals.jsonl
    $ conference-pipeline send signals.jsonl --keep-pace --speed 2
    $ conference-pipeline import freeswitch events.jsonl | conference-pipeline send --avro -[/dim]
    """
    if rate is not None and keep_pace:
        raise typer.BadParameter("--rate and --keep-pace exclude each other")
    found = settings()
    due = _pace(rate, speed if keep_pace else None)
    with contextlib.ExitStack() as files:
        source, size = _open(file, files)
        job = Sending(found, strict=strict, avro=avro, bulk=bulk, due=due)
        try:
            with kafka_errors(found), _progress(size if sys.stderr.isatty() else None) as job.show:
                asyncio.run(job.run(source))
        except BaseException:  # Ctrl-C, or the broker went away: some were sent
            if job.sent:
                _report(job, as_json)
            raise
    _report(job, as_json)
    if job.skipped or job.refused:
        raise typer.Exit(1)


class Sending:
    """One run of `send`. `sent` counts by topic what the broker acknowledged; `skipped` are lines that are no
    signals, `refused` signals that the broker would not take."""

    def __init__(
        self,
        found: Settings,
        *,
        strict: bool,
        avro: bool,
        bulk: bool,
        due: Callable[[AnySignal, int], float],
    ) -> None:
        self.sent: Counter[str] = Counter()
        self.skipped = self.refused = 0
        self.show: Callable[[int, str], None] = lambda size, text: None
        self._settings, self._strict, self._avro, self._due = found, strict, avro, due
        self._bulk = bulk
        self._ids: dict[str, int] = {}
        self._under_way: dict[str, str] = {}

    async def run(self, source: int) -> None:
        """Send every line of the file handle. Raises ConfigError, KafkaError."""
        from aiokafka import AIOKafkaProducer

        from pipeline.kafka import acls

        if self._avro:
            from pipeline.kafka.schema_registry import Registry

            async with Registry(self._settings) as registry:
                self._ids = await registry.schema_ids(self._settings.topic_prefix)
        producer = AIOKafkaProducer(**self._settings.kafka(), **PRODUCER)
        try:
            await require_topics(self._settings, acls.producer(self._settings))
            await producer.start()
            for topic in ("api", "media"):  # asked for now, so that the first signal needn't wait
                await producer.partitions_for(f"{self._settings.topic_prefix}.{topic}.signals")
            await self._lines(producer, source)
        finally:
            await producer.stop()  # waits for what is on its way
        await asyncio.sleep(0)  # and lets its callbacks count

    async def _lines(self, producer: Any, source: int) -> None:
        from pipeline.model.codec import decode_line

        number = 0
        began = time.monotonic()
        async for line in _split(source):
            number += 1
            try:
                signal = decode_line(line)
            except SignalError as error:
                self.skipped += 1
                typer.echo(f"line {number}: {error}; not sent", err=True)
                if self._strict:
                    return
                continue
            wait = began + self._due(signal, number - 1 - self.skipped) - time.monotonic()
            if wait > 0.001:
                await producer.flush()
                await asyncio.sleep(wait)
            if not self._bulk:
                await self._in_order(producer, signal)
            topic = f"{self._settings.topic_prefix}.{signal.TOPIC}.signals"
            value = self._value(signal, line)
            sending = await producer.send(topic, value, signal.room_id.encode())
            sending.add_done_callback(self._counter(signal.TOPIC, number))
            self.show(len(line) + 1, self.summary())

    async def _in_order(self, producer: Any, signal: AnySignal) -> None:
        """Before a room's signal goes to the other topic, have those before it appended, in an earlier millisecond."""
        under_way = self._under_way
        if under_way.setdefault(signal.room_id, signal.TOPIC) == signal.TOPIC and len(under_way) < MANY_ROOMS:
            return
        await producer.flush()
        await asyncio.sleep(NEXT_MILLISECOND)
        self._under_way = {signal.room_id: signal.TOPIC}

    def _value(self, signal: AnySignal, line: bytes) -> bytes:
        if not self._avro:
            return line.strip(b" \t\r\n")
        from pipeline.model import framing
        from pipeline.model.wire import ENCODERS

        return ENCODERS[type(signal)](signal, framing.head(self._ids[signal.RECORD]))

    def _counter(self, topic: str, number: int) -> Callable[[asyncio.Future[Any]], None]:
        def count(done: asyncio.Future[Any]) -> None:
            if done.cancelled():
                return
            error = done.exception()
            if error is None:
                self.sent[topic] += 1
                return
            self.refused += 1
            typer.echo(f"line {number}: Kafka refused it: {str(error) or type(error).__name__}", err=True)

        return count

    def summary(self) -> str:
        """One line of counts."""
        text = f"sent {self.sent.total()} (api {self.sent['api']}, media {self.sent['media']})"
        text += f", skipped {self.skipped}"
        return text + (f", refused {self.refused}" if self.refused else "")


async def require_topics(found: Settings, needed: list[Acl]) -> dict[str, int]:
    """The topics that these permissions are about, with their numbers of partitions. Raises ConfigError that names the
    remedy when one does not exist, or a permission is missing; KafkaError."""
    from pipeline.kafka.authorization import admin_client, look, require

    async with admin_client(found) as admin:
        await require(admin, needed, found)
        shapes = (await look(admin, [acl.name for acl in needed])).topics
    missing = [name for name, shape in shapes.items() if shape.missing]
    if missing:
        raise ConfigError(
            f"no topic {' and no topic '.join(missing)} at {found.bootstrap_servers}: "
            "run `conference-pipeline setup`, or set PIPELINE_TOPIC_PREFIX"
        )
    return {name: shape.partitions for name, shape in shapes.items()}


def _pace(rate: float | None, speed: float | None) -> Callable[[AnySignal, int], float]:
    """When a signal is due, in seconds since the start, by itself and the number of those before it."""
    if rate is not None:
        return lambda _, before: before / rate
    if speed is None:
        return lambda _, __: 0.0
    first: list[int] = []

    def by_time(signal: AnySignal, _: int) -> float:
        first.append(signal.occurred_at) if not first else None
        return (signal.occurred_at - first[0]) / 1e6 / speed

    return by_time


async def _split(source: int) -> AsyncIterator[bytes]:
    """The lines of a file handle, without their LF, as they come."""
    rest = b""
    while chunk := await _read(source):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line
    if rest:
        yield rest


async def _read(source: int) -> bytes:
    """The next bytes, read in a thread that nobody waits for at the end: standard input may never end."""
    loop = asyncio.get_running_loop()
    arrived: asyncio.Future[bytes] = loop.create_future()

    def give(chunk: bytes) -> None:
        if not arrived.done():
            arrived.set_result(chunk)

    def read() -> None:
        try:
            chunk = os.read(source, CHUNK)
        except OSError as error:
            print(f"error: reading: {error.strerror}", file=sys.stderr)
            chunk = b""
        with contextlib.suppress(RuntimeError):  # the loop is closed: we were interrupted
            loop.call_soon_threadsafe(give, chunk)

    threading.Thread(target=read, daemon=True).start()
    return await arrived


def _open(path: str, files: contextlib.ExitStack) -> tuple[int, int]:
    """(file handle, size in bytes; 0 when it is not known)."""
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


@contextlib.contextmanager
def _progress(size: int | None) -> Iterator[Callable[[int, str], None]]:
    """Takes bytes done and a text; a bar on a terminal once it takes long. `size` None: no terminal."""
    if size is None:
        yield lambda _, __: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("sending"), BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task("", total=size or None)
    began, shown, done = time.monotonic(), 0.0, 0

    def show(more: int, text: str) -> None:
        nonlocal shown, done
        done += more
        now = time.monotonic()
        if now - began < PROGRESS_AFTER or now - shown < 0.1:
            return
        if not shown:
            bar.start()
        shown = now
        bar.update(task, completed=done, description=text)

    try:
        yield show
    finally:
        bar.stop()


def _report(job: Sending, as_json: bool) -> None:
    if not as_json:
        typer.echo(job.summary(), err=True)
        return
    counts = {"sent": job.sent.total(), "api": job.sent["api"], "media": job.sent["media"]}
    typer.echo(json.dumps({**counts, "skipped": job.skipped, "refused": job.refused}))
