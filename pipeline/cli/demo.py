"""`demo`: play a recorded conference through real servers and a worker, and check the events."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import signal
import sys
from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer

from pipeline.cli.shared import kafka_errors, with_urls
from pipeline.errors import ConfigError, PipelineError
from pipeline.terminal import show, warn

if TYPE_CHECKING:
    from pipeline.demo.screen import Screen
    from pipeline.devstack import Stack
    from pipeline.settings import Settings

PARTITIONS: Final = 4
SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)

NEXT: Final = """
Next:
  eval "$(conference-pipeline up)"    start a broker and a registry; stop them with `conference-pipeline down`
  conference-pipeline setup           create the topics, register the schemas
  conference-pipeline worker &        start a worker
  conference-pipeline events --follow &
                                      follow the published events
  conference-pipeline demo --save signals.jsonl
  conference-pipeline send --keep-pace signals.jsonl
                                      send the demo's signals through your worker
  conference-pipeline replay signals.jsonl
                                      turn them into events without Kafka
"""

NEXT_ENGINE: Final = """
Next:
  conference-pipeline engine janus --help    connect your own Janus
  docs/howto/connect-an-engine.md            its configuration, step by step
"""


class Engine(StrEnum):
    """A media engine that the demo can start."""

    JANUS = "janus"


Speed = Annotated[
    float, typer.Option(metavar="X", min=0.1, max=100, help="Play X times as fast; the watchdog still takes 10 s.")
]
Save = Annotated[
    str | None, typer.Option(metavar="FILE", help="Write the signals that were sent to FILE, as JSON lines.")
]
Console = Annotated[
    bool,
    typer.Option("--console", metavar="", help="Also serve the console, and print where the room is."),
]
EngineOption = Annotated[
    Engine | None,
    typer.Option("--engine", metavar="janus", help="Play audio into a room of a real Janus, which must be installed."),
]
Json = Annotated[bool, typer.Option("--json", metavar="", help="Print only the events, as JSON lines.")]


def demo(
    speed: Speed = 1.0,
    save: Save = None,
    engine: EngineOption = None,
    console: Console = False,
    as_json: Json = False,
) -> None:
    """Play a recorded conference through Kafka and a worker.

    The demo uses the servers named in the environment, else those of `up`,
    else it starts its own; the first time this downloads 200 MB. Its topics,
    schemas and consumer group are deleted at the end. The events are compared
    with an offline replay of the same signals. --console needs the extra
    `web`; on a terminal the console stays until you press Enter.

    With --engine janus nothing is recorded: the demo starts a Janus and its
    bridge on this machine, makes a room, lets a member join it by plain RTP,
    and plays a file that the member hears. It needs Debian's package janus.

    Exit codes: 0 the events are as expected, 1 they differ or the worker
    ended, 2 invalid configuration or no servers, 130 Ctrl-C, 143 SIGTERM.

    [dim]$ conference-pipeline demo
    $ conference-pipeline demo --console
    $ conference-pipeline demo --engine janus
    $ conference-pipeline demo --speed 3 --json | jq -c .event[/dim]
    """
    from pipeline.demo.command_process import DemoError
    from pipeline.demo.screen import Screen

    if engine is not None:
        _require_janus(speed, save)
    screen = Screen(as_json)
    with _signals_as_interrupt() as received, contextlib.ExitStack() as closing:
        try:
            settings = _servers(closing, screen)
            with kafka_errors(settings):
                _create_topics(closing, settings, screen)
                _run(closing, settings, screen, engine, console, speed, save)
            if console and sys.stdin.isatty():
                screen.progress("the console stays until you press Enter")
                sys.stdin.readline()
            if not as_json:
                show(NEXT if engine is None else NEXT_ENGINE, lines=True)
        except DemoError as error:
            show(f"error: {error}", err=True, lines=True)  # with the last lines of a log
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            screen.progress("stopped")
            raise typer.Exit(128 + (received[0] if received else signal.SIGINT)) from None
        finally:
            for number in (signal.SIGINT, *SIGNALS):
                signal.signal(number, signal.SIG_IGN)  # while `closing` cleans up


def _require_janus(speed: float, save: str | None) -> None:
    """Raise BadParameter for options that have no effect on an engine, ConfigError if Janus is not installed."""
    from pipeline.demo.janus_process import installed

    for option, is_set in (("--speed", speed != 1.0), ("--save", save is not None)):
        if is_set:
            raise typer.BadParameter(f"{option} has no effect with --engine: leave one out")
    installed()


def _run(
    closing: contextlib.ExitStack,
    settings: Settings,
    screen: Screen,
    engine: Engine | None,
    console: bool,
    speed: float,
    save: str | None,
) -> None:
    from pipeline.demo import janus_run
    from pipeline.demo.run import run

    if console:
        room_id = settings.topic_prefix if engine is None else janus_run.room_of(settings)
        _start_console(closing, settings, screen, room_id)
    if engine is None:
        run(settings, screen, speed, save)
    else:
        janus_run.run(settings, screen, closing)


@contextlib.contextmanager
def _signals_as_interrupt() -> Iterator[list[int]]:
    """Turn SIGTERM and SIGHUP into KeyboardInterrupt; the list receives their numbers."""
    received: list[int] = []

    def interrupt(number: int, _: object) -> None:
        received.append(number)
        signal.raise_signal(signal.SIGINT)

    handlers = {number: signal.signal(number, interrupt) for number in SIGNALS}
    # A process started by a shell's `&` ignores SIGINT, so that raise_signal would do nothing.
    handlers[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield received
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _servers(closing: contextlib.ExitStack, screen: Screen) -> Settings:
    """Return the settings of this run: running servers, and a new topic prefix and group."""
    from pipeline.settings import load

    run = f"demo-{secrets.token_hex(3)}"
    rules = {"watchdog_seconds": 10.0, "watchdog_mode": "dispatch"}
    named = load(topic_prefix=run, group_id=run, partitions=PARTITIONS, transactional_id="", **rules)
    if named.bootstrap_servers and named.registry_url:
        screen.progress(f"using Kafka at {named.bootstrap_servers} and the registry at {named.registry_shown}")
        return named
    from pipeline.devstack import Stack, terminal_progress

    status = Stack().status()
    if status.state == "running" and not (named.bootstrap_servers or named.registry_url):  # never one of each
        screen.progress("using the servers that `conference-pipeline up` started")
    else:
        stack = _own_stack(closing, nodes=0 if named.bootstrap_servers else 1, registry=not named.registry_url)
        closing.callback(stack.down)
        closing.callback(screen.progress, "stopping Kafka and the registry")
        with terminal_progress() as progress:
            status = stack.up(progress)
    return with_urls(named, status)


def _own_stack(closing: contextlib.ExitStack, *, nodes: int, registry: bool) -> Stack:
    """Return a stack for this run only, named `demo`, or with the process id when another demo runs."""
    from pipeline.devstack import Stack
    from pipeline.devstack.cache import cache_dir, make_dir

    path = make_dir(cache_dir()) / "demo.running"
    lock = closing.enter_context(path.open("w"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return Stack(f"demo-{os.getpid()}", nodes=nodes, registry=registry)
    Stack("demo").down()  # left behind by a demo that was killed
    return Stack("demo", nodes=nodes, registry=registry)


def _create_topics(closing: contextlib.ExitStack, settings: Settings, screen: Screen) -> None:
    from pipeline.admin.setup import setup

    screen.progress("creating topics, registering schemas")
    closing.callback(_delete, settings)
    differences = asyncio.run(setup(settings, lambda _: None))
    if differences:
        raise ConfigError("; ".join(differences))


def _start_console(closing: contextlib.ExitStack, settings: Settings, screen: Screen, room_id: str) -> None:
    from pipeline.demo.console_process import running_console

    screen.progress("starting the console")
    screen.progress(f"the room is at {closing.enter_context(running_console(settings, room_id))}")


def _delete(settings: Settings) -> None:
    from aiokafka.errors import KafkaError

    with contextlib.suppress(KafkaError, PipelineError, OSError, TimeoutError):
        asyncio.run(asyncio.wait_for(_delete_all(settings), 20))
        return
    warn(f"topics and schemas of {settings.topic_prefix}.* could not all be deleted")


async def _delete_all(settings: Settings) -> None:
    """Delete the topics and schemas of this run. Kafka deletes the empty consumer group later."""
    from pipeline.kafka.admin import admin_client
    from pipeline.kafka.schema_registry import Registry
    from pipeline.topics import ALL_TOPICS

    async with admin_client(settings) as admin:
        await admin.delete_topics([topic.full_name(settings.topic_prefix) for topic in ALL_TOPICS])
    async with Registry(settings) as registry:
        subjects = [subject for topic in ALL_TOPICS for subject in topic.subjects(settings.topic_prefix)]
        await asyncio.gather(*(registry.delete(subject) for subject in subjects))
