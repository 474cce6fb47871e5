"""`events`: what the pipeline publishes, as it comes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from pipeline.cli.servers import kafka_errors, settings
from pipeline.errors import SignalError

if TYPE_CHECKING:
    from pipeline.kafka.schema_registry import Registry
    from pipeline.model.events import Event
    from pipeline.settings import Settings

TOO_FEW: Final = 3
"""Exit code when --timeout passed before --max events came."""
COLOURS: Final = {
    "created": "bright_blue",
    "destroyed": "blue",
    "joined": "green",
    "left": "yellow",
    "muted": "magenta",
    "unmuted": "bright_magenta",
    "started": "cyan",
    "paused": "bright_black",
    "resumed": "bright_cyan",
    "stopped": "bright_yellow",
    "volume_changed": "white",
    "finished": "bright_green",
    "failed": "bright_red",
}
"""The last word of an event's name → its colour on a terminal."""


def colour(name: str) -> str:
    """The colour of the event `name`."""
    return COLOURS[name.rpartition(".")[2]]


def events(
    room: Annotated[str | None, typer.Option(metavar="ID", help="Only the events of this room.")] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="NAME", help="Only these, such as member.joined; repeatable."),
    ] = None,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Begin with the oldest event, not with the next one.")
    ] = False,
    maximum: Annotated[
        int | None, typer.Option("--max", metavar="N", min=1, help="End after N events.")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=0, help="End after this time in any case.")
    ] = None,
) -> None:
    """Follow the published events, one JSON line each, as consumers with read_committed see them.

    A room's events keep their order. Exit codes: 0 after --max events (without --max: when --timeout passed), 3 when
    --timeout passed before, 2 Kafka or the registry can't be used, 130 after Ctrl-C, 143 after SIGTERM.

    [dim]$ conference-pipeline events --from-beginning --max 10
    $ conference-pipeline events --room acW68-room-abc123 --type member.joined --type member.left | jq .[/dim]
    """
    names = _names(kind or [])
    found = settings()
    signal.signal(signal.SIGTERM, _terminated)
    job = _follow(found, room, names, from_beginning=from_beginning, maximum=maximum)
    try:
        with kafka_errors(found):
            asyncio.run(asyncio.wait_for(job, timeout))
    except TimeoutError:
        if maximum is not None:
            typer.echo(f"fewer than {maximum} events in {timeout:g} s", err=True)
            raise typer.Exit(TOO_FEW) from None


def _terminated(number: int, _: object) -> None:
    raise SystemExit(128 + number)


def _names(kinds: list[str]) -> frozenset[str]:
    from pipeline.model.events import EVENTS

    known = {event.EVENT for event in EVENTS}
    full = [kind if kind.startswith("conference.") else f"conference.{kind}" for kind in kinds]
    for kind, name in zip(kinds, full, strict=True):
        if name not in known:
            every = ", ".join(one.removeprefix("conference.") for one in sorted(known))
            raise typer.BadParameter(f"--type {kind}: there is no such event; there are {every}")
    return frozenset(full)


async def _follow(
    found: Settings, room: str | None, names: frozenset[str], *, from_beginning: bool, maximum: int | None
) -> None:
    from pipeline.model.codec import event_json

    left = maximum
    paint = sys.stdout.isatty()
    async with Follower(found, from_beginning=from_beginning) as follower:
        async for event in follower:
            if (room is not None and event.room_id != room) or (names and event.EVENT not in names):
                continue
            try:
                line = event_json(event)
            except SignalError as error:
                typer.echo(f"no event: {error}; skipped", err=True)
                continue
            if paint:
                text = typer.style(line.decode().rstrip("\n"), fg=colour(event.EVENT))
                line = text.encode("utf-8", "surrogatepass") + b"\n"
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
            if left is not None and (left := left - 1) <= 0:
                return


class Follower:
    """Committed events of all partitions, in each partition's order; an asynchronous context manager and iterator.

    A record that can't be decoded is named on standard error and skipped. Entering it fixes where it begins: what
    is published after that is seen. Raises ConfigError, KafkaError, RegistryDownError.
    """

    def __init__(self, found: Settings, *, from_beginning: bool = False) -> None:
        self._settings = found
        self._topic = f"{found.topic_prefix}.events"
        self._from_beginning = from_beginning
        self._open = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Follower:
        from aiokafka import AIOKafkaConsumer, TopicPartition

        from pipeline.cli.send import require_topics
        from pipeline.kafka import acls
        from pipeline.kafka.log_offsets import assign_and_seek
        from pipeline.kafka.schema_registry import Registry
        from pipeline.model.decoders import Decoders
        from pipeline.model.events import EVENTS

        self._decoders = Decoders(EVENTS)
        topics = await require_topics(self._settings, acls.consumer(self._settings))
        async with contextlib.AsyncExitStack() as opened:
            self._registry: Registry = await opened.enter_async_context(Registry(self._settings))
            self._consumer: Any = AIOKafkaConsumer(
                **self._settings.kafka(), isolation_level="read_committed", enable_auto_commit=False
            )
            opened.push_async_callback(self._consumer.stop)
            await self._consumer.start()
            partitions = [TopicPartition(self._topic, number) for number in range(topics[self._topic])]
            ask = self._consumer.beginning_offsets if self._from_beginning else self._consumer.end_offsets
            assign_and_seek(self._consumer, await ask(partitions))
            self._open = opened.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def __aiter__(self) -> AsyncIterator[Event]:
        while True:
            batches = await self._consumer.getmany(timeout_ms=1000)
            for records in batches.values():
                for record in records:
                    try:
                        event = await self._decode(record.value)
                    except SignalError as error:
                        place = f"{record.topic}/{record.partition}/{record.offset}"
                        typer.echo(f"{place}: no event: {error}; skipped", err=True)
                        continue
                    yield event

    async def _decode(self, value: bytes | None) -> Event:
        from pipeline.model.decoders import UnknownSchemaError

        event: Event
        try:
            event = self._decoders.decode(value)
        except UnknownSchemaError as error:
            text = await self._registry.schema(error.schema_id)
            if text is None:  # not learnt: the registry may have the id later
                raise SignalError(f"the registry has no schema with id {error.schema_id}") from None
            self._decoders.learn(error.schema_id, text)
            event = self._decoders.decode(value)
        return event
